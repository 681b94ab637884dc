//! Installs weights into the cache.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brainreel_artifact::hash_bytes;
use brainreel_checkpoint::{CheckpointError, Digest, Published};

use crate::WeightsError;
use crate::cache::{Cache, Cached, Health, Record};
use crate::download::{Request, download};

/// Record source of a file imported by the user.
const IMPORTED: &str = "import";
/// Record source of a file that PyTorch had downloaded.
const FROM_TORCH_HUB: &str = "torch hub";

/// Options of [`fetch`].
#[derive(Debug, Clone, Copy, Default)]
pub struct FetchOptions<'a> {
    /// URL of a mirror, instead of the authors' URL.
    pub url: Option<&'a str>,
    /// Do not touch the network.
    pub offline: bool,
    /// Fetch again, and accept a file that differs from the one trusted first. A file that differs from a
    /// published digest is never accepted.
    pub replace: bool,
    /// Folders in which PyTorch may have the file ([`torch_hub_folders`](crate::torch_hub_folders)). They are
    /// searched before downloading, unless `url` or `replace` asks for a download. Only files with a
    /// published digest are accepted from there.
    pub hub_folders: &'a [PathBuf],
}

/// Progress events of fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent<'a> {
    /// PyTorch has a file of this name that is not the published one. It is ignored.
    RefusedHubFile {
        /// The file.
        path: &'a Path,
        /// Its SHA-256.
        sha256: &'a str,
    },
    /// A server is contacted.
    Connecting {
        /// The server.
        host: &'a str,
        /// The longest wait for a connection, and the longest for an answer.
        patience: Duration,
    },
    /// Bytes came.
    Received {
        /// Bytes so far.
        n_bytes: u64,
        /// Total number of bytes, if known.
        total_bytes: Option<u64>,
    },
}

/// Source of the installed weights.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// They were in the cache.
    Cache,
    /// PyTorch had this file.
    TorchHub(PathBuf),
    /// They were downloaded.
    Network,
    /// The user imported them.
    Import,
}

/// Installed weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The file.
    pub cached: Cached,
    /// Their source.
    pub origin: Origin,
}

/// Downloads the weights of a model into the cache, unless an intact copy is there or PyTorch has one.
///
/// # Errors
/// [`WeightsError`]. Only files that hold the network enter the cache, and only the published file if its
/// digest is known.
pub fn fetch(
    cache: &Cache,
    model: &Published,
    options: &FetchOptions<'_>,
    mut progress: impl FnMut(FetchEvent<'_>),
) -> Result<Installed, WeightsError> {
    if !options.replace && cache.health(model)? == Health::Whole {
        return Ok(Installed { cached: cache.find(model)?, origin: Origin::Cache });
    }
    if !options.replace
        && options.url.is_none()
        && let Some(installed) = take_from_hub(cache, model, options.hub_folders, &mut progress)?
    {
        return Ok(installed);
    }
    let url = options.url.unwrap_or(model.url);
    if options.offline {
        return Err(WeightsError::Offline { url: url.to_owned() });
    }
    let bytes = download(&Request { name: model.name, url, max_bytes: model.max_bytes }, &mut progress)?;
    let sha256 = hash_bytes(&bytes).to_string();
    if model.digest.agrees(&sha256) == Some(false) {
        let expected = model.digest.expected().to_owned();
        return Err(WeightsError::Hash { origin: url.to_owned(), got: sha256, expected });
    }
    refuse_change(cache, model, &sha256, url, options.replace)?;
    check_network(model, &bytes, Path::new(url))?;
    let cached = install(cache, model, &bytes, sha256, url)?;
    Ok(Installed { cached, origin: Origin::Network })
}

/// Copies the file of a model from PyTorch's folders, if it is the published one.
fn take_from_hub(
    cache: &Cache,
    model: &Published,
    folders: &[PathBuf],
    progress: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<Option<Installed>, WeightsError> {
    if model.digest == Digest::FirstUse {
        return Ok(None);
    }
    for path in folders.iter().map(|folder| folder.join(model.file_name)).filter(|path| path.is_file()) {
        // Treat a file that is unreadable or too large as missing.
        let Ok(Some(bytes)) = read_at_most(&path, model.max_bytes) else { continue };
        let sha256 = hash_bytes(&bytes).to_string();
        let is_right =
            model.digest.agrees(&sha256) == Some(true) && check_network(model, &bytes, &path).is_ok();
        if is_right {
            let cached = install(cache, model, &bytes, sha256, FROM_TORCH_HUB)?;
            return Ok(Some(Installed { cached, origin: Origin::TorchHub(path) }));
        }
        progress(FetchEvent::RefusedHubFile { path: &path, sha256: &sha256 });
    }
    Ok(None)
}

/// Imports a user's file into the cache. Its tensors identify which of the `candidates` it is. A file of the
/// right network that is not the published one is accepted too, and its record says so.
///
/// # Errors
/// [`WeightsError`]: it is no known network, too large, or another file than the one that is there
/// (unless `replace`).
///
/// # Panics
/// If there are no candidates.
pub fn import<'a>(
    cache: &Cache,
    candidates: &'a [Published],
    file: &Path,
    replace: bool,
) -> Result<(&'a Published, Installed), WeightsError> {
    let limit_bytes = candidates.iter().map(|model| model.max_bytes).max().unwrap_or(0);
    let Some(bytes) = read_at_most(file, limit_bytes)? else {
        let name = if let [model] = candidates { model.name } else { "any network" };
        let origin = file.display().to_string();
        return Err(WeightsError::TooLarge { name, origin, limit_bytes });
    };
    let (model, refused) = recognise(candidates, &bytes, file);
    let Some(model) = model else {
        let names = candidates.iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
        let source = Box::new(refused.expect("there are candidates"));
        return Err(WeightsError::NotTheNetwork { names, source });
    };
    if bytes.len() as u64 > model.max_bytes {
        let (origin, limit_bytes) = (file.display().to_string(), model.max_bytes);
        return Err(WeightsError::TooLarge { name: model.name, origin, limit_bytes });
    }
    let sha256 = hash_bytes(&bytes).to_string();
    if cache.path_of(model).is_file() {
        refuse_change(cache, model, &sha256, &file.display().to_string(), replace)?;
    }
    let cached = install(cache, model, &bytes, sha256, IMPORTED)?;
    Ok((model, Installed { cached, origin: Origin::Import }))
}

/// The model whose network the file holds, or the most informative error.
fn recognise<'a>(
    candidates: &'a [Published],
    bytes: &[u8],
    file: &Path,
) -> (Option<&'a Published>, Option<CheckpointError>) {
    // A wrong value is more informative than a wrong shape, which is more informative than a missing name.
    let rank = |error: &CheckpointError| match error {
        CheckpointError::Value { .. } => 2,
        CheckpointError::Shape { .. } => 1,
        _ => 0,
    };
    let mut refused: Option<CheckpointError> = None;
    for model in candidates {
        match model.check(bytes, file) {
            Ok(_) => return (Some(model), None),
            Err(error) if refused.as_ref().is_none_or(|known| rank(&error) > rank(known)) => {
                refused = Some(error);
            }
            Err(_) => {}
        }
    }
    (None, refused)
}

/// Reads the weights of a model in the cache and checks everything again: digest, and whether they are the
/// network. Gives the number of parameters.
///
/// # Errors
/// [`WeightsError`] says what is wrong.
pub fn verify(cache: &Cache, model: &Published) -> Result<(Cached, usize), WeightsError> {
    let cached = cache.find(model)?;
    let Some(bytes) = read_at_most(&cached.path, model.max_bytes)? else {
        let (origin, limit_bytes) = (cached.path.display().to_string(), model.max_bytes);
        return Err(WeightsError::TooLarge { name: model.name, origin, limit_bytes });
    };
    Cache::check_digest(model, &cached, hash_bytes(&bytes).as_str())?;
    let n_parameters = model.check(&bytes, &cached.path).map_err(|source| not_the_network(model, source))?;
    Ok((cached, n_parameters))
}

fn install(
    cache: &Cache,
    model: &Published,
    bytes: &[u8],
    sha256: String,
    source: &str,
) -> Result<Cached, WeightsError> {
    let record = Record {
        model: model.name.to_owned(),
        published: model.digest.agrees(&sha256),
        sha256,
        n_bytes: bytes.len() as u64,
        source: source.to_owned(),
    };
    cache.put(model, bytes, record)
}

/// Trust on first use: a second, different file is rejected. A published digest takes precedence.
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
    model.check(bytes, path).map(|_| ()).map_err(|source| not_the_network(model, source))
}

fn not_the_network(model: &Published, source: CheckpointError) -> WeightsError {
    WeightsError::NotTheNetwork { names: model.name.to_owned(), source: Box::new(source) }
}

/// Reads the file. `None` if it is larger than `limit_bytes`.
fn read_at_most(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, WeightsError> {
    let read = |source| WeightsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(read)?.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(read)?;
    Ok((bytes.len() as u64 <= limit_bytes).then_some(bytes))
}
