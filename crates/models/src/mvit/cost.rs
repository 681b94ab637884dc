//! What a transformer costs.

use super::spec::{HEAD_CHANNELS, N_BLOCKS, PATCH, TokenBlockSpec, Version, token_blocks, token_grid};
use crate::backbone::Step;
use crate::cost::{Ledger, NUMBER, Parts, Work};

/// Numbers of a block for one image.
struct Case<'a> {
    spec: &'a TokenBlockSpec,
    n_images: u64,
    tokens: u64,
    queries: u64,
    keys: u64,
}

impl<'a> Case<'a> {
    fn new(spec: &'a TokenBlockSpec, n_images: usize) -> Self {
        let count = |grid: [usize; 3]| 1 + grid.iter().product::<usize>() as u64;
        Self {
            n_images: n_images as u64,
            tokens: count(spec.grid),
            queries: count(spec.grid_out()),
            keys: count(spec.grid_kv()),
            spec,
        }
    }

    fn bytes(&self, numbers: u64) -> u64 {
        numbers * self.n_images * NUMBER
    }

    fn input(&self) -> u64 {
        self.bytes(self.tokens * self.spec.channels_in as u64)
    }

    fn output(&self) -> u64 {
        self.bytes(self.queries * self.spec.channels_out as u64)
    }

    /// Most that is in use beside input and output without a way back: in attention or in the perceptron.
    fn plain(&self) -> u64 {
        let (width, channels) = (self.spec.width() as u64, self.spec.channels_in as u64);
        let attention = self.tokens * (channels + 7 * width) + self.keys * 2 * width;
        let perceptron = self.queries * (2 * width + 8 * width);
        self.bytes(attention.max(perceptron))
    }

    /// What is kept for the way back.
    fn kept(&self) -> u64 {
        let (width, channels) = (self.spec.width() as u64, self.spec.channels_in as u64);
        let attention = self.tokens * (2 * channels + 6 * width) + self.keys * 4 * width;
        let perceptron = self.queries * (6 * width + 8 * width);
        self.bytes(attention + perceptron)
    }

    /// What is in use beside that on the way back.
    fn on_the_way_back(&self) -> u64 {
        let width = self.spec.width() as u64;
        self.bytes((self.queries * 12 * width).max(self.tokens * 6 * width))
    }

    /// Floating-point operations of a pass through linear layers, and through attention.
    fn flops(&self) -> [f64; 2] {
        let spec = self.spec;
        let number = |n: usize| n as f64;
        let (tokens, queries, keys) = (self.tokens as f64, self.queries as f64, self.keys as f64);
        let (width, from, to) = (number(spec.width()), number(spec.channels_in), number(spec.channels_out));
        let shortcut = if spec.channels_in == spec.channels_out { 0.0 } else { tokens * from * to };
        let linear = tokens * from * 3.0 * width
            + queries * width * width
            + queries * width * 4.0 * width
            + queries * 4.0 * width * to
            + shortcut;
        let attention = 2.0 * queries * keys * width;
        [linear, attention].map(|products| 2.0 * products * self.n_images as f64)
    }

    /// Bytes read and written outside of matrix products, in a pass.
    fn traffic(&self) -> f64 {
        let width = self.spec.width() as u64;
        self.bytes(self.tokens * 8 * width + self.queries * 10 * width) as f64
    }

    /// `n` passes.
    fn work(&self, n: f64) -> Work {
        let [linear, attention] = self.flops();
        Work {
            matrix_flops: n * linear,
            attention_flops: n * attention,
            bytes: n * self.traffic(),
            ..Work::default()
        }
    }
}

/// Trunk and head, with the tokens in between.
pub(crate) fn walk(version: Version, step: &Step, ledger: &mut Ledger) -> Parts {
    let Step { n_frozen, dims, n_trunk, n_images, .. } = *step;
    let blocks = token_blocks(version, dims);
    let mut parts = Parts::default();
    let voxels = dims.iter().product::<usize>() as u64 * NUMBER;
    let n_tokens = 1 + token_grid(dims).iter().product::<usize>() as u64;
    let embedded = n_tokens * HEAD_CHANNELS as u64 * NUMBER;
    // The layers are the embedding, the blocks (the last with the final norm) and the classifier.
    let split = n_frozen.saturating_sub(1).min(N_BLOCKS);
    parts.features = match (n_frozen, blocks.get(split)) {
        (0, _) => voxels,
        (_, Some(block)) => Case::new(block, 1).input(),
        (_, None) => blocks.last().map_or(0, |block| block.spec_channels() * NUMBER),
    };
    let flops = 2.0 * (embedded / NUMBER) as f64 * PATCH[0].iter().product::<usize>() as f64;
    let embedding =
        Work { conv_flops: flops, conv_effort: flops, bytes: 6.0 * embedded as f64, ..Work::default() };
    if n_frozen > 0 {
        let n = n_trunk as u64;
        parts.trunk += embedding;
        ledger.pass(n * (voxels + 4 * embedded), 0);
        for block in &blocks[..split] {
            let case = Case::new(block, n_trunk);
            parts.trunk += Case::new(block, 1).work(1.0);
            ledger.pass(case.input() + case.plain() + case.output(), 0);
        }
    }
    head(
        &blocks[split..],
        (n_frozen == 0).then_some((embedding, 4 * embedded)),
        n_images,
        ledger,
        &mut parts,
    );
    parts
}

impl TokenBlockSpec {
    const fn spec_channels(&self) -> u64 {
        self.channels_out as u64
    }
}

/// Forward, keeping the inputs of the layers; backward, each layer but the last computed once more.
fn head(
    blocks: &[TokenBlockSpec],
    embedding: Option<(Work, u64)>,
    n_images: usize,
    ledger: &mut Ledger,
    parts: &mut Parts,
) {
    ledger.hold(parts.features * n_images as u64);
    if let Some((work, bytes)) = embedding {
        parts.head += work * (3.0 * n_images as f64);
        parts.head_forward += work * n_images as f64;
        ledger.pass(bytes * n_images as u64, 0);
        if let Some(block) = blocks.first() {
            ledger.hold(Case::new(block, n_images).input());
        }
    }
    let mut inputs = Vec::new();
    for (idx, block) in blocks.iter().enumerate() {
        let case = Case::new(block, n_images);
        let twice = idx + 1 < blocks.len();
        parts.head_forward += case.work(1.0);
        parts.head += case.work(if twice { 4.0 } else { 3.0 });
        if twice {
            ledger.pass(case.plain() + case.output(), 0);
            ledger.hold(case.output());
        }
        inputs.push(case);
    }
    for case in inputs.iter().rev() {
        ledger.pass(case.kept() + case.on_the_way_back() + 2 * case.output(), 0);
        let (width, from, to) = (case.spec.width(), case.spec.channels_in, case.spec.channels_out);
        ledger.now.gradients += (from * 3 * width + width * (5 * width + 4 * to)) as u64 * NUMBER;
        ledger.release(case.input());
        ledger.pass(2 * case.input(), 0);
    }
}
