//! Attention and its gradients against the definition, in double precision.

use brainreel_kernels::{AttentionShape, InstructionSet, RelativePositions, attention, attention_gradients};
use proptest::prelude::*;

use crate::plain::place;
use crate::support::{assert_near, assert_threads_do_not_matter, bits, on_every_set, random, rms};

/// Root mean square of a gradient below which its error is that of the probabilities.
const FLOOR: f64 = 0.05;

/// Operands of an attention; positions as one table and one list of rows for each axis.
struct Case {
    shape: AttentionShape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dy: Vec<f32>,
    tables: [Vec<f32>; 3],
    rows: [Vec<usize>; 3],
    with_positions: bool,
}

/// Results of the definition.
struct Plain {
    y: Vec<f64>,
    dq: Vec<f64>,
    dk: Vec<f64>,
    dv: Vec<f64>,
    tables: [Vec<f64>; 3],
}

impl Case {
    fn new(shape: AttentionShape, with_positions: bool) -> Self {
        let width = shape.width();
        let n_q = shape.n_images * shape.n_queries() * width;
        let n_k = shape.n_images * shape.n_keys() * width;
        // A row for every distance between query and key, as MViT has them.
        let n_rows = [0, 1, 2].map(|axis| shape.grid_q[axis] + shape.grid_k[axis] - 1);
        let rows = [0, 1, 2].map(|axis| {
            let (n_q, n_k) = (shape.grid_q[axis], shape.grid_k[axis]);
            (0..n_q * n_k).map(|i| i / n_k + n_k - 1 - i % n_k).collect()
        });
        Self {
            shape,
            // Scores of a few units, so that the softmax is neither flat nor a choice.
            q: random(n_q, 1).iter().map(|x| 3.0 * x).collect(),
            k: random(n_k, 2).iter().map(|x| 3.0 * x).collect(),
            v: random(n_k, 3),
            dy: random(n_q, 4),
            tables: [0, 1, 2].map(|axis| random(n_rows[axis] * shape.channels, 5 + axis as u64)),
            rows,
            with_positions,
        }
    }

    fn positions(&self) -> Option<RelativePositions<'_>> {
        let tables = self.tables.each_ref().map(Vec::as_slice);
        let rows = self.rows.each_ref().map(Vec::as_slice);
        self.with_positions.then_some(RelativePositions { tables, rows })
    }

    /// Rows of the tables that query and key see together, none for a class token.
    fn rows_of(&self, query: usize, key: usize) -> Option<[usize; 3]> {
        if !self.with_positions || query == 0 || key == 0 {
            return None;
        }
        let (q, k) = (place(query - 1, self.shape.grid_q), place(key - 1, self.shape.grid_k));
        Some([0, 1, 2].map(|axis| self.rows[axis][q[axis] * self.shape.grid_k[axis] + k[axis]]))
    }

    fn plainly(&self) -> Plain {
        let n_table = self.tables.each_ref().map(Vec::len);
        let mut plain = Plain {
            y: vec![0.0; self.q.len()],
            dq: vec![0.0; self.q.len()],
            dk: vec![0.0; self.k.len()],
            dv: vec![0.0; self.k.len()],
            tables: n_table.map(|n| vec![0.0; n]),
        };
        for image in 0..self.shape.n_images {
            for head in 0..self.shape.heads {
                for query in 0..self.shape.n_queries() {
                    self.add_query([image, head, query], &mut plain);
                }
            }
        }
        plain
    }

    /// The result and the gradients of one query of one head.
    fn add_query(&self, [image, head, query]: [usize; 3], plain: &mut Plain) {
        let (channels, width, n_keys) = (self.shape.channels, self.shape.width(), self.shape.n_keys());
        let scale = 1.0 / (channels as f64).sqrt();
        let at_q = (image * self.shape.n_queries() + query) * width + head * channels;
        let at_k = |key: usize| (image * n_keys + key) * width + head * channels;
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let of = |values: &[f32], at: usize| values[at..at + channels].to_vec();
        let (q, dy) = (of(&self.q, at_q), of(&self.dy, at_q));
        let scores: Vec<f64> = (0..n_keys)
            .map(|key| {
                let rows = self.rows_of(query, key).into_iter().flatten().enumerate();
                let bias = rows.map(|(axis, row)| dot(&q, &self.tables[axis][row * channels..][..channels]));
                scale * dot(&q, &of(&self.k, at_k(key))) + bias.sum::<f64>()
            })
            .collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
        let p: Vec<f64> = scores.iter().map(|score| (score - most).exp() / sum).collect();
        let dp: Vec<f64> = (0..n_keys).map(|key| dot(&dy, &of(&self.v, at_k(key)))).collect();
        let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
        for key in 0..n_keys {
            let slope = p[key] * (dp[key] - mean);
            let rows = self.rows_of(query, key);
            for c in 0..channels {
                let i = at_k(key) + c;
                plain.y[at_q + c] += p[key] * f64::from(self.v[i]);
                plain.dv[i] += p[key] * f64::from(dy[c]);
                plain.dk[i] += scale * slope * f64::from(q[c]);
                plain.dq[at_q + c] += scale * slope * f64::from(self.k[i]);
                for (axis, row) in rows.into_iter().flatten().enumerate() {
                    plain.dq[at_q + c] += slope * f64::from(self.tables[axis][row * channels + c]);
                    plain.tables[axis][row * channels + c] += slope * f64::from(q[c]);
                }
            }
        }
    }

    fn check(&self) {
        let plain = self.plainly();
        let operands = [self.q.as_slice(), &self.k, &self.v];
        on_every_set(|isa| {
            let name = |what: &str| format!("{what} of {:?} on {isa}", self.shape);
            let y = attention(isa, &self.shape, operands, self.positions().as_ref());
            assert_near(&name("attention"), &y, &plain.y, 1e-5);
            let got = attention_gradients(isa, &self.shape, operands, self.positions().as_ref(), &self.dy);
            let floor = (FLOOR / rms(&plain.dq)).max(1.0);
            assert_near(&name("gradient of queries"), &got.q, &plain.dq, 5e-5 * floor);
            let floor = (FLOOR / rms(&plain.dk)).max(1.0);
            assert_near(&name("gradient of keys"), &got.k, &plain.dk, 5e-5 * floor);
            assert_near(&name("gradient of values"), &got.v, &plain.dv, 5e-5);
            for (axis, (got, expected)) in got.tables.iter().zip(&plain.tables).enumerate() {
                let what = name(&format!("gradient of table {axis}"));
                if self.with_positions {
                    // Probabilities are rounded at 6e-8, however small the slopes of a softmax near 0 and 1 are.
                    let floor = (FLOOR / rms(expected)).max(1.0);
                    assert_near(&what, got, expected, 5e-5 * floor);
                } else {
                    assert!(got.is_empty(), "{what}: no tables, no gradients");
                }
            }
        });
    }
}

fn shape(grid_q: [usize; 3], grid_k: [usize; 3]) -> AttentionShape {
    AttentionShape { n_images: 1, heads: 1, channels: 32, grid_q, grid_k }
}

/// Blocks hold 56 queries and 32 keys, one of each being the class token.
#[test]
fn queries_and_keys_at_the_edges_of_blocks() {
    for n in [1, 2, 13, 14, 15, 54, 55, 56, 57, 111, 112] {
        Case::new(shape([1, 1, n], [1, 2, 3]), true).check();
        Case::new(shape([n, 1, 1], [1, 1, 2]), false).check();
    }
    for n in [1, 14, 15, 16, 30, 31, 32, 33, 63, 64] {
        Case::new(shape([1, 2, 2], [1, n, 1]), true).check();
        Case::new(shape([2, 1, 1], [1, 1, n]), false).check();
    }
}

#[test]
fn heads_images_and_channels() {
    for (n_images, heads, channels) in [(2, 1, 64), (1, 3, 32), (2, 2, 96), (1, 17, 32)] {
        let shape = AttentionShape { n_images, heads, channels, grid_q: [2, 3, 5], grid_k: [2, 2, 3] };
        assert_eq!((shape.n_queries(), shape.n_keys(), shape.width()), (31, 13, heads * channels));
        Case::new(shape, true).check();
        Case::new(shape, false).check();
    }
}

/// Scores so far apart that all but one exponential vanish.
#[test]
fn scores_that_are_far_apart() {
    let mut case = Case::new(shape([1, 3, 3], [1, 2, 2]), false);
    case.q.iter_mut().for_each(|q| *q *= 40.0);
    let plain = case.plainly();
    on_every_set(|isa| {
        let y = attention(isa, &case.shape, [&case.q, &case.k, &case.v], None);
        assert_near(&format!("attention on {isa}"), &y, &plain.y, 1e-4);
    });
}

#[test]
fn threads_do_not_matter_to_attention() {
    let isa = InstructionSet::detect();
    let case = Case::new(AttentionShape { heads: 3, n_images: 2, ..shape([3, 6, 9], [3, 3, 5]) }, true);
    let operands = [case.q.as_slice(), &case.k, &case.v];
    assert_threads_do_not_matter("attention", || {
        let got = attention_gradients(isa, &case.shape, operands, case.positions().as_ref(), &case.dy);
        let y = attention(isa, &case.shape, operands, case.positions().as_ref());
        [vec![y, got.q, got.k, got.v], got.tables.to_vec()].concat().concat()
    });
}

/// An image gives the same bits alone and in a batch.
#[test]
fn batches_do_not_matter_to_attention() {
    let batch = Case::new(AttentionShape { n_images: 2, ..shape([2, 5, 6], [2, 3, 4]) }, true);
    let mut alone = Case::new(shape([2, 5, 6], [2, 3, 4]), true);
    for (alone, batch) in [(&mut alone.q, &batch.q), (&mut alone.k, &batch.k), (&mut alone.v, &batch.v)] {
        alone.copy_from_slice(&batch[batch.len() / 2..]);
    }
    on_every_set(|isa| {
        let run =
            |case: &Case| attention(isa, &case.shape, [&case.q, &case.k, &case.v], case.positions().as_ref());
        let both = run(&batch);
        assert_eq!(bits(&both[both.len() / 2..]), bits(&run(&alone)), "{isa}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_attention(
        n_images in 1_usize..3,
        heads in 1_usize..4,
        blocks in 1_usize..4,
        grid_q in prop::array::uniform3(1_usize..6),
        grid_k in prop::array::uniform3(1_usize..5),
        with_positions in prop::bool::ANY,
    ) {
        Case::new(AttentionShape { n_images, heads, channels: 32 * blocks, grid_q, grid_k }, with_positions).check();
    }
}
