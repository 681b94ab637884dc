//! Gradients of convolutions with respect to their input and their weights.

mod input;
mod weight;

pub use input::GradInput;
pub use weight::{grad_weight, grad_weight_halos};
