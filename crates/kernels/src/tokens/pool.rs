//! Pooling over the token grid. The class token is not pooled.

use rayon::prelude::*;

use super::compiled_for;
use crate::InstructionSet;

/// Channels that are summed side by side.
const CHANNELS: usize = 32;
/// Taps of a kernel.
const TAPS: usize = 27;
/// Into how many partial sums the kernel's gradient is cut.
const PARTS: usize = 32;

/// A depth-wise convolution of 3x3x3 taps with a padding of 1 over the grid of tokens, whose channels are those
/// of several heads with one kernel for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridPool {
    /// Images of the batch.
    pub n_images: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head, a multiple of 32.
    pub channels: usize,
    /// Grid of the input.
    pub grid: [usize; 3],
    /// Stride along `t`, `h`, `w`.
    pub stride: [usize; 3],
}

impl GridPool {
    /// Grid of the output.
    #[must_use]
    pub fn grid_out(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| (self.grid[axis] - 1) / self.stride[axis] + 1)
    }

    const fn width(&self) -> usize {
        self.heads * self.channels
    }

    /// Numbers of one image, before and behind.
    fn image_sizes(&self) -> [usize; 2] {
        [self.grid, self.grid_out()].map(|grid| (1 + grid.iter().product::<usize>()) * self.width())
    }

    fn check(&self, x: usize, y: usize, kernel: usize) {
        let [image_in, image_out] = self.image_sizes();
        assert!(self.channels > 0 && self.channels.is_multiple_of(CHANNELS), "channels of a head");
        assert_eq!(x, self.n_images * image_in, "tokens in front of a pooling");
        assert_eq!(y, self.n_images * image_out, "tokens behind a pooling");
        assert_eq!(kernel, self.channels * TAPS, "size of a pooling's kernel");
    }

    /// Tokens behind the pooling.
    ///
    /// # Shapes
    /// `x` is `[N, 1 + t * h * w, heads * channels]`, `kernel` is `[channels][27]`.
    ///
    /// # Panics
    /// If sizes are inconsistent.
    #[must_use]
    pub fn forward(&self, isa: InstructionSet, x: &[f32], kernel: &[f32]) -> Vec<f32> {
        let [image_in, image_out] = self.image_sizes();
        let mut y = vec![0.0; self.n_images * image_out];
        self.check(x.len(), y.len(), kernel.len());
        let (taps, width) = (taps_first(kernel), self.width());
        let [_, h, w] = self.grid_out();
        for (y, x) in y.chunks_exact_mut(image_out).zip(x.chunks_exact(image_in)) {
            y[..width].copy_from_slice(&x[..width]);
            y[width..].par_chunks_mut(w * width).enumerate().for_each(|(row, y)| {
                compiled_for(isa, || {
                    for (column, y) in y.chunks_exact_mut(width).enumerate() {
                        let near = self.inputs_of([row / h, row % h, column]);
                        self.gather(y, &x[width..], near.as_slice(), &taps);
                    }
                });
            });
        }
        y
    }

    /// Gradients of tokens and kernel, given that of the result.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads.
    ///
    /// # Panics
    /// If sizes are inconsistent.
    #[must_use]
    pub fn gradients(
        &self,
        isa: InstructionSet,
        x: &[f32],
        kernel: &[f32],
        dy: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        self.check(x.len(), dy.len(), kernel.len());
        (self.gradient_of_tokens(isa, kernel, dy), self.gradient_of_kernel(isa, x, dy))
    }

    fn gradient_of_tokens(&self, isa: InstructionSet, kernel: &[f32], dy: &[f32]) -> Vec<f32> {
        let [image_in, image_out] = self.image_sizes();
        let mut dx = vec![0.0; self.n_images * image_in];
        let (taps, width) = (taps_first(kernel), self.width());
        let [_, h, w] = self.grid;
        for (dx, dy) in dx.chunks_exact_mut(image_in).zip(dy.chunks_exact(image_out)) {
            dx[..width].copy_from_slice(&dy[..width]);
            dx[width..].par_chunks_mut(w * width).enumerate().for_each(|(row, dx)| {
                compiled_for(isa, || {
                    for (column, dx) in dx.chunks_exact_mut(width).enumerate() {
                        let near = self.outputs_of([row / h, row % h, column]);
                        self.gather(dx, &dy[width..], near.as_slice(), &taps);
                    }
                });
            });
        }
        dx
    }

    fn gradient_of_kernel(&self, isa: InstructionSet, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let [image_in, image_out] = self.image_sizes();
        let (width, channels) = (self.width(), self.channels);
        let [t, h, w] = self.grid_out();
        let n_rows = self.n_images * t * h;
        let parts: Vec<Vec<f32>> = (0..PARTS)
            .into_par_iter()
            .map(|part| {
                let mut sums = vec![0.0; TAPS * width];
                for row in n_rows * part / PARTS..n_rows * (part + 1) / PARTS {
                    let (image, row) = (row / (t * h), row % (t * h));
                    let x = &x[image * image_in + width..][..image_in - width];
                    let dy = &dy[image * image_out + width..][row * w * width..][..w * width];
                    compiled_for(isa, || {
                        for (column, dy) in dy.chunks_exact(width).enumerate() {
                            for &(tap, token) in self.inputs_of([row / h, row % h, column]).as_slice() {
                                let x = &x[token * width..][..width];
                                let sums = &mut sums[tap * width..][..width];
                                for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                                    *sum += x * dy;
                                }
                            }
                        }
                    });
                }
                sums
            })
            .collect();
        let mut gradient = vec![0.0; channels * TAPS];
        for part in &parts {
            for (idx, value) in part.iter().enumerate() {
                gradient[idx % channels * TAPS + idx / width] += value;
            }
        }
        gradient
    }

    /// Sum over places of their tokens times the kernel's taps.
    #[inline(always)]
    fn gather(&self, out: &mut [f32], tokens: &[f32], near: &[(usize, usize)], taps: &[f32]) {
        let (width, channels) = (self.width(), self.channels);
        for (block, out) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate() {
            let first = block * CHANNELS;
            let of_head = first % channels;
            let mut sums = [0.0; CHANNELS];
            for &(tap, token) in near {
                let x: &[f32; CHANNELS] = chunk(tokens, token * width + first);
                let k: &[f32; CHANNELS] = chunk(taps, tap * channels + of_head);
                for i in 0..CHANNELS {
                    sums[i] += x[i] * k[i];
                }
            }
            *out = sums;
        }
    }

    /// Taps and tokens of the input under the kernel at a place of the output.
    #[inline(always)]
    fn inputs_of(&self, place: [usize; 3]) -> Near {
        let mut near = Near::default();
        for tap in 0..TAPS {
            let taps = [tap / 9, tap / 3 % 3, tap % 3];
            let from = |axis: usize| {
                let at = place[axis] * self.stride[axis] + taps[axis];
                at.checked_sub(1).filter(|at| *at < self.grid[axis])
            };
            near.push(tap, [from(0), from(1), from(2)], self.grid);
        }
        near
    }

    /// Taps and tokens of the output that a place of the input had a share in.
    #[inline(always)]
    fn outputs_of(&self, place: [usize; 3]) -> Near {
        let mut near = Near::default();
        let grid = self.grid_out();
        for tap in 0..TAPS {
            let taps = [tap / 9, tap / 3 % 3, tap % 3];
            let to = |axis: usize| {
                let at = (place[axis] + 1).checked_sub(taps[axis])?;
                let whole = at.is_multiple_of(self.stride[axis]) && at / self.stride[axis] < grid[axis];
                whole.then(|| at / self.stride[axis])
            };
            near.push(tap, [to(0), to(1), to(2)], grid);
        }
        near
    }
}

/// Pairs of tap and token.
#[derive(Default)]
struct Near {
    pairs: [(usize, usize); TAPS],
    len: usize,
}

impl Near {
    #[inline(always)]
    fn push(&mut self, tap: usize, place: [Option<usize>; 3], [_, h, w]: [usize; 3]) {
        if let [Some(t), Some(row), Some(column)] = place {
            self.pairs[self.len] = (tap, (t * h + row) * w + column);
            self.len += 1;
        }
    }

    #[inline(always)]
    fn as_slice(&self) -> &[(usize, usize)] {
        &self.pairs[..self.len]
    }
}

#[inline(always)]
fn chunk(values: &[f32], at: usize) -> &[f32; CHANNELS] {
    values[at..].first_chunk().expect("whole blocks of channels")
}

/// `[channels][27]` as `[27][channels]`.
fn taps_first(kernel: &[f32]) -> Vec<f32> {
    let channels = kernel.len() / TAPS;
    (0..kernel.len()).map(|idx| kernel[idx % channels * TAPS + idx / channels]).collect()
}

/// The largest of the 3x3 neighbours in the plane, at every second place along `h` and `w`: the pooling of
/// shortcuts.
///
/// # Shapes
/// `x` is `[N, 1 + t * h * w, width]`, the result `[N, 1 + t * ceil(h / 2) * ceil(w / 2), width]`.
///
/// # Panics
/// If sizes are inconsistent.
#[must_use]
pub fn max_pool_tokens(x: &[f32], n_images: usize, grid: [usize; 3], width: usize) -> Vec<f32> {
    let [image_in, image_out] = max_pool_sizes(x.len(), n_images, grid, width);
    let mut y = vec![0.0; n_images * image_out];
    let plane_out = grid[1].div_ceil(2) * grid[2].div_ceil(2) * width;
    for (y, x) in y.chunks_exact_mut(image_out).zip(x.chunks_exact(image_in)) {
        y[..width].copy_from_slice(&x[..width]);
        let planes = x[width..].par_chunks_exact(grid[1] * grid[2] * width);
        y[width..].par_chunks_mut(plane_out).zip(planes).for_each(|(y, x)| {
            for (idx, y) in y.chunks_exact_mut(width).enumerate() {
                y.fill(f32::NEG_INFINITY);
                for token in plane_neighbours(idx, grid) {
                    for (y, &x) in y.iter_mut().zip(&x[token * width..]) {
                        *y = if x > *y { x } else { *y };
                    }
                }
            }
        });
    }
    y
}

/// The gradient of [`max_pool_tokens`], given that of its result: it goes to the first of the largest.
///
/// # Panics
/// If sizes are inconsistent.
#[must_use]
pub fn max_pool_tokens_gradient(
    x: &[f32],
    dy: &[f32],
    n_images: usize,
    grid: [usize; 3],
    width: usize,
) -> Vec<f32> {
    let [image_in, image_out] = max_pool_sizes(x.len(), n_images, grid, width);
    assert_eq!(dy.len(), n_images * image_out, "tokens behind a pooling");
    let mut dx = vec![0.0; x.len()];
    let (plane, plane_out) = (grid[1] * grid[2] * width, grid[1].div_ceil(2) * grid[2].div_ceil(2) * width);
    let images = x.chunks_exact(image_in).zip(dy.chunks_exact(image_out));
    for (dx, (x, dy)) in dx.chunks_exact_mut(image_in).zip(images) {
        dx[..width].copy_from_slice(&dy[..width]);
        let planes = x[width..].par_chunks_exact(plane).zip(dy[width..].par_chunks_exact(plane_out));
        dx[width..].par_chunks_mut(plane).zip(planes).for_each(|(dx, (x, dy))| {
            for (idx, dy) in dy.chunks_exact(width).enumerate() {
                for (channel, &dy) in dy.iter().enumerate() {
                    let mut best = (f32::NEG_INFINITY, 0);
                    for token in plane_neighbours(idx, grid) {
                        let value = x[token * width + channel];
                        if value > best.0 {
                            best = (value, token);
                        }
                    }
                    dx[best.1 * width + channel] += dy;
                }
            }
        });
    }
    dx
}

/// Numbers of one image, before and behind.
fn max_pool_sizes(len: usize, n_images: usize, [t, h, w]: [usize; 3], width: usize) -> [usize; 2] {
    let sizes = [[h, w], [h.div_ceil(2), w.div_ceil(2)]].map(|[h, w]| (1 + t * h * w) * width);
    assert_eq!(len, n_images * sizes[0], "tokens in front of a pooling");
    sizes
}

/// Tokens of a plane around the place that output `idx` stands for.
fn plane_neighbours(idx: usize, [_, h, w]: [usize; 3]) -> impl Iterator<Item = usize> {
    let (row, column) = (idx / w.div_ceil(2) * 2, idx % w.div_ceil(2) * 2);
    let around = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    around(row, h).flat_map(move |row| around(column, w).map(move |column| row * w + column))
}
