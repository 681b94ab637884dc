//! Aligns two heads by their coarse structure.

use brainreel_volume::Affine;

use crate::coarse::Coarse;

/// Number of sample points in the reference.
const MOST_PLACES: usize = 6_000;
/// Smallest number of sample points in both heads for an alignment.
const FEWEST_PLACES: usize = 200;
/// Steps of the search, mm.
const STEPS_MM: [f64; 4] = [6.0, 3.0, 1.5, 0.75];
const MOST_MOVES: usize = 12;
/// Smallest structural correlation for which the noise is compared.
const LEAST_CORRELATION: f64 = 0.3;
/// Largest number of returned alignments.
const MOST_ALIGNMENTS: usize = 2;

/// Alignment of the reference with the other image.
#[derive(Debug, Clone)]
pub(super) struct Alignment {
    /// Maps world millimetres of the reference to those of the other image.
    pub(super) transform: Affine,
    /// Correlation of the band-passed heads.
    pub(super) correlation: f64,
    /// Left and right are swapped.
    pub(super) mirrored: bool,
    /// Centre of the common head region, in world millimetres of the reference.
    pub(super) centre_mm: [f64; 3],
}

/// The best alignments without rotation, best first. Starting points: scanner coordinates, the centres of the
/// heads, and the centres of the fields of view; the last two also mirrored.
pub(super) fn align(reference: &Coarse, other: &Coarse) -> Vec<Alignment> {
    let places = places(reference);
    let mut found: Vec<Alignment> = hypotheses(reference, other)
        .into_iter()
        .filter_map(|(start, mirrored)| climb(other, &places, start, mirrored))
        .filter(|alignment| alignment.correlation >= LEAST_CORRELATION)
        .collect();
    found.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
    let mut kept: Vec<Alignment> = Vec::new();
    for alignment in found {
        if kept.len() < MOST_ALIGNMENTS && !kept.iter().any(|k| is_near(k, &alignment)) {
            kept.push(alignment);
        }
    }
    kept
}

/// Whether two alignments map the centre to within one millimetre of each other, with the same handedness.
fn is_near(a: &Alignment, b: &Alignment) -> bool {
    let [p, q] = [a, b].map(|alignment| alignment.transform.apply(a.centre_mm));
    a.mirrored == b.mirrored && (0..3).all(|axis| (p[axis] - q[axis]).abs() < 1.0)
}

fn hypotheses(reference: &Coarse, other: &Coarse) -> Vec<(Affine, bool)> {
    let mut found = vec![(Affine::IDENTITY, false)];
    let middle = |coarse: &Coarse| coarse.image.dims().map(|n| 0.5 * (n - 1) as f64);
    let anchors = [(reference.centre, other.centre), (middle(reference), middle(other))];
    for (from, to) in anchors {
        for mirrored in [false, true] {
            found.extend(by_grids(reference, other, from, to, mirrored).map(|start| (start, mirrored)));
        }
    }
    found
}

/// Aligns the axes of the grids so that voxel `from` maps to voxel `to`.
fn by_grids(
    reference: &Coarse,
    other: &Coarse,
    from: [f64; 3],
    to: [f64; 3],
    mirrored: bool,
) -> Option<Affine> {
    let ratio = [0, 1, 2].map(|axis| {
        let [a, b] = [reference, other].map(|coarse| coarse.affine().spacing_mm()[axis]);
        if mirrored && axis == 0 { -a / b } else { a / b }
    });
    let scaled = Affine::translation_by(to)
        .compose(&Affine::from_diagonal(ratio))
        .compose(&Affine::translation_by(from.map(|x| -x)));
    let back = reference.affine().inverse().ok()?;
    Some(other.affine().compose(&scaled).compose(&back))
}

/// A point of the reference in world millimetres, with its band-passed value.
struct Place {
    mm: [f64; 3],
    band: f64,
}

fn places(reference: &Coarse) -> Vec<Place> {
    let [nx, ny, _] = reference.image.dims();
    let head: Vec<usize> = reference
        .image
        .as_slice()
        .iter()
        .enumerate()
        .filter(|(_, value)| **value > reference.threshold)
        .map(|(at, _)| at)
        .collect();
    let stride = head.len().div_ceil(MOST_PLACES).max(1);
    head.iter()
        .step_by(stride)
        .map(|&at| {
            let index = [at % nx, at / nx % ny, at / (nx * ny)].map(|i| i as f64);
            Place { mm: reference.affine().apply(index), band: f64::from(reference.band[at]) }
        })
        .collect()
}

fn climb(other: &Coarse, places: &[Place], start: Affine, mirrored: bool) -> Option<Alignment> {
    let to_voxel = other.affine().inverse().ok()?;
    let shifted = |shift: [f64; 3]| Affine::translation_by(shift).compose(&start);
    let score = |shift: [f64; 3]| correlate(other, places, &to_voxel.compose(&shifted(shift)));
    let mut shift = [0.0; 3];
    let mut best = score(shift).map_or(-1.0, |overlap| overlap.correlation);
    for step in STEPS_MM {
        for _ in 0..MOST_MOVES {
            let before = shift;
            for axis in 0..3 {
                for move_mm in [-step, step] {
                    let mut tried = shift;
                    tried[axis] = before[axis] + move_mm;
                    let value = score(tried).map_or(-1.0, |overlap| overlap.correlation);
                    if value > best {
                        (shift, best) = (tried, value);
                    }
                }
            }
            if shift.iter().zip(before).all(|(a, b)| (a - b).abs() < 0.5 * step) {
                break;
            }
        }
    }
    let overlap = score(shift)?;
    Some(Alignment {
        transform: shifted(shift),
        correlation: overlap.correlation,
        mirrored,
        centre_mm: overlap.centre_mm,
    })
}

struct Overlap {
    correlation: f64,
    centre_mm: [f64; 3],
}

/// Correlation of the bands over points inside the head in both images.
fn correlate(other: &Coarse, places: &[Place], to_voxel: &Affine) -> Option<Overlap> {
    let mut sums = [0.0; 5];
    let (mut centre, mut n) = ([0.0; 3], 0_usize);
    for place in places {
        let Some([band, value]) = other.sample(to_voxel.apply(place.mm)) else { continue };
        if value <= other.threshold {
            continue;
        }
        let (x, y) = (place.band, f64::from(band));
        for (sum, term) in sums.iter_mut().zip([x, y, x * x, y * y, x * y]) {
            *sum += term;
        }
        for (sum, mm) in centre.iter_mut().zip(place.mm) {
            *sum += mm;
        }
        n += 1;
    }
    if n < FEWEST_PLACES.max(places.len() / 4) {
        return None;
    }
    let count = n as f64;
    let [x, y, xx, yy, xy] = sums.map(|sum| sum / count);
    let spread = (xx - x * x) * (yy - y * y);
    (spread > 0.0).then(|| Overlap {
        correlation: (xy - x * y) / spread.sqrt(),
        centre_mm: centre.map(|sum| sum / count),
    })
}
