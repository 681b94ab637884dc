//! Splines, resampling and lattices against their definitions.

use brainreel_kernels::{
    AxisPlan, LatticeAxis, LatticeGrid, Outside, PointMap, prefilter, refine_lattice, resample_mapped,
    resample_separable, sample_reference, spline_coefficients,
};
use brainreel_testkit::{Tolerance, assert_close};
use proptest::prelude::*;

use crate::plain::places;
use crate::support::{EDGES, assert_threads_do_not_matter, random, random_f64, widen};

/// The cubic B-spline around 0.
fn basis(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => 2.0 / 3.0 - x * x + 0.5 * x * x * x,
        x if x < 2.0 => (2.0 - x).powi(3) / 6.0,
        _ => 0.0,
    }
}

/// Sample `i` of the mirrored line.
fn mirrored(i: i64, n: usize) -> usize {
    let last = n as i64 - 1;
    let (mut i, mut left) = (i, 0);
    while i < 0 || i > last {
        i = if i < 0 { -i } else { 2 * last - i };
        left += 1;
        assert!(left < 1000, "a line of one sample mirrors onto itself");
    }
    i as usize
}

/// The spline at `x`, from all coefficients that reach it.
fn spline_at(coefficients: &[f64], x: f64) -> f64 {
    if coefficients.len() == 1 {
        return coefficients[0];
    }
    let around = x.floor() as i64 - 2..=x.floor() as i64 + 3;
    around.map(|i| basis(x - i as f64) * coefficients[mirrored(i, coefficients.len())]).sum()
}

/// Coefficients that reproduce the samples, by elimination in the tridiagonal system `(c[i-1] + 4 c[i] + c[i+1]) / 6`.
fn solve(samples: &[f64]) -> Vec<f64> {
    let n = samples.len();
    if n == 1 {
        return samples.to_vec();
    }
    // Mirroring doubles the only neighbour of the end samples.
    let upper = |i: usize| if i == 0 { 2.0 } else { 1.0 };
    let lower = |i: usize| if i == n - 1 { 2.0 } else { 1.0 };
    let (mut ratio, mut value) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        let (before, known) =
            if i == 0 { (0.0, 0.0) } else { (lower(i) * ratio[i - 1], lower(i) * value[i - 1]) };
        let pivot = 4.0 - before;
        ratio[i] = upper(i) / pivot;
        value[i] = (6.0 * samples[i] - known) / pivot;
    }
    for i in (0..n - 1).rev() {
        value[i] -= ratio[i] * value[i + 1];
    }
    value
}

#[test]
fn coefficients_solve_the_tridiagonal_system() {
    for n in EDGES.into_iter().chain([4, 5, 34, 128, 1000]) {
        let samples = random_f64(n, n as u64);
        let mut coefficients = samples.clone();
        prefilter(&mut coefficients);
        assert_close(&coefficients, &solve(&samples), Tolerance::relative(1e-13));
    }
}

proptest! {
    #[test]
    fn samples_are_sums_of_basis_functions(n in 1_usize..40, seed in 1_u64..99, x in -90.0_f64..130.0) {
        let coefficients = random_f64(n, seed);
        let got = sample_reference(&coefficients, x, Outside::Mirror);
        prop_assert!((got - spline_at(&coefficients, x)).abs() < 1e-11, "{} of {}", x, n);
        let zero = sample_reference(&coefficients, x, Outside::Zero);
        let inside = (-1e-4..=(n - 1) as f64 + 1e-4).contains(&x);
        let expected = if inside { got } else { 0.0 };
        // The edge tolerance moves a coordinate by at most 1e-4 voxels.
        prop_assert!((zero - expected).abs() < 1e-3, "{} of {}: {} {}", x, n, zero, expected);
    }
}

/// What one axis becomes, in the words of the test.
#[derive(Debug, Clone)]
enum Axis {
    Keep(usize),
    Sample(usize, Vec<f64>, Outside),
}

impl Axis {
    fn plan(&self) -> AxisPlan {
        match self {
            Self::Keep(n) => AxisPlan::keep(*n),
            Self::Sample(n, coordinates, outside) => AxisPlan::sample(*n, coordinates.clone(), *outside),
        }
    }

    fn n_in(&self) -> usize {
        match self {
            Self::Keep(n) | Self::Sample(n, ..) => *n,
        }
    }

    fn line(&self, samples: &[f64]) -> Vec<f64> {
        let Self::Sample(n, coordinates, outside) = self else { return samples.to_vec() };
        let coefficients = solve(samples);
        let inside = |x: f64| (0.0..=(n - 1) as f64).contains(&x);
        coordinates
            .iter()
            .map(
                |&x| if *outside == Outside::Mirror || inside(x) { spline_at(&coefficients, x) } else { 0.0 },
            )
            .collect()
    }
}

/// Every axis in turn, a line at a time, all in double precision.
fn resample_plainly(data: &[f32], axes: &[Axis; 3]) -> Vec<f64> {
    let mut dims = axes.each_ref().map(Axis::n_in);
    let mut data = widen(data);
    for (axis, what) in axes.iter().enumerate() {
        let stride: usize = dims[..axis].iter().product();
        let mut lines = Vec::new();
        for start in 0..data.len() / dims[axis] {
            let (inner, outer) = (start % stride, start / stride);
            let first = inner + outer * stride * dims[axis];
            lines.push(what.line(&(0..dims[axis]).map(|i| data[first + i * stride]).collect::<Vec<f64>>()));
        }
        let n_out = lines[0].len();
        let mut out = vec![0.0; lines.len() * n_out];
        for (start, line) in lines.iter().enumerate() {
            let (inner, outer) = (start % stride, start / stride);
            for (i, value) in line.iter().enumerate() {
                out[inner + (outer * n_out + i) * stride] = *value;
            }
        }
        dims[axis] = n_out;
        data = out;
    }
    data
}

fn check_separable(data: &[f32], axes: &[Axis; 3]) {
    let got = resample_separable(data, &axes.each_ref().map(Axis::plan));
    // Rounded to f32 after every axis; the filter may grow a rounding sixfold.
    assert_close(&got, &resample_plainly(data, axes), Tolerance::relative(2e-6));
}

fn places_along(n_out: usize, n: usize, seed: u64) -> Vec<f64> {
    // Well inside, or clearly outside: the edge tolerance of 1e-4 voxels is another test's.
    random_f64(n_out, seed).iter().map(|x| ((0.5 + 0.7 * x) * n as f64 * 64.0).round() / 64.0).collect()
}

#[test]
fn resampling_at_edge_sizes() {
    for n in EDGES {
        for (axis, outside) in [(0, Outside::Zero), (1, Outside::Mirror), (2, Outside::Zero)] {
            let mut axes = [
                Axis::Sample(3, vec![0.0, 1.5, 1.75, -4.0], Outside::Mirror),
                Axis::Keep(2),
                Axis::Sample(4, vec![3.0, 0.25], Outside::Zero),
            ];
            axes[axis] = Axis::Sample(n, places_along(n + 2, n, n as u64), outside);
            check_separable(&random(axes.iter().map(Axis::n_in).product(), 3), &axes);
            axes[axis] = Axis::Keep(n);
            check_separable(&random(axes.iter().map(Axis::n_in).product(), 4), &axes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_resampling(
        dims in prop::array::uniform3(1_usize..20),
        out in prop::array::uniform3(1_usize..20),
        keep in prop::array::uniform3(prop::bool::weighted(0.2)),
        mirror in prop::array::uniform3(prop::bool::ANY),
    ) {
        let axes = [0, 1, 2].map(|axis| {
            let outside = if mirror[axis] { Outside::Mirror } else { Outside::Zero };
            let places = places_along(out[axis], dims[axis], 7 + axis as u64);
            if keep[axis] { Axis::Keep(dims[axis]) } else { Axis::Sample(dims[axis], places, outside) }
        });
        check_separable(&random(dims.iter().product(), 5), &axes);
    }

    /// Rotation, shear, scale: all 64 coefficients of every voxel.
    #[test]
    fn any_affine_map(
        dims in prop::array::uniform3(1_usize..8),
        out_dims in prop::array::uniform3(1_usize..8),
        seed in 1_u64..999,
        mirror in prop::bool::ANY,
    ) {
        let numbers = random_f64(12, seed);
        let map: PointMap = [0, 1, 2].map(|row| {
            [0, 1, 2, 3].map(|column| numbers[4 * row + column] * if column == 3 { 6.0 } else { 1.0 })
        });
        let data = random(dims.iter().product(), seed + 1);
        let outside = if mirror { Outside::Mirror } else { Outside::Zero };
        let coefficients = widen(&spline_coefficients(&data, dims));
        let got = resample_mapped(&data, dims, &map, out_dims, outside);
        for (i, got) in got.into_iter().enumerate() {
            let voxel = [i % out_dims[0], i / out_dims[0] % out_dims[1], i / out_dims[0] / out_dims[1], 1];
            let point = map.map(|row| row.iter().zip(voxel).map(|(a, b)| a * b as f64).sum::<f64>());
            let edge = (0..3).any(|axis| {
                let last = (dims[axis] - 1) as f64;
                point[axis].abs() < 2e-4 || (point[axis] - last).abs() < 2e-4
            });
            let inside = (0..3).all(|axis| (0.0..=(dims[axis] - 1) as f64).contains(&point[axis]));
            let expected = if mirror || inside { spline_in_space(&coefficients, dims, point) } else { 0.0 };
            prop_assert!(edge || (f64::from(got) - expected).abs() < 1e-5, "{} at {:?}, {}", got, point, expected);
        }
    }
}

fn spline_in_space(coefficients: &[f64], [nx, ny, nz]: [usize; 3], [x, y, z]: [f64; 3]) -> f64 {
    let rows: Vec<f64> = coefficients.chunks_exact(nx).map(|row| spline_at(row, x)).collect();
    let planes: Vec<f64> = rows.chunks_exact(ny).map(|row| spline_at(row, y)).collect();
    assert_eq!(planes.len(), nz);
    spline_at(&planes, z)
}

/// The spline over a lattice at a place in spans, from all its control points.
fn lattice_at(control: &[f64], n_control: [usize; 3], place: [f64; 3]) -> f64 {
    let [nx, ny, nz] = n_control;
    places([nz, ny, nx])
        .zip(control)
        .map(|([z, y, x], value)| {
            // Control point 1 lies at the start of the domain.
            let weight = |at: f64, i: usize| basis(at - (i as f64 - 1.0));
            value * weight(place[0], x) * weight(place[1], y) * weight(place[2], z)
        })
        .sum()
}

fn lattice(n_spans: [usize; 3], n_samples: [usize; 3]) -> (LatticeGrid, [Vec<f64>; 3]) {
    let coordinates = [0, 1, 2].map(|axis| {
        let step = n_spans[axis] as f64 / n_samples[axis] as f64;
        (0..n_samples[axis]).map(|i| (i as f64 + 0.37) * step).collect::<Vec<f64>>()
    });
    let axis = |axis: usize| LatticeAxis::new(n_spans[axis], &coordinates[axis]);
    (LatticeGrid::new([axis(0), axis(1), axis(2)]), coordinates)
}

/// Every sample of a grid.
fn expand(grid: &LatticeGrid, control: &[f64]) -> Vec<f32> {
    let [nx, ny, nz] = grid.n_samples();
    let mut values = vec![f32::NAN; nx * ny * nz];
    let planes = values.chunks_exact_mut(nx * ny).enumerate();
    planes.for_each(|(k, plane)| grid.expand_plane(control, k, plane));
    values
}

#[test]
fn lattices_at_edge_sizes() {
    for n in EDGES {
        for (n_spans, n_samples) in [([1, 2, 1], [n, 3, 2]), ([3, 1, 2], [2, n, 4]), ([2, 3, 5], [3, 4, n])] {
            let (grid, coordinates) = lattice(n_spans, n_samples);
            assert_eq!(grid.n_control(), n_spans.map(|n| n + 3));
            let control = random_f64(grid.n_control().iter().product(), n as u64);
            let [nx, ny, nz] = n_samples;
            let expected: Vec<f64> = places([nz, ny, nx])
                .map(|[z, y, x]| [coordinates[0][x], coordinates[1][y], coordinates[2][z]])
                .map(|place| lattice_at(&control, grid.n_control(), place))
                .collect();
            assert_close(&expand(&grid, &control), &expected, Tolerance::absolute(2e-7));

            // The sums are the transpose of the values.
            let samples = random_f64(nx * ny * nz, 77);
            let sums = grid.contract(|offset, row| row.copy_from_slice(&samples[offset..][..row.len()]));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (left, right) = (dot(&expected, &samples), dot(&control, &sums));
            assert!((left - right).abs() < 1e-10, "{n_spans:?}, {n_samples:?}: {left} {right}");

            // Twice as many spans, the same spline.
            let (fine, _) = lattice(n_spans.map(|n| 2 * n), n_samples);
            let refined = refine_lattice(&control, grid.n_control());
            assert_eq!(refined.len(), fine.n_control().iter().product::<usize>());
            assert_close(&expand(&fine, &refined), &expected, Tolerance::absolute(2e-7));
        }
    }
}

/// Sums of powers of the weights, as the approximation of Lee 1997 needs them.
#[test]
fn powers_of_lattice_weights() {
    let (grid, coordinates) = lattice([2, 1, 3], [5, 4, 3]);
    let ones = |_: usize, row: &mut [f64]| row.fill(1.0);
    let (squares, cubes) = (grid.squared().contract(ones), grid.cubed_over_squares().contract(ones));
    let [nx, ny, nz] = grid.n_control();
    let near = |axis: usize, i: usize| coordinates[axis].iter().map(move |at| basis(at - (i as f64 - 1.0)));
    let of_axis = |axis: usize, i: usize| near(axis, i).map(|w| w * w).sum::<f64>();
    let of_cubes = |axis: usize, i: usize| {
        let squares =
            |at: f64| (0..grid.n_control()[axis]).map(|j| basis(at - (j as f64 - 1.0)).powi(2)).sum::<f64>();
        near(axis, i).zip(&coordinates[axis]).map(|(w, at)| w.powi(3) / squares(*at)).sum::<f64>()
    };
    let product = |f: &dyn Fn(usize, usize) -> f64| {
        places([nz, ny, nx]).map(|[z, y, x]| f(0, x) * f(1, y) * f(2, z)).collect::<Vec<f64>>()
    };
    assert_close(&squares, &product(&of_axis), Tolerance::relative(1e-12));
    assert_close(&cubes, &product(&of_cubes), Tolerance::relative(1e-12));
}

#[test]
fn threads_do_not_matter_to_resampling() {
    let data = random(21 * 18 * 17, 6);
    let map = [[0.8, 0.1, 0.0, -0.5], [-0.1, 0.7, 0.2, 1.0], [0.0, -0.2, 0.9, 2.0]];
    assert_threads_do_not_matter("resample_mapped", || {
        resample_mapped(&data, [21, 18, 17], &map, [16, 15, 19], Outside::Mirror)
    });
}
