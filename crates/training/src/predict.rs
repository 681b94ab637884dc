//! Prediction with a trained network.

use std::path::Path;

use brainreel_augmentation::Draw;
use brainreel_models::{DeviceKind, Network};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::cache::CacheConfig;
use crate::checkpoint::{Checkpoint, CheckpointKind};
use crate::dataset::{CheckedScan, TrainingScan, check_scans};
use crate::events::TrainEvent;
use crate::features::{FeatureSource, HEAD_BATCH};
use crate::loss::probability;

/// Prediction for one scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The scan.
    pub scan_id: String,
    /// The subject.
    pub subject_id: String,
    /// The true class: 1 for Alzheimer's disease.
    pub label: u8,
    /// The network's outputs, one per class: CN, AD.
    pub logits: Vec<f64>,
    /// Probability of Alzheimer's disease (softmax, not calibrated).
    pub probability: f64,
}

/// Request for predictions: scans, checkpoint and device.
#[derive(Debug, Clone)]
pub struct PredictRequest<'a> {
    /// The run folder.
    pub run_dir: &'a Path,
    /// Which checkpoint of the run.
    pub checkpoint: CheckpointKind,
    /// The scans.
    pub scans: &'a [TrainingScan],
    /// Folder and size limit of the feature cache. The number type always comes from the run, not from this
    /// field.
    pub cache: &'a CacheConfig,
    /// Device for the tensors. Default: the device of the run.
    pub device: Option<DeviceKind>,
}

impl<'a> PredictRequest<'a> {
    /// Creates a request for the device of the run. The cache has no default, because a run may have used
    /// another folder and limit than [`CacheConfig::default`], and only the caller knows them.
    #[must_use]
    pub const fn new(
        run_dir: &'a Path,
        checkpoint: CheckpointKind,
        scans: &'a [TrainingScan],
        cache: &'a CacheConfig,
    ) -> Self {
        Self { run_dir, checkpoint, scans, cache, device: None }
    }
}

/// Classifies scans with a checkpoint of a run. Returns the predictions sorted by scan id. Uses the features
/// that training cached.
///
/// # Errors
/// [`TrainError`] names the checkpoint, or the scan and its image.
pub fn predict(
    request: &PredictRequest<'_>,
    progress: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<Vec<Prediction>, TrainError> {
    let PredictRequest { run_dir, checkpoint, scans, .. } = *request;
    let (state, weights) = Checkpoint::read_weights(&checkpoint.path(run_dir))?;
    progress(TrainEvent::Checking { n_scans: scans.len() });
    let scans = check_scans(scans, Some(state.dims), state.n_classes)?;
    let device = request.device.unwrap_or(state.config.device);
    let network = Network::new(&weights, state.config.freeze, &device.open()?)
        .with_engine(state.config.engine)
        .with_precision(state.config.precision);
    // In `batch` mode the statistics change with every step, so caching features is useless.
    let fixed = !state.moves_frozen_norms();
    let cache = CacheConfig { dtype: state.config.cache.dtype, ..request.cache.clone() };
    let mut features = FeatureSource::new(&network.trunk, fixed, &cache, run_dir);
    let scans: Vec<&CheckedScan> = scans.iter().collect();
    let logits = classify(&network, &mut features, &scans, progress)?;
    Ok(scans.iter().zip(logits).map(|(scan, logits)| prediction(&scan.scan, logits)).collect())
}

fn prediction(scan: &TrainingScan, logits: Vec<f64>) -> Prediction {
    Prediction {
        scan_id: scan.scan_id.clone(),
        subject_id: scan.subject_id.clone(),
        label: scan.label,
        probability: probability(&logits),
        logits,
    }
}

/// Logits of unaugmented scans, in their order.
pub(crate) fn classify(
    network: &Network,
    features: &mut FeatureSource,
    scans: &[&CheckedScan],
    progress: &mut dyn FnMut(TrainEvent<'_>),
) -> Result<Vec<Vec<f64>>, TrainError> {
    let head = network.head.without_autodiff();
    // Without a trunk the head is the whole network, and its activations are large.
    let n_together = if network.trunk.is_empty() { 1 } else { HEAD_BATCH };
    let mut logits = Vec::with_capacity(scans.len());
    for batch in scans.chunks(n_together) {
        let batch: Vec<(&CheckedScan, Draw)> = batch.iter().map(|scan| (*scan, Draw::default())).collect();
        let outputs = head.forward(features.batch(&network.trunk, &batch)?);
        let [_, n_classes] = outputs.dims();
        let outputs = outputs.into_data();
        let outputs = outputs.as_slice::<f32>().expect("logits are single precision");
        let rows = outputs.chunks_exact(n_classes);
        logits.extend(rows.map(|row| row.iter().copied().map(f64::from).collect::<Vec<f64>>()));
        progress(TrainEvent::Evaluating { done: logits.len(), total: scans.len() });
    }
    Ok(logits)
}
