//! The final layer of convolutional networks.

use brainreel_checkpoint::{Role, StateDict, TensorSpec};
use burn::tensor::{Device, Tensor, TensorData};

use super::spec::PooledClassifierSpec;
use crate::backbone::{Layer, LayerSpec};
use crate::math::Math;
use crate::norm::Pass;
use crate::parameters::ErasedVisitor;

/// Average over all positions, then a linear layer, in single precision.
#[derive(Debug, Clone)]
struct PooledClassifier {
    name: &'static str,
    weight: Weight,
    bias: Tensor<1>,
}

/// `[classes, features]`, with three more axes of length one where torchvision has a convolution.
#[derive(Debug, Clone)]
enum Weight {
    Linear(Tensor<2>),
    Convolution(Tensor<5>),
}

impl PooledClassifier {
    fn load(spec: &PooledClassifierSpec, weights: &StateDict, device: &Device) -> Self {
        let weight = weights.tensor(&format!("{}.weight", spec.name));
        let data = TensorData::new(weight.values.clone(), weight.shape.clone());
        let bias = weights.tensor(&format!("{}.bias", spec.name));
        Self {
            name: spec.name,
            weight: if spec.is_convolution {
                Weight::Convolution(Tensor::from_data(data, device))
            } else {
                Weight::Linear(Tensor::from_data(data, device))
            },
            bias: Tensor::from_data(bias.values.as_slice(), device),
        }
    }
}

impl LayerSpec for PooledClassifierSpec {
    fn tensors(&self) -> Vec<TensorSpec> {
        let Self { name, features, n_classes, .. } = *self;
        let mut shape = vec![n_classes, features];
        if self.is_convolution {
            shape.extend([1; 3]);
        }
        vec![
            TensorSpec::new(format!("{name}.weight"), &shape, Role::LinearWeight),
            TensorSpec::new(format!("{name}.bias"), &[n_classes], Role::LinearBias { fan_in: features }),
        ]
    }

    fn load(&self, weights: &StateDict, device: &Device) -> Box<dyn Layer> {
        Box::new(PooledClassifier::load(self, weights, device))
    }
}

impl Layer for PooledClassifier {
    fn forward(&self, x: Tensor<5>, _pass: &mut Pass<'_>, _math: Math) -> Tensor<5> {
        let [n, channels, d, h, w] = x.dims();
        let pooled = x.reshape([n, channels, d * h * w]).mean_dim(2).reshape([n, channels]);
        let weight = match &self.weight {
            Weight::Linear(weight) => weight.clone(),
            Weight::Convolution(kernel) => {
                let [classes, ..] = kernel.dims();
                kernel.clone().reshape([classes, channels])
            }
        };
        let logits = pooled.matmul(weight.transpose()) + self.bias.clone().unsqueeze();
        let [n, classes] = logits.dims();
        logits.reshape([n, 1, 1, 1, classes])
    }

    fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        let name = format!("{}.weight", self.name);
        match &mut self.weight {
            Weight::Linear(weight) => visitor.matrix(&name, weight),
            Weight::Convolution(kernel) => visitor.kernel(&name, kernel),
        }
        visitor.vector(&format!("{}.bias", self.name), &mut self.bias);
    }

    fn tag(&self, _math: Math) -> String {
        "classifier".to_owned()
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}
