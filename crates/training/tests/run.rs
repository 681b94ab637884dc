//! Whole runs on little images.

use std::fs;
use std::path::Path;

use brainreel_artifact::hash_file;
use brainreel_models::{FreezePolicy, FrozenNorm, StateDict};
use brainreel_training::{
    AugmentationConfig, Checkpoint, CheckpointKind, FeatureType, Partition, TrainConfig, TrainError,
    TrainEvent, TrainSummary, TrainingScan, predict, train,
};

mod common;

use common::{config, write_scans};

const DIMS: [usize; 3] = [20, 17, 24];
const KINDS: [CheckpointKind; 3] =
    [CheckpointKind::Last, CheckpointKind::BestAccuracy, CheckpointKind::BestLoss];

fn cohort(folder: &Path) -> Vec<TrainingScan> {
    let mut scans = write_scans(folder, 5, Partition::Train, DIMS);
    scans.extend(write_scans(folder, 2, Partition::Validation, DIMS));
    scans.extend(write_scans(folder, 2, Partition::Test, DIMS));
    scans
}

fn run(dir: &Path, scans: &[TrainingScan], config: &TrainConfig) -> TrainSummary {
    train(dir, scans, config, &mut |_| {}).expect("a run")
}

/// Digests of everything a run leaves behind, the cache apart.
fn outputs(dir: &Path) -> Vec<String> {
    let tables = [dir.join("metrics.csv"), dir.join("config.json")];
    let files = KINDS.iter().map(|kind| kind.path(dir)).chain(tables);
    files.map(|path| hash_file(&path).expect("an output").to_string()).collect()
}

#[test]
fn a_batch_can_be_overfitted_and_predictions_repeat_validation() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let out = dir.path().join("run");
    let mut n_steps = 0;
    let summary = train(&out, &scans, &config(6), &mut |event| {
        n_steps += usize::from(matches!(event, TrainEvent::Step { .. }));
    })
    .unwrap();
    assert_eq!((summary.n_scans, n_steps), ([5, 2], 6 * 3));
    let losses: Vec<f64> = summary.history.iter().map(|row| row.train_loss).collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least < 0.1 && least < losses[0] / 3.0, "{losses:?}");
    // Epochs 0 and 5 begin a cosine.
    assert!((summary.history[5].learning_rate_fc - 1e-3).abs() < 1e-15);
    let of = |partition| scans.iter().filter(|s| s.partition == partition).cloned().collect::<Vec<_>>();
    let validation = predict(&out, CheckpointKind::Last, &of(Partition::Validation), &mut |_| {}).unwrap();
    let right = validation.iter().filter(|p| u8::from(p.probability >= 0.5) == p.label).count();
    assert!((right as f64 / 2.0 - summary.history[5].validation_accuracy).abs() < 1e-12);
    let test = predict(&out, CheckpointKind::BestLoss, &of(Partition::Test), &mut |_| {}).unwrap();
    assert_eq!(test.len(), 2);
    assert!(test[1].probability > test[0].probability, "{test:?}");
    // Alone or in company: the same answer.
    let alone = predict(&out, CheckpointKind::BestLoss, &of(Partition::Test)[1..], &mut |_| {}).unwrap();
    assert!((alone[0].probability - test[1].probability).abs() < 1e-6);
    // Finished: nothing more is done.
    let again = run(&out, &scans, &config(6));
    assert_eq!(again.history, summary.history);
}

#[test]
fn an_interrupted_run_ends_with_the_same_bytes_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let settings = |max_epochs| TrainConfig {
        augmentation: AugmentationConfig { pool: 2, noise_probability: 0.7, ..AugmentationConfig::default() },
        ..config(max_epochs)
    };
    let whole = dir.path().join("whole");
    run(&whole, &scans, &settings(3));
    let parts = dir.path().join("parts");
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one_thread.install(|| run(&parts, &scans, &settings(1)));
    // Killed after the checkpoint, before its second names and the table were written.
    fs::remove_file(CheckpointKind::BestLoss.path(&parts)).unwrap();
    fs::write(parts.join("metrics.csv"), "epoch\n").unwrap();
    let mut resumed_at = None;
    let three_threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    three_threads.install(|| {
        train(&parts, &scans, &settings(3), &mut |event| {
            if let TrainEvent::Resumed { epoch } = event {
                resumed_at = Some(epoch);
            }
        })
        .unwrap();
    });
    assert_eq!(resumed_at, Some(1));
    assert_eq!(outputs(&whole), outputs(&parts));
    // Another configuration or cohort does not go on in this folder.
    let other = TrainConfig { seed: 1, ..settings(3) };
    let error = train(&parts, &scans, &other, &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::OtherRun { .. }), "{error}");
    let error = train(&parts, &scans[1..], &settings(3), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("another set of scans"), "{error}");
}

#[test]
fn kept_features_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    for dtype in [FeatureType::F32, FeatureType::F16] {
        let mut settings = config(1);
        settings.cache.dtype = dtype;
        settings.cache.directory = Some(dir.path().join("shared"));
        let [first, second, without] =
            ["first", "second", "without"].map(|n| dir.path().join(format!("{n}{dtype:?}")));
        let (_, misses) = run(&first, &scans, &settings).cache_hits_and_misses;
        assert_eq!(misses, 7);
        let (hits, misses) = run(&second, &scans, &settings).cache_hits_and_misses;
        assert_eq!((hits, misses), (7, 0));
        assert_eq!(outputs(&first), outputs(&second));
        if dtype == FeatureType::F32 {
            settings.cache.max_bytes = 0;
            run(&without, &scans, &settings);
            assert_eq!(outputs(&first), outputs(&without));
        }
    }
}

#[test]
fn every_freeze_policy_and_norm_mode_trains() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    for (freeze, frozen_norm) in [
        (FreezePolicy::Thesis, FrozenNorm::Batch),
        (FreezePolicy::Thesis, FrozenNorm::Pretrained),
        (FreezePolicy::None, FrozenNorm::Calibrated),
        (FreezePolicy::FcOnly, FrozenNorm::Calibrated),
    ] {
        let settings = |max_epochs| TrainConfig { freeze, frozen_norm, ..config(max_epochs) };
        let out = dir.path().join(format!("{freeze:?}{frozen_norm:?}"));
        run(&out, &scans, &settings(1));
        // In `batch` mode the trunk's statistics are part of what is resumed.
        let n_epochs = if frozen_norm == FrozenNorm::Batch { 2 } else { 1 };
        assert_eq!(run(&out, &scans, &settings(n_epochs)).history.len(), n_epochs);
        let predictions = predict(&out, CheckpointKind::Last, &scans, &mut |_| {}).unwrap();
        assert!(predictions.iter().all(|p| p.probability.is_finite()));
        fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn bad_checkpoints_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let out = dir.path().join("run");
    run(&out, &scans, &config(1));
    let path = CheckpointKind::Last.path(&out);
    let whole = fs::read(&path).unwrap();
    let refuse = |bytes: &[u8], expected: &str| {
        fs::write(&path, bytes).unwrap();
        for error in [
            Checkpoint::read(&path).unwrap_err(),
            train(&out, &scans, &config(2), &mut |_| {}).unwrap_err(),
            predict(&out, CheckpointKind::Last, &scans, &mut |_| {}).unwrap_err(),
        ] {
            let message = error.to_string();
            assert!(message.contains("last.safetensors") && message.contains(expected), "{message}");
        }
    };
    refuse(&whole[..1000], "");
    refuse(b"", "");
    // A field of the state renamed, in place.
    let at = whole.windows(8).position(|w| w == b"n_epochs").unwrap();
    let mut renamed = whole.clone();
    renamed[at..at + 8].copy_from_slice(b"n_epoche");
    refuse(&renamed, "n_epoche");
    let plain = dir.path().join("plain.safetensors");
    StateDict::random(0).write_safetensors(&plain).unwrap();
    refuse(&fs::read(&plain).unwrap(), "no training state");
    // Its weights alone do as initial weights.
    fs::write(&path, &whole).unwrap();
    let from = TrainConfig { weights: Some(path.clone()), ..config(1) };
    run(&dir.path().join("next"), &scans, &from);
}

#[test]
fn scans_that_will_not_do_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let out = dir.path().join("run");
    let refuse = |scans: &[TrainingScan], expected: &str| {
        let message = train(&out, scans, &config(1), &mut |_| {}).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refuse(&[], "the train partition has 0 CN and 0 AD scans");
    let one_class: Vec<_> = scans.iter().filter(|s| s.label == 0).cloned().collect();
    refuse(&one_class, "3 CN and 0 AD scans, expected at least one of each");
    let no_validation: Vec<_> =
        scans.iter().filter(|s| s.partition != Partition::Validation).cloned().collect();
    refuse(&no_validation, "the validation partition has 0 CN");
    refuse(&[scans.clone(), scans[..1].to_vec()].concat(), "sub-Train0_ses-1 is listed twice");
    let mut changed = scans.clone();
    changed[1].sha256 = Some("00".repeat(32));
    refuse(&changed, "has SHA-256");
    let mut odd_shape = scans.clone();
    odd_shape[2] = write_scans(&dir.path().join("odd"), 3, Partition::Train, [16, 16, 16]).remove(2);
    refuse(&odd_shape, "has shape [16, 16, 16], expected [20, 17, 24]");
    let mut missing = scans.clone();
    missing[0].image = dir.path().join("none.nii.gz");
    refuse(&missing, "cannot read the image of scan sub-Train0_ses-1");
    assert!(!CheckpointKind::Last.path(&out).exists());
}

#[test]
fn a_loss_that_is_no_number_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let mut weights = StateDict::random(0);
    weights.set("fc.weight", vec![f32::MAX; 1024]);
    let path = dir.path().join("w.safetensors");
    weights.write_safetensors(&path).unwrap();
    let settings = TrainConfig { weights: Some(path), ..config(1) };
    let error = train(&dir.path().join("run"), &scans, &settings, &mut |_| {}).unwrap_err();
    let TrainError::NonFiniteLoss { epoch: 0, step: 0, scan_ids, .. } = &error else { panic!("{error}") };
    assert_eq!(scan_ids.len(), 2);
}
