//! Products of small dense matrices, the second operand packed.

use crate::conv::{even_runs, with_pixels};
use crate::simd::{InstructionSet, Kernel, LANES, Lanes16};

/// Columns of a panel.
pub(super) const PANEL: usize = 32;

/// A matrix `[rows, columns]` as panels of [`PANEL`] columns, each `[rows][PANEL]`; columns that lack are 0.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    values: Vec<f32>,
    rows: usize,
    n_panels: usize,
}

impl Panels {
    /// From rows that are `stride` numbers apart.
    pub(super) fn of_rows(from: &[f32], stride: usize, [rows, columns]: [usize; 2]) -> Self {
        let n_panels = columns.div_ceil(PANEL);
        let mut values = vec![0.0; n_panels * rows * PANEL];
        for (number, panel) in values.chunks_exact_mut(rows * PANEL).enumerate() {
            let first = number * PANEL;
            let n = PANEL.min(columns - first);
            for (row, panel) in panel.chunks_exact_mut(PANEL).enumerate() {
                panel[..n].copy_from_slice(&from[row * stride + first..][..n]);
            }
        }
        Self { values, rows, n_panels }
    }

    /// From the columns, as runs of `rows` numbers that are `stride` apart.
    pub(super) fn of_columns(from: &[f32], stride: usize, [rows, columns]: [usize; 2]) -> Self {
        let n_panels = columns.div_ceil(PANEL);
        let mut values = vec![0.0; n_panels * rows * PANEL];
        for (number, panel) in values.chunks_exact_mut(rows * PANEL).enumerate() {
            let first = number * PANEL;
            for column in 0..PANEL.min(columns - first) {
                let source = &from[(first + column) * stride..][..rows];
                for (row, &value) in source.iter().enumerate() {
                    panel[row * PANEL + column] = value;
                }
            }
        }
        Self { values, rows, n_panels }
    }

    /// Columns, those that were added included.
    pub(super) const fn width(&self) -> usize {
        self.n_panels * PANEL
    }
}

/// The left operand of a product: element `(i, l)` is `values[i * row + l * step]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row: usize,
    pub(super) step: usize,
    pub(super) rows: usize,
}

/// Puts the product of `a` and `b` into `c`, or adds it; rows of `c` are `stride` apart and as long as the
/// panels are wide.
///
/// # Panics
/// If an operand is too short.
pub(super) fn multiply(
    isa: InstructionSet,
    a: Left<'_>,
    b: &Panels,
    c: &mut [f32],
    stride: usize,
    add: bool,
) {
    if a.rows == 0 || b.rows == 0 {
        return;
    }
    assert!(a.values.len() > (a.rows - 1) * a.row + (b.rows - 1) * a.step, "the left operand is too short");
    assert!(c.len() >= (a.rows - 1) * stride + b.width() && stride >= b.width(), "the product is too short");
    assert_eq!(b.values.len(), b.rows * b.width(), "size of the panels");
    // SAFETY: the extents were checked above.
    unsafe { isa.run(Product { a, b, c, stride, add }) }
}

struct Product<'a> {
    a: Left<'a>,
    b: &'a Panels,
    c: &'a mut [f32],
    stride: usize,
    add: bool,
}

impl Kernel for Product<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes16>(self) {
        // SAFETY: `multiply` checked the extents.
        unsafe {
            match V::OUTPUT_BLOCKS {
                2 => self.panels::<V, 2>(),
                _ => self.panels::<V, 1>(),
            }
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    unsafe fn panels<V: Lanes16, const BLOCKS: usize>(mut self) {
        let (n_runs, short, n_long) = even_runs(self.a.rows, V::PIXELS);
        for block in (0..self.b.n_panels * PANEL / LANES).step_by(BLOCKS) {
            let (panel, inside) = (block * LANES / PANEL, block * LANES % PANEL);
            let b = &self.b.values[panel * self.b.rows * PANEL + inside..];
            let mut row = 0;
            for run in 0..n_runs {
                let n = short + usize::from(run < n_long);
                // SAFETY: as above.
                unsafe {
                    with_pixels!(n, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], |N| self
                        .tile::<V, BLOCKS, N>(row, block * LANES, b));
                }
                row += n;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Lanes16, const BLOCKS: usize, const ROWS: usize>(
        &mut self,
        row: usize,
        column: usize,
        b: &[f32],
    ) {
        // SAFETY: as above.
        unsafe {
            let a = self.a.values.as_ptr().add(row * self.a.row);
            let c = self.c.as_mut_ptr().add(row * self.stride + column);
            let b = b.as_ptr();
            let mut sums = [[V::zero(); BLOCKS]; ROWS];
            for l in 0..self.b.rows {
                let mut right = [V::zero(); BLOCKS];
                for (block, right) in right.iter_mut().enumerate() {
                    *right = V::load(b.add(l * PANEL + block * LANES));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let left = V::splat(*a.add(i * self.a.row + l * self.a.step));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = left.mul_add(right, *sum);
                    }
                }
            }
            for (i, sums) in sums.into_iter().enumerate() {
                for (block, sum) in sums.into_iter().enumerate() {
                    let to = c.add(i * self.stride + block * LANES);
                    let sum = if self.add { V::load(to).add(sum) } else { sum };
                    sum.store(to);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_of_products() {
        let number = |seed: usize, i: usize| ((i * 7919 + seed * 104_729) % 1009) as f32 / 1009.0 - 0.5;
        for [m, k, n] in [[1, 1, 1], [3, 5, 33], [14, 96, 32], [29, 7, 70], [56, 13, 96]] {
            let a: Vec<f32> = (0..m * k).map(|i| number(1, i)).collect();
            let b: Vec<f32> = (0..k * n).map(|i| number(2, i)).collect();
            let transposed: Vec<f32> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
            for isa in InstructionSet::available() {
                let rows = Panels::of_rows(&b, n, [k, n]);
                let columns = Panels::of_columns(&transposed, k, [k, n]);
                assert_eq!(rows.values, columns.values);
                let stride = rows.width() + 16;
                let mut c = vec![1.0; m * stride];
                let left = Left { values: &a, row: k, step: 1, rows: m };
                multiply(isa, left, &rows, &mut c, stride, true);
                for i in 0..m {
                    for j in 0..n {
                        let expected: f64 =
                            (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * n + j])).sum();
                        let got = f64::from(c[i * stride + j]);
                        assert!((got - 1.0 - expected).abs() < 1e-5, "{isa} {m} {k} {n}: {got} {expected}");
                    }
                }
            }
        }
    }
}
