//! Trunk features of scans, computed or kept.

use std::path::Path;

use brainreel_artifact::{ContentHash, HashBuilder, hash_json};
use brainreel_augmentation::Draw;
use brainreel_models::{Trunk, volume_tensor};
use burn::tensor::{Tensor, TensorData};

use crate::TrainError;
use crate::cache::{CacheConfig, CacheUse, FeatureCache, Features};
use crate::dataset::CheckedScan;
use crate::paths::RunPaths;

/// Revision of everything between an image file and its features; raised when numbers change.
const FEATURES_REVISION: u32 = 2;

/// Scans that pass through the head together.
pub(crate) const HEAD_BATCH: usize = 8;

/// Gives features of scans by the running statistics of a trunk.
pub(crate) struct FeatureSource {
    cache: FeatureCache,
    /// Digest of the trunk that kept features belong to; `None` if nothing may be kept.
    trunk: Option<ContentHash>,
    /// Whether draws come again, so that their features are worth keeping; plain scans always do.
    draws_repeat: bool,
}

impl FeatureSource {
    /// A source for `trunk`; `fixed` says that its statistics will not change any more. Augmented draws
    /// are taken to be new each time, see [`Self::with_repeated_draws`].
    pub(crate) fn new(trunk: &Trunk, fixed: bool, cache: &CacheConfig, run_dir: &Path) -> Self {
        let keep = fixed && !trunk.is_empty() && cache.max_bytes > 0;
        let config = CacheConfig { max_bytes: if keep { cache.max_bytes } else { 0 }, ..cache.clone() };
        Self {
            cache: FeatureCache::open(&config, &RunPaths::new(run_dir).cache()),
            trunk: keep.then(|| trunk.hash()),
            draws_repeat: false,
        }
    }

    /// The same source, told whether augmented draws come again.
    pub(crate) fn with_repeated_draws(self, draws_repeat: bool) -> Self {
        Self { draws_repeat, ..self }
    }

    /// Whether features can be kept at all.
    pub(crate) const fn keeps(&self) -> bool {
        self.trunk.is_some()
    }

    /// Whether the features of a scan are there already.
    pub(crate) fn has(&self, scan: &CheckedScan, draw: &Draw) -> bool {
        self.key_of(scan, draw).is_some_and(|key| self.cache.contains(&key))
    }

    /// What the features of a scan are kept under, if they are kept.
    fn key_of(&self, scan: &CheckedScan, draw: &Draw) -> Option<ContentHash> {
        let hash = self.trunk.as_ref().filter(|_| draw.is_plain() || self.draws_repeat)?;
        Some(key(hash, scan, draw, &self.cache))
    }

    /// Features of one scan, outside autodiff; `loaded` is its input if that was read ahead.
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

    /// Computes the features of a scan if they are not kept yet.
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

/// The network's input for one scan.
pub(crate) fn input(trunk: &Trunk, scan: &CheckedScan, draw: &Draw) -> Result<Tensor<5>, TrainError> {
    Ok(volume_tensor(scan.load(draw)?, scan.dims, trunk.device()))
}
