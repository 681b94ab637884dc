//! Telling tissue from air.

use brainreel_kernels::{otsu_threshold, percentiles};
use brainreel_volume::Volume;

use crate::ForegroundRule;

/// Upper end of the range in which the threshold is looked for: a few very bright voxels (inflowing
/// blood, spikes) shall not stretch it.
const BRIGHT_PERCENT: f64 = 99.9;

/// The intensity above which voxels are foreground.
pub(crate) fn threshold(volume: &Volume<f32>, rule: ForegroundRule) -> f64 {
    match rule {
        ForegroundRule::Above(value) => value,
        ForegroundRule::Otsu => {
            let found = percentiles(&mut volume.as_slice().to_vec(), &[0.0, BRIGHT_PERCENT]);
            let [low, high] = found[..] else { return 0.0 };
            otsu_threshold(volume.as_slice(), low, high)
        }
    }
}
