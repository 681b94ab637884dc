//! Kernels of transformers: attention in blocks of queries, pooling over the token grid, layer norm, GELU.
//!
//! Tokens lie channels last, `[N, tokens, channels]`, the class token first; the others are a grid
//! `[t, h, w]`, `w` fastest.

mod attention;
mod attention_gradient;
mod layer_norm;
#[expect(unsafe_code, reason = "vectors over slices whose extents are checked in front of the loop")]
mod matrix;
mod pointwise;
mod pool;
mod softmax;

pub use attention::{AttentionShape, RelativePositions, attention};
pub use attention_gradient::{AttentionGradients, attention_gradients};
pub use layer_norm::{LayerNormGradients, layer_norm, layer_norm_gradients};
pub use pointwise::{gelu, gelu_gradient};
pub use pool::{GridPool, max_pool_tokens, max_pool_tokens_gradient};

use crate::InstructionSet;
use crate::simd::{Kernel, Lanes16};

/// Runs `work`, plain Rust in itself, compiled for the instruction set; marked `#[inline(always)]` its loops
/// become vectors. Products and sums are not fused, so that all sets give the same bits.
#[expect(unsafe_code, reason = "the door to code compiled for an instruction set")]
fn compiled_for<R>(isa: InstructionSet, work: impl FnOnce() -> R) -> R {
    struct Plain<'a, F, R>(Option<F>, &'a mut Option<R>);
    impl<F: FnOnce() -> R, R> Kernel for Plain<'_, F, R> {
        #[inline(always)]
        unsafe fn run<V: Lanes16>(self) {
            *self.1 = self.0.map(|work| work());
        }
    }
    let mut result = None;
    // SAFETY: the work is safe Rust and asks nothing of the caller.
    unsafe { isa.run(Plain(Some(work), &mut result)) };
    result.expect("the kernel ran")
}
