//! Trunk features of scans, computed or read from the cache.

use std::path::Path;

use brainreel_artifact::{ContentHash, HashBuilder, hash_json};
use brainreel_augmentation::Draw;
use brainreel_models::{Trunk, volume_tensor};
use burn::tensor::{Tensor, TensorData};

use crate::TrainError;
use crate::cache::{CacheConfig, CacheUse, FeatureCache, Features};
use crate::dataset::CheckedScan;
use crate::paths::RunPaths;

/// Revision of the computation from an image file to its features. Raise it when numbers change.
const FEATURES_REVISION: u32 = 2;

/// Batch size of the head.
pub(crate) const HEAD_BATCH: usize = 8;

/// Source of trunk features, computed with the running statistics of the trunk.
pub(crate) struct FeatureSource {
    cache: FeatureCache,
    /// Digest of the trunk that cached features belong to. `None` disables caching.
    trunk: Option<ContentHash>,
    /// Whether augmentation draws repeat, so that caching their features pays off. Unaugmented scans always
    /// repeat.
    draws_repeat: bool,
}

impl FeatureSource {
    /// Creates a source for `trunk`. `fixed` says that the statistics of the trunk no longer change.
    /// Augmentation draws are assumed to be new each time, see [`Self::with_repeated_draws`].
    pub(crate) fn new(trunk: &Trunk, fixed: bool, cache: &CacheConfig, run_dir: &Path) -> Self {
        let keep = fixed && !trunk.is_empty() && cache.max_bytes > 0;
        let config = CacheConfig { max_bytes: if keep { cache.max_bytes } else { 0 }, ..cache.clone() };
        Self {
            cache: FeatureCache::open(&config, &RunPaths::new(run_dir).cache()),
            trunk: keep.then(|| trunk.hash()),
            draws_repeat: false,
        }
    }

    /// Sets whether augmentation draws repeat.
    pub(crate) fn with_repeated_draws(self, draws_repeat: bool) -> Self {
        Self { draws_repeat, ..self }
    }

    /// Whether caching is enabled.
    pub(crate) const fn keeps(&self) -> bool {
        self.trunk.is_some()
    }

    /// Whether the features of a scan are cached.
    pub(crate) fn has(&self, scan: &CheckedScan, draw: &Draw) -> bool {
        self.key_of(scan, draw).is_some_and(|key| self.cache.contains(&key))
    }

    /// Cache key of a scan's features, if they are cached.
    fn key_of(&self, scan: &CheckedScan, draw: &Draw) -> Option<ContentHash> {
        let hash = self.trunk.as_ref().filter(|_| draw.is_plain() || self.draws_repeat)?;
        Some(key(hash, scan, draw, &self.cache))
    }

    /// Features of one scan, without autodiff. `loaded` is its network input if the loader has read it.
    pub(crate) fn get(
        &mut self,
        trunk: &Trunk,
        scan: &CheckedScan,
        draw: &Draw,
        loaded: Option<Vec<f32>>,
    ) -> Result<Tensor<5>, TrainError> {
        let compute = || {
            let input = loaded.map_or_else(|| scan.load(draw), Ok)?;
            Ok::<_, TrainError>(compute(trunk, volume_tensor(input, scan.dims, trunk.device())))
        };
        let Features { shape, values } = match self.key_of(scan, draw) {
            Some(key) => self.cache.get_or_compute(&key, compute)?,
            None => compute()?,
        };
        Ok(Tensor::from_data(TensorData::new(values, shape), trunk.device()))
    }

    /// Computes and caches the features of a scan unless they are cached.
    pub(crate) fn prepare(
        &mut self,
        trunk: &Trunk,
        scan: &CheckedScan,
        draw: &Draw,
    ) -> Result<(), TrainError> {
        if self.keeps() && !self.has(scan, draw) {
            self.get(trunk, scan, draw, None)?;
        }
        Ok(())
    }

    /// Features of several scans, along the first axis.
    pub(crate) fn batch(
        &mut self,
        trunk: &Trunk,
        scans: &[(&CheckedScan, Draw)],
    ) -> Result<Tensor<5>, TrainError> {
        let features: Result<Vec<_>, _> =
            scans.iter().map(|(scan, draw)| self.get(trunk, scan, draw, None)).collect();
        Ok(Tensor::cat(features?, 0))
    }

    pub(crate) const fn cache_use(&self) -> CacheUse {
        self.cache.usage()
    }
}

fn key(trunk: &ContentHash, scan: &CheckedScan, draw: &Draw, cache: &FeatureCache) -> ContentHash {
    HashBuilder::new()
        .part(FEATURES_REVISION.to_le_bytes())
        .part(&scan.sha256)
        .part(trunk.as_str())
        .part(hash_json(draw).as_str())
        .part(format!("{:?}", cache.dtype()))
        .finish()
}

fn compute(trunk: &Trunk, input: Tensor<5>) -> Features {
    let features = trunk.forward(input);
    let shape = features.dims();
    let values = features.into_data().try_into_vec().expect("features are single precision");
    Features { shape, values }
}

/// Network input of one scan.
pub(crate) fn input(trunk: &Trunk, scan: &CheckedScan, draw: &Draw) -> Result<Tensor<5>, TrainError> {
    Ok(volume_tensor(scan.load(draw)?, scan.dims, trunk.device()))
}
