//! Rasterises a closed surface to the voxels inside it.

use brainreel_volume::{Grid, Mask, Volume};
use rayon::prelude::*;

use super::samples::INVERTIBLE;
use super::sphere::Triangle;
use super::vector::Point;

/// Subvoxel steps to which corners are rounded, so that edges can be evaluated in exact arithmetic.
const STEPS: f64 = 65_536.0;

/// Corners are clamped to this distance, in voxels, so that products of coordinates fit 64 bits.
const FARTHEST_VOXELS: f64 = 8192.0;

/// A corner: exact in steps along the second and third axis, real-valued in voxels along the first.
#[derive(Debug, Clone, Copy)]
struct Corner {
    along: f64,
    across: [i64; 2],
}

/// The voxels whose centres are inside the surface.
///
/// Voxel lines along the first axis are intersected with the triangles. A voxel is inside if the winding
/// number is not zero. Intersections are decided in integers, and ties by an infinitesimal shift of all
/// lines, so that no line passes through an edge or corner.
pub(super) fn fill(grid: &Grid, vertices: &[Point], triangles: &[Triangle]) -> Mask {
    let world_to_voxel = grid.affine().inverse().expect(INVERTIBLE);
    let corners: Vec<Corner> = vertices.iter().map(|vertex| corner(world_to_voxel.apply(*vertex))).collect();
    let [ni, nj, nk] = grid.dims();
    let mut by_plane: Vec<Vec<Triangle>> = vec![Vec::new(); nk];
    for triangle in triangles {
        for plane in span(triangle.map(|vertex| corners[vertex].across[1]), nk) {
            by_plane[plane].push(*triangle);
        }
    }
    let sign = if world_to_voxel.determinant() < 0.0 { -1 } else { 1 };
    let mut inside = vec![false; grid.n_voxels()];
    inside.par_chunks_mut(ni * nj).zip(&by_plane).enumerate().for_each(|(plane, (voxels, triangles))| {
        fill_plane(voxels, [ni, nj, plane], &corners, triangles, sign);
    });
    Volume::new(*grid, inside).expect("one value a voxel")
}

fn corner(voxel: Point) -> Corner {
    let held = voxel.map(|v| v.clamp(-FARTHEST_VOXELS, FARTHEST_VOXELS));
    Corner { along: held[0], across: [to_steps(held[1]), to_steps(held[2])] }
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to a few thousand voxels")]
fn to_steps(voxels: f64) -> i64 {
    (voxels * STEPS).round() as i64
}

/// The voxel centres between the smallest and largest of three coordinates in steps.
fn span(steps: [i64; 3], n: usize) -> std::ops::Range<usize> {
    let (low, high) = steps.iter().fold((i64::MAX, i64::MIN), |(low, high), &s| (low.min(s), high.max(s)));
    let first = usize::try_from((low.max(0) + 65_535) >> 16).unwrap_or(0);
    let end = usize::try_from((high >> 16) + 1).unwrap_or(0).min(n);
    first..end.max(first)
}

fn fill_plane(
    voxels: &mut [bool],
    [ni, nj, plane]: [usize; 3],
    corners: &[Corner],
    triangles: &[Triangle],
    sign: i32,
) {
    // Change of the winding number at a voxel.
    let mut change = vec![0_i32; ni * nj];
    for triangle in triangles {
        for line in span(triangle.map(|vertex| corners[vertex].across[0]), nj) {
            if let Some((along, turn)) = crossing(corners, triangle, [line, plane]) {
                let first = first_voxel_after(along);
                if first < ni {
                    change[line * ni + first] += turn;
                }
            }
        }
    }
    for (voxels, change) in voxels.chunks_mut(ni).zip(change.chunks(ni)) {
        let mut winding = 0;
        for (voxel, change) in voxels.iter_mut().zip(change) {
            winding += change;
            *voxel = winding * sign > 0;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a few thousand"
)]
fn first_voxel_after(along: f64) -> usize {
    along.ceil().max(0.0) as usize
}

/// Intersection of a line along the first axis with a triangle, entering (turn +1) or leaving (-1).
fn crossing(corners: &[Corner], triangle: &Triangle, line: [usize; 2]) -> Option<(f64, i32)> {
    let [a, b, c] = *triangle;
    let (ab, bc, ca) = (side(corners, a, b, line), side(corners, b, c, line), side(corners, c, a, line));
    if ab.is_left != bc.is_left || bc.is_left != ca.is_left {
        return None;
    }
    let total = ab.area + bc.area + ca.area;
    let mean = ab.area * corners[c].along + bc.area * corners[a].along + ca.area * corners[b].along;
    // A line that meets a triangle seen edge-on does so only by the infinitesimal shift.
    let along = if total == 0.0 { corners[a].along } else { mean / total };
    // A triangle seen counter-clockwise from the far end of the line faces that end: the line leaves.
    Some((along, if ab.is_left { -1 } else { 1 }))
}

/// On which side of an edge a line lies, and twice the area of the triangle they span, in steps.
struct Side {
    is_left: bool,
    area: f64,
}

fn side(corners: &[Corner], from: usize, to: usize, line: [usize; 2]) -> Side {
    let [start, end] = [corners[from].across, corners[to].across];
    let (dy, dz) = (end[0] - start[0], end[1] - start[1]);
    let [y, z] = line.map(|index| i64::try_from(index).unwrap_or(i64::MAX >> 20) << 16);
    let area = dy * (z - start[1]) - dz * (y - start[0]);
    // The line is shifted by an infinitesimal amount in y and by a much smaller one in z.
    let is_left = match area.signum() {
        0 => dz < 0 || dz == 0 && dy > 0,
        sign => sign > 0,
    };
    Side { is_left, area: exact(area) }
}

#[expect(clippy::cast_precision_loss, reason = "only weights a mean of three positions")]
fn exact(area: i64) -> f64 {
    area as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bet::sphere::Sphere;
    use crate::bet::vector::{cross, dot, plus, times};
    use crate::numbers::as_f64;
    use brainreel_volume::Affine;

    fn mm3(grid: &Grid, vertices: &[Point], triangles: &[Triangle]) -> f64 {
        let mask = fill(grid, vertices, triangles);
        as_f64(mask.as_slice().iter().filter(|inside| **inside).count()) * grid.affine().determinant().abs()
    }

    fn sheared(flip: f64) -> Grid {
        let rows = [[0.9, 0.2, -0.1, -33.0], [-0.2, 1.1, 0.2, -42.0], [0.1, -0.3, 0.7 * flip, -28.0 * flip]];
        let affine = Affine::new([rows[0], rows[1], rows[2], [0.0; 4]]).unwrap();
        Grid::new([80; 3], affine).unwrap()
    }

    #[test]
    fn a_polyhedron_has_the_volume_of_its_tetrahedra() {
        let sphere = Sphere::new(3);
        let vertices: Vec<Point> = sphere
            .directions
            .iter()
            .map(|d| plus([1.3, -2.1, 0.4], times([d[0] * 1.2, d[1], d[2] * 0.8], 15.0 + 3.0 * d[0] * d[2])))
            .collect();
        let exact: f64 = sphere
            .triangles
            .iter()
            .map(|t| dot(vertices[t[0]], cross(vertices[t[1]], vertices[t[2]])) / 6.0)
            .sum();
        for flip in [1.0, -1.0] {
            let ratio = mm3(&sheared(flip), &vertices, &sphere.triangles) / exact;
            assert!((ratio - 1.0).abs() < 0.005, "{ratio}");
        }
    }

    #[test]
    fn no_line_slips_through_edges_and_corners_on_voxel_centres() {
        // An octahedron with all corners and most edges exactly on voxel centres.
        let c = [8.0; 3];
        let corner = |axis: usize, step: f64| {
            let mut corner = c;
            corner[axis] += step;
            corner
        };
        let vertices: Vec<Point> = (0..3).flat_map(|axis| [corner(axis, 4.0), corner(axis, -4.0)]).collect();
        let mut triangles = Vec::new();
        for (x, sx) in [(0, 1), (1, -1)] {
            for (y, sy) in [(2, 1), (3, -1)] {
                for (z, sz) in [(4, 1), (5, -1)] {
                    triangles.push(if sx * sy * sz > 0 { [x, y, z] } else { [x, z, y] });
                }
            }
        }
        let grid = Grid::new([17; 3], Affine::IDENTITY).unwrap();
        let mask = fill(&grid, &vertices, &triangles);
        for (at, inside) in mask.as_slice().iter().enumerate() {
            let voxel = [at % 17, at / 17 % 17, at / 289];
            let far: usize = voxel.iter().map(|i| i.abs_diff(8)).sum();
            // On the surface itself either answer is right.
            assert!(far == 4 || *inside == (far < 4), "{voxel:?}");
        }
    }

    #[test]
    fn what_reaches_out_of_the_grid_is_cut_off() {
        let sphere = Sphere::new(2);
        let vertices: Vec<Point> = sphere.directions.iter().map(|d| times(*d, 1e5)).collect();
        let grid = Grid::new([7, 5, 3], Affine::IDENTITY).unwrap();
        assert!(fill(&grid, &vertices, &sphere.triangles).as_slice().iter().all(|inside| *inside));
        let beyond: Vec<Point> = sphere.directions.iter().map(|d| plus(*d, [100.0, 2.0, 1.0])).collect();
        assert!(!fill(&grid, &beyond, &sphere.triangles).as_slice().contains(&true));
    }
}
