//! Ventricles, deep grey nuclei, hippocampus and amygdala.

use super::Anatomy;
use crate::shapes::{Point, chain, cone, cover, ellipsoid, smooth_intersection, smooth_union};
use crate::tissue::{Mixture, Tissue};

/// Frontal horn, body, atrium and occipital horn.
pub(super) const VENTRICLE: [(Point, f32); 6] = [
    ([6.0, 29.0, 1.0], 2.6),
    ([7.0, 18.0, 7.0], 4.6),
    ([7.5, -4.0, 15.5], 4.4),
    ([11.0, -25.0, 17.0], 4.8),
    ([23.5, -41.0, 11.0], 6.8),
    ([27.0, -68.0, 5.0], 2.8),
];
/// Atrium to the tip of the temporal horn.
const TEMPORAL_HORN: [(Point, f32); 4] = [
    ([25.0, -42.0, 11.0], 5.0),
    ([35.0, -34.0, -5.0], 3.0),
    ([35.5, -19.0, -14.5], 2.2),
    ([31.0, -5.0, -20.0], 2.0),
];
/// Head, body and tail of the hippocampus.
pub(super) const HIPPOCAMPUS: [(Point, f32); 5] = [
    ([22.5, -7.0, -21.0], 5.6),
    ([26.5, -14.0, -19.0], 6.0),
    ([29.0, -25.0, -13.0], 4.6),
    ([25.0, -36.0, -4.0], 3.6),
    ([17.0, -41.0, 4.0], 2.4),
];
/// Volume of [`HIPPOCAMPUS`] as it stands, in mm3 of the template, one side.
pub(crate) const HIPPOCAMPUS_MM3: f64 = 3860.0;
/// Volume of both lateral ventricles as they stand, in mm3 of the template.
pub(crate) const VENTRICLES_MM3: f64 = 19_500.0;

/// Distance to the hippocampus in its unshrunken form.
pub(super) fn hippocampus_axis(m: Point) -> f32 {
    if m[2] > 14.0 || m[1] > 20.0 || m[0] > 60.0 {
        return 40.0;
    }
    HIPPOCAMPUS.windows(2).fold(f32::MAX, |nearest, pair| nearest.min(cone(m, pair[0], pair[1])))
}

impl Anatomy<'_> {
    /// Adds everything that lies deep in the brain, over cortex and white matter.
    pub(super) fn deep(&self, m: Point, right: bool, depth: f32, h: f32, mixture: &mut Mixture) {
        if m[1] > 42.0 || m[2] > 42.0 || m[0] > 48.0 || m[2] < -52.0 {
            return;
        }
        self.nuclei(m, h, mixture);
        self.ventricles(m, right, h, mixture);
        if depth > -4.0 {
            self.medial_temporal(m, right, h, mixture);
        }
    }

    fn nuclei(&self, m: Point, h: f32, mixture: &mut Mixture) {
        let thalamus = smooth_union(
            ellipsoid(m, [10.5, -17.0, 4.0], [9.0, 14.0, 8.0]),
            ellipsoid(m, [14.0, -26.0, 3.0], [7.5, 7.5, 7.0]),
            4.0,
        );
        mixture.over(Tissue::Thalamus, cover(thalamus, h));
        let caudate = chain(
            m,
            &[
                ([12.5, 19.0, 3.0], 5.4),
                ([14.0, 8.0, 12.0], 4.6),
                ([18.0, -10.0, 20.0], 3.0),
                ([22.0, -26.0, 18.0], 2.0),
            ],
            1.0,
        );
        mixture.over(Tissue::Caudate, cover(caudate, h));
        let tilted = [m[0] + 0.16 * (m[1] - 4.0), m[1], m[2]];
        let putamen = ellipsoid(tilted, [26.5, 3.0, 1.0], [5.6, 16.5, 11.0]);
        mixture.over(Tissue::Putamen, cover(putamen, h));
        let pallidum = ellipsoid(tilted, [19.5, -1.0, 0.0], [4.2, 9.5, 6.5]);
        mixture.over(Tissue::Pallidum, cover(pallidum, h));
    }

    fn ventricles(&self, m: Point, right: bool, h: f32, mixture: &mut Mixture) {
        let swell = self.ventricle_swell[usize::from(right)];
        let horn_swell = swell * self.atrophy.temporal_horn_swell as f32;
        // Frontal horn and body are taller than wide.
        let body = chain([m[0] * 1.12 - 0.6, m[1], m[2]], &VENTRICLE, swell);
        let horn = chain(m, &TEMPORAL_HORN, horn_swell);
        let septum = 0.9 - m[0];
        let lateral = smooth_intersection(smooth_union(body, horn, 2.0), septum, 1.5);
        mixture.over(Tissue::LateralVentricle, cover(lateral, h));
        let third_half_width = 1.9 * self.atrophy.third_swell as f32;
        let third = ellipsoid(m, [0.0, -9.0, -3.0], [third_half_width, 12.5, 11.0]);
        mixture.over(Tissue::ThirdVentricle, cover(third, h));
        let aqueduct = cone(m, ([0.0, -24.0, -4.0], 1.1), ([0.0, -37.0, -26.0], 1.3));
        let fourth = ellipsoid(m, [0.0, -41.0, -34.0], [6.5, 4.6, 10.0]);
        mixture.over(Tissue::FourthVentricle, cover(smooth_union(aqueduct, fourth, 2.0), h));
    }

    fn medial_temporal(&self, m: Point, right: bool, h: f32, mixture: &mut Mixture) {
        if m[2] > 14.0 || m[1] > 14.0 || m[1] < -54.0 {
            return;
        }
        let amygdala = ellipsoid(m, [22.5, -1.0, -17.5], [7.0, 6.5, 6.5]);
        mixture.over(Tissue::Amygdala, cover(amygdala, h));
        let swell = self.hippocampus_swell[usize::from(right)];
        // Fluid takes the room, above and beside, that a shrunken hippocampus leaves.
        let room = smooth_intersection(chain(m, &HIPPOCAMPUS, 1.06), 24.0 - m[0] - 0.5 * (m[2] + 18.0), 3.0);
        mixture.over(Tissue::LateralVentricle, cover(room, h));
        let hippocampus = chain(m, &HIPPOCAMPUS, swell);
        mixture.over(Tissue::Hippocampus, cover(hippocampus, h));
    }
}
