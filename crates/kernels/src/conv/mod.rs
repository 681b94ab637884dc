//! Convolutions of 3-D maps in blocks of sixteen channels.

mod buffer;
mod direct;
mod epilogue;
mod gradient;
mod job;
mod layout;
mod micro;
mod narrow;
mod norm;
mod pack;
mod parallel;
mod planar;
mod pool;
mod reference;
mod shape;
mod transpose;
mod winograd;

pub use buffer::Buffer;
pub use direct::{DirectConv, direct_halo};
pub use epilogue::Epilogue;
pub use gradient::{GradInput, grad_weight, grad_weight_halos};
pub use layout::{Layout, Map, MapMut};
pub(crate) use micro::{even_runs, with_pixels};
pub use narrow::NarrowConv;
pub use norm::{channel_moments, scale_in_place};
pub use planar::{PlanarConv, planar_scratch_len};
pub use pool::{average, max_pool, upsample};
pub use reference::{conv_reference, grad_input_reference, grad_weight_reference};
pub use shape::{Activation, ConvShape};
pub use transpose::{clear_halo, from_blocked, to_blocked};
pub use winograd::{Input, TileSize, WinogradConv, suits_winograd, winograd_halo, winograd_scratch_len};
