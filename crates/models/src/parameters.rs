//! Tensors of a network by name, and visitors of those that are trained.

use std::collections::BTreeMap;

use brainreel_checkpoint::HostTensor;
use burn::tensor::Tensor;

/// Tensors as a weight file has them.
pub(crate) type Found = BTreeMap<String, HostTensor>;

/// Gradients of the trainable tensors in host memory, by torchvision's names.
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// Sees every trainable tensor and may replace it.
pub trait ParameterVisitor {
    /// Called once per parameter, always in the same order, with torchvision's name.
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>);
}

/// A [`ParameterVisitor`] behind a pointer: one function for each rank that parameters have.
pub(crate) trait ErasedVisitor {
    fn vector(&mut self, name: &str, parameter: &mut Tensor<1>);
    fn matrix(&mut self, name: &str, parameter: &mut Tensor<2>);
    fn kernel(&mut self, name: &str, parameter: &mut Tensor<5>);
}

impl<V: ParameterVisitor> ErasedVisitor for V {
    fn vector(&mut self, name: &str, parameter: &mut Tensor<1>) {
        self.visit(name, parameter);
    }

    fn matrix(&mut self, name: &str, parameter: &mut Tensor<2>) {
        self.visit(name, parameter);
    }

    fn kernel(&mut self, name: &str, parameter: &mut Tensor<5>) {
        self.visit(name, parameter);
    }
}
