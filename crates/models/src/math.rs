//! Who computes the heavy operations, and in which precision.

use brainreel_named::named;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{FloatDType, Tensor, module};

use crate::device::EngineKind;
use crate::native::is_ours;

named! {
    /// Precision of convolutions and matrix products where Burn computes. Weights, their moments, norms, softmax,
    /// the final layer and the loss are single precision in any case (mixed precision, Micikevicius et al. 2018).
    #[derive(Default)]
    pub enum Precision {
        /// Single precision.
        #[default]
        Float32 = "float32",
        /// 8 bits of exponent, 8 of significand: the range of single precision.
        Bfloat16 = "bfloat16",
        /// 5 bits of exponent, 11 of significand. The loss is scaled by 1024 on the way back, so that small
        /// gradients are not lost.
        Float16 = "float16",
    }
}

impl Precision {
    /// Factor on the loss on the way back, a power of two; gradients are divided by it.
    pub(crate) const fn loss_scale(self) -> f32 {
        match self {
            Self::Float32 | Self::Bfloat16 => 1.0,
            Self::Float16 => 1024.0,
        }
    }

    const fn low(self) -> Option<FloatDType> {
        match self {
            Self::Float32 => None,
            Self::Bfloat16 => Some(FloatDType::BF16),
            Self::Float16 => Some(FloatDType::F16),
        }
    }
}

/// Who computes, and in which precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Math {
    pub(crate) engine: EngineKind,
    /// Where Burn computes; our own kernels know single precision only.
    pub(crate) precision: Precision,
}

impl Math {
    /// Whether our own kernels compute on `x`.
    pub(crate) fn is_native<const D: usize>(self, x: &Tensor<D>) -> bool {
        self.engine == EngineKind::Native && is_ours(x)
    }

    /// 3-D convolution by Burn; in and out of single precision.
    pub(crate) fn conv3d(
        self,
        x: Tensor<5>,
        kernel: Tensor<5>,
        bias: Option<Tensor<1>>,
        options: ConvOptions<3>,
    ) -> Tensor<5> {
        match self.precision.low() {
            None => module::conv3d(x, kernel, bias, options),
            Some(low) => {
                let bias = bias.map(|bias| bias.cast(low));
                module::conv3d(x.cast(low), kernel.cast(low), bias, options).cast(FloatDType::F32)
            }
        }
    }

    /// Matrix product; in and out of single precision.
    pub(crate) fn matmul<const D: usize>(self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        match self.precision.low() {
            None => a.matmul(b),
            Some(low) => a.cast(low).matmul(b.cast(low)).cast(FloatDType::F32),
        }
    }

    /// What decides the bits of an output beside the weights.
    pub(crate) fn tag(self) -> String {
        match self.precision {
            Precision::Float32 => self.engine.to_string(),
            precision => format!("{} {precision}", self.engine),
        }
    }
}
