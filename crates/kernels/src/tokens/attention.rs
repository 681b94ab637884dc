//! Multi-head attention with relative positions, a block of queries at a time.

use rayon::prelude::*;

use super::compiled_for;
use super::matrix::{Left, PANEL, Panels, multiply};
use super::softmax::{exponentials, sum_of};
use crate::InstructionSet;

/// Queries whose scores are held at a time, in each thread.
pub(super) const QUERIES: usize = 56;
/// Numbers between the rows of scores, so that they do not fall onto the same lines of the cache.
const GAP: usize = 16;

/// Sizes of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Images of the batch.
    pub n_images: usize,
    /// Heads; a token's channels are theirs one after the other.
    pub heads: usize,
    /// Channels of a head, a multiple of 32.
    pub channels: usize,
    /// Grid of the queries behind the class token.
    pub grid_q: [usize; 3],
    /// Grid of the keys and values behind the class token.
    pub grid_k: [usize; 3],
}

/// Relative positions: adds to the scores, for every axis, the product of the query with a table row selected
/// by the positions of query and key on that axis.
#[derive(Debug, Clone, Copy)]
pub struct RelativePositions<'a> {
    /// Tables `[rows][channels]` along `t`, `h`, `w`.
    pub tables: [&'a [f32]; 3],
    /// The row for each pair of places `[n_q][n_k]`, along `t`, `h`, `w`.
    pub rows: [&'a [usize]; 3],
}

impl AttentionShape {
    /// Number of queries, including the class token.
    #[must_use]
    pub fn n_queries(&self) -> usize {
        1 + self.grid_q.iter().product::<usize>()
    }

    /// Number of keys, including the class token.
    #[must_use]
    pub fn n_keys(&self) -> usize {
        1 + self.grid_k.iter().product::<usize>()
    }

    /// Channels of a token.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.heads * self.channels
    }

    /// # Panics
    /// If the operands do not have the sizes of the shape.
    pub(super) fn check(&self, [q, k, v]: [&[f32]; 3], positions: Option<&RelativePositions<'_>>) {
        assert!(self.channels > 0 && self.channels.is_multiple_of(PANEL), "channels of a head");
        assert_eq!(q.len(), self.n_images * self.n_queries() * self.width(), "size of the queries");
        let n_keys = self.n_images * self.n_keys() * self.width();
        assert!(k.len() == n_keys && v.len() == n_keys, "size of keys and values");
        for axis in 0..3 {
            let Some(positions) = positions else { break };
            let (rows, table) = (positions.rows[axis], positions.tables[axis]);
            assert_eq!(rows.len(), self.grid_q[axis] * self.grid_k[axis], "pairs of places");
            let n_rows = table.len() / self.channels;
            assert!(rows.iter().all(|row| *row < n_rows), "rows of the table of positions");
        }
    }

    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.channels as f32).sqrt()
    }

    /// Place on the grid of a query behind the class token.
    pub(super) const fn place(&self, query: usize) -> [usize; 3] {
        let [_, h, w] = self.grid_q;
        let idx = query - 1;
        [idx / (h * w), idx / w % h, idx % w]
    }
}

/// Softmax of scaled scores times values.
///
/// # Shapes
/// `q` is `[N, queries, heads * channels]`, `k` and `v` are `[N, keys, heads * channels]`; the result is as
/// `q`.
///
/// # Determinism
/// Bit-identical for any number of threads.
///
/// # Panics
/// If sizes are inconsistent.
#[must_use]
pub fn attention(
    isa: InstructionSet,
    shape: &AttentionShape,
    [q, k, v]: [&[f32]; 3],
    positions: Option<&RelativePositions<'_>>,
) -> Vec<f32> {
    shape.check([q, k, v], positions);
    let (width, channels) = (shape.width(), shape.channels);
    let [image_q, image_k] = [shape.n_queries() * width, shape.n_keys() * width];
    let mut y = vec![0.0; q.len()];
    for (image, y) in y.chunks_exact_mut(image_q).enumerate() {
        let q = &q[image * image_q..][..image_q];
        let (k, v) = (&k[image * image_k..][..image_k], &v[image * image_k..][..image_k]);
        let heads: Vec<[Panels; 2]> = (0..shape.heads)
            .into_par_iter()
            .map(|head| {
                let (k, v) = (&k[head * channels..], &v[head * channels..]);
                let keys = Panels::of_columns(k, width, [channels, shape.n_keys()]);
                [keys, Panels::of_rows(v, width, [shape.n_keys(), channels])]
            })
            .collect();
        y.par_chunks_mut(QUERIES * width).enumerate().for_each(|(block, y)| {
            let first = block * QUERIES;
            let mut scores = Scores::new(shape, y.len() / width);
            for (head, [keys, values]) in heads.iter().enumerate() {
                scores.compute(isa, shape, (&q[head * channels..], first), keys, positions);
                scores.weigh(isa, values, &mut y[head * channels..], width);
            }
        });
    }
    y
}

/// Scores of a block of queries.
pub(super) struct Scores {
    pub(super) rows: usize,
    pub(super) n_keys: usize,
    /// Numbers from one query's scores to the next's.
    pub(super) stride: usize,
    /// After [`Scores::compute`]: exponentials.
    pub(super) values: Vec<f32>,
    /// One over the sum of each row's exponentials.
    pub(super) inverse_sums: Vec<f32>,
    weighed: Vec<f32>,
}

impl Scores {
    pub(super) fn new(shape: &AttentionShape, rows: usize) -> Self {
        let n_keys = shape.n_keys();
        let stride = n_keys.next_multiple_of(PANEL) + GAP;
        Self {
            rows,
            n_keys,
            stride,
            values: vec![0.0; rows * stride],
            inverse_sums: vec![0.0; rows],
            weighed: vec![0.0; rows * shape.channels],
        }
    }

    /// Exponentials of the scores of the queries from `first` on, `q` beginning at the head's channels.
    pub(super) fn compute(
        &mut self,
        isa: InstructionSet,
        shape: &AttentionShape,
        (q, first): (&[f32], usize),
        keys: &Panels,
        positions: Option<&RelativePositions<'_>>,
    ) {
        let width = shape.width();
        let left = Left { values: &q[first * width..], row: width, step: 1, rows: self.rows };
        multiply(isa, left, keys, &mut self.values, self.stride, false);
        let (scale, n_keys) = (shape.scale(), self.n_keys);
        compiled_for(isa, || {
            let mut bias = RowBias::new(shape);
            for (i, row) in self.values.chunks_exact_mut(self.stride).enumerate() {
                let row = &mut row[..n_keys];
                match positions {
                    Some(positions) if first + i > 0 => {
                        let query = &q[(first + i) * width..][..shape.channels];
                        bias.set(shape, shape.place(first + i), query, positions);
                        bias.add_to(row, scale);
                    }
                    _ => row.iter_mut().for_each(|score| *score *= scale),
                }
                self.inverse_sums[i] = 1.0 / exponentials(row);
            }
        });
    }

    /// Puts the weighed values into the rows of `y`.
    fn weigh(&mut self, isa: InstructionSet, values: &Panels, y: &mut [f32], width: usize) {
        let left = Left { values: &self.values, row: self.stride, step: 1, rows: self.rows };
        let channels = values.width();
        multiply(isa, left, values, &mut self.weighed, channels, false);
        for (i, weighed) in self.weighed.chunks_exact(channels).enumerate() {
            let inverse = self.inverse_sums[i];
            let y = &mut y[i * width..][..channels];
            y.iter_mut().zip(weighed).for_each(|(y, w)| *y = w * inverse);
        }
    }
}

/// What its place adds to the scores of one query.
struct RowBias {
    /// Along `t`, and along `h` and `w` together.
    slices: Vec<f32>,
    plane: Vec<f32>,
    row: Vec<f32>,
    column: Vec<f32>,
}

impl RowBias {
    fn new(shape: &AttentionShape) -> Self {
        let [t, h, w] = shape.grid_k;
        Self { slices: vec![0.0; t], plane: vec![0.0; h * w], row: vec![0.0; h], column: vec![0.0; w] }
    }

    #[inline(always)]
    fn set(
        &mut self,
        shape: &AttentionShape,
        place: [usize; 3],
        query: &[f32],
        positions: &RelativePositions<'_>,
    ) {
        let channels = shape.channels;
        for (axis, out) in [&mut self.slices, &mut self.row, &mut self.column].into_iter().enumerate() {
            let rows = &positions.rows[axis][place[axis] * out.len()..];
            for (out, &row) in out.iter_mut().zip(rows) {
                let entry = &positions.tables[axis][row * channels..][..channels];
                *out = sum_of(query, entry, |a, b| a * b);
            }
        }
        for (plane, row) in self.plane.chunks_exact_mut(self.column.len()).zip(&self.row) {
            plane.iter_mut().zip(&self.column).for_each(|(plane, column)| *plane = row + column);
        }
    }

    #[inline(always)]
    fn add_to(&self, row: &mut [f32], scale: f32) {
        row[0] *= scale;
        for (row, slice) in row[1..].chunks_exact_mut(self.plane.len()).zip(&self.slices) {
            for (score, plane) in row.iter_mut().zip(&self.plane) {
                *score = *score * scale + (slice + plane);
            }
        }
    }
}
