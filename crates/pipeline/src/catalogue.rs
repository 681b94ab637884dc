//! The published weights that this program knows.

use std::sync::LazyLock;

use brainreel_models::Architecture;
use brainreel_weights::Catalogue;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let networks = Architecture::published_weights();
    Catalogue::new([brainreel_synthstrip::PUBLISHED].into_iter().chain(networks))
});

/// SynthStrip's and those of all video networks.
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}
