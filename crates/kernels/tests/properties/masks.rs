//! Components, holes, distances and order statistics against plain ones, at the edges of words and lines.

use brainreel_kernels::{fill_holes, largest_component, otsu_threshold, percentiles, squared_distance};
use proptest::prelude::*;

use crate::plain::places;
use crate::support::{EDGES, random, random_f64};

/// A mask with the first axis fastest, as `[z, y, x]` of [`places`].
fn random_mask(dims: [usize; 3], share: f32, seed: u64) -> Vec<bool> {
    random(dims.iter().product(), seed).into_iter().map(|x| 0.5 * (x + 1.0) < share).collect()
}

/// The neighbours of voxel `at` by faces.
fn neighbours(at: usize, [nx, ny, nz]: [usize; 3]) -> impl Iterator<Item = usize> {
    let (x, y, z) = (at % nx, at / nx % ny, at / nx / ny);
    let near = [
        (x > 0).then(|| at - 1),
        (x + 1 < nx).then(|| at + 1),
        (y > 0).then(|| at - nx),
        (y + 1 < ny).then(|| at + nx),
        (z > 0).then(|| at - nx * ny),
        (z + 1 < nz).then(|| at + nx * ny),
    ];
    near.into_iter().flatten()
}

/// The smallest number among those of a voxel's component, for every voxel where `mask` is `wanted`: labels that
/// are passed on between neighbours until nothing changes.
fn labels(mask: &[bool], dims: [usize; 3], wanted: bool) -> Vec<Option<usize>> {
    let mut labels: Vec<Option<usize>> =
        mask.iter().enumerate().map(|(i, &m)| (m == wanted).then_some(i)).collect();
    let mut changed = true;
    while changed {
        changed = false;
        let forwards = 0..mask.len();
        for at in forwards.clone().chain(forwards.rev()) {
            let Some(own) = labels[at] else { continue };
            let least = neighbours(at, dims).filter_map(|other| labels[other]).min().unwrap_or(own);
            if least < own {
                labels[at] = Some(least);
                changed = true;
            }
        }
    }
    labels
}

fn check_components(mask: &[bool], dims: [usize; 3]) {
    let of_mask = labels(mask, dims, true);
    let mut sizes = vec![0_usize; mask.len()];
    of_mask.iter().flatten().for_each(|&label| sizes[label] += 1);
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let first = sizes.iter().position(|&size| size == largest && size > 0);
    let expected: Vec<bool> = of_mask.iter().map(|label| label.is_some() && *label == first).collect();
    assert_eq!(largest_component(mask, dims), expected, "largest component of {dims:?}");

    let background = labels(mask, dims, false);
    let mut open = vec![false; mask.len()];
    for (at, label) in background.iter().enumerate() {
        let inside = neighbours(at, dims).count() == 6;
        if let (Some(label), false) = (label, inside) {
            open[*label] = true;
        }
    }
    let expected: Vec<bool> = background.iter().map(|label| label.is_none_or(|label| !open[label])).collect();
    assert_eq!(fill_holes(mask, dims), expected, "holes of {dims:?}");
}

#[test]
fn components_at_edge_sizes() {
    for n in EDGES {
        for dims in [[n, 5, 4], [4, n, 3], [3, 4, n]] {
            for share in [0.2, 0.5, 0.8] {
                check_components(&random_mask(dims, share, n as u64), dims);
            }
        }
    }
    check_components(&[], [0, 3, 2]);
}

/// A spiral along one axis: a component whose runs meet only at the far end.
#[test]
fn a_component_that_winds() {
    let dims = [17, 9, 1];
    let mask: Vec<bool> = (0..17 * 9)
        .map(|i| {
            let (x, y) = (i % 17, i / 17);
            y % 2 == 0 || if y % 4 == 1 { x == 16 } else { x == 0 }
        })
        .collect();
    assert_eq!(largest_component(&mask, dims), mask);
    check_components(&mask, dims);
}

/// The nearest of all voxels of the mask.
fn check_distance(mask: &[bool], dims: [usize; 3], spacing: [f64; 3]) {
    let [nx, ny, nz] = dims;
    let members: Vec<[usize; 3]> =
        places([nz, ny, nx]).zip(mask).filter(|(_, m)| **m).map(|(at, _)| at).collect();
    let got = squared_distance(mask, dims, spacing);
    assert_eq!(got.len(), mask.len());
    for ([z, y, x], got) in places([nz, ny, nx]).zip(got) {
        let to = |other: &[usize; 3]| {
            let steps = [x.abs_diff(other[2]), y.abs_diff(other[1]), z.abs_diff(other[0])];
            (0..3).map(|axis| (steps[axis] as f64 * spacing[axis]).powi(2)).sum::<f64>()
        };
        let expected = members.iter().map(to).fold(f64::INFINITY, f64::min);
        if members.is_empty() {
            assert!(got.is_infinite() && got > 0.0, "no mask, no distance");
        } else {
            // Rounded to f32 after every axis.
            let error = (f64::from(got) - expected).abs();
            assert!(
                error <= 2e-7 * expected,
                "{dims:?}, {spacing:?}: {got} at {x} {y} {z}, expected {expected}"
            );
        }
    }
}

#[test]
fn distances_at_edge_sizes_and_uneven_spacings() {
    for n in EDGES {
        for (dims, spacing) in
            [([n, 3, 2], [1.0; 3]), ([4, n, 3], [0.9375, 1.2, 0.9375]), ([2, 3, n], [3.0, 0.4, 1.1])]
        {
            check_distance(&random_mask(dims, 0.05, n as u64), dims, spacing);
            let mut one = vec![false; dims.iter().product()];
            one[n / 2] = true;
            check_distance(&one, dims, spacing);
        }
    }
    check_distance(&[false; 12], [2, 3, 2], [1.0; 3]);
    check_distance(&[], [0, 2, 2], [1.0; 3]);
}

proptest! {
    #[test]
    fn percentiles_are_those_of_a_sorted_list(
        mut values in prop::collection::vec(-100.0_f32..100.0, 1..80),
        mut percents in prop::collection::vec(0.0_f64..=100.0, 1..6),
    ) {
        percents.sort_by(f64::total_cmp);
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        let got = percentiles(&mut values, &percents);
        for (percent, got) in percents.iter().zip(got) {
            let position = percent / 100.0 * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
            let expected = f64::from(low) + (f64::from(high) - f64::from(low)) * position.fract();
            prop_assert!((got - expected).abs() < 1e-9, "{}: {} {}", percent, got, expected);
        }
        values.sort_by(f32::total_cmp);
        prop_assert_eq!(values, sorted, "the values are reordered, nothing else");
    }

    /// No other edge of a bin separates the values better.
    #[test]
    fn no_threshold_is_better_than_otsus(n in 2_usize..200, seed in 1_u64..1000, gap in 0.0_f64..3.0) {
        let values: Vec<f32> = random_f64(n, seed)
            .iter()
            .enumerate()
            .map(|(i, x)| (x + if i % 3 == 0 { gap } else { 0.0 }) as f32)
            .collect();
        let (low, high) = (-1.0, 1.0 + gap);
        let width = (high - low) / 256.0;
        // Values count as the middle of their bin.
        let bins: Vec<f64> =
            values.iter().map(|&v| ((f64::from(v) - low) / width).clamp(0.0, 255.0).floor()).collect();
        let between = |edge: f64| {
            let side = |below: bool| {
                let of_side: Vec<f64> = bins.iter().copied().filter(|bin| (*bin < edge) == below).collect();
                (of_side.len() as f64, of_side.iter().sum::<f64>() / of_side.len().max(1) as f64)
            };
            let ((n_below, mean_below), (n_above, mean_above)) = (side(true), side(false));
            n_below * n_above * (mean_below - mean_above).powi(2)
        };
        let threshold = otsu_threshold(&values, low, high);
        let got = between(((threshold - low) / width).round());
        let best = (1..256).map(|edge| between(f64::from(edge))).fold(0.0, f64::max);
        prop_assert!(got >= best * (1.0 - 1e-9), "{}: {} of {}", threshold, got, best);
    }
}
