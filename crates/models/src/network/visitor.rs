//! Visitors of a network's parameters.

use std::collections::BTreeMap;

use burn::tensor::{Gradients as TensorGradients, Tensor};

use crate::norm::to_host;
use crate::parameters::{Found, Gradients, ParameterVisitor};

/// Adds up the elements of all parameters.
pub(super) struct Count(pub(super) usize);

impl ParameterVisitor for Count {
    fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
        self.0 += parameter.dims().iter().product::<usize>();
    }
}

pub(super) struct RequireGrad;

impl ParameterVisitor for RequireGrad {
    fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
        *parameter = parameter.clone().require_grad();
    }
}

pub(super) struct WithoutAutodiff;

impl ParameterVisitor for WithoutAutodiff {
    fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
        *parameter = parameter.clone().without_autodiff();
    }
}

/// Copies parameters to host memory.
pub(super) struct Export<'a>(pub(super) &'a mut Found);

impl ParameterVisitor for Export<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        self.0.insert(name.to_owned(), to_host(parameter.clone()));
    }
}

/// Moves gradients to host memory.
pub(super) struct Collect {
    gradients: TensorGradients,
    scale: f32,
    pub(super) found: Gradients,
}

impl Collect {
    /// Gradients of the loss times `scale`, a power of two.
    pub(super) const fn new(gradients: TensorGradients, scale: f32) -> Self {
        Self { gradients, scale, found: BTreeMap::new() }
    }

    /// The gradient of a tensor that is no parameter.
    pub(super) fn take<const D: usize>(&mut self, tensor: &Tensor<D>) -> Option<Tensor<D>> {
        tensor.grad_remove(&mut self.gradients)
    }
}

impl ParameterVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        let gradient = self.take(parameter).unwrap_or_else(|| parameter.zeros_like().without_autodiff());
        let mut values = gradient.into_data().try_into_vec::<f32>().expect("gradients are single precision");
        let factor = self.scale.recip();
        values.iter_mut().for_each(|value| *value *= factor);
        self.found.insert(name.to_owned(), values);
    }
}
