//! The transformers' own operations under Burn's tensors: attention, pooling, layer norm, GELU.

use brainreel_kernels::{
    AttentionShape, GridPool, InstructionSet, RelativePositions, attention, attention_gradients, gelu,
    gelu_gradient, layer_norm, layer_norm_gradients, max_pool_tokens, max_pool_tokens_gradient,
};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};

use super::conv::{contiguous, values};
use crate::mvit::table_rows;

/// Most operands of an operation.
const OPERANDS: usize = 6;

/// An operation of a transformer. Its operands come first, in the order given here; the rest are empty.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TokenOp {
    /// Queries, keys, values, and tables of positions along `t`, `h`, `w` if there are any.
    Attention { shape: AttentionShape, relative: bool },
    /// Tokens and kernel.
    Pool(GridPool),
    /// Tokens `[N, 1 + t * h * w, channels]` over the grid `[t, h, w]`.
    MaxPool { grid: [usize; 3] },
    /// Tokens, scale and shift.
    LayerNorm { epsilon: f32 },
    /// Anything.
    Gelu,
}

impl TokenOp {
    /// Shape of the result.
    fn shape_out(&self, first: &[usize]) -> Vec<usize> {
        let mut shape = first.to_vec();
        match self {
            Self::Pool(pool) => shape[1] = 1 + pool.grid_out().iter().product::<usize>(),
            Self::MaxPool { grid: [t, h, w] } => shape[1] = 1 + t * h.div_ceil(2) * w.div_ceil(2),
            _ => {}
        }
        shape
    }

    fn forward(&self, x: [&[f32]; OPERANDS], first: &[usize]) -> Vec<f32> {
        let isa = InstructionSet::detect();
        match self {
            Self::Attention { shape, relative } => {
                with_positions(shape, relative.then_some([x[3], x[4], x[5]]), |positions| {
                    attention(isa, shape, [x[0], x[1], x[2]], positions)
                })
            }
            Self::Pool(pool) => pool.forward(isa, x[0], x[1]),
            Self::MaxPool { grid } => max_pool_tokens(x[0], first[0], *grid, first[2]),
            Self::LayerNorm { epsilon } => layer_norm(isa, x[0], x[1], x[2], *epsilon),
            Self::Gelu => gelu(isa, x[0]),
        }
    }

    /// Gradients of as many operands as there are.
    fn backward(&self, x: [&[f32]; OPERANDS], first: &[usize], dy: &[f32]) -> Vec<Vec<f32>> {
        let isa = InstructionSet::detect();
        match self {
            Self::Attention { shape, relative } => {
                let operands = [x[0], x[1], x[2]];
                let gradients = with_positions(shape, relative.then_some([x[3], x[4], x[5]]), |positions| {
                    attention_gradients(isa, shape, operands, positions, dy)
                });
                let mut all = vec![gradients.q, gradients.k, gradients.v];
                all.extend(gradients.tables);
                all
            }
            Self::Pool(pool) => {
                let (x, kernel) = pool.gradients(isa, x[0], x[1], dy);
                vec![x, kernel]
            }
            Self::MaxPool { grid } => vec![max_pool_tokens_gradient(x[0], dy, first[0], *grid, first[2])],
            Self::LayerNorm { epsilon } => {
                let gradients = layer_norm_gradients(isa, x[0], x[1], dy, *epsilon);
                vec![gradients.x, gradients.gamma, gradients.beta]
            }
            Self::Gelu => vec![gelu_gradient(isa, x[0], dy)],
        }
    }
}

/// Calls `work` with the relative positions, if there are tables of them.
fn with_positions<R>(
    shape: &AttentionShape,
    tables: Option<[&[f32]; 3]>,
    work: impl FnOnce(Option<&RelativePositions<'_>>) -> R,
) -> R {
    let Some(tables) = tables else { return work(None) };
    let rows = [0, 1, 2].map(|axis| table_rows(shape.grid_q[axis], shape.grid_k[axis]));
    work(Some(&RelativePositions { tables, rows: [&rows[0], &rows[1], &rows[2]] }))
}

/// An operand of any rank.
pub(crate) fn operand<const D: usize>(tensor: Tensor<D>) -> burn::backend::DispatchTensor {
    tensor.into_dispatch()
}

/// Computes an operation by our kernels, with or without autodiff.
///
/// # Panics
/// If an operand is not single precision on the CPU ([`super::is_ours`]), or shapes do not fit each other.
pub(crate) fn token_op<const D: usize>(
    op: TokenOp,
    operands: Vec<burn::backend::DispatchTensor>,
) -> Tensor<D> {
    let n = operands.len();
    let empty = || Tensor::<1>::from_data([0.0_f32], &burn::tensor::Device::flex()).into_dispatch();
    let mut all = operands.into_iter().chain((n..OPERANDS).map(|_| empty()));
    let mut next = || all.next().expect("as many operands as an operation takes");
    let (a, b, c, d, e, f) = (next(), next(), next(), next(), next(), next());
    Tensor::from_dispatch(<Dispatch as NativeTokens>::native_tokens(a, b, c, d, e, f, op))
}

/// The backends that have the operations, see [`super::conv`].
#[backend_extension(Flex, Autodiff)]
#[expect(clippy::too_many_arguments, reason = "the macro takes tensors one by one")]
trait NativeTokens: Backend {
    /// See [`token_op`].
    fn native_tokens(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        op: TokenOp,
    ) -> FloatTensor<Self>;
}

impl NativeTokens for Flex {
    fn native_tokens(
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        e: FlexTensor,
        f: FlexTensor,
        op: TokenOp,
    ) -> FlexTensor {
        let operands = [a, b, c, d, e, f].map(contiguous);
        let first = operands[0].shape().to_vec();
        let y = op.forward(operands.each_ref().map(values), &first);
        FlexTensor::from_data(TensorData::new(y, op.shape_out(&first)))
    }
}

impl<C: CheckpointStrategy> NativeTokens for Autodiff<Flex, C> {
    fn native_tokens(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        op: TokenOp,
    ) -> FloatTensor<Self> {
        let operands = [a, b, c, d, e, f];
        let nodes = operands.each_ref().map(|operand| operand.node());
        match NativeTokensBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let saved = operands.each_ref().map(|operand| prep.checkpoint(operand));
                let [a, b, c, d, e, f] = operands.map(|operand| operand.into_primitive());
                prep.finish((op, saved), Flex::native_tokens(a, b, c, d, e, f, op))
            }
            OpsKind::UnTracked(prep) => {
                let [a, b, c, d, e, f] = operands.map(|operand| operand.into_primitive());
                prep.finish(Flex::native_tokens(a, b, c, d, e, f, op))
            }
        }
    }
}

/// The backward step of the operations.
#[derive(Debug)]
struct NativeTokensBackward;

impl Backward<Flex, OPERANDS> for NativeTokensBackward {
    type State = (TokenOp, [NodeId; OPERANDS]);

    fn backward(
        self,
        ops: Ops<Self::State, OPERANDS>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let (op, saved) = ops.state;
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let operands = saved.map(|id| contiguous(checkpointer.retrieve_node_output::<FlexTensor>(id)));
        let first = operands[0].shape().to_vec();
        let gradients = op.backward(operands.each_ref().map(values), &first, values(&dy));
        for ((node, gradient), operand) in ops.parents.into_iter().zip(gradients).zip(&operands) {
            if let Some(node) = node {
                let shape = operand.shape().to_vec();
                grads.register::<Flex>(node.id, FlexTensor::from_data(TensorData::new(gradient, shape)));
            }
        }
    }
}
