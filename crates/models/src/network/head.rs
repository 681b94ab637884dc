//! The trained layers.

use brainreel_checkpoint::StateDict;
use burn::tensor::{Device, Tensor};

use super::visitor::{Collect, Export, RequireGrad, WithoutAutodiff};
use super::{TrainingPass, update_norms};
use crate::backbone::{Layer, LayerSpec};
use crate::math::Math;
use crate::norm::Pass;
use crate::parameters::Found;
use crate::parameters::{Gradients, ParameterVisitor};

/// The trained rest of the network, the classifier at least, on an autodiff device.
#[derive(Debug, Clone)]
pub struct Head {
    layers: Vec<Box<dyn Layer>>,
    math: Math,
}

impl Head {
    pub(super) fn load(specs: &[Box<dyn LayerSpec>], weights: &StateDict, device: &Device) -> Self {
        let layers = specs.iter().map(|spec| spec.load(weights, device)).collect();
        let mut head = Self { layers, math: Math::default() };
        head.visit_parameters(&mut RequireGrad);
        head
    }

    pub(super) const fn set_math(&mut self, math: Math) {
        self.math = math;
    }

    /// Logits with every batch norm in train mode (batch statistics, running ones updated).
    ///
    /// # Shapes
    /// Trunk output to `[N, classes]`.
    #[must_use]
    pub fn forward_train(&mut self, features: Tensor<5>) -> Tensor<2> {
        let mut gathered = Vec::new();
        let y = run(&self.layers, features, &mut Pass::Batch(&mut gathered), self.math);
        update_norms(&mut self.layers, &gathered);
        to_logits(y)
    }

    /// Logits by the running statistics.
    #[must_use]
    pub fn forward(&self, features: Tensor<5>) -> Tensor<2> {
        to_logits(run(&self.layers, features, &mut Pass::Running, self.math))
    }

    /// The same head outside autodiff, for evaluation; shares memory with this one.
    #[must_use]
    pub fn without_autodiff(&self) -> Self {
        let mut plain = self.clone();
        plain.visit_parameters(&mut WithoutAutodiff);
        plain
    }

    /// Shows every trainable tensor to `visitor`.
    pub fn visit_parameters(&mut self, visitor: &mut impl ParameterVisitor) {
        self.layers.iter_mut().for_each(|layer| layer.visit(visitor));
    }

    pub(super) fn export(&self, into: &mut Found) {
        for layer in &self.layers {
            layer.clone().visit(&mut Export(into));
            layer.export_buffers(into);
        }
    }

    /// Forward, loss and backward. Up to the last layer that is recomputed ([`Layer::is_recomputed`]), the
    /// forward pass keeps only the inputs of the layers; on the way back each is computed once more, with
    /// autodiff.
    pub(super) fn training_pass(
        &mut self,
        features: Tensor<5>,
        loss: &dyn Fn(Tensor<2>) -> Tensor<1>,
    ) -> TrainingPass {
        // From the last such layer on nothing is computed twice.
        let n_twice = self.layers.iter().rposition(|layer| layer.is_recomputed()).unwrap_or(0);
        let mut inputs = self.inputs_of(n_twice, features);
        let leaf = leaf(inputs.pop(), n_twice);
        let mut gathered = Vec::new();
        let y = run(&self.layers[n_twice..], leaf.clone(), &mut Pass::Batch(&mut gathered), self.math);
        update_norms(&mut self.layers[n_twice..], &gathered);
        let logits = to_logits(y);
        let value = loss(logits.clone());
        let scale = self.math.precision.loss_scale();
        let mut collected = Collect::new((value.clone() * scale).backward(), scale);
        self.layers[n_twice..].iter_mut().for_each(|layer| layer.visit(&mut collected));
        let gradient = if n_twice == 0 { None } else { collected.take(&leaf) };
        let mut gradients = std::mem::take(&mut collected.found);
        drop((leaf, collected));
        if let Some(gradient) = gradient {
            self.backward_by_layer(inputs, gradient, &mut gradients);
        }
        TrainingPass::new(logits, value, gradients)
    }

    /// Inputs of the first `n` layers and of the one behind them, computed without autodiff.
    fn inputs_of(&self, n: usize, features: Tensor<5>) -> Vec<Tensor<5>> {
        if n == 0 {
            return vec![features];
        }
        let plain = self.without_autodiff();
        let mut inputs = vec![features.without_autodiff()];
        for layer in &plain.layers[..n] {
            let input = inputs.last().expect("the features are there").clone();
            inputs.push(layer.forward(input, &mut Pass::Running, self.math));
        }
        inputs
    }

    /// Gradients of the layers whose `inputs` were kept, from the last to the first; `gradient` is that of their
    /// output.
    fn backward_by_layer(
        &mut self,
        mut inputs: Vec<Tensor<5>>,
        gradient: Tensor<5>,
        gradients: &mut Gradients,
    ) {
        let scale = self.math.precision.loss_scale();
        let mut gradient = Some(gradient);
        for idx in (0..inputs.len()).rev() {
            let of_output = gradient.take().expect("the gradient reached the layer behind");
            let leaf = leaf(inputs.pop(), idx);
            let y = self.layers[idx].forward(leaf.clone(), &mut Pass::Running, self.math);
            let mut collected = Collect::new((y * of_output.autodiff()).sum().backward(), scale);
            self.layers[idx].visit(&mut collected);
            gradients.append(&mut collected.found);
            gradient = collected.take(&leaf);
        }
    }
}

fn run(layers: &[Box<dyn Layer>], x: Tensor<5>, pass: &mut Pass<'_>, math: Math) -> Tensor<5> {
    layers.iter().fold(x, |x, layer| layer.forward(x, pass, math))
}

/// The classifier's output as `[N, classes]`.
fn to_logits(y: Tensor<5>) -> Tensor<2> {
    let [n, .., classes] = y.dims();
    y.reshape([n, classes])
}

/// The input of layer `idx` under autodiff; that of the first needs no gradient.
fn leaf(input: Option<Tensor<5>>, idx: usize) -> Tensor<5> {
    let input = input.expect("every layer's input was kept").autodiff();
    if idx == 0 { input } else { input.require_grad() }
}
