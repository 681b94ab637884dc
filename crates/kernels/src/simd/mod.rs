//! Vectors of sixteen single-precision numbers, on any instruction set.
//!
//! A kernel is written once, generic over [`Lanes16`], as an implementation of [`Kernel`];
//! [`InstructionSet::run`] compiles it for every instruction set and calls the one that was chosen at
//! run time. All sets do the same operations in the same order with fused multiply-adds, so they
//! give the same bits, except the scalar one where noted in [`Lanes16::mul_add`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use half::bf16;

/// Lanes of a vector, and channels of a block.
pub const LANES: usize = 16;

/// The environment variable that overrides the choice of instruction set: `avx512`, `avx2`, `neon`
/// or `scalar`.
pub const ISA_VARIABLE: &str = "BRAINREEL_ISA";

/// Sixteen `f32`.
///
/// # Safety
/// A value can only come from an `unsafe` constructor ([`Lanes16::zero`], [`Lanes16::splat`],
/// [`Lanes16::load`]), whose caller vouches that the CPU has the instruction set; that is why the
/// arithmetic is safe to call.
pub(crate) trait Lanes16: Copy {
    /// Blocks of sixteen outputs that the micro-kernel holds side by side.
    const OUTPUT_BLOCKS: usize;
    /// Largest number of pixels of the micro-kernel with that number of blocks.
    const PIXELS: usize;

    /// All zero.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn zero() -> Self;
    /// `value` in every lane.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn splat(value: f32) -> Self;
    /// Reads sixteen numbers.
    ///
    /// # Safety
    /// The CPU has the instruction set; `from` points to sixteen readable numbers.
    unsafe fn load(from: *const f32) -> Self;
    /// Reads sixteen numbers that are held with eight bits of mantissa.
    ///
    /// # Safety
    /// As [`Lanes16::load`].
    unsafe fn load_bf16(from: *const bf16) -> Self;
    /// Writes sixteen numbers.
    ///
    /// # Safety
    /// `to` points to sixteen writable numbers.
    unsafe fn store(self, to: *mut f32);
    /// `self * b + c`, rounded once; by the scalar set twice.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// Sum.
    fn add(self, other: Self) -> Self;
    /// Difference.
    fn sub(self, other: Self) -> Self;
    /// Product.
    fn mul(self, other: Self) -> Self;
    /// The larger of each pair; `other` where that is not a number. NEON gives NaN where either is one, and +0 of
    /// two zeros.
    fn max(self, other: Self) -> Self;
    /// The smaller of each pair; as [`Lanes16::max`].
    fn min(self, other: Self) -> Self;
    /// Sum of all lanes, by halves: lane `i` and `i + 8`, then `i + 4`, `i + 2`, `i + 1`.
    fn sum(self) -> f32;
}

/// A computation that can be compiled for any instruction set.
pub(crate) trait Kernel {
    /// Does the work with vectors of type `V`. Mark the implementation `#[inline(always)]`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`; what the kernel's pointers need is said where it is built.
    unsafe fn run<V: Lanes16>(self);
}

/// The vector instructions that kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Plain Rust: the reference, and the choice for other processors.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F.
    Avx512,
    /// 64-bit ARM.
    Neon,
}

impl InstructionSet {
    /// The sets that this machine can run, the slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        [Self::Scalar, Self::Avx2, Self::Avx512, Self::Neon]
            .into_iter()
            .filter(|set| set.is_available())
            .collect()
    }

    /// The fastest set of this machine, or the one that [`ISA_VARIABLE`] names.
    ///
    /// # Panics
    /// If the variable names an instruction set that does not exist or that the machine lacks: a program
    /// calls [`InstructionSet::from_environment`] first.
    #[must_use]
    pub fn detect() -> Self {
        static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::from_environment().unwrap_or_else(|error| panic!("{error}")))
    }

    /// As [`InstructionSet::detect`], with a mistake in the variable as an error.
    ///
    /// # Errors
    /// [`UnknownInstructionSet`] names the variable, its value and the sets of this machine.
    pub fn from_environment() -> Result<Self, UnknownInstructionSet> {
        let available = Self::available();
        let best = *available.last().expect("the scalar one is always there");
        let Ok(name) = std::env::var(ISA_VARIABLE) else { return Ok(best) };
        match name.parse() {
            Ok(set) if available.contains(&set) => Ok(set),
            _ => Err(UnknownInstructionSet(format!("{ISA_VARIABLE}={name}"))),
        }
    }

    fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            _ => false,
        }
    }

    /// Blocks of outputs and pixels of the micro-kernel.
    pub(crate) const fn tile(self) -> (usize, usize) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => (avx2::F32x16::OUTPUT_BLOCKS, avx2::F32x16::PIXELS),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => (avx512::F32x16::OUTPUT_BLOCKS, avx512::F32x16::PIXELS),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => (neon::F32x16::OUTPUT_BLOCKS, neon::F32x16::PIXELS),
            _ => (scalar::F32x16::OUTPUT_BLOCKS, scalar::F32x16::PIXELS),
        }
    }

    /// Runs `kernel` with this set's vectors.
    ///
    /// # Safety
    /// The kernel's own demands are met.
    ///
    /// # Panics
    /// If the machine does not have the set.
    #[inline]
    pub(crate) unsafe fn run<K: Kernel>(self, kernel: K) {
        assert!(self.is_available(), "this processor does not have {self}");
        match self {
            // SAFETY: the set is there, and the caller vouches for the kernel.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::run(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::run(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { neon::run(kernel) },
            // SAFETY: as above; every CPU runs plain Rust.
            _ => unsafe { kernel.run::<scalar::F32x16>() },
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        })
    }
}

/// An unknown instruction set name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownInstructionSet(String);

impl fmt::Display for UnknownInstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available: Vec<String> = InstructionSet::available().iter().map(ToString::to_string).collect();
        write!(f, "{}: expected an instruction set of this machine: {}", self.0, available.join(", "))
    }
}

impl std::error::Error for UnknownInstructionSet {}

impl FromStr for InstructionSet {
    type Err = UnknownInstructionSet;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Scalar, Self::Avx2, Self::Avx512, Self::Neon]
            .into_iter()
            .find(|set| set.to_string() == name)
            .ok_or_else(|| UnknownInstructionSet(name.to_owned()))
    }
}
