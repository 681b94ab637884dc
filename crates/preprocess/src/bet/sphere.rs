//! Tessellated sphere, the initial surface.

use std::collections::BTreeMap;

use super::vector::{Point, cross, dot, minus, plus, unit};

/// Largest number of neighbours of a vertex. The twelve corners of the icosahedron have five, all others six.
const MAX_NEIGHBOURS: usize = 6;

/// Corners of a triangle, counter-clockwise seen from outside.
pub(super) type Triangle = [usize; 3];

/// A closed mesh of triangles that a sphere can be mapped to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sphere {
    /// Vertices on the unit sphere.
    pub(super) directions: Vec<Point>,
    /// Triangles between them.
    pub(super) triangles: Vec<Triangle>,
    /// Neighbours of each vertex, counter-clockwise seen from outside.
    pub(super) rings: Vec<Ring>,
    /// The edges whose midpoints are the vertices added last.
    pub(super) halved: Vec<[usize; 2]>,
}

/// The neighbours of a vertex in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ring {
    vertices: [usize; MAX_NEIGHBOURS],
    n: usize,
}

impl Ring {
    pub(super) fn vertices(&self) -> &[usize] {
        &self.vertices[..self.n]
    }
}

impl Sphere {
    /// An icosahedron subdivided `n_subdivisions` times: `10 * 4^n + 2` vertices, `20 * 4^n` triangles.
    pub(super) fn new(n_subdivisions: usize) -> Self {
        let (directions, triangles) = icosahedron();
        let rings = rings(directions.len(), &triangles);
        let sphere = Self { directions, triangles, rings, halved: Vec::new() };
        (0..n_subdivisions).fold(sphere, |sphere, _| sphere.subdivided())
    }

    /// Splits every triangle into four at its edge midpoints, which are appended to the vertices.
    pub(super) fn subdivided(&self) -> Self {
        let mut directions = self.directions.clone();
        let (mut middles, mut halved) = (BTreeMap::new(), Vec::new());
        let mut middle = |a: usize, b: usize| {
            *middles.entry((a.min(b), a.max(b))).or_insert_with(|| {
                directions.push(unit(plus(directions[a], directions[b])));
                halved.push([a, b]);
                directions.len() - 1
            })
        };
        let mut triangles = Vec::with_capacity(4 * self.triangles.len());
        for &[a, b, c] in &self.triangles {
            let [ab, bc, ca] = [middle(a, b), middle(b, c), middle(c, a)];
            triangles.extend([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]);
        }
        let rings = rings(directions.len(), &triangles);
        Self { directions, triangles, rings, halved }
    }
}

/// The vertices are the cyclic permutations of (0, ±1, ±golden ratio); triangles are triples of
/// vertices that are each one edge apart.
fn icosahedron() -> (Vec<Point>, Vec<Triangle>) {
    let golden = 0.5 * (1.0 + 5.0_f64.sqrt());
    let mut corners = Vec::with_capacity(12);
    for axis in 0..3 {
        for (one, long) in [(1.0, golden), (-1.0, golden), (1.0, -golden), (-1.0, -golden)] {
            let mut corner = [0.0; 3];
            corner[(axis + 1) % 3] = one;
            corner[(axis + 2) % 3] = long;
            corners.push(corner);
        }
    }
    let adjacent = |a: usize, b: usize| {
        let edge = minus(corners[a], corners[b]);
        (dot(edge, edge) - 4.0).abs() < 1e-9
    };
    let mut triangles = Vec::with_capacity(20);
    for a in 0..12 {
        for b in a + 1..12 {
            for c in b + 1..12 {
                if adjacent(a, b) && adjacent(b, c) && adjacent(a, c) {
                    triangles.push(outward(&corners, [a, b, c]));
                }
            }
        }
    }
    (corners.into_iter().map(unit).collect(), triangles)
}

fn outward(corners: &[Point], [a, b, c]: Triangle) -> Triangle {
    let normal = cross(minus(corners[b], corners[a]), minus(corners[c], corners[a]));
    if dot(normal, corners[a]) > 0.0 { [a, b, c] } else { [a, c, b] }
}

/// Chains the edges opposite to each vertex.
fn rings(n_vertices: usize, triangles: &[Triangle]) -> Vec<Ring> {
    let mut opposite: Vec<Vec<(usize, usize)>> = vec![Vec::with_capacity(MAX_NEIGHBOURS); n_vertices];
    for &[a, b, c] in triangles {
        opposite[a].push((b, c));
        opposite[b].push((c, a));
        opposite[c].push((a, b));
    }
    opposite.iter().map(|edges| ring(edges)).collect()
}

fn ring(edges: &[(usize, usize)]) -> Ring {
    let mut ring = Ring { vertices: [0; MAX_NEIGHBOURS], n: edges.len().min(MAX_NEIGHBOURS) };
    let mut at = edges.first().map_or(0, |edge| edge.0);
    for vertex in &mut ring.vertices[..ring.n] {
        *vertex = at;
        at = edges.iter().find(|edge| edge.0 == at).map_or(at, |edge| edge.1);
    }
    ring
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bet::vector::length;

    #[test]
    fn counts_are_those_of_a_subdivided_icosahedron() {
        for (n, n_vertices, n_triangles) in [(0, 12, 20), (1, 42, 80), (3, 642, 1280), (4, 2562, 5120)] {
            let sphere = Sphere::new(n);
            assert_eq!((sphere.directions.len(), sphere.triangles.len()), (n_vertices, n_triangles));
            assert!(sphere.directions.iter().all(|v| (length(*v) - 1.0).abs() < 1e-12));
            let with_five = sphere.rings.iter().filter(|ring| ring.vertices().len() == 5).count();
            assert_eq!(with_five, 12);
        }
    }

    #[test]
    fn every_edge_is_walked_once_each_way() {
        let sphere = Sphere::new(3);
        let mut edges = BTreeSet::new();
        for [a, b, c] in sphere.triangles {
            for edge in [(a, b), (b, c), (c, a)] {
                assert!(edges.insert(edge), "{edge:?} twice");
            }
        }
        assert!(edges.iter().all(|&(a, b)| edges.contains(&(b, a))));
        assert_eq!(642 + 1280, edges.len() / 2 + 2, "Euler's formula");
    }

    #[test]
    fn rings_run_round_their_vertex_seen_from_outside() {
        let sphere = Sphere::new(2);
        for (vertex, ring) in sphere.rings.iter().enumerate() {
            let ring = ring.vertices();
            let distinct: BTreeSet<usize> = ring.iter().copied().collect();
            assert_eq!(distinct.len(), ring.len());
            let centre = sphere.directions[vertex];
            for (at, &first) in ring.iter().enumerate() {
                let second = ring[(at + 1) % ring.len()];
                let [first, second] = [first, second].map(|v| minus(sphere.directions[v], centre));
                assert!(dot(cross(first, second), centre) > 0.0);
            }
        }
    }
}
