//! Convolutions, residual blocks and branches on Burn.

use brainreel_checkpoint::{StateDict, TensorSpec};
use burn::tensor::activation::relu;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, module};

use super::spec::{ConvLayer, ConvNormSpec, MaxPoolSpec, Part};
use crate::backbone::{Layer, LayerSpec};
use crate::math::{Math, Precision};
use crate::native;
use crate::norm::{BatchNorm, Pass};
use crate::parameters::ErasedVisitor;
use crate::parameters::Found;

/// A convolution without bias and its batch norm.
#[derive(Debug, Clone)]
struct ConvNorm {
    name: String,
    kernel: Tensor<5>,
    stride: [usize; 3],
    padding: [usize; 3],
    norm: BatchNorm,
}

impl ConvNorm {
    fn load(spec: &ConvNormSpec, weights: &StateDict, device: &Device) -> Self {
        let name = format!("{}.weight", spec.conv);
        let data = TensorData::new(weights.tensor(&name).values.clone(), spec.kernel_shape());
        Self {
            kernel: Tensor::from_data(data, device),
            name,
            stride: spec.stride,
            padding: spec.padding,
            norm: BatchNorm::load(&spec.norm, spec.constants, weights, device),
        }
    }

    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>, math: Math) -> Tensor<5> {
        match pass {
            Pass::Folded => {
                let (scale, shift) = self.norm.affine();
                let channels = scale.dims()[0];
                let kernel = self.kernel.clone() * scale.reshape([channels, 1, 1, 1, 1]);
                if math.is_native(&x) && math.is_native(&kernel) {
                    let y = native::conv3d(x, kernel, self.stride, self.padding);
                    return y + shift.reshape([1, channels, 1, 1, 1]);
                }
                math.conv3d(x, kernel, Some(shift), self.options())
            }
            Pass::Running => self.norm.forward_running(self.convolve(x, math)),
            Pass::Batch(gathered) => {
                let (y, statistics) = self.norm.forward_batch(self.convolve(x, math));
                gathered.push(statistics);
                y
            }
        }
    }

    fn options(&self) -> ConvOptions<3> {
        ConvOptions::new(self.stride, self.padding, [1; 3], 1)
    }

    /// By our own kernels where they can and may.
    fn convolve(&self, x: Tensor<5>, math: Math) -> Tensor<5> {
        let kernel = self.kernel.clone();
        if math.is_native(&x) && math.is_native(&kernel) {
            native::conv3d(x, kernel, self.stride, self.padding)
        } else {
            math.conv3d(x, kernel, None, self.options())
        }
    }
}

/// A loaded [`Part`].
#[derive(Debug, Clone)]
enum LoadedPart {
    Conv(ConvNorm),
    Residual { main: Vec<ConvNorm>, shortcut: Option<ConvNorm> },
    MaxPool(MaxPoolSpec),
    Branches(Vec<Vec<Self>>),
}

impl LoadedPart {
    fn load(part: &Part, weights: &StateDict, device: &Device) -> Self {
        let conv = |spec: &ConvNormSpec| ConvNorm::load(spec, weights, device);
        let row = |parts: &Vec<Part>| parts.iter().map(|part| Self::load(part, weights, device)).collect();
        match part {
            Part::Conv(spec) => Self::Conv(conv(spec)),
            Part::Residual { main, shortcut } => Self::Residual {
                main: main.iter().map(conv).collect(),
                shortcut: shortcut.as_ref().map(conv),
            },
            Part::MaxPool(spec) => Self::MaxPool(*spec),
            Part::Branches(branches) => Self::Branches(branches.iter().map(row).collect()),
        }
    }

    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>, math: Math) -> Tensor<5> {
        match self {
            Self::Conv(conv) => relu(conv.forward(x, pass, math)),
            Self::Residual { main, shortcut } => {
                let (last, before) = main.split_last().expect("a block has convolutions");
                let y = before.iter().fold(x.clone(), |y, conv| relu(conv.forward(y, pass, math)));
                let y = last.forward(y, pass, math);
                let shortcut = match shortcut {
                    Some(conv) => conv.forward(x, pass, math),
                    None => x,
                };
                relu(y + shortcut)
            }
            Self::MaxPool(spec) => max_pool(x, spec),
            Self::Branches(branches) => {
                let forward =
                    |branch: &Vec<Self>| branch.iter().fold(x.clone(), |x, part| part.forward(x, pass, math));
                Tensor::cat(branches.iter().map(forward).collect(), 1)
            }
        }
    }

    fn convolutions(&self) -> Vec<&ConvNorm> {
        match self {
            Self::Conv(conv) => vec![conv],
            Self::Residual { main, shortcut } => main.iter().chain(shortcut).collect(),
            Self::MaxPool(_) => Vec::new(),
            Self::Branches(branches) => branches.iter().flatten().flat_map(Self::convolutions).collect(),
        }
    }

    fn convolutions_mut(&mut self) -> Vec<&mut ConvNorm> {
        match self {
            Self::Conv(conv) => vec![conv],
            Self::Residual { main, shortcut } => main.iter_mut().chain(shortcut).collect(),
            Self::MaxPool(_) => Vec::new(),
            Self::Branches(branches) => {
                branches.iter_mut().flatten().flat_map(Self::convolutions_mut).collect()
            }
        }
    }
}

/// The largest of the values below a kernel: first in the planes, then along the first axis, which gives the
/// same.
fn max_pool(x: Tensor<5>, spec: &MaxPoolSpec) -> Tensor<5> {
    let [n, channels, d, h, w] = x.dims();
    let ([kd, kh, kw], [sd, sh, sw], [pd, ph, pw]) = (spec.kernel, spec.stride, spec.padding);
    let pool = |maps: Tensor<4>, kernel, stride, padding| {
        module::max_pool2d(maps, MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding))
    };
    let planes = pool(x.reshape([n, channels * d, h, w]), [kh, kw], [sh, sw], [ph, pw]);
    let [_, _, h, w] = planes.dims();
    if [kd, sd, pd] == [1, 1, 0] {
        return planes.reshape([n, channels, d, h, w]);
    }
    let columns = pool(planes.reshape([n, channels, d, h * w]), [kd, 1], [sd, 1], [pd, 0]);
    let [_, _, d, _] = columns.dims();
    columns.reshape([n, channels, d, h, w])
}

/// A loaded [`ConvLayer`].
#[derive(Debug, Clone)]
struct LoadedConvs {
    parts: Vec<LoadedPart>,
}

impl LoadedConvs {
    fn load(spec: &ConvLayer, weights: &StateDict, device: &Device) -> Self {
        Self { parts: spec.parts.iter().map(|part| LoadedPart::load(part, weights, device)).collect() }
    }
}

impl LayerSpec for ConvLayer {
    fn tensors(&self) -> Vec<TensorSpec> {
        self.all_convolutions().flat_map(ConvNormSpec::tensors).collect()
    }

    fn load(&self, weights: &StateDict, device: &Device) -> Box<dyn Layer> {
        Box::new(LoadedConvs::load(self, weights, device))
    }

    fn convolutions(&self) -> Option<&ConvLayer> {
        Some(self)
    }
}

impl Layer for LoadedConvs {
    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>, math: Math) -> Tensor<5> {
        self.parts.iter().fold(x, |x, part| part.forward(x, pass, math))
    }

    fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        for conv in self.parts.iter_mut().flat_map(LoadedPart::convolutions_mut) {
            visitor.kernel(&conv.name, &mut conv.kernel);
            conv.norm.visit(visitor);
        }
    }

    fn norms_mut(&mut self) -> Vec<&mut BatchNorm> {
        self.parts.iter_mut().flat_map(LoadedPart::convolutions_mut).map(|conv| &mut conv.norm).collect()
    }

    fn export_buffers(&self, into: &mut Found) {
        for conv in self.parts.iter().flat_map(LoadedPart::convolutions) {
            conv.norm.export_buffers(into);
        }
    }

    fn tag(&self, math: Math) -> String {
        let mut convs = self.parts.iter().flat_map(LoadedPart::convolutions);
        match math.precision {
            _ if convs.any(|conv| math.is_native(&conv.kernel)) => "native layers".to_owned(),
            Precision::Float32 => "burn".to_owned(),
            precision => format!("burn {precision}"),
        }
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, over odd sizes, with kernel, stride and padding that differ along the axes.
    #[test]
    fn pooling_in_two_steps_is_pooling() {
        let dims = [5, 7, 6];
        let value = |c: usize, [d, h, w]: [usize; 3]| ((c * 97 + d * 31 + h * 17 + w * 7) % 23) as f32 - 11.0;
        let mut values = Vec::new();
        for c in 0..2 {
            for d in 0..dims[0] {
                for h in 0..dims[1] {
                    values.extend((0..dims[2]).map(|w| value(c, [d, h, w])));
                }
            }
        }
        let x = Tensor::from_data(TensorData::new(values, [1, 2, 5, 7, 6]), &Device::flex());
        for (kernel, stride, padding) in [
            ([3, 3, 3], [2, 2, 2], [1, 1, 1]),
            ([1, 3, 3], [1, 2, 2], [0, 1, 1]),
            ([2, 2, 2], [2, 2, 2], [0, 0, 0]),
            ([3, 3, 3], [1, 1, 1], [1, 1, 1]),
        ] {
            let spec = MaxPoolSpec { kernel, stride, padding };
            let y = max_pool(x.clone(), &spec);
            let out = spec.dims_out(dims);
            assert_eq!(y.dims(), [1, 2, out[0], out[1], out[2]]);
            let range = |axis: usize, at: usize| {
                let start = at * stride[axis];
                start.saturating_sub(padding[axis])..(start + kernel[axis] - padding[axis]).min(dims[axis])
            };
            let got: Vec<f32> = y.into_data().try_into_vec().unwrap();
            let mut got = got.into_iter();
            for c in 0..2 {
                for d in 0..out[0] {
                    for h in 0..out[1] {
                        for w in 0..out[2] {
                            let mut most = f32::NEG_INFINITY;
                            for i in range(0, d) {
                                for j in range(1, h) {
                                    most = range(2, w).fold(most, |most, k| most.max(value(c, [i, j, k])));
                                }
                            }
                            assert_eq!(got.next().unwrap().to_bits(), most.to_bits(), "{spec:?}");
                        }
                    }
                }
            }
        }
    }
}
