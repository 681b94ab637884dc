//! Four 128-bit registers.

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1_u16, vld1q_f32, vmaxq_f32, vminq_f32, vmovl_u16,
    vmulq_f32, vreinterpretq_f32_u32, vshlq_n_u32, vst1q_f32, vsubq_f32,
};

use half::bf16;

use super::{Kernel, Lanes16, scalar};

#[derive(Clone, Copy)]
pub(crate) struct F32x16([float32x4_t; 4]);

/// Compiles `kernel` with NEON and runs it.
///
/// # Safety
/// As [`super::InstructionSet::run`].
#[target_feature(enable = "neon")]
pub(crate) unsafe fn run<K: Kernel>(kernel: K) {
    // SAFETY: the caller vouches for both the CPU and the kernel.
    unsafe { kernel.run::<F32x16>() }
}

impl F32x16 {
    #[inline(always)]
    fn zip(self, other: Self, op: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self([
            op(self.0[0], other.0[0]),
            op(self.0[1], other.0[1]),
            op(self.0[2], other.0[2]),
            op(self.0[3], other.0[3]),
        ])
    }
}

impl Lanes16 for F32x16 {
    const OUTPUT_BLOCKS: usize = 1;
    const PIXELS: usize = 6;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller vouches for NEON.
        unsafe { Self::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for NEON.
        Self([unsafe { vdupq_n_f32(value) }; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for NEON and for the sixteen numbers.
        unsafe {
            Self([vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))])
        }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const bf16) -> Self {
        // SAFETY: the caller vouches for NEON and for the sixteen numbers, which are the upper halves of
        // those in single precision.
        let quarter = |i: usize| unsafe {
            let bits = vld1_u16(from.add(4 * i).cast());
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(bits)))
        };
        Self([quarter(0), quarter(1), quarter(2), quarter(3)])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the sixteen numbers; `self` proves NEON.
        unsafe {
            vst1q_f32(to, self.0[0]);
            vst1q_f32(to.add(4), self.0[1]);
            vst1q_f32(to.add(8), self.0[2]);
            vst1q_f32(to.add(12), self.0[3]);
        }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: `self` proves NEON.
        let fma = |i: usize| unsafe { vfmaq_f32(c.0[i], self.0[i], b.0[i]) };
        Self([fma(0), fma(1), fma(2), fma(3)])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: `self` proves NEON.
        self.zip(other, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: `self` proves NEON.
        self.zip(other, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: `self` proves NEON.
        self.zip(other, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: `self` proves NEON.
        self.zip(other, |a, b| unsafe { vmaxq_f32(a, b) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: `self` proves NEON.
        self.zip(other, |a, b| unsafe { vminq_f32(a, b) })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut lanes = [0.0; 16];
        // SAFETY: the array holds sixteen numbers.
        unsafe { self.store(lanes.as_mut_ptr()) };
        scalar::sum(lanes)
    }
}
