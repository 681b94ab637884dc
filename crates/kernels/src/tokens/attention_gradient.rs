//! Gradients of attention: the scores of each block of queries are computed once more.

use rayon::prelude::*;

use super::attention::{AttentionShape, QUERIES, RelativePositions, Scores};
use super::compiled_for;
use super::matrix::{Left, Panels, multiply};
use super::softmax::sum_of;
use crate::InstructionSet;

/// Into how many tasks an image is cut at least; each has sums of its own for keys and values, which are added
/// in order.
const TASKS: usize = 16;

/// Gradients of the operands of [`super::attention`].
#[derive(Debug, Clone)]
pub struct AttentionGradients {
    /// Gradient of the queries.
    pub q: Vec<f32>,
    /// Gradient of the keys.
    pub k: Vec<f32>,
    /// Gradient of the values.
    pub v: Vec<f32>,
    /// Gradient of the position tables. Empty without tables.
    pub tables: [Vec<f32>; 3],
}

/// Gradients of the operands, given the gradient of the result.
///
/// # Determinism
/// Bit-identical for any number of threads.
///
/// # Panics
/// If sizes are inconsistent.
#[must_use]
pub fn attention_gradients(
    isa: InstructionSet,
    shape: &AttentionShape,
    [q, k, v]: [&[f32]; 3],
    positions: Option<&RelativePositions<'_>>,
    dy: &[f32],
) -> AttentionGradients {
    shape.check([q, k, v], positions);
    assert_eq!(dy.len(), q.len(), "size of the result's gradient");
    let width = shape.width();
    let [image_q, image_k] = [shape.n_queries() * width, shape.n_keys() * width];
    let tables = positions.map_or([0; 3], |positions| positions.tables.map(<[f32]>::len));
    let mut gradients = AttentionGradients {
        q: vec![0.0; q.len()],
        k: vec![0.0; k.len()],
        v: vec![0.0; v.len()],
        tables: tables.map(|n| vec![0.0; n]),
    };
    for image in 0..shape.n_images {
        let operands = Operands {
            isa,
            shape,
            positions,
            q: &q[image * image_q..][..image_q],
            k: &k[image * image_k..][..image_k],
            v: &v[image * image_k..][..image_k],
            dy: &dy[image * image_q..][..image_q],
        };
        operands.gradients(&mut gradients, [image * image_q, image * image_k]);
    }
    gradients
}

/// One image's.
struct Operands<'a> {
    isa: InstructionSet,
    shape: &'a AttentionShape,
    positions: Option<&'a RelativePositions<'a>>,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    dy: &'a [f32],
}

/// One head's operands, packed for every product.
struct PackedHead {
    keys_as_columns: Panels,
    keys_as_rows: Panels,
    values_as_columns: Panels,
}

/// What a task comes to: gradients of the queries from `first` on, and its share of all others.
struct Part {
    first: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    tables: [Vec<f32>; 3],
}

impl Operands<'_> {
    fn gradients(&self, into: &mut AttentionGradients, [at_q, at_k]: [usize; 2]) {
        let (shape, channels) = (self.shape, self.shape.channels);
        let packed: Vec<PackedHead> = (0..shape.heads).into_par_iter().map(|head| self.pack(head)).collect();
        let n_groups = TASKS.div_ceil(shape.heads);
        let n_blocks = shape.n_queries().div_ceil(QUERIES);
        let parts: Vec<Part> = (0..shape.heads * n_groups)
            .into_par_iter()
            .map(|task| {
                let (head, group) = (task / n_groups, task % n_groups);
                let blocks = [group, group + 1].map(|group| n_blocks * group / n_groups);
                self.part(head, &packed[head], blocks.map(|b| (b * QUERIES).min(shape.n_queries())))
            })
            .collect();
        drop(packed);
        let width = shape.width();
        for (task, part) in parts.iter().enumerate() {
            let head = task / n_groups;
            let rows = into.q[at_q + part.first * width..].par_chunks_mut(width);
            rows.zip(part.q.par_chunks_exact(channels)).for_each(|(row, part)| {
                row[head * channels..][..channels].copy_from_slice(part);
            });
            for (whole, part) in [(&mut into.k, &part.k), (&mut into.v, &part.v)] {
                let rows = whole[at_k..].par_chunks_mut(width);
                rows.zip(part.par_chunks_exact(channels)).for_each(|(row, part)| {
                    add_to(&mut row[head * channels..][..channels], part);
                });
            }
            for (whole, part) in into.tables.iter_mut().zip(&part.tables) {
                add_to(whole, part);
            }
        }
    }

    fn pack(&self, head: usize) -> PackedHead {
        let (width, channels, n_keys) = (self.shape.width(), self.shape.channels, self.shape.n_keys());
        let (k, v) = (&self.k[head * channels..], &self.v[head * channels..]);
        PackedHead {
            keys_as_columns: Panels::of_columns(k, width, [channels, n_keys]),
            keys_as_rows: Panels::of_rows(k, width, [n_keys, channels]),
            values_as_columns: Panels::of_columns(v, width, [channels, n_keys]),
        }
    }

    /// Queries from `first` to `last` of a head.
    fn part(&self, head: usize, packed: &PackedHead, [first, last]: [usize; 2]) -> Part {
        let (channels, n_keys) = (self.shape.channels, self.shape.n_keys());
        let tables = self.positions.map_or([0; 3], |positions| positions.tables.map(<[f32]>::len));
        let mut part = Part {
            first,
            q: vec![0.0; (last - first) * channels],
            k: vec![0.0; n_keys * channels],
            v: vec![0.0; n_keys * channels],
            tables: tables.map(|n| vec![0.0; n]),
        };
        for block in (first..last).step_by(QUERIES) {
            let n = QUERIES.min(last - block);
            self.block(head, packed, [block, n], &mut part);
        }
        part
    }

    /// `n` queries from `first` on.
    fn block(&self, head: usize, packed: &PackedHead, [first, n]: [usize; 2], part: &mut Part) {
        let (isa, shape) = (self.isa, self.shape);
        let (width, channels) = (shape.width(), shape.channels);
        let (q, dy) = (&self.q[head * channels..], &self.dy[head * channels..][first * width..]);
        let mut scores = Scores::new(shape, n);
        scores.compute(isa, shape, (q, first), &packed.keys_as_columns, self.positions);
        let stride = scores.stride;
        let mut slopes = vec![0.0; n * stride];
        let left = Left { values: dy, row: width, step: 1, rows: n };
        multiply(isa, left, &packed.values_as_columns, &mut slopes, stride, false);
        let dq = &mut part.q[(first - part.first) * channels..][..n * channels];
        compiled_for(isa, || scores.slopes(&mut slopes));
        let left = Left { values: &slopes, row: stride, step: 1, rows: n };
        multiply(isa, left, &packed.keys_as_rows, dq, channels, false);
        let scale = shape.scale();
        dq.iter_mut().for_each(|value| *value *= scale);
        // Transposed: one row a key.
        let by_key = |values| Left { values, row: 1, step: stride, rows: shape.n_keys() };
        let dy = Panels::of_rows(dy, width, [n, channels]);
        multiply(isa, by_key(&scores.values), &dy, &mut part.v, channels, true);
        let mut scaled = vec![0.0; n * channels];
        for (i, scaled) in scaled.chunks_exact_mut(channels).enumerate() {
            let q = &q[(first + i) * width..][..channels];
            scaled.iter_mut().zip(q).for_each(|(scaled, q)| *scaled = q * scale);
        }
        let scaled = Panels::of_rows(&scaled, channels, [n, channels]);
        multiply(isa, by_key(&slopes), &scaled, &mut part.k, channels, true);
        if let Some(positions) = self.positions {
            compiled_for(isa, || {
                let mut sums = PlaceSums::new(shape);
                for i in usize::from(first == 0)..n {
                    let row = &slopes[i * stride..][..shape.n_keys()];
                    sums.set(&row[1..]);
                    let query = &q[(first + i) * width..][..channels];
                    let dq = &mut dq[i * channels..][..channels];
                    sums.spread(shape.place(first + i), positions, (query, dq), &mut part.tables);
                }
            });
        }
    }
}

impl Scores {
    /// Makes probabilities of the exponentials, and of the probabilities' gradients those of the scores.
    #[inline(always)]
    fn slopes(&mut self, slopes: &mut [f32]) {
        for i in 0..self.rows {
            let at = i * self.stride;
            let (row, slopes) = (&mut self.values[at..][..self.n_keys], &mut slopes[at..][..self.n_keys]);
            let inverse = self.inverse_sums[i];
            row.iter_mut().for_each(|value| *value *= inverse);
            let mean = sum_of(row, slopes, |p, slope| p * slope);
            slopes.iter_mut().zip(&*row).for_each(|(slope, p)| *slope = p * (*slope - mean));
        }
    }
}

/// Sums of a query's slopes over the keys of each place on an axis.
struct PlaceSums {
    axes: [Vec<f32>; 3],
    plane: Vec<f32>,
}

impl PlaceSums {
    fn new(shape: &AttentionShape) -> Self {
        let [_, h, w] = shape.grid_k;
        Self { axes: shape.grid_k.map(|n| vec![0.0; n]), plane: vec![0.0; h * w] }
    }

    #[inline(always)]
    fn set(&mut self, slopes: &[f32]) {
        let Self { axes: [t, h, w], plane } = self;
        plane.fill(0.0);
        for (slice, sum) in slopes.chunks_exact(plane.len()).zip(t) {
            *sum = sum_of(slice, slice, |slope, _| slope);
            add_to(plane, slice);
        }
        w.fill(0.0);
        for (row, sum) in plane.chunks_exact(w.len()).zip(h) {
            *sum = row.iter().sum();
            add_to(w, row);
        }
    }

    #[inline(always)]
    fn spread(
        &self,
        place: [usize; 3],
        positions: &RelativePositions<'_>,
        (query, dq): (&[f32], &mut [f32]),
        tables: &mut [Vec<f32>; 3],
    ) {
        let channels = query.len();
        for (axis, sums) in self.axes.iter().enumerate() {
            let rows = &positions.rows[axis][place[axis] * sums.len()..];
            for (&sum, &row) in sums.iter().zip(rows) {
                let entry = &positions.tables[axis][row * channels..][..channels];
                dq.iter_mut().zip(entry).for_each(|(dq, entry)| *dq += sum * entry);
                let gradient = &mut tables[axis][row * channels..][..channels];
                gradient.iter_mut().zip(query).for_each(|(gradient, q)| *gradient += sum * q);
            }
        }
    }
}

#[inline(always)]
fn add_to(whole: &mut [f32], part: &[f32]) {
    whole.iter_mut().zip(part).for_each(|(whole, part)| *whole += part);
}
