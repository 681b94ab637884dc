//! The deformable surface and its forces.

use rayon::prelude::*;

use super::head::Head;
use super::samples::{Samples, Way};
use super::sphere::{Ring, Sphere, Triangle};
use super::vector::{Point, cross, dot, length, minus, plus, times, unit};
use crate::bet::BetConfig;
use crate::numbers::as_f64;

/// Radii of curvature between which smoothing increases, in mm.
const SMALLEST_RADIUS_MM: f64 = 3.33;
const LARGEST_RADIUS_MM: f64 = 10.0;

/// Inward search distances for the smallest and largest intensity, in mm.
const DARK_DEPTH_MM: f64 = 20.0;
const BRIGHT_DEPTH_MM: f64 = 10.0;
const STEP_MM: f64 = 2.0;

/// Weight of the intensity force per step, in edge lengths.
const SPEED: f64 = 0.05;

/// Vertices closer than this many edges but far apart on the sphere are a fold.
const FOLD_EDGES: f64 = 0.4;

/// The brain border is weak where the outside is darker by less than this fraction of the median.
const WEAK: f64 = 0.3;

/// Distance to both sides of the surface at which contrast is measured.
const BESIDE: Way = Way { step_mm: STEP_MM, n_dark: 3, n_bright: 3 };

/// Smallest distance on the sphere of a fold, in edges.
const APART_EDGES: f64 = 4.0;

/// A closed surface that evolves towards the brain border.
#[derive(Debug, Clone)]
pub(super) struct Surface<'a> {
    sphere: &'a Sphere,
    pub(super) vertices: Vec<Point>,
}

impl<'a> Surface<'a> {
    /// Creates a sphere in the centre of the head.
    pub(super) fn start(sphere: &'a Sphere, head: &Head) -> Self {
        let radius = 0.5 * head.radius_mm;
        let vertices = sphere.directions.iter().map(|d| plus(head.centre, times(*d, radius))).collect();
        Self { sphere, vertices }
    }

    /// Subdivides the surface to four times the triangles. `sphere` is the subdivided sphere.
    pub(super) fn refined(self, sphere: &Sphere) -> Surface<'_> {
        let mut vertices = self.vertices;
        for [a, b] in &sphere.halved {
            vertices.push(times(plus(vertices[*a], vertices[*b]), 0.5));
        }
        Surface { sphere, vertices }
    }

    /// Moves the surface `n_iterations` times, on one thread. Steps are too short for several threads, and
    /// other scans keep the other threads busy.
    pub(super) fn evolve(&mut self, surroundings: &Surroundings<'_>, n_iterations: usize, stiffness: f64) {
        let mut moved = self.vertices.clone();
        for _ in 0..n_iterations {
            let forces = Forces { surroundings, edge_mm: self.mean_edge_mm(), stiffness };
            let vertices = &self.vertices;
            for ((moved, here), ring) in moved.iter_mut().zip(vertices).zip(&self.sphere.rings) {
                *moved = plus(*here, forces.on(vertices, *here, ring));
            }
            std::mem::swap(&mut self.vertices, &mut moved);
        }
    }

    /// Mean edge length, in mm.
    fn mean_edge_mm(&self) -> f64 {
        let (mut sum, mut n) = (0.0, 0.0);
        for [a, b, c] in &self.sphere.triangles {
            for (from, to) in [(a, b), (b, c), (c, a)] {
                sum += length(minus(self.vertices[*from], self.vertices[*to]));
                n += 1.0;
            }
        }
        sum / n
    }

    /// Enclosed volume.
    pub(super) fn volume_ml(&self) -> f64 {
        let centre = self.vertices[0];
        let tetrahedron = |triangle: &Triangle| {
            let [a, b, c] = triangle.map(|vertex| minus(self.vertices[vertex], centre));
            dot(a, cross(b, c)) / 6000.0
        };
        self.sphere.triangles.iter().map(tetrahedron).sum()
    }

    /// Share of vertices at which the outside is hardly darker than the inside. There the surface runs
    /// through bone into tissue beyond, or through the brain.
    pub(super) fn weak_share(&self, surroundings: &Surroundings<'_>) -> f64 {
        let Surroundings { samples, head, .. } = surroundings;
        let weak = self.vertices.iter().zip(&self.sphere.rings).filter(|(here, ring)| {
            let normal = self.normal(**here, ring);
            let (_, inside) = samples.extremes(**here, times(normal, -1.0), BESIDE);
            let (outside, _) = samples.extremes(**here, normal, BESIDE);
            inside.min(head.median) - outside.min(head.median) < WEAK * head.median
        });
        as_f64(weak.count()) / as_f64(self.vertices.len())
    }

    /// Outward normals.
    fn normal(&self, here: Point, ring: &Ring) -> Point {
        let neighbours = ring.vertices();
        let spokes = neighbours.iter().map(|neighbour| minus(self.vertices[*neighbour], here));
        let mut before = minus(self.vertices[neighbours[neighbours.len() - 1]], here);
        unit(spokes.fold([0.0; 3], |normal, spoke| {
            let sum = plus(normal, cross(before, spoke));
            before = spoke;
            sum
        }))
    }

    /// Share of vertices that touch another part of the surface.
    pub(super) fn folded_share(&self) -> f64 {
        let n = self.vertices.len();
        let edge_mm = self.mean_edge_mm();
        let edge_rad = (4.0 * std::f64::consts::PI / as_f64(n)).sqrt();
        let near = (APART_EDGES * edge_rad).cos();
        let folded = (0..n).into_par_iter().filter(|&a| {
            (0..n).any(|b| {
                dot(self.sphere.directions[a], self.sphere.directions[b]) < near
                    && length(minus(self.vertices[a], self.vertices[b])) < FOLD_EDGES * edge_mm
            })
        });
        as_f64(folded.count()) / as_f64(n)
    }
}

/// Environment of the surface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) samples: &'a Samples,
    pub(super) head: &'a Head,
    pub(super) config: &'a BetConfig,
}

struct Forces<'a> {
    surroundings: &'a Surroundings<'a>,
    edge_mm: f64,
    stiffness: f64,
}

impl Forces<'_> {
    /// Displacement of a vertex.
    fn on(&self, vertices: &[Point], here: Point, ring: &Ring) -> Point {
        let neighbours = ring.vertices();
        let (mut normal, mut mean) = ([0.0; 3], [0.0; 3]);
        let mut before = minus(vertices[neighbours[neighbours.len() - 1]], here);
        for &neighbour in neighbours {
            let spoke = minus(vertices[neighbour], here);
            normal = plus(normal, cross(before, spoke));
            mean = plus(mean, spoke);
            before = spoke;
        }
        let normal = unit(normal);
        let to_mean = times(mean, 1.0 / as_f64(neighbours.len()));
        let height = dot(to_mean, normal);
        let sideways = minus(to_mean, times(normal, height));
        let outwards = self.curvature(height) * height + SPEED * self.edge_mm * self.intensity(here, normal);
        plus(times(sideways, 0.5), times(normal, outwards))
    }

    /// Smoothing weight along the normal: small on a smooth surface, close to one on a spike.
    fn curvature(&self, height: f64) -> f64 {
        let radius = self.edge_mm * self.edge_mm / (2.0 * height.abs()).max(1e-9);
        let middle = 0.5 * (1.0 / SMALLEST_RADIUS_MM + 1.0 / LARGEST_RADIUS_MM);
        let slope = 6.0 / (1.0 / SMALLEST_RADIUS_MM - 1.0 / LARGEST_RADIUS_MM);
        let share = 0.5 * (1.0 + libm::tanh(slope * (1.0 / radius - middle)));
        (share * self.stiffness).min(1.0)
    }

    /// Positive where the tissue under the surface is brain, negative elsewhere.
    fn intensity(&self, here: Point, normal: Point) -> f64 {
        let Surroundings { samples, head, .. } = self.surroundings;
        if here[2] < head.floor_mm {
            return -1.0;
        }
        let (darkest, brightest) = samples.extremes(here, times(normal, -1.0), WAY);
        let darkest = darkest.min(head.median).max(head.dark);
        let brightest = brightest.max(head.threshold).min(head.median);
        let limit = head.dark + self.fraction(here) * (brightest - head.dark);
        2.0 * (darkest - limit) / (brightest - head.dark).max(f64::MIN_POSITIVE)
    }

    fn fraction(&self, here: Point) -> f64 {
        let Surroundings { head, config, .. } = self.surroundings;
        let height = (here[2] - head.centre[2]) / head.radius_mm;
        (config.fractional_intensity + config.gradient * height).clamp(0.0, 1.0)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few steps")]
const WAY: Way = Way {
    step_mm: STEP_MM,
    n_dark: (DARK_DEPTH_MM / STEP_MM) as usize,
    n_bright: (BRIGHT_DEPTH_MM / STEP_MM) as usize,
};
