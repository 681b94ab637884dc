//! The convolution as an operation of Burn: our kernels on the CPU, Burn's elsewhere.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::kernel::ConvCase;

/// Whether our kernels can take the tensor: single precision on the CPU. Equality of devices
/// disregards autodiff.
pub(crate) fn is_ours<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == Device::flex() && tensor.dtype() == DType::F32
}

/// 3-D convolution without bias, dilation or groups by our kernels, with or without autodiff.
///
/// # Shapes
/// `x` is `[N, C_in, D, H, W]`, `weight` is `[C_out, C_in, d, h, w]`.
///
/// # Panics
/// If a tensor is not one for our kernels ([`is_ours`]), or the shapes do not fit each other.
pub(crate) fn conv3d(x: Tensor<5>, weight: Tensor<5>, stride: [usize; 3], padding: [usize; 3]) -> Tensor<5> {
    assert!(is_ours(&x) && is_ours(&weight), "our kernels take single precision on the CPU");
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NativeConv3d>::native_conv3d(x, weight, stride, padding))
}

/// The backends that have the operation. The macro implements it for [`Dispatch`], which unpacks the
/// tensors, reconciles their autodiff contexts and calls one of the implementations below; it panics
/// on any backend not listed, hence [`is_ours`].
#[backend_extension(Flex, Autodiff)]
trait NativeConv3d: Backend {
    /// See [`conv3d`].
    fn native_conv3d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: [usize; 3],
        padding: [usize; 3],
    ) -> FloatTensor<Self>;
}

impl NativeConv3d for Flex {
    fn native_conv3d(
        x: FlexTensor,
        weight: FlexTensor,
        stride: [usize; 3],
        padding: [usize; 3],
    ) -> FlexTensor {
        let case = case_of(&x, &weight, stride, padding);
        let (x, weight) = (contiguous(x), contiguous(weight));
        tensor_of(case.forward(values(&x), values(&weight)), case.output_shape())
    }
}

impl<C: CheckpointStrategy> NativeConv3d for Autodiff<Flex, C> {
    fn native_conv3d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: [usize; 3],
        padding: [usize; 3],
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        match NativeConv3dBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = Saved {
                    case: case_of(x.primitive(), weight.primitive(), stride, padding),
                    x: weight.is_tracked().then(|| prep.checkpoint(&x)),
                    weight: x.is_tracked().then(|| prep.checkpoint(&weight)),
                };
                let (x, weight) = (x.into_primitive(), weight.into_primitive());
                prep.finish(state, Flex::native_conv3d(x, weight, stride, padding))
            }
            OpsKind::UnTracked(prep) => {
                let (x, weight) = (x.into_primitive(), weight.into_primitive());
                prep.finish(Flex::native_conv3d(x, weight, stride, padding))
            }
        }
    }
}

/// The backward step of the operation.
#[derive(Debug)]
struct NativeConv3dBackward;

/// What the backward step needs: each operand only for the gradient of the other.
#[derive(Debug, Clone)]
struct Saved {
    case: ConvCase,
    x: Option<NodeId>,
    weight: Option<NodeId>,
}

impl Backward<Flex, 2> for NativeConv3dBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let Saved { case, x, weight } = ops.state;
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let mut saved = |id| contiguous(checkpointer.retrieve_node_output::<FlexTensor>(id));
        if let Some(node) = x_node {
            let weight = saved(weight.expect("a tracked input saves the kernel"));
            let dx = case.grad_input(values(&weight), values(&dy));
            grads.register::<Flex>(node.id, tensor_of(dx, case.input_shape()));
        }
        if let Some(node) = weight_node {
            let x = saved(x.expect("a tracked kernel saves the input"));
            let dw = case.grad_weight(values(&x), values(&dy));
            grads.register::<Flex>(node.id, tensor_of(dw, case.weight_shape()));
        }
    }
}

/// Sizes of the convolution.
///
/// # Panics
/// If the channels disagree or the kernel is larger than the padded input.
fn case_of(x: &FlexTensor, weight: &FlexTensor, stride: [usize; 3], padding: [usize; 3]) -> ConvCase {
    ConvCase::new(x.shape().dims(), weight.shape().dims(), stride, padding)
}

/// The tensor itself if its values lie in one run in order (also a view into a larger buffer), a
/// copy that does otherwise.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a tensor, without a copy.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("`is_ours` saw single precision and `contiguous` made one run of it")
}

/// A tensor that takes over the values, without a copy.
fn tensor_of(values: Vec<f32>, shape: [usize; 5]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
