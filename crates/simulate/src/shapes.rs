//! Signed distances of simple solids (negative inside, mm) and their coverage of a voxel.

/// A point or vector in mm.
pub(crate) type Point = [f32; 3];

pub(crate) fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn length(a: Point) -> f32 {
    dot(a, a).sqrt()
}

/// Distance to an ellipsoid: exact on the surface, first order near it (Quilez).
pub(crate) fn ellipsoid(p: Point, centre: Point, radii: Point) -> f32 {
    let v = minus(p, centre);
    let scaled = [v[0] / radii[0], v[1] / radii[1], v[2] / radii[2]];
    let k0 = length(scaled);
    let k1 = length([scaled[0] / radii[0], scaled[1] / radii[1], scaled[2] / radii[2]]);
    if k1 < 1e-6 { -radii[0].min(radii[1]).min(radii[2]) } else { k0 * (k0 - 1.0) / k1 }
}

/// Distance to a segment whose radius goes from the first to the second end.
pub(crate) fn cone(p: Point, from: (Point, f32), to: (Point, f32)) -> f32 {
    let (pa, ba) = (minus(p, from.0), minus(to.0, from.0));
    let t = (dot(pa, ba) / dot(ba, ba)).clamp(0.0, 1.0);
    length([pa[0] - t * ba[0], pa[1] - t * ba[1], pa[2] - t * ba[2]]) - (from.1 + t * (to.1 - from.1))
}

/// Distance to a chain of cones through `nodes`, every radius multiplied by `swell`.
pub(crate) fn chain(p: Point, nodes: &[(Point, f32)], swell: f32) -> f32 {
    nodes.windows(2).fold(f32::MAX, |nearest, pair| {
        let d = cone(p, (pair[0].0, pair[0].1 * swell), (pair[1].0, pair[1].1 * swell));
        if nearest > 1e30 { d } else { smooth_union(nearest, d, 2.0) }
    })
}

/// Union with a fillet of about `k` mm.
pub(crate) fn smooth_union(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.min(b) - h * h * k * 0.25
}

/// Intersection with a rounded edge of about `k` mm.
pub(crate) fn smooth_intersection(a: f32, b: f32, k: f32) -> f32 {
    -smooth_union(-a, -b, k)
}

/// Share of a voxel of edge `h` that lies inside a surface at signed distance `d`.
pub(crate) fn cover(d: f32, h: f32) -> f32 {
    (0.5 - d / h).clamp(0.0, 1.0)
}

/// Share of a voxel of edge `h`, `s >= 0` mm away from the middle of a sheet, that lies within
/// `half_width` of that middle. Keeps the volume of sheets thinner than a voxel.
pub(crate) fn cover_sheet(s: f32, half_width: f32, h: f32) -> f32 {
    let high = (s + 0.5 * h).min(half_width);
    let low = (s - 0.5 * h).max(-half_width);
    ((high - low) / h).clamp(0.0, 1.0)
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn smooth_step(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_keeps_its_volume_whatever_the_voxel() {
        for h in [0.25_f32, 1.0, 2.5, 4.0] {
            let step = 0.01_f32;
            let volume: f32 =
                (-1000..1000).map(|i| cover_sheet((i as f32 * step).abs(), 0.6, h) * step).sum();
            assert!((volume - 1.2).abs() < 0.02, "{h}: {volume}");
        }
    }

    #[test]
    fn distances_are_negative_inside_and_exact_outside() {
        let ball = ellipsoid([0.0, 13.0, 0.0], [0.0; 3], [10.0; 3]);
        assert!((ball - 3.0).abs() < 1e-4);
        let capsule = cone([5.0, 4.0, 0.0], ([0.0; 3], 1.0), ([10.0, 0.0, 0.0], 1.0));
        assert!((capsule - 3.0).abs() < 1e-4);
        assert!(ellipsoid([0.0; 3], [0.0; 3], [1.0, 2.0, 3.0]) < 0.0);
    }
}
