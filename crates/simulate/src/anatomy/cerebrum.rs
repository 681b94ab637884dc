//! Hemispheres: hull, fissures, folded cortex and the white matter under it.
//!
//! Sulci are sheets that cut into the hull: the zero sets of band-limited random fields that hardly
//! change along the radius, so that the sheets stand on the surface. A sheet is open down to a
//! depth that varies over the surface. Cortex is whatever lies within its thickness of the
//! hull, a fissure or a sulcus.

use super::Anatomy;
use crate::noise::Field;
use crate::shapes::{
    Point, cone, cover, cover_sheet, dot, ellipsoid, length, smooth_intersection, smooth_step, smooth_union,
};
use crate::tissue::{Mixture, Tissue};

/// Middle of a hemisphere: sulci radiate from here.
const CENTRE: Point = [24.0, -17.0, 12.0];
/// Half axes of a hemisphere around [`CENTRE`].
const HALF_AXES: Point = [44.0, 87.0, 60.0];

/// How far sulci wander: mm of shift for each unit a mm that the depth field changes.
const MEANDER_MM2: f32 = 28.0;

/// Distance to the outer surface of the cerebrum (fissures closed), `m` mirrored to `x >= 0`.
pub(super) fn hull(m: Point) -> f32 {
    // The forehead is narrower than the parietal eminences.
    let lean = (m[1] + 30.0) / 100.0;
    let widening = 1.0 - lean * lean * if lean > 0.0 { 0.10 } else { 0.05 };
    let body_point = [m[0] / widening, m[1], m[2]];
    let body = ellipsoid(body_point, [0.0, -17.0, 15.0], [68.5, 88.0, 62.0]);
    let body = smooth_intersection(body, floor(m), 14.0);
    let temporal = cone(m, ([37.0, 13.0, -27.0], 15.5), ([45.0, -42.0, -14.0], 20.0));
    let medial = cone(m, ([24.0, -1.0, -23.0], 9.5), ([25.0, -36.0, -13.0], 10.0));
    smooth_union(body, smooth_union(temporal, medial, 7.0), 9.0)
}

/// Distance above the underside: orbital surface in front, tentorium behind.
fn floor(m: Point) -> f32 {
    let tentorium = -9.0 - 0.30 * m[0].min(50.0);
    let orbital = -23.0 + 0.12 * (m[0] - 20.0).abs();
    let back = 1.0 - smooth_step(-52.0, -14.0, m[1]);
    (orbital + back * (tentorium - orbital)) - m[2]
}

/// A sheet of fluid: distance to its middle and half its width.
#[derive(Clone, Copy)]
struct Sheet {
    distance: f32,
    half_width: f32,
}

impl Sheet {
    fn nearer(self, other: Self) -> Self {
        if other.distance - other.half_width < self.distance - self.half_width { other } else { self }
    }
}

impl Anatomy<'_> {
    /// Adds cortex and white matter at mirrored `m`, `depth` mm below the hull.
    pub(super) fn cerebrum(&self, m: Point, right: bool, depth: f32, h: f32, mixture: &mut Mixture) {
        let thickness = self.atrophy.cortex_mm as f32;
        let half_width = self.atrophy.sulcus_half_width_mm as f32;
        let callosum = callosum_depth(m);
        let midline =
            Sheet { distance: length([m[0], callosum.max(0.0), 0.0]), half_width: 0.55 + 0.6 * half_width };
        let wobble = self.pattern.depth.value([m[0] * 0.8, m[1] * 1.2, m[2] * 1.2]);
        let sylvian = sylvian(m, wobble, half_width);
        let mut nearest = midline.nearer(sylvian);
        let surface = depth.min(m[0] + 3.0 + 3.0 * (callosum + 5.0).max(0.0));
        if surface < 24.0 {
            nearest = nearest.nearer(self.sulci(m, right, surface, half_width));
        }
        let thickness = thickness * (1.0 + 0.1 * smooth_step(20.0, 60.0, (m[1] + 20.0).abs()));
        let inside = cover(-depth, h);
        let fluid = cover_sheet(nearest.distance, nearest.half_width, h);
        let not_white =
            cover(depth - thickness, h).max(cover_sheet(nearest.distance, nearest.half_width + thickness, h));
        let white = (1.0 - not_white) * inside;
        let brain = inside * (1.0 - fluid);
        // Commissural fibres cross the midline under the callosal surface.
        let bridge = cover(callosum_body(m, callosum), h) * brain;
        mixture.over(Tissue::Cortex, brain);
        let white_share = if brain > 1e-6 { (white / brain).min(1.0) } else { 0.0 };
        mixture.over(Tissue::White, white_share * brain);
        mixture.over(Tissue::White, bridge);
    }

    fn sulci(&self, m: Point, right: bool, surface: f32, half_width: f32) -> Sheet {
        let (q, stretch, radial) = project(m, right);
        let (variation, slope) = self.pattern.depth.value_and_gradient(q);
        let q = [0, 1, 2].map(|axis| q[axis] + MEANDER_MM2 * slope[axis]);
        let protect = (super::deep::hippocampus_axis(m) - 9.0).max(-4.0);
        let primary_depth = (15.0 + 4.0 * variation).clamp(6.0, 21.0).min(protect);
        let secondary_depth = (9.0 - 4.5 * variation).min(14.0).min(protect);
        let taper =
            |depth: f32| half_width * (0.55 + 0.75 * (1.0 - surface / depth.max(3.0)).clamp(0.0, 1.0));
        let primary = Sheet {
            distance: fold_distance(&self.pattern.primary, q, stretch, radial, 0.15)
                .hypot((surface - primary_depth).max(0.0)),
            half_width: taper(primary_depth) * 1.15,
        };
        if secondary_depth <= -3.0 {
            return primary;
        }
        let secondary = Sheet {
            distance: fold_distance(&self.pattern.secondary, q, stretch, radial, 0.2)
                .hypot((surface - secondary_depth).max(0.0)),
            half_width: taper(secondary_depth) * 0.85,
        };
        primary.nearer(secondary)
    }
}

/// Distance from `q` to the nearest zero of `field`, in mm before the stretch.
fn fold_distance(field: &Field, q: Point, stretch: f32, radial: Point, wave_number: f32) -> f32 {
    let (value, gradient) = field.value_and_gradient(q);
    let along = 0.6 * dot(gradient, radial);
    let tangential = [0, 1, 2].map(|axis| gradient[axis] - along * radial[axis]);
    let distance = value.abs() / (length(tangential) * stretch).max(1e-3);
    // A first-order distance grows too fast away from the zero of a wave.
    distance / (1.0 + 0.25 * (distance * wave_number).powi(2).min(4.0))
}

/// Moves `m` most of the way to a shell of constant radius: folds then stand on the surface.
/// Returns the point, the tangential stretch and the radial direction.
fn project(m: Point, right: bool) -> (Point, f32, Point) {
    let v = [0, 1, 2].map(|axis| m[axis] - CENTRE[axis]);
    let radius = length([v[0] / HALF_AXES[0], v[1] / HALF_AXES[1], v[2] / HALF_AXES[2]]).max(0.15);
    let stretch = 0.4 + 0.6 / radius;
    let norm = length(v).max(1e-3);
    // The two sides resemble each other without being mirror images.
    let shift = if right { 0.0 } else { 7.0 };
    let q = [0, 1, 2].map(|axis| v[axis] * stretch + shift);
    (q, stretch, v.map(|c| c / norm))
}

/// How far `m` lies below the upper surface of the corpus callosum, seen from the side (mm;
/// negative above it and before or behind it, where the two hemispheres are apart).
fn callosum_depth(m: Point) -> f32 {
    -ellipsoid([0.0, m[1], m[2]], [0.0, -8.0, -4.0], [60.0, 38.0, 31.0])
}

/// Distance to the corpus callosum: an arc seen from the side, 5 to 7 mm thick.
fn callosum_body(m: Point, depth: f32) -> f32 {
    let middle = 3.4;
    let ring = (depth - middle).abs() - 3.0;
    // Only the upper arc, from rostrum to splenium.
    let arc = ring.max(2.0 - m[2] - 0.1 * m[1].abs());
    arc.max(m[0] - 16.0)
}

/// The lateral fissure with the insula at its bottom.
fn sylvian(m: Point, wobble: f32, half_width: f32) -> Sheet {
    let back = (26.0 - m[1]) / 70.0;
    let rise = 14.0 * back + 15.0 * back * back + 0.2 * (50.0 - m[0]);
    let height = (m[2] - (-14.0 + rise) - 3.0 * wobble) * 0.88;
    let insula_x = 37.5 + 1.3 * wobble - 0.004 * (m[1] + 4.0).powi(2) + 0.02 * (height - 5.0).powi(2);
    // Behind the insula the fissure grows shallow and ends.
    let bottom_x = insula_x.max(36.0) + 0.016 * (-24.0 - m[1]).max(0.0).powi(2);
    let along = m[1] + 8.0;
    let lateral = length([(bottom_x - m[0]).max(0.0), height, (along.abs() - 36.0).max(0.0)]);
    let insula = length([
        m[0] - insula_x,
        ((height - 5.0).abs() - 11.0).max(0.0),
        ((m[1] + 2.0).abs() - 24.0).max(0.0),
    ]);
    if lateral < insula {
        let opening = smooth_step(insula_x, 62.0, m[0]);
        Sheet { distance: lateral, half_width: half_width * (1.3 + 1.2 * opening) }
    } else {
        Sheet { distance: insula, half_width: half_width * 1.3 }
    }
}
