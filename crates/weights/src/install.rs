//! Weights on their way into the cache.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use brainreel_artifact::hash_bytes;

use crate::cache::{Cache, Cached, Health, Record};
use crate::download::{Request, download};
use crate::{Digest, Published, WeightsError, all_published};

/// What the record says of a file that the user brought.
const IMPORTED: &str = "import";

/// How to fetch.
#[derive(Debug, Clone, Copy, Default)]
pub struct FetchOptions<'a> {
    /// Another address than the authors': a mirror.
    pub url: Option<&'a str>,
    /// Do not touch the network.
    pub offline: bool,
    /// Fetch again, and take a file that differs from the one that was trusted first (never one that differs
    /// from a published digest).
    pub replace: bool,
}

/// Weights that are in the cache now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The file.
    pub cached: Cached,
    /// Whether they were there already.
    pub was_there: bool,
}

/// Downloads the weights of a model into the cache, unless they are there and whole.
///
/// # Errors
/// [`WeightsError`]; nothing enters the cache that is not the network, or not the published file where its
/// digest is known.
pub fn fetch(
    cache: &Cache,
    model: &Published,
    options: &FetchOptions<'_>,
    progress: impl FnMut(u64, Option<u64>),
) -> Result<Installed, WeightsError> {
    if !options.replace && cache.health(model)? == Health::Whole {
        return Ok(Installed { cached: cache.find(model)?, was_there: true });
    }
    let url = options.url.unwrap_or(model.url);
    if options.offline {
        return Err(WeightsError::Offline { url: url.to_owned() });
    }
    let bytes = download(&Request { name: model.name, url, max_bytes: model.max_bytes }, progress)?;
    let sha256 = hash_bytes(&bytes).to_string();
    if model.digest.agrees(&sha256) == Some(false) {
        let expected = model.digest.expected().to_owned();
        return Err(WeightsError::Hash { origin: url.to_owned(), got: sha256, expected });
    }
    refuse_change(cache, model, &sha256, url, options.replace)?;
    check_network(model, &bytes, Path::new(url))?;
    let source = url.to_owned();
    install(cache, model, &bytes, sha256, source)
}

/// Takes a file of the user's into the cache; of which model shows in what it holds, unless that is given. A
/// file of the right network that is not the published one is taken too, and its record says so.
///
/// # Errors
/// [`WeightsError`]: it is no known network, too large, or another file than the one that is there
/// (unless `replace`).
pub fn import(
    cache: &Cache,
    model: Option<&'static Published>,
    file: &Path,
    replace: bool,
) -> Result<(&'static Published, Installed), WeightsError> {
    let candidates = model.map_or_else(all_published, std::slice::from_ref);
    let mut refused = None;
    for model in candidates {
        let bytes = read_bounded(model, file)?;
        match check_network(model, &bytes, file) {
            Err(error) => refused = Some(error),
            Ok(()) => {
                let sha256 = hash_bytes(&bytes).to_string();
                let origin = file.display().to_string();
                if cache.path_of(model).is_file() {
                    refuse_change(cache, model, &sha256, &origin, replace)?;
                }
                return Ok((model, install(cache, model, &bytes, sha256, IMPORTED.to_owned())?));
            }
        }
    }
    Err(refused.expect("the table of models is not empty"))
}

/// Reads the weights of a model in the cache and checks everything again: digest, and whether they are the
/// network. Gives the number of parameters.
///
/// # Errors
/// [`WeightsError`] says what is wrong.
pub fn verify(cache: &Cache, model: &Published) -> Result<(Cached, usize), WeightsError> {
    let cached = cache.find(model)?;
    let bytes = read_bounded(model, &cached.path)?;
    Cache::check_digest(model, &cached, hash_bytes(&bytes).as_str())?;
    let n_parameters =
        model.network.check(&bytes, &cached.path).map_err(|source| not_the_network(model, source))?;
    Ok((cached, n_parameters))
}

fn install(
    cache: &Cache,
    model: &Published,
    bytes: &[u8],
    sha256: String,
    source: String,
) -> Result<Installed, WeightsError> {
    let published = model.digest.agrees(&sha256);
    let record =
        Record { model: model.name.to_owned(), sha256, n_bytes: bytes.len() as u64, source, published };
    Ok(Installed { cached: cache.put(model, bytes, record)?, was_there: false })
}

/// Trust on first use: a second, different file is refused. A published digest is a better witness.
fn refuse_change(
    cache: &Cache,
    model: &Published,
    sha256: &str,
    origin: &str,
    replace: bool,
) -> Result<(), WeightsError> {
    let is_published = model.digest != Digest::FirstUse && model.digest.agrees(sha256) == Some(true);
    match cache.record_of(model) {
        Some(record) if record.sha256 != sha256 && !replace && !is_published => Err(WeightsError::Changed {
            origin: origin.to_owned(),
            got: sha256.to_owned(),
            expected: record.sha256,
        }),
        _ => Ok(()),
    }
}

fn check_network(model: &Published, bytes: &[u8], path: &Path) -> Result<(), WeightsError> {
    model.network.check(bytes, path).map(|_| ()).map_err(|source| not_the_network(model, source))
}

fn not_the_network(model: &Published, source: brainreel_models::ModelError) -> WeightsError {
    WeightsError::NotTheNetwork { names: model.name.to_owned(), source: Box::new(source) }
}

fn read_bounded(model: &Published, path: &Path) -> Result<Vec<u8>, WeightsError> {
    let read = |source| WeightsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(read)?.take(model.max_bytes + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > model.max_bytes {
        let origin = path.display().to_string();
        return Err(WeightsError::TooLarge { name: model.name, origin, limit_bytes: model.max_bytes });
    }
    Ok(bytes)
}
