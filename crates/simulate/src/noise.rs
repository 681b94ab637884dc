//! Smooth random fields: quadratic B-splines over a periodic lattice of random values.

use crate::random::Random;
use crate::shapes::Point;

const EDGE: usize = 32;

/// A periodic scalar field of mean 0 and standard deviation about 1.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    values: Vec<f32>,
    per_mm: f32,
}

/// A periodic field of displacement vectors.
#[derive(Debug, Clone)]
pub(crate) struct Warp {
    components: [Field; 3],
    amplitude_mm: f32,
}

impl Field {
    /// Long waves only: typical wavelength about five times `spacing_mm`.
    pub(crate) fn low_pass(seed: u64, spacing_mm: f32) -> Self {
        Self::from_values(white(seed), spacing_mm)
    }

    /// A band of wavelengths around four times `spacing_mm`: what long waves there are is taken out.
    pub(crate) fn band_pass(seed: u64, spacing_mm: f32) -> Self {
        let white = white(seed);
        let smooth = box_blur(&white);
        Self::from_values(white.iter().zip(&smooth).map(|(v, s)| v - s).collect(), spacing_mm)
    }

    fn from_values(values: Vec<f32>, spacing_mm: f32) -> Self {
        let mut field = Self { values, per_mm: 1.0 / spacing_mm };
        let mut random = Random::new(1);
        let power: f32 = (0..512)
            .map(|_| [0; 3].map(|_: u8| random.uniform(0.0, 100.0) as f32 * spacing_mm))
            .map(|p| field.value(p).powi(2))
            .sum();
        let scale = (power / 512.0).sqrt().max(1e-6).recip();
        field.values.iter_mut().for_each(|v| *v *= scale);
        field
    }

    pub(crate) fn value(&self, p: Point) -> f32 {
        let (x, y, z) =
            (Taps::at(p[0] * self.per_mm), Taps::at(p[1] * self.per_mm), Taps::at(p[2] * self.per_mm));
        let mut sum = 0.0;
        for c in 0..3 {
            for b in 0..3 {
                let row = (z.index[c] * EDGE + y.index[b]) * EDGE;
                let line: f32 = (0..3).map(|a| x.weight[a] * self.values[row + x.index[a]]).sum();
                sum += z.weight[c] * y.weight[b] * line;
            }
        }
        sum
    }

    /// Value and gradient (per mm).
    pub(crate) fn value_and_gradient(&self, p: Point) -> (f32, Point) {
        let (x, y, z) =
            (Taps::at(p[0] * self.per_mm), Taps::at(p[1] * self.per_mm), Taps::at(p[2] * self.per_mm));
        let (mut sum, mut gradient) = (0.0, [0.0; 3]);
        for c in 0..3 {
            for b in 0..3 {
                let row = (z.index[c] * EDGE + y.index[b]) * EDGE;
                let (mut line, mut slope) = (0.0, 0.0);
                for a in 0..3 {
                    let value = self.values[row + x.index[a]];
                    line += x.weight[a] * value;
                    slope += x.slope[a] * value;
                }
                let weight = z.weight[c] * y.weight[b];
                sum += weight * line;
                gradient[0] += weight * slope;
                gradient[1] += z.weight[c] * y.slope[b] * line;
                gradient[2] += z.slope[c] * y.weight[b] * line;
            }
        }
        (sum, gradient.map(|g| g * self.per_mm))
    }
}

impl Warp {
    /// Displacements with the given standard deviation a component.
    pub(crate) fn new(random: &mut Random, spacing_mm: f32, amplitude_mm: f32) -> Self {
        let components = [0; 3].map(|_: u8| Field::low_pass(random.next(), spacing_mm));
        Self { components, amplitude_mm }
    }

    /// Volume of the image of a small cube at `p` over the volume of the cube.
    pub(crate) fn determinant(&self, p: Point) -> f32 {
        let step = 4.0;
        let mut columns = [[0.0; 3]; 3];
        for (axis, column) in columns.iter_mut().enumerate() {
            let (mut ahead, mut behind) = (p, p);
            ahead[axis] += 0.5 * step;
            behind[axis] -= 0.5 * step;
            let (ahead, behind) = (self.apply(ahead), self.apply(behind));
            *column = [0, 1, 2].map(|row| (ahead[row] - behind[row]) / step);
        }
        let [a, b, c] = columns;
        a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1])
            + c[0] * (a[1] * b[2] - a[2] * b[1])
    }

    pub(crate) fn apply(&self, p: Point) -> Point {
        let per_mm = self.components[0].per_mm;
        let (x, y, z) = (Taps::at(p[0] * per_mm), Taps::at(p[1] * per_mm), Taps::at(p[2] * per_mm));
        let mut shift = [0.0_f32; 3];
        for c in 0..3 {
            for b in 0..3 {
                let row = (z.index[c] * EDGE + y.index[b]) * EDGE;
                let weight = z.weight[c] * y.weight[b];
                for a in 0..3 {
                    let (w, at) = (weight * x.weight[a], row + x.index[a]);
                    for (s, component) in shift.iter_mut().zip(&self.components) {
                        *s += w * component.values[at];
                    }
                }
            }
        }
        [0, 1, 2].map(|axis| p[axis] + self.amplitude_mm * shift[axis])
    }
}

/// Weights, derivatives and lattice positions of a quadratic B-spline along one axis.
struct Taps {
    index: [usize; 3],
    weight: [f32; 3],
    slope: [f32; 3],
}

impl Taps {
    #[inline]
    fn at(u: f32) -> Self {
        let base = (u + 0.5).floor();
        let f = u - base;
        let nearest = base as i32 as usize;
        Self {
            index: [nearest.wrapping_sub(1), nearest, nearest.wrapping_add(1)].map(|i| i & (EDGE - 1)),
            weight: [0.5 * (0.5 - f) * (0.5 - f), 0.75 - f * f, 0.5 * (0.5 + f) * (0.5 + f)],
            slope: [f - 0.5, -2.0 * f, f + 0.5],
        }
    }
}

fn white(seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    // The sum of four uniforms is normal enough for a field that is averaged over 27 values.
    (0..EDGE * EDGE * EDGE)
        .map(|_| (0..4).map(|shift| ((random.next() >> (16 * shift)) & 0xFFFF) as f32 / 65_536.0 - 0.5).sum())
        .collect()
}

/// Mean over the 3 x 3 x 3 neighbourhood, periodic.
fn box_blur(values: &[f32]) -> Vec<f32> {
    let mut current = values.to_vec();
    for stride in [1, EDGE, EDGE * EDGE] {
        let previous = current.clone();
        for (at, value) in current.iter_mut().enumerate() {
            let along = (at / stride) % EDGE;
            let before = at - along * stride + ((along + EDGE - 1) % EDGE) * stride;
            let after = at - along * stride + ((along + 1) % EDGE) * stride;
            *value = (previous[before] + previous[at] + previous[after]) / 3.0;
        }
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_slope_of_the_value() {
        let field = Field::band_pass(11, 6.0);
        for p in [[3.0, -41.0, 7.7], [0.1, 0.2, 0.3], [-70.0, 33.0, 95.0]] {
            let (_, gradient) = field.value_and_gradient(p);
            for axis in 0..3 {
                let (mut ahead, mut behind) = (p, p);
                ahead[axis] += 0.05;
                behind[axis] -= 0.05;
                let slope = (field.value(ahead) - field.value(behind)) / 0.1;
                assert!((slope - gradient[axis]).abs() < 5e-3, "{slope} {gradient:?}");
            }
        }
    }

    #[test]
    fn a_field_repeats_after_its_period() {
        let field = Field::low_pass(2, 2.0);
        let there = field.value([5.0 + 64.0, -9.0 - 64.0, 1.0]);
        assert!((field.value([5.0, -9.0, 1.0]) - there).abs() < 1e-4);
    }
}
