//! Where the weights of a network are.

use std::path::{Path, PathBuf};

use brainreel_weights::{Cache, Cached, Published, WeightsError};

/// The file with the weights of a network.
#[derive(Debug)]
pub struct LocatedWeights {
    /// The file.
    pub path: PathBuf,
    /// Its record in the cache, to compare its digest with. `None` if a file was named.
    pub cached: Option<Cached>,
}

/// Finds the weights of `model`: the file that is given, or the one in the cache.
///
/// # Errors
/// [`WeightsError`]: no file is given and the cache has none.
pub fn locate(model: &'static Published, given: Option<&Path>) -> Result<LocatedWeights, WeightsError> {
    if let Some(path) = given {
        return Ok(LocatedWeights { path: path.to_owned(), cached: None });
    }
    let cached = Cache::of_user()?.find(model)?;
    Ok(LocatedWeights { path: cached.path.clone(), cached: Some(cached) })
}
