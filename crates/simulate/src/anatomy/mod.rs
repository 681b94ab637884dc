//! The head as a function of position: which tissues fill a small cube at a point.
//!
//! Everything is defined in template space: RAS+ mm, origin near the anterior commissure, the size of an
//! average adult. A subject differs by size, a smooth warp, its own folding pattern and its
//! [`Atrophy`]. Solids are signed distances, so that the share of a voxel
//! they fill follows from the voxel's size and no supersampling is needed.

mod cerebellum;
mod cerebrum;
mod deep;
mod face;

use crate::noise::{Field, Warp};
use crate::random::Random;
use crate::shapes::{Point, cone, cover, ellipsoid, smooth_step, smooth_union};
use crate::tissue::{Mixture, Tissue};

/// Volume inside the skull of the template, above the foramen magnum, in mm3.
pub(crate) const ICV_MM3: f64 = 1_680_000.0;
pub(crate) use deep::{HIPPOCAMPUS_MM3, VENTRICLES_MM3};

/// What ageing and disease have done to a brain, in template mm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Atrophy {
    pub(crate) hippocampus_swell: [f64; 2],
    pub(crate) ventricle_swell: [f64; 2],
    pub(crate) temporal_horn_swell: f64,
    pub(crate) third_swell: f64,
    pub(crate) cortex_mm: f64,
    pub(crate) sulcus_half_width_mm: f64,
    pub(crate) hull_gap_mm: f64,
}

/// How far the foramen magnum lies below the anterior commissure.
const FORAMEN_MM: f32 = 62.0;

/// Random fields that make one subject's head its own. They do not change between visits.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    warp: Warp,
    primary: Field,
    secondary: Field,
    depth: Field,
    texture: Field,
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            warp: Warp::new(&mut random, 24.0, 1.2),
            primary: Field::band_pass(random.next(), 10.5),
            secondary: Field::band_pass(random.next(), 8.0),
            depth: Field::low_pass(random.next(), 12.0),
            texture: Field::low_pass(random.next(), 6.0),
        }
    }
}

impl Pattern {
    /// How much the warp shrinks a tube through `nodes`, on the side of the sign of `side`: the mean
    /// of its determinant, weighted by cross-section.
    fn warp_gain(&self, nodes: &[(Point, f32)], side: f32) -> f32 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for &(node, radius) in nodes {
            let weight = radius * radius;
            sum += weight * self.warp.determinant([side * node[0], node[1], node[2]]);
            weights += weight;
        }
        (sum / weights).clamp(0.6, 1.6)
    }
}

/// A head at one visit.
#[derive(Debug, Clone)]
pub(crate) struct Anatomy<'a> {
    pattern: &'a Pattern,
    atrophy: &'a Atrophy,
    /// Radii over those of the template, left and right, after undoing what the warp does to volumes.
    hippocampus_swell: [f32; 2],
    ventricle_swell: [f32; 2],
    /// Subject size over template size along each axis.
    scale: Point,
}

/// One evaluation: what is there, and whether the point belongs to the brain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) mixture: Mixture,
    /// Share of the cube inside the brain's envelope (sulci and ventricles included).
    pub(crate) brain: f32,
    /// Share of the cube that is fluid around the spinal cord.
    pub(crate) spinal_fluid: f32,
    /// Factor on the signal: small smooth differences within a tissue.
    pub(crate) texture: f32,
    /// Right of the midline.
    pub(crate) right: bool,
}

/// Distances of the parts that fill the skull, shared by brain and skull.
#[derive(Debug, Clone, Copy)]
struct Envelope {
    cerebrum: f32,
    cerebellum: f32,
    brainstem: f32,
    cavity: f32,
}

impl<'a> Anatomy<'a> {
    pub(crate) fn new(pattern: &'a Pattern, atrophy: &'a Atrophy, scale: [f64; 3]) -> Self {
        let corrected = |swell: [f64; 2], nodes: &[(Point, f32)]| {
            [-1.0, 1.0].map(|side: f32| {
                let at = usize::from(side > 0.0);
                swell[at] as f32 * pattern.warp_gain(nodes, side).sqrt()
            })
        };
        Self {
            pattern,
            atrophy,
            hippocampus_swell: corrected(atrophy.hippocampus_swell, &deep::HIPPOCAMPUS),
            ventricle_swell: corrected(atrophy.ventricle_swell, &deep::VENTRICLE),
            scale: scale.map(|s| s as f32),
        }
    }

    /// Tissues in a cube of edge `h_mm` at `p`, in the subject's mm (origin near the commissure).
    /// `None` in the air around the head.
    pub(crate) fn sample(&self, p: Point, h_mm: f32) -> Option<Sample> {
        let q = [p[0] / self.scale[0], p[1] / self.scale[1], p[2] / self.scale[2]];
        if face::is_far_outside(q) {
            return None;
        }
        let h = h_mm * 3.0 / (self.scale[0] + self.scale[1] + self.scale[2]);
        let warped = self.pattern.warp.apply(q);
        let right = warped[0] > 0.0;
        let m = [warped[0].abs(), warped[1], warped[2]];
        let envelope = envelope(m);
        let head = face::head_surface(m, envelope.cavity);
        if head > h {
            return None;
        }
        let inside = cover(envelope.cavity, h);
        let mixture =
            if inside < 1.0 { self.outside(m, head, envelope.cavity, h) } else { Mixture::pure(Tissue::Csf) };
        let texture = 1.0 + 0.012 * self.pattern.texture.value(warped);
        let mut sample = Sample { mixture, brain: 0.0, spinal_fluid: 0.0, texture, right };
        if inside > 0.0 {
            let (mixture, brain) = self.intracranial(m, right, &envelope, h);
            sample.spinal_fluid = mixture.get(Tissue::Csf) * inside * cover(m[2] + FORAMEN_MM, h);
            sample.mixture.blend(&mixture, inside);
            sample.brain = brain * inside;
        }
        Some(sample)
    }

    fn intracranial(&self, m: Point, right: bool, envelope: &Envelope, h: f32) -> (Mixture, f32) {
        let mut mixture = Mixture::pure(Tissue::Csf);
        let gap = self.atrophy.hull_gap_mm as f32;
        let mut brain: f32 = 0.0;
        let cerebellum = envelope.cerebellum + 0.6;
        if cerebellum < h {
            self.cerebellum(m, cerebellum, h, &mut mixture);
            brain = brain.max(cover(cerebellum, h));
        }
        let depth = -(envelope.cerebrum + gap);
        if depth > -h {
            self.cerebrum(m, right, depth, h, &mut mixture);
            brain = brain.max(cover(-depth, h));
        }
        let stem = envelope.brainstem + 1.2;
        if stem < h {
            let share = cover(stem, h);
            // The cord begins at the foramen magnum.
            let cord = cover(m[2] + FORAMEN_MM, h);
            mixture.over(Tissue::Brainstem, share * (1.0 - cord));
            mixture.over(Tissue::SpinalCord, share * cord);
            brain = brain.max(share * (1.0 - cord));
        }
        self.deep(m, right, depth, h, &mut mixture);
        (mixture, brain)
    }
}

/// Outer surfaces of the brain's parts before any atrophy, and the inner table of the skull.
/// `m` is mirrored to `x >= 0`.
fn envelope(m: Point) -> Envelope {
    let cerebrum = cerebrum::hull(m);
    let cerebellum = cerebellum::hull(m);
    let brainstem = brainstem(m);
    let canal = cone(m, ([0.0, -44.0, -58.0], 11.0), ([0.0, -54.0, -190.0], 8.0));
    let fossa = smooth_union(smooth_union(cerebrum, cerebellum, 10.0), brainstem, 8.0);
    let cavity = smooth_union(fossa - 1.1, canal, 8.0);
    Envelope { cerebrum, cerebellum, brainstem, cavity }
}

fn brainstem(m: Point) -> f32 {
    let midbrain = ellipsoid(m, [0.0, -25.0, -12.0], [17.0, 14.0, 13.0]);
    let peduncle = cone(m, ([8.0, -20.0, -16.0], 6.5), ([15.0, -12.0, -4.0], 6.0));
    let pons = ellipsoid(m, [0.0, -25.0, -31.0], [19.0, 13.5, 15.0]);
    let medulla = cone(m, ([0.0, -34.0, -42.0], 9.5), ([0.0, -45.0, -68.0], 7.6));
    let cord = cone(m, ([0.0, -45.0, -68.0], 7.6), ([0.0, -54.0, -190.0], 6.2));
    let arm = cone(m, ([10.0, -32.0, -31.0], 7.0), ([19.0, -48.0, -36.0], 6.0));
    let upper = smooth_union(smooth_union(midbrain, peduncle, 5.0), smooth_union(pons, arm, 5.0), 4.0);
    smooth_union(upper, smooth_union(medulla, cord, 3.0), 5.0)
}

/// A soft switch that is 1 for `x` well above `at`.
fn above(x: f32, at: f32, width: f32) -> f32 {
    smooth_step(at - width, at + width, x)
}
