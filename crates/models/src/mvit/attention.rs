//! Pooled attention.

use brainreel_kernels::{AttentionShape, GridPool};
use burn::tensor::activation::softmax;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, module};

use super::parts::{LayerNorm, Linear, load};
use super::relative::axis_scores;
use super::spec::{HEAD_CHANNELS, TokenBlockSpec, Version};
use crate::math::Math;
use crate::native::{TokenOp, operand, token_op};
use crate::parameters::ErasedVisitor;
use brainreel_checkpoint::StateDict;

/// Queries whose scores are held at a time where Burn computes.
const QUERIES_AT_A_TIME: usize = 1024;

/// A depth-wise convolution over the token grid of each head, and a layer norm.
#[derive(Debug, Clone)]
struct Pool {
    name: String,
    kernel: Tensor<5>,
    norm: LayerNorm,
    stride: [usize; 3],
}

impl Pool {
    fn load(name: String, stride: [usize; 3], weights: &StateDict, device: &Device) -> Self {
        Self {
            kernel: load(&format!("{name}.pool.weight"), weights, device),
            norm: LayerNorm::load(format!("{name}.norm_act.0"), weights, device),
            name,
            stride,
        }
    }

    fn forward(&self, x: Tensor<3>, grid: [usize; 3], math: Math) -> Tensor<3> {
        let stride = self.stride;
        if math.is_native(&x) {
            let [n_images, _, width] = x.dims();
            let (heads, channels) = (width / HEAD_CHANNELS, HEAD_CHANNELS);
            let pool = TokenOp::Pool(GridPool { n_images, heads, channels, grid, stride });
            let pooled = token_op(pool, vec![operand(x), operand(self.kernel.clone())]);
            return self.norm.forward(pooled, math);
        }
        let pooled = over_grid(x, grid, |maps| {
            let [n, width, t, h, w] = maps.dims();
            let maps = maps.reshape([n * width / HEAD_CHANNELS, HEAD_CHANNELS, t, h, w]);
            let options = ConvOptions::new(stride, [1; 3], [1; 3], HEAD_CHANNELS);
            let maps = math.conv3d(maps, self.kernel.clone(), None, options);
            let [_, _, t, h, w] = maps.dims();
            maps.reshape([n, width, t, h, w])
        });
        self.norm.forward(pooled, math)
    }

    fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        visitor.kernel(&format!("{}.pool.weight", self.name), &mut self.kernel);
        self.norm.visit(visitor);
    }
}

/// Applies `change` to the tokens behind the class token as maps `[N, C, t, h, w]`.
fn over_grid(x: Tensor<3>, [t, h, w]: [usize; 3], change: impl Fn(Tensor<5>) -> Tensor<5>) -> Tensor<3> {
    let [n, tokens, width] = x.dims();
    let class_token = x.clone().slice([0..n, 0..1]);
    let maps = x.slice([0..n, 1..tokens]).swap_dims(1, 2).reshape([n, width, t, h, w]);
    let maps = change(maps);
    let [_, _, t, h, w] = maps.dims();
    let rest = maps.reshape([n, width, t * h * w]).swap_dims(1, 2);
    Tensor::cat(vec![class_token, rest], 1)
}

/// The largest of 3x3 neighbours in the plane at every second place: the shortcut's pooling.
pub(super) fn pool_shortcut(x: Tensor<3>, grid: [usize; 3], stride: [usize; 3], math: Math) -> Tensor<3> {
    if math.is_native(&x) {
        debug_assert_eq!(stride, [1, 2, 2]);
        return token_op(TokenOp::MaxPool { grid }, vec![operand(x)]);
    }
    over_grid(x, grid, |maps| {
        let [n, width, t, h, w] = maps.dims();
        let planes = maps.reshape([n, width * t, h, w]);
        let planes = module::max_pool2d(
            planes,
            MaxPoolOptions::new([3, 3]).with_stride([stride[1], stride[2]]).with_padding([1, 1]),
        );
        let [_, _, h, w] = planes.dims();
        planes.reshape([n, width, t, h, w])
    })
}

/// Multi-head attention among pooled queries, keys and values.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    spec: TokenBlockSpec,
    /// Along `t`, `h`, `w`.
    relative: Option<[Tensor<2>; 3]>,
    qkv: Linear,
    project: Linear,
    pool_q: Option<Pool>,
    pool_k: Pool,
    pool_v: Pool,
}

impl Attention {
    pub(super) fn load(spec: &TokenBlockSpec, weights: &StateDict, device: &Device) -> Self {
        let name = |field: &str| format!("{}.attn.{field}", spec.name);
        let table = |axis: &str| load(&name(&format!("rel_pos_{axis}")), weights, device);
        let pool = |field: &str, stride| Pool::load(name(field), stride, weights, device);
        Self {
            relative: (spec.version == Version::V2).then(|| ["t", "h", "w"].map(table)),
            qkv: Linear::load(name("qkv"), weights, device),
            project: Linear::load(name("project.0"), weights, device),
            pool_q: spec.pools_queries.then(|| pool("pool_q", spec.stride_q)),
            pool_k: pool("pool_k", spec.stride_kv),
            pool_v: pool("pool_v", spec.stride_kv),
            spec: spec.clone(),
        }
    }

    /// # Shapes
    /// `[N, tokens, channels_in]` to `[N, pooled tokens, width]`.
    pub(super) fn forward(&self, x: Tensor<3>, math: Math) -> Tensor<3> {
        let width = self.spec.width();
        let qkv = self.qkv.forward(x, math);
        let [n, tokens, _] = qkv.dims();
        let [q, k, v] = [0, 1, 2].map(|i| qkv.clone().slice([0..n, 0..tokens, i * width..(i + 1) * width]));
        let k = self.pool_k.forward(k, self.spec.grid, math);
        let v = self.pool_v.forward(v, self.spec.grid, math);
        let q = match &self.pool_q {
            Some(pool) => pool.forward(q, self.spec.grid, math),
            None => q,
        };
        let mut y = if math.is_native(&q) {
            self.attend_natively(q.clone(), k, v)
        } else {
            self.attend(q.clone(), k, v, math)
        };
        if self.spec.version == Version::V2 {
            // Pooled queries join all tokens but the class token.
            let [n, tokens, width] = y.dims();
            let class_token = y.clone().slice([0..n, 0..1]);
            let rest = y.slice([0..n, 1..tokens]) + q.slice([0..n, 1..tokens]);
            y = Tensor::cat(vec![class_token, rest.reshape([n, tokens - 1, width])], 1);
        }
        self.project.forward(y, math)
    }

    /// By our kernels.
    fn attend_natively(&self, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        let [n_images, ..] = q.dims();
        let shape = AttentionShape {
            n_images,
            heads: self.spec.heads,
            channels: HEAD_CHANNELS,
            grid_q: self.spec.grid_out(),
            grid_k: self.spec.grid_kv(),
        };
        let mut operands = vec![operand(q), operand(k), operand(v)];
        operands.extend(self.relative.iter().flatten().map(|table| operand(table.clone())));
        token_op(TokenOp::Attention { shape, relative: self.relative.is_some() }, operands)
    }

    /// By Burn, a block of queries at a time.
    fn attend(&self, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, math: Math) -> Tensor<3> {
        let by_head = |x: Tensor<3>| {
            let [n, tokens, _] = x.dims();
            x.reshape([n, tokens, self.spec.heads, HEAD_CHANNELS]).swap_dims(1, 2)
        };
        let [q, k, v] = [q, k, v].map(by_head);
        let [n, heads, tokens, channels] = q.dims();
        let (grid_q, grid_k) = (self.spec.grid_out(), self.spec.grid_kv());
        let axes = self.relative.as_ref().map(|tables| {
            let places = q.clone().slice([0..n, 0..heads, 1..tokens]);
            axis_scores(&places, grid_q, grid_k, tables)
        });
        let scaled = q * (1.0 / (channels as f64).sqrt());
        let k = k.swap_dims(2, 3);
        let mut blocks = Vec::new();
        for start in (0..tokens).step_by(QUERIES_AT_A_TIME) {
            let end = (start + QUERIES_AT_A_TIME).min(tokens);
            let queries = scaled.clone().slice([0..n, 0..heads, start..end]);
            let mut scores = math.matmul(queries, k.clone());
            if let Some(axes) = &axes {
                scores = scores + relative_scores(axes, grid_k, start..end);
            }
            blocks.push(math.matmul(softmax(scores, 3), v.clone()));
        }
        let y = Tensor::cat(blocks, 2);
        y.swap_dims(1, 2).reshape([n, tokens, heads * channels])
    }

    pub(super) fn visit(&mut self, visitor: &mut dyn ErasedVisitor) {
        if let Some([t, h, w]) = &mut self.relative {
            for (axis, table) in [("h", h), ("w", w), ("t", t)] {
                visitor.matrix(&format!("{}.attn.rel_pos_{axis}", self.spec.name), table);
            }
        }
        self.qkv.visit(visitor);
        self.project.visit(visitor);
        self.pool_q.iter_mut().for_each(|pool| pool.visit(visitor));
        self.pool_k.visit(visitor);
        self.pool_v.visit(visitor);
    }
}

/// What positions add to the scores of the queries in `range`, which counts the class token as 0.
fn relative_scores(axes: &[Tensor<4>; 3], [t, h, w]: [usize; 3], range: std::ops::Range<usize>) -> Tensor<4> {
    let [n, heads, ..] = axes[0].dims();
    let places = range.start.max(1) - 1..range.end - 1;
    let of = |axis: usize, shape: [usize; 6]| {
        let [_, _, _, n_k] = axes[axis].dims();
        axes[axis].clone().slice([0..n, 0..heads, places.clone(), 0..n_k]).reshape(shape)
    };
    let rows = places.len();
    let sum = of(0, [n, heads, rows, t, 1, 1])
        + of(1, [n, heads, rows, 1, h, 1])
        + of(2, [n, heads, rows, 1, 1, w]);
    let sum = sum.reshape([n, heads, rows, t * h * w]);
    // The class token has no place, neither among the keys nor among the queries.
    let device = sum.device();
    let sum = Tensor::cat(vec![Tensor::zeros([n, heads, rows, 1], &device), sum], 3);
    if range.start == 0 {
        Tensor::cat(vec![Tensor::zeros([n, heads, 1, t * h * w + 1], &device), sum], 2)
    } else {
        sum
    }
}
