//! The multiscale vision transformers: MViT v1-B and MViT v2-S.

use brainreel_checkpoint::{Role, TensorSpec};

/// Input `[D, H, W]` of the published weights.
pub(crate) const NATIVE_DIMS: [usize; 3] = [16, 224, 224];
/// Longest edge of an input, in voxels.
const MAX_EDGE: usize = 1024;
/// Blocks of either network.
pub(crate) const N_BLOCKS: usize = 16;
/// Width of the features that the final linear layer sees.
pub(crate) const N_TOKEN_FEATURES: usize = 768;
/// Channels of one attention head, in every block.
pub(crate) const HEAD_CHANNELS: usize = 96;
/// Kernel, stride and padding of the patch embedding.
pub(crate) const PATCH: [[usize; 3]; 3] = [[3, 7, 7], [2, 4, 4], [1, 3, 3]];
/// Added to the variance before the root in layer norms.
pub(crate) const LAYER_NORM_EPSILON: f64 = 1e-6;

/// Which of the two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Absolute positions.
    V1,
    /// Relative positions; the width changes in front of the perceptron, and pooled queries are added to the
    /// attention's output.
    V2,
}

/// A block: pooled attention and a perceptron, each around a shortcut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenBlockSpec {
    /// For example `blocks.3`.
    pub(crate) name: String,
    pub(crate) heads: usize,
    pub(crate) channels_in: usize,
    pub(crate) channels_out: usize,
    /// Whether queries are pooled at all.
    pub(crate) pools_queries: bool,
    /// Stride of the pooling of queries and of the shortcut.
    pub(crate) stride_q: [usize; 3],
    /// Stride of the pooling of keys and values.
    pub(crate) stride_kv: [usize; 3],
    pub(crate) version: Version,
    /// Tokens that come in, `[t, h, w]`.
    pub(crate) grid: [usize; 3],
}

impl TokenBlockSpec {
    /// Width of attention and of the perceptron's input.
    pub(crate) const fn width(&self) -> usize {
        match self.version {
            Version::V1 => self.channels_in,
            Version::V2 => self.channels_out,
        }
    }

    /// Tokens that go out, and the grid of the queries.
    pub(crate) fn grid_out(&self) -> [usize; 3] {
        pooled(self.grid, self.stride_q)
    }

    /// Grid of keys and values.
    pub(crate) fn grid_kv(&self) -> [usize; 3] {
        pooled(self.grid, self.stride_kv)
    }

    /// Whether the shortcut is pooled.
    pub(crate) fn pools_shortcut(&self) -> bool {
        self.stride_q != [1; 3]
    }

    /// Rows of the tables of relative positions along `[t, h, w]`.
    pub(crate) fn relative_rows(&self) -> [usize; 3] {
        let (q, kv) = (self.grid_out(), self.grid_kv());
        [0, 1, 2].map(|axis| 2 * q[axis].max(kv[axis]) - 1)
    }

    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = Vec::new();
        let mut add = |field: &str, shape: &[usize], role| {
            tensors.push(TensorSpec::new(format!("{}.{field}", self.name), shape, role));
        };
        let (width, channels_in, channels_out) = (self.width(), self.channels_in, self.channels_out);
        for (norm, channels) in [("norm1", channels_in), ("norm2", width)] {
            add(&format!("{norm}.weight"), &[channels], Role::Gamma);
            add(&format!("{norm}.bias"), &[channels], Role::Beta);
        }
        if self.version == Version::V2 {
            let [t, h, w] = self.relative_rows();
            for (axis, rows) in [("h", h), ("w", w), ("t", t)] {
                add(&format!("attn.rel_pos_{axis}"), &[rows, HEAD_CHANNELS], Role::Position);
            }
        }
        let mut dense = |layer: &str, from: usize, to: usize| {
            add(&format!("{layer}.weight"), &[to, from], Role::DenseWeight);
            add(&format!("{layer}.bias"), &[to], Role::DenseBias);
        };
        dense("attn.qkv", channels_in, 3 * width);
        dense("attn.project.0", width, width);
        for pool in ["pool_q", "pool_k", "pool_v"] {
            if pool != "pool_q" || self.pools_queries {
                add(&format!("attn.{pool}.pool.weight"), &[HEAD_CHANNELS, 1, 3, 3, 3], Role::PatchKernel);
                add(&format!("attn.{pool}.norm_act.0.weight"), &[HEAD_CHANNELS], Role::Gamma);
                add(&format!("attn.{pool}.norm_act.0.bias"), &[HEAD_CHANNELS], Role::Beta);
            }
        }
        let mut dense = |layer: &str, from: usize, to: usize| {
            add(&format!("{layer}.weight"), &[to, from], Role::DenseWeight);
            add(&format!("{layer}.bias"), &[to], Role::DenseBias);
        };
        dense("mlp.0", width, 4 * width);
        dense("mlp.3", 4 * width, channels_out);
        if channels_in != channels_out {
            dense("project", channels_in, channels_out);
        }
        tensors
    }
}

/// Output of a pooling with a kernel of 3 (or none where the stride is 1) and a padding of 1.
fn pooled(grid: [usize; 3], stride: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|axis| (grid[axis] - 1) / stride[axis] + 1)
}

/// Tokens of an input of `dims` voxels.
pub(crate) fn token_grid(dims: [usize; 3]) -> [usize; 3] {
    let [_, stride, _] = PATCH;
    [0, 1, 2].map(|axis| dims[axis] / stride[axis])
}

/// The blocks for an input of `dims` voxels.
pub(crate) fn token_blocks(version: Version, dims: [usize; 3]) -> Vec<TokenBlockSpec> {
    let second = version == Version::V2;
    let mut grid = token_grid(dims);
    let mut blocks = Vec::with_capacity(N_BLOCKS);
    let mut channels_in = HEAD_CHANNELS;
    for number in 0..N_BLOCKS {
        // Queries are halved, and heads doubled, in front of blocks 1, 3 and 14; v2 widens in the same
        // block, v1 in the one before.
        let stage = |number: usize| [1, 3, 14].iter().filter(|first| number >= **first).count();
        let halves = [1, 3, 14].contains(&number);
        let channels_out = HEAD_CHANNELS << stage(if second { number } else { number + 1 }).min(3);
        let kv = match number {
            0 => 8,
            1 | 2 => 4,
            3..=13 => 2,
            _ => 1,
        };
        let block = TokenBlockSpec {
            name: format!("blocks.{number}"),
            heads: 1 << stage(number),
            channels_in,
            channels_out,
            pools_queries: second || halves,
            stride_q: if halves { [1, 2, 2] } else { [1; 3] },
            stride_kv: [1, kv, kv],
            version,
            grid,
        };
        (grid, channels_in) = (block.grid_out(), channels_out);
        blocks.push(block);
    }
    blocks
}

/// Whether an input of `dims` voxels halves evenly in every stage, as torchvision's own constructor assumes.
pub(crate) fn check_dims([depth, height, width]: [usize; 3]) -> Result<(), &'static str> {
    let fits = |n: usize, step: usize| (1..=MAX_EDGE).contains(&n) && n.is_multiple_of(step);
    if fits(depth, 2) && fits(height, 32) && height == width {
        Ok(())
    } else {
        Err("an even depth, height and width the same multiple of 32, at most 1024")
    }
}
