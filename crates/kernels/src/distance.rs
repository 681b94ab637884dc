//! Exact Euclidean distance from a mask, axis by axis.

use rayon::prelude::*;

/// Squared distance of every voxel's centre to the nearest voxel's centre of `mask`, in the units of
/// `spacing` squared; infinite everywhere if the mask is empty.
///
/// # Panics
/// If the length of the mask does not match `dims`.
///
/// # Determinism
/// Bit-identical for any number of threads.
///
/// # Reference
/// Felzenszwalb, Huttenlocher 2012, doi:10.4086/toc.2012.v008a019.
#[must_use]
pub fn squared_distance(mask: &[bool], dims: [usize; 3], spacing: [f64; 3]) -> Vec<f32> {
    assert_eq!(mask.len(), dims.iter().product::<usize>(), "mask does not fit {dims:?}");
    let [nx, ny, nz] = dims;
    let mut squared: Vec<f32> = mask.iter().map(|&inside| if inside { 0.0 } else { f32::INFINITY }).collect();
    if squared.is_empty() {
        return squared;
    }
    squared.par_chunks_mut(nx).for_each_init(|| Envelope::new(nx), |line, row| line.along(row, spacing[0]));
    squared.par_chunks_mut(nx * ny).for_each_init(
        || (Envelope::new(ny), vec![0.0; ny]),
        |(envelope, line), plane| {
            for x in 0..nx {
                line.iter_mut().zip(plane[x..].iter().step_by(nx)).for_each(|(to, from)| *to = *from);
                envelope.along(line, spacing[1]);
                plane[x..].iter_mut().step_by(nx).zip(&*line).for_each(|(to, from)| *to = *from);
            }
        },
    );
    let plane = nx * ny;
    // One row of each plane makes a slab [z][x] of its own, so that threads share nothing.
    let slabs: Vec<Vec<f32>> = (0..ny)
        .into_par_iter()
        .map_init(
            || (Envelope::new(nz), vec![0.0; nz]),
            |(envelope, line), y| {
                let mut slab = vec![0.0; nx * nz];
                for x in 0..nx {
                    let column = squared[x + nx * y..].iter().step_by(plane);
                    line.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
                    envelope.along(line, spacing[2]);
                    slab[x..].iter_mut().step_by(nx).zip(&*line).for_each(|(to, from)| *to = *from);
                }
                slab
            },
        )
        .collect();
    for (y, slab) in slabs.iter().enumerate() {
        for (z, row) in slab.chunks_exact(nx).enumerate() {
            let start = nx * y + plane * z;
            squared[start..start + nx].copy_from_slice(row);
        }
    }
    squared
}

/// The lower envelope of parabolas on one line.
struct Envelope {
    /// Places of the parabolas that are lowest somewhere, from left to right.
    places: Vec<usize>,
    /// Where each of them begins to be the lowest, in voxels.
    begins: Vec<f64>,
    values: Vec<f32>,
}

impl Envelope {
    fn new(n: usize) -> Self {
        Self { places: Vec::with_capacity(n), begins: Vec::with_capacity(n), values: vec![0.0; n] }
    }

    /// Replaces the values by the least of value plus squared distance along the line.
    fn along(&mut self, line: &mut [f32], spacing: f64) {
        let step = spacing * spacing;
        self.values.copy_from_slice(line);
        self.places.clear();
        self.begins.clear();
        let height = |place: usize, values: &[f32]| f64::from(values[place]) / step + squared(place);
        for place in 0..line.len() {
            if self.values[place].is_infinite() {
                continue;
            }
            let mut begin = f64::NEG_INFINITY;
            while let (Some(&last), Some(&last_begin)) = (self.places.last(), self.begins.last()) {
                let rise = height(place, &self.values) - height(last, &self.values);
                begin = rise / (2.0 * as_f64(place - last));
                if begin > last_begin {
                    break;
                }
                self.places.pop();
                self.begins.pop();
                begin = f64::NEG_INFINITY;
            }
            self.places.push(place);
            self.begins.push(begin);
        }
        if self.places.is_empty() {
            return;
        }
        let mut current = 0;
        for (at, value) in line.iter_mut().enumerate() {
            while self.begins.get(current + 1).is_some_and(|&begin| begin < as_f64(at)) {
                current += 1;
            }
            let place = self.places[current];
            *value = narrow(squared(place.abs_diff(at)).mul_add(step, f64::from(self.values[place])));
        }
    }
}

fn squared(n: usize) -> f64 {
    as_f64(n) * as_f64(n)
}

#[expect(clippy::cast_precision_loss, reason = "an index along an axis")]
const fn as_f64(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_possible_truncation, reason = "distances are kept as f32")]
const fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equal_to_the_nearest_of_all(
            (dims, mask) in (1_usize..8, 1_usize..7, 1_usize..6).prop_flat_map(|(x, y, z)| {
                (Just([x, y, z]), proptest::collection::vec(proptest::bool::weighted(0.1), x * y * z))
            })
        ) {
            let spacing = [0.9, 1.3, 2.0];
            let place = |at: usize| [at % dims[0], at / dims[0] % dims[1], at / dims[0] / dims[1]];
            let found = squared_distance(&mask, dims, spacing);
            for (at, &got) in found.iter().enumerate() {
                let expected = (0..mask.len())
                    .filter(|&other| mask[other])
                    .map(|other| {
                        let (a, b) = (place(at), place(other));
                        (0..3).map(|i| squared(a[i].abs_diff(b[i])) * spacing[i] * spacing[i]).sum::<f64>()
                    })
                    .fold(f64::INFINITY, f64::min);
                let got = f64::from(got);
                prop_assert!(got.total_cmp(&expected).is_eq() || (got - expected).abs() < 1e-5 * (1.0 + expected));
            }
        }
    }

    #[test]
    fn same_bits_for_any_number_of_threads() {
        let dims = [33, 17, 21];
        let mask: Vec<bool> = (0..33 * 17 * 21).map(|i| i * 7919 % 101 == 0).collect();
        let with = |n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| squared_distance(&mask, dims, [1.0, 1.1, 1.2]))
        };
        assert_eq!(with(1), with(3));
    }
}
