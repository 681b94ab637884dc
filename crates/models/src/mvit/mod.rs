//! Multiscale vision transformers on Burn.

mod attention;
mod block;
mod layer;
mod parts;
mod relative;

pub(crate) use layer::Layers;
pub(crate) use relative::table_rows;
