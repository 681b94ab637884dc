//! Test support: golden arrays, closeness assertions, phantoms and optional real data.
//!
//! Only ever a dev-dependency.

mod close;
mod golden;

pub use close::{Tolerance, assert_close};
pub use golden::{Array, Golden};

use std::path::{Path, PathBuf};

/// The folder of real images that some tests use when it is there: `$BRAINREEL_TEST_DATA`, or
/// `../shared/data` beside the checkout. `None` means: skip, and say so.
#[must_use]
pub fn real_data() -> Option<PathBuf> {
    let folder = std::env::var_os("BRAINREEL_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    folder.is_dir().then_some(folder)
}
