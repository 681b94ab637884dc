//! Everything outside the brain: skull, scalp, eyes, face, airways and neck.

use super::{Anatomy, above};
use crate::shapes::{Point, cone, cover, cover_sheet, ellipsoid, minus, smooth_union};
use crate::tissue::{Mixture, Tissue};

const EYE: Point = [32.0, 64.0, -38.0];
const ORBIT_APEX: Point = [13.0, 29.0, -33.0];
const SKULL_MM: f32 = 6.2;
const SCALP_MM: f32 = 6.0;

/// A cheap bound: no head reaches this far out in template space.
pub(super) fn is_far_outside(q: Point) -> bool {
    if q[2] > -35.0 {
        let (x, y, z) = (q[0] / 98.0, (q[1] + 8.0) / 124.0, (q[2] - 15.0) / 100.0);
        x * x + y * y + z * z.max(0.0) > 1.0 + if z < 0.0 { z * z } else { 0.0 }
    } else {
        q[0].abs() > 92.0 || q[1] > 118.0 || q[1] < -135.0
    }
}

/// Distance to the skin.
pub(super) fn head_surface(m: Point, cavity: f32) -> f32 {
    let crown = cavity - SKULL_MM - SCALP_MM;
    let face = ellipsoid(m, [0.0, 36.0, -62.0], [61.0, 52.0, 66.0]);
    let brow = ellipsoid(m, [0.0, 58.0, -28.0], [52.0, 27.0, 24.0]);
    let nose = cone(m, ([0.0, 80.0, -30.0], 7.0), ([0.0, 94.0, -60.0], 11.0));
    let chin = ellipsoid(m, [0.0, 68.0, -112.0], [26.0, 22.0, 20.0]);
    let neck = neck(m);
    let eyelid = cone(m, (EYE, 14.0), (EYE_FRONT, 13.0));
    let ear = ellipsoid(m, [78.0, -22.0, -28.0], [9.0, 14.0, 24.0]);
    let front = smooth_union(smooth_union(face, nose, 10.0), smooth_union(chin, eyelid, 4.0), 8.0);
    let front = smooth_union(front, brow, 12.0);
    let skull = smooth_union(crown, ear, 4.0);
    smooth_union(smooth_union(skull, neck, 24.0), front, 16.0)
}

const EYE_FRONT: Point = [32.0, 66.0, -38.0];

fn neck(m: Point) -> f32 {
    let centre_y = -24.0 + 0.14 * (m[2] + 60.0);
    let radial = ellipsoid([m[0], m[1] - centre_y, 0.0], [0.0; 3], [60.0, 62.0, 60.0]);
    radial.max(m[2] + 25.0)
}

impl Anatomy<'_> {
    /// Tissues between the inner table of the skull and the skin.
    pub(super) fn outside(&self, m: Point, head: f32, cavity: f32, h: f32) -> Mixture {
        let mut mixture = Mixture::pure(Tissue::Air);
        let inside = cover(head, h);
        mixture.over(Tissue::Skin, inside);
        mixture.over(Tissue::Fat, cover(head + 1.7, h));
        self.soft_tissue(m, head, cavity, h, &mut mixture);
        self.skull(m, cavity, h, &mut mixture);
        if m[1] > -75.0 && m[2] < -5.0 {
            facial_skeleton(m, h, &mut mixture);
            self.airways(m, h, &mut mixture);
            orbit(m, h, &mut mixture);
        }
        mixture
    }

    /// Muscle and fascia: temporalis, the deep face and the neck.
    fn soft_tissue(&self, m: Point, head: f32, cavity: f32, h: f32, mixture: &mut Mixture) {
        let texture = self.pattern.texture.value([m[0] * 1.3, m[1] * 1.3, m[2] * 0.7]);
        let temporalis = ellipsoid(m, [66.0, 14.0, -8.0], [14.0, 34.0, 34.0]).max(head + 4.0);
        mixture.over(Tissue::Muscle, cover(temporalis, h));
        if m[2] > 25.0 {
            return;
        }
        let deep = (head + 7.5 + 2.0 * texture).max(m[2] + 22.0 - 0.1 * m[1]).max(-cavity);
        let strands = 0.5 + 0.5 * above(texture, 1.0, 0.5);
        mixture.over(Tissue::Muscle, cover(deep, h) * (1.5 - strands).clamp(0.0, 1.0));
    }

    fn skull(&self, m: Point, cavity: f32, h: f32, mixture: &mut Mixture) {
        if cavity > SKULL_MM + 3.0 || m[2] < -175.0 {
            return;
        }
        let thickness = SKULL_MM + 1.0 * self.pattern.depth.value([m[0] * 0.5, m[1] * 0.5, m[2] * 0.5]);
        let thickness = thickness.clamp(3.6, 8.6);
        mixture.over(Tissue::Bone, cover(cavity - thickness, h));
        // Diploe between the tables; dura and inner table stay dark.
        let middle = 0.5 * thickness + 0.2;
        let half = 0.5 * thickness - 1.6;
        if half > 0.0 {
            mixture.over(Tissue::Marrow, 0.8 * cover_sheet((cavity - middle).abs(), half, h));
        }
    }

    fn airways(&self, m: Point, h: f32, mixture: &mut Mixture) {
        let texture = self.pattern.texture.value([m[0] * 1.8, m[1] * 0.8, m[2] * 1.8]);
        let nasal =
            ellipsoid(m, [6.0, 62.0, -50.0], [8.0, 26.0, 17.0]).max(1.2 - m[0]) + 1.8 * texture.max(0.0);
        let maxillary = ellipsoid(m, [29.0, 56.0, -62.0], [12.0, 14.0, 13.0]);
        let sphenoid = ellipsoid(m, [7.0, 20.0, -38.0], [8.0, 11.0, 8.0]);
        let ethmoid = ellipsoid(m, [7.0, 46.0, -36.0], [6.0, 14.0, 8.0]) + 1.2 * texture.abs();
        let frontal = ellipsoid(m, [10.0, 77.0, -12.0], [12.0, 4.0, 9.0]);
        let mastoid = ellipsoid(m, [54.0, -34.0, -42.0], [7.0, 9.0, 10.0]) + 2.0 * texture.abs();
        let canal = cone(m, ([52.0, -22.0, -30.0], 2.5), ([88.0, -22.0, -30.0], 3.5));
        let pharynx = cone(m, ([0.0, 20.0, -56.0], 8.0), ([0.0, 8.0, -150.0], 8.5));
        let mouth = ellipsoid(m, [0.0, 55.0, -82.0], [20.0, 28.0, 2.5]);
        let sinuses = maxillary.min(sphenoid).min(ethmoid).min(frontal).min(mastoid);
        mixture.over(Tissue::Bone, cover(sinuses - 1.6, h) * 0.9);
        let air = sinuses.min(nasal).min(canal).min(pharynx).min(mouth);
        mixture.over(Tissue::Air, cover(air, h));
    }
}

/// Cheek bones, jaws, palate and the vertebral bodies.
fn facial_skeleton(m: Point, h: f32, mixture: &mut Mixture) {
    let cheek = cone(m, ([50.0, 52.0, -50.0], 5.0), ([64.0, 2.0, -38.0], 3.5));
    let ramus = cone(m, ([50.0, 0.0, -50.0], 4.5), ([44.0, 10.0, -98.0], 6.0));
    let jaw = cone(m, ([44.0, 10.0, -98.0], 6.0), ([10.0, 68.0, -112.0], 7.5));
    let chin = cone(m, ([10.0, 68.0, -112.0], 7.5), ([0.0, 71.0, -112.0], 7.5));
    let palate = ellipsoid(m, [0.0, 52.0, -72.0], [24.0, 28.0, 4.5]);
    let clivus = cone(m, ([0.0, 2.0, -38.0], 7.0), ([0.0, -22.0, -62.0], 6.0));
    let bone = cheek.min(ramus).min(jaw).min(chin).min(palate).min(clivus);
    mixture.over(Tissue::Bone, cover(bone, h));
    mixture.over(Tissue::Marrow, cover(bone + 2.2, h));
    let spine = cone(m, ([0.0, -26.0, -72.0], 9.5), ([0.0, -33.0, -190.0], 11.0));
    let level = (m[2] + 72.0) / 17.0;
    let disc = ((level - level.round()).abs() * 17.0 - 2.6).min(spine + 30.0);
    mixture.over(Tissue::Bone, cover(spine, h));
    mixture.over(Tissue::Marrow, cover((spine + 1.4).max(-disc + 1.2), h));
    mixture.over(Tissue::Muscle, cover((spine + 1.4).max(disc), h));
}

/// Orbital fat, globe, lens, optic nerve and two of the straight muscles.
fn orbit(m: Point, h: f32, mixture: &mut Mixture) {
    if m[1] < 22.0 || m[2] > -12.0 || m[2] < -62.0 || m[0] > 60.0 {
        return;
    }
    let orbit = cone(m, (ORBIT_APEX, 3.5), ([32.0, 60.0, -38.0], 18.5));
    mixture.over(Tissue::Bone, cover_sheet((orbit - 0.8).max(0.0), 1.0, h) * cover(m[1] - 66.0, 6.0));
    mixture.over(Tissue::Fat, cover(orbit, h));
    let lateral = cone(m, (ORBIT_APEX, 1.6), ([45.5, 58.0, -38.0], 2.2));
    let medial = cone(m, (ORBIT_APEX, 1.6), ([19.0, 58.0, -38.0], 2.2));
    let upper = cone(m, (ORBIT_APEX, 1.6), ([31.0, 58.0, -24.5], 2.0));
    let nerve = cone(m, (ORBIT_APEX, 2.2), ([31.0, 52.0, -38.0], 2.4));
    mixture.over(Tissue::Muscle, cover(lateral.min(medial).min(upper).min(nerve), h));
    let eye = minus(m, EYE);
    let globe = ellipsoid(eye, [0.0; 3], [12.2, 12.2, 12.2]);
    mixture.over(Tissue::Muscle, cover(globe, h));
    mixture.over(Tissue::Globe, cover(globe + 1.2, h));
    let lens = ellipsoid(eye, [0.0, 8.0, 0.0], [4.8, 2.2, 4.8]);
    mixture.over(Tissue::Muscle, cover(lens, h));
}
