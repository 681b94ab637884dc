//! Cerebellum: hull, fissures between the folia and the white matter tree.

use super::Anatomy;
use crate::shapes::{Point, cover, cover_sheet, ellipsoid, length, smooth_union};
use crate::tissue::{Mixture, Tissue};

/// Where the white matter tree branches from, seen from the side (y, z).
const ROOT: [f32; 2] = [-50.0, -33.0];

/// Distance to the outer surface of the cerebellum, `m` mirrored to `x >= 0`.
pub(super) fn hull(m: Point) -> f32 {
    let hemisphere = ellipsoid(m, [24.0, -63.0, -36.0], [27.5, 27.0, 20.0]);
    let vermis = ellipsoid(m, [0.0, -62.0, -29.0], [16.0, 24.0, 22.0]);
    smooth_union(hemisphere, vermis, 9.0)
}

impl Anatomy<'_> {
    /// Adds the cerebellum at mirrored `m`, `surface` mm outside its hull.
    pub(super) fn cerebellum(&self, m: Point, surface: f32, h: f32, mixture: &mut Mixture) {
        let depth = -surface;
        let (dy, dz) = (m[1] - ROOT[0], m[2] - ROOT[1]);
        let radius = length([dy, dz, 0.35 * m[0]]).max(4.0);
        let wobble = 0.10 * self.pattern.texture.value([m[0] * 0.6, m[1], m[2]]);
        let angle = dz.atan2(-dy) + wobble + 0.006 * m[0];
        let lobule = fissure(angle, 15.0, radius).hypot((depth - 13.0).max(0.0));
        let folium = fissure(angle + 0.11, 45.0, radius).hypot((depth - 4.5).max(0.0));
        let (thickness, half_width) = (1.5, 0.35 * self.atrophy.sulcus_half_width_mm as f32 + 0.15);
        let nearest = lobule.min(folium + 0.15);
        let fluid = cover_sheet(nearest, half_width, h);
        let inside = cover(surface, h);
        let not_white = cover(depth - thickness, h).max(cover_sheet(nearest, half_width + thickness, h));
        mixture.over(Tissue::CerebellarCortex, inside * (1.0 - fluid));
        if fluid < 1.0 {
            let white = ((1.0 - not_white) / (1.0 - fluid)).clamp(0.0, 1.0);
            mixture.over(Tissue::CerebellarWhite, inside * white * (1.0 - fluid));
        }
    }
}

/// Distance (mm) to the nearest of `n` half planes that fan out from the root.
fn fissure(angle: f32, n: f32, radius: f32) -> f32 {
    let turn = angle * (n / std::f32::consts::TAU);
    (turn - turn.round()).abs() * (std::f32::consts::TAU * radius / n)
}
