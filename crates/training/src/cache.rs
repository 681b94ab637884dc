//! On-disk cache of trunk features, keyed by a digest of their inputs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use brainreel_artifact::{ArtifactError, ContentHash, hash_bytes, write_atomic_with};
use brainreel_named::named;
use half::{bf16, f16};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Magic bytes of an entry. The digit is the revision of the layout.
const MAGIC: &[u8; 8] = b"BRFEAT1\n";
/// Magic, five dimensions, digest of the payload.
const HEADER_BYTES: usize = 8 + 5 * 8 + 64;
const EXTENSION: &str = "features";

named! {
    /// Number type of cached features.
    #[derive(Default)]
    pub enum FeatureType {
        /// Single precision, as the trunk computes.
        #[default]
        F32 = "f32",
        /// Half precision: half the disk space. All features are rounded to it, cached or not.
        F16 = "f16",
        /// bfloat16: half the disk space, the range of single precision, three digits.
        Bf16 = "bf16",
    }
}

/// Cache of trunk features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Folder of the cache. Several runs may share it. Default: `cache` in the run folder.
    #[schemars(example = &"cache")]
    pub directory: Option<PathBuf>,
    /// Largest size of the cache in bytes. 0 caches nothing. A full cache first drops features of other runs,
    /// then accepts no new ones.
    pub max_bytes: u64,
    /// Number type of cached features.
    pub dtype: FeatureType,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { directory: None, max_bytes: 32 << 30, dtype: FeatureType::F32 }
    }
}

/// Features of one scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// `[1, C, D, H, W]`.
    pub shape: [usize; 5],
    /// The values, last axis fastest.
    pub values: Vec<f32>,
}

/// Hits and misses of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheUse {
    /// Cache hits.
    pub n_hits: u64,
    /// Cache misses: features that were computed.
    pub n_misses: u64,
}

/// A folder of features. A damaged entry (wrong length or digest) counts as a miss.
#[derive(Debug)]
pub struct FeatureCache {
    folder: PathBuf,
    max_bytes: u64,
    dtype: FeatureType,
    used_bytes: u64,
    /// Entries that this run has not requested, oldest last.
    unused: Vec<Entry>,
    own: BTreeSet<PathBuf>,
    usage: CacheUse,
}

impl FeatureCache {
    /// Opens the cache that `config` describes, in `default_folder` unless `config` sets a folder.
    #[must_use]
    pub fn open(config: &CacheConfig, default_folder: &Path) -> Self {
        let folder = config.directory.clone().unwrap_or_else(|| default_folder.to_owned());
        let mut unused = entries(&folder);
        unused.sort_by(|one, other| other.cmp(one));
        Self {
            used_bytes: unused.iter().map(|entry| entry.n_bytes).sum(),
            unused,
            folder,
            max_bytes: config.max_bytes,
            dtype: config.dtype,
            own: BTreeSet::new(),
            usage: CacheUse::default(),
        }
    }

    /// Number type to which features are rounded.
    #[must_use]
    pub const fn dtype(&self) -> FeatureType {
        self.dtype
    }

    /// Hits and misses so far.
    #[must_use]
    pub const fn usage(&self) -> CacheUse {
        self.usage
    }

    /// Returns the features cached under `key`. On a miss, calls `compute` and caches its result if there is
    /// room. Both paths return the same bits.
    ///
    /// # Errors
    /// Returns the error of `compute`, or an error if a write fails.
    pub fn get_or_compute<E: From<ArtifactError>>(
        &mut self,
        key: &ContentHash,
        compute: impl FnOnce() -> Result<Features, E>,
    ) -> Result<Features, E> {
        let path = self.path(key);
        if self.max_bytes > 0
            && let Some(features) = read_entry(&path, self.dtype)
        {
            self.usage.n_hits += 1;
            self.adopt(path, None);
            return Ok(features);
        }
        self.usage.n_misses += 1;
        let (features, payload) = round(compute()?, self.dtype);
        let n_bytes = (HEADER_BYTES + payload.len()) as u64;
        if self.make_room(n_bytes) {
            write_entry(&path, features.shape, &payload)?;
            self.adopt(path, Some(n_bytes));
        }
        Ok(features)
    }

    /// Whether an entry exists. It may be damaged.
    #[must_use]
    pub fn contains(&self, key: &ContentHash) -> bool {
        self.path(key).is_file()
    }

    fn path(&self, key: &ContentHash) -> PathBuf {
        let digits = key.as_str();
        self.folder.join(&digits[..2]).join(format!("{digits}.{EXTENSION}"))
    }

    /// Marks an entry as used by this run. `new_bytes` is its size if it was just written.
    fn adopt(&mut self, path: PathBuf, new_bytes: Option<u64>) {
        let known = self.unused.iter().position(|entry| entry.path == path);
        let replaced = known.map_or(0, |idx| self.unused.remove(idx).n_bytes);
        if let Some(bytes) = new_bytes {
            let replaced = if self.own.contains(&path) { bytes } else { replaced };
            self.used_bytes = self.used_bytes + bytes - replaced.min(self.used_bytes);
        }
        self.own.insert(path);
    }

    /// Deletes entries of other runs, oldest first, until `n_bytes` fit. Returns `false` if they cannot fit.
    fn make_room(&mut self, n_bytes: u64) -> bool {
        while self.used_bytes + n_bytes > self.max_bytes {
            let Some(entry) = self.unused.pop() else { return false };
            if fs::remove_file(&entry.path).is_ok() {
                self.used_bytes -= entry.n_bytes.min(self.used_bytes);
            }
        }
        true
    }
}

/// A file of the cache. Entries are ordered by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    modified: SystemTime,
    path: PathBuf,
    n_bytes: u64,
}

fn entries(folder: &Path) -> Vec<Entry> {
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    list(folder)
        .flat_map(|sub| list(&sub.path()))
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == EXTENSION))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(Entry { modified: metadata.modified().ok()?, path: entry.path(), n_bytes: metadata.len() })
        })
        .collect()
}

/// The features after rounding, and their encoded bytes.
fn round(features: Features, dtype: FeatureType) -> (Features, Vec<u8>) {
    let Features { shape, values } = features;
    match dtype {
        FeatureType::F32 => {
            let payload = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (Features { shape, values }, payload)
        }
        FeatureType::F16 => {
            let halves: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
            let payload = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            (Features { shape, values: halves.into_iter().map(f16::to_f32).collect() }, payload)
        }
        FeatureType::Bf16 => {
            let halves: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
            let payload = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            (Features { shape, values: halves.into_iter().map(bf16::to_f32).collect() }, payload)
        }
    }
}

fn write_entry(path: &Path, shape: [usize; 5], payload: &[u8]) -> Result<(), ArtifactError> {
    write_atomic_with(path, |file| {
        file.write_all(MAGIC)?;
        for n in shape {
            file.write_all(&(n as u64).to_le_bytes())?;
        }
        file.write_all(hash_bytes(payload).as_str().as_bytes())?;
        file.write_all(payload)
    })
}

fn read_entry(path: &Path, dtype: FeatureType) -> Option<Features> {
    let bytes = fs::read(path).ok()?;
    let (header, payload) = bytes.split_at_checked(HEADER_BYTES)?;
    let (magic, header) = header.split_at(8);
    let (dims, digest) = header.split_at(40);
    if magic != MAGIC || digest != hash_bytes(payload).as_str().as_bytes() {
        return None;
    }
    let mut shape = [0; 5];
    for (n, bytes) in shape.iter_mut().zip(dims.as_chunks().0) {
        *n = usize::try_from(u64::from_le_bytes(*bytes)).ok()?;
    }
    let values: Vec<f32> = match dtype {
        FeatureType::F32 => payload.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        FeatureType::F16 => payload.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        FeatureType::Bf16 => payload.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
    };
    let expected = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n))?;
    (expected == values.len()).then_some(Features { shape, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(seed: u16) -> Features {
        let values = (0..24_u16).map(|i| f32::from(i * 37 + seed) / 7.0).collect();
        Features { shape: [1, 2, 3, 2, 2], values }
    }

    fn cache(folder: &Path, max_bytes: u64, dtype: FeatureType) -> FeatureCache {
        FeatureCache::open(&CacheConfig { directory: None, max_bytes, dtype }, folder)
    }

    fn get(cache: &mut FeatureCache, seed: u16) -> Features {
        let key = hash_bytes(&seed.to_le_bytes());
        cache.get_or_compute(&key, || Ok::<_, ArtifactError>(features(seed))).unwrap()
    }

    #[test]
    fn a_hit_has_the_bits_of_a_miss() {
        for dtype in [FeatureType::F32, FeatureType::F16, FeatureType::Bf16] {
            let dir = tempfile::tempdir().unwrap();
            let first = get(&mut cache(dir.path(), 1 << 20, dtype), 1);
            let mut again = cache(dir.path(), 1 << 20, dtype);
            assert_eq!(get(&mut again, 1), first);
            assert_eq!(again.usage(), CacheUse { n_hits: 1, n_misses: 0 });
            assert_eq!(get(&mut cache(dir.path(), 0, dtype), 1), first);
        }
    }

    #[test]
    fn a_damaged_entry_is_computed_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut own = cache(dir.path(), 1 << 20, FeatureType::F32);
        let whole = get(&mut own, 1);
        let path = own.path(&hash_bytes(&1_u16.to_le_bytes()));
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&bytes[..20], &bytes[..bytes.len() - 4], &flipped, b""] {
            fs::write(&path, damaged).unwrap();
            let mut again = cache(dir.path(), 1 << 20, FeatureType::F32);
            assert_eq!(get(&mut again, 1), whole);
            assert_eq!(again.usage(), CacheUse { n_hits: 0, n_misses: 1 });
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn the_folder_stays_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let entry = (HEADER_BYTES + 24 * 4) as u64;
        let on_disk = || entries(dir.path()).iter().map(|entry| entry.n_bytes).sum::<u64>();
        let mut first = cache(dir.path(), 3 * entry, FeatureType::F32);
        (0..5).for_each(|seed| drop(get(&mut first, seed)));
        assert_eq!(on_disk(), 3 * entry);
        // Another run evicts the entries that it has not requested itself.
        let mut second = cache(dir.path(), 3 * entry, FeatureType::F32);
        (10..12).for_each(|seed| drop(get(&mut second, seed)));
        assert_eq!(on_disk(), 3 * entry);
        get(&mut second, 10);
        assert_eq!(second.usage(), CacheUse { n_hits: 1, n_misses: 2 });
    }
}
