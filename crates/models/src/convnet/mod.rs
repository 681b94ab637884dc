//! Convolutional networks: layers of convolutions, residual blocks, pooling and branches.

mod classifier;
mod cost;
mod layer;
mod spec;

pub(crate) use cost::walk;
pub(crate) use spec::{ConvLayer, ConvNormSpec, MaxPoolSpec, Part, PooledClassifierSpec};
