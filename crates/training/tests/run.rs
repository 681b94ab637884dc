//! Whole runs on small images.

use std::fs;
use std::path::Path;

use brainreel_artifact::hash_file;
use brainreel_models::{Architecture, FreezePolicy, FrozenNorm, NetworkWeights};
use brainreel_training::{
    AugmentationConfig, AugmentationPreset, CacheConfig, CacheUse, Checkpoint, CheckpointKind, EpochMetrics,
    FeatureType, Partition, PredictRequest, Prediction, ResumeFrom, ScanCounts, ScheduleUnit, TrainConfig,
    TrainError, TrainEvent, TrainRequest, TrainSummary, TrainingScan, predict, train,
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
    train(&TrainRequest::new(dir, scans, config), &mut |_| {}).expect("a run")
}

/// The error of a run that must fail.
fn refused(dir: &Path, scans: &[TrainingScan], config: &TrainConfig) -> TrainError {
    train(&TrainRequest::new(dir, scans, config), &mut |_| {}).expect_err("a refusal")
}

/// Classifies scans with the run's own cache.
fn classify(
    run_dir: &Path,
    kind: CheckpointKind,
    scans: &[TrainingScan],
) -> Result<Vec<Prediction>, TrainError> {
    predict(&PredictRequest::new(run_dir, kind, scans, &CacheConfig::default()), &mut |_| {})
}

/// Digests of all files of a run except the cache.
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
    let settings = config(6);
    let summary = train(&TrainRequest::new(&out, &scans, &settings), &mut |event| {
        n_steps += usize::from(matches!(event, TrainEvent::Step { .. }));
    })
    .unwrap();
    assert_eq!((summary.n_scans, n_steps), (ScanCounts { training: 5, validation: 2 }, 6 * 3));
    let losses: Vec<f64> = summary.history.iter().map(|row| row.train_loss).collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least < 0.1 && least < losses[0] / 3.0, "{losses:?}");
    // A cosine starts at epochs 0 and 5.
    assert!((summary.history[5].learning_rate_fc - 1e-3).abs() < 1e-15);
    let of = |partition| scans.iter().filter(|s| s.partition == partition).cloned().collect::<Vec<_>>();
    let validation = classify(&out, CheckpointKind::Last, &of(Partition::Validation)).unwrap();
    let right = validation.iter().filter(|p| u8::from(p.probability >= 0.5) == p.label).count();
    assert!((right as f64 / 2.0 - summary.history[5].validation_accuracy).abs() < 1e-12);
    let test = classify(&out, CheckpointKind::BestLoss, &of(Partition::Test)).unwrap();
    assert_eq!(test.len(), 2);
    assert!(test[1].probability > test[0].probability, "{test:?}");
    // A scan gets the same prediction alone and in a batch.
    let alone = classify(&out, CheckpointKind::BestLoss, &of(Partition::Test)[1..]).unwrap();
    assert!((alone[0].probability - test[1].probability).abs() < 1e-6);
    // A finished run does nothing.
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
    // The process was killed after the checkpoint, before the "best" links and the table were written.
    fs::remove_file(CheckpointKind::BestLoss.path(&parts)).unwrap();
    fs::write(parts.join("metrics.csv"), "epoch\n").unwrap();
    let mut resumed_at = None;
    let three_threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    three_threads.install(|| {
        train(&TrainRequest::new(&parts, &scans, &settings(3)), &mut |event| {
            if let TrainEvent::Resumed { state } = event {
                resumed_at = Some(state.n_epochs);
            }
        })
        .unwrap();
    });
    assert_eq!(resumed_at, Some(1));
    assert_eq!(outputs(&whole), outputs(&parts));
    // A run with another configuration or cohort cannot resume in this folder.
    let other = TrainConfig { seed: 1, ..settings(3) };
    let error = refused(&parts, &scans, &other);
    assert!(matches!(error, TrainError::OtherRun { .. }), "{error}");
    let error = refused(&parts, &scans[1..], &settings(3));
    assert!(error.to_string().contains("another set of scans"), "{error}");
}

#[test]
fn kept_features_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    for dtype in [FeatureType::F32, FeatureType::F16, FeatureType::Bf16] {
        let mut settings = config(1);
        settings.cache.dtype = dtype;
        settings.cache.directory = Some(dir.path().join("shared"));
        let [first, second, without] =
            ["first", "second", "without"].map(|n| dir.path().join(format!("{n}{dtype:?}")));
        let first_use = run(&first, &scans, &settings).cache;
        assert_eq!(first_use.n_misses, 7);
        assert_eq!(run(&second, &scans, &settings).cache, CacheUse { n_hits: 7, n_misses: 0 });
        assert_eq!(outputs(&first), outputs(&second));
        if dtype == FeatureType::F32 {
            settings.cache.max_bytes = 0;
            run(&without, &scans, &settings);
            assert_eq!(outputs(&first), outputs(&without));
        }
    }
}

#[test]
fn prediction_keeps_features_within_the_folder_and_limit_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let (out, shared) = (dir.path().join("run"), dir.path().join("shared"));
    let mut settings = config(1);
    settings.cache.directory = Some(shared.clone());
    run(&out, &scans, &settings);
    let test: Vec<TrainingScan> =
        scans.iter().filter(|scan| scan.partition == Partition::Test).cloned().collect();
    let n_kept = || {
        let sub_folders = fs::read_dir(&shared).unwrap().map(|entry| entry.unwrap().path());
        sub_folders.map(|folder| fs::read_dir(folder).unwrap().count()).sum::<usize>()
    };
    let predict_with = |cache: &CacheConfig| {
        predict(&PredictRequest::new(&out, CheckpointKind::Last, &test, cache), &mut |_| {}).unwrap()
    };
    let before = n_kept();
    let without = predict_with(&CacheConfig { max_bytes: 0, ..settings.cache.clone() });
    assert_eq!(n_kept(), before);
    assert_eq!(predict_with(&settings.cache), without);
    assert_eq!(n_kept(), before + test.len());
    assert!(!out.join("cache").exists());
}

#[test]
fn every_freeze_policy_and_norm_mode_trains() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    for (freeze, frozen_norm) in [
        (FreezePolicy::LastStage, FrozenNorm::Batch),
        (FreezePolicy::LastStage, FrozenNorm::Pretrained),
        (FreezePolicy::None, FrozenNorm::Calibrated),
        (FreezePolicy::FcOnly, FrozenNorm::Calibrated),
    ] {
        let settings = |max_epochs| TrainConfig { freeze, frozen_norm, ..config(max_epochs) };
        let out = dir.path().join(format!("{freeze:?}{frozen_norm:?}"));
        run(&out, &scans, &settings(1));
        // In `batch` mode the resumed state includes the statistics of the trunk.
        let n_epochs = if frozen_norm == FrozenNorm::Batch { 2 } else { 1 };
        assert_eq!(run(&out, &scans, &settings(n_epochs)).history.len(), n_epochs);
        let predictions = classify(&out, CheckpointKind::Last, &scans).unwrap();
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
            refused(&out, &scans, &config(2)),
            classify(&out, CheckpointKind::Last, &scans).unwrap_err(),
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
    refuse(&renamed, "its state has changed");
    let plain = dir.path().join("plain.safetensors");
    NetworkWeights::random(Architecture::default(), 0).write_safetensors(&plain).unwrap();
    refuse(&fs::read(&plain).unwrap(), "no training state");
    // Its weights can serve as initial weights.
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
        let message = refused(&out, scans, &config(1)).to_string();
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
    let mut weights = NetworkWeights::random(Architecture::default(), 0);
    weights.set("fc.weight", vec![f32::MAX; 1024]);
    let path = dir.path().join("w.safetensors");
    weights.write_safetensors(&path).unwrap();
    let settings = TrainConfig { weights: Some(path), ..config(1) };
    let error = refused(&dir.path().join("run"), &scans, &settings);
    let TrainError::NonFinite { epoch: 0, step: 0, scan_ids, last_good_checkpoint: None, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(scan_ids.len(), 2);
    assert!(error.to_string().contains(&scan_ids[0]), "{error}");
}

#[test]
fn the_last_good_checkpoint_is_named_when_a_loss_is_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let out = dir.path().join("run");
    // With a learning rate of 1 and no early stopping, weights and losses grow until they overflow.
    let settings = |max_epochs| TrainConfig {
        learning_rate: 1.0,
        learning_rate_fc: 1.0,
        weight_decay: 1.0,
        freeze: FreezePolicy::FcOnly,
        patience: 1000,
        ..config(max_epochs)
    };
    run(&out, &scans, &settings(1));
    let path = CheckpointKind::Last.path(&out);
    let mut poisoned = Checkpoint::read(&path).unwrap();
    poisoned.weights.set("fc.weight", vec![f32::MAX; 1024]);
    poisoned.write(&path).unwrap();
    let error = refused(&out, &scans, &settings(2));
    let TrainError::NonFinite { last_good_checkpoint: Some(named), .. } = &error else { panic!("{error}") };
    assert_eq!(*named, path);
}

/// Settings that exercise every part of the state that a checkpoint stores.
fn eventful(max_epochs: usize) -> TrainConfig {
    TrainConfig {
        augmentation: AugmentationConfig { pool: 0, noise_probability: 0.7, ..AugmentationConfig::default() },
        schedule: ScheduleUnit::Step,
        restart_multiplier: 2,
        clip_norm: Some(1.0),
        batch_size: 1,
        accumulate: 2,
        ..config(max_epochs)
    }
}

#[test]
fn a_run_stopped_after_every_step_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    for (name, frozen_norm) in [("calibrated", FrozenNorm::Calibrated), ("batch", FrozenNorm::Batch)] {
        let settings = TrainConfig { frozen_norm, ..eventful(2) };
        let [whole, parts] = ["whole", "parts"].map(|part| dir.path().join(format!("{name}-{part}")));
        run(&whole, &scans, &settings);
        let mut positions = Vec::new();
        // Five scans, two per step: three steps per epoch.
        for most in 1..=6 {
            let request =
                TrainRequest { stop_after_steps: Some(most), ..TrainRequest::new(&parts, &scans, &settings) };
            let summary = train(&request, &mut |_| {}).unwrap();
            assert_eq!((summary.n_steps, summary.is_finished), (most, most == 6));
            positions.push(Checkpoint::read(&CheckpointKind::Last.path(&parts)).unwrap().state.position());
        }
        assert_eq!(positions[1], "after epoch 0 and 2 steps of the next");
        assert_eq!(positions[2], "after epoch 1");
        assert_eq!(outputs(&whole), outputs(&parts));
        assert!(!CheckpointKind::Previous.path(&parts).exists());
    }
}

#[test]
fn a_damaged_last_checkpoint_is_found_and_the_one_before_it_offered() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let [whole, parts] = ["whole", "parts"].map(|name| dir.path().join(name));
    run(&whole, &scans, &eventful(2));
    let settings = TrainConfig { checkpoint_minutes: 0.0, ..eventful(2) };
    let stopped =
        |most| TrainRequest { stop_after_steps: Some(most), ..TrainRequest::new(&parts, &scans, &settings) };
    train(&stopped(5), &mut |_| {}).unwrap();
    let last = CheckpointKind::Last.path(&parts);
    let bytes = fs::read(&last).unwrap();
    fs::remove_file(&last).unwrap(); // its other names stay whole
    let a_metric = bytes.windows(10).position(|window| window == b"train_loss").unwrap();
    let its_digit = a_metric + bytes[a_metric..].iter().position(|byte| *byte == b'.').unwrap() + 1;
    for place in [bytes.len() / 2, its_digit] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&last, &damaged).unwrap();
        assert!(matches!(refused(&parts, &scans, &settings), TrainError::DamagedLast { .. }));
    }
    let error = refused(&parts, &scans, &settings);
    let TrainError::DamagedLast { position, .. } = &error else { panic!("{error}") };
    assert_eq!(position, "after epoch 1 and 1 steps of the next");
    assert!(error.to_string().contains("previous.safetensors"), "{error}");
    let request =
        TrainRequest { resume_from: ResumeFrom::Previous, ..TrainRequest::new(&parts, &scans, &settings) };
    train(&request, &mut |_| {}).unwrap();
    assert_eq!(outputs(&whole), outputs(&parts));
}

#[test]
fn accumulated_gradients_are_averaged() {
    let dir = tempfile::tempdir().unwrap();
    let scans: Vec<TrainingScan> = {
        let mut scans = write_scans(dir.path(), 4, Partition::Train, DIMS);
        scans.extend(write_scans(dir.path(), 2, Partition::Validation, DIMS));
        scans
    };
    // With fc alone the head has no batch statistics, and the classes are balanced. The mean over two batches
    // of two is then the mean over four.
    let settings = |batch_size, accumulate| TrainConfig {
        freeze: FreezePolicy::FcOnly,
        batch_size,
        accumulate,
        ..config(1)
    };
    let weights = |name: &str, settings: &TrainConfig| {
        let out = dir.path().join(name);
        run(&out, &scans, settings);
        Checkpoint::read(&CheckpointKind::Last.path(&out)).unwrap().weights.tensor("fc.weight").values.clone()
    };
    let (four, twice_two) = (weights("four", &settings(4, 1)), weights("two", &settings(2, 2)));
    let once_two = weights("once", &settings(2, 1));
    let difference = |one: &[f32], other: &[f32]| {
        one.iter().zip(other).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    };
    assert!(difference(&four, &twice_two) < 1e-5, "{}", difference(&four, &twice_two));
    assert!(difference(&four, &once_two) > 1e-4);
}

/// The network of the thesis gave NaN losses when only fc was trained. This one must not, for any batch-norm
/// mode and any size of voxel values.
#[test]
fn training_the_final_layer_alone_stays_finite() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    for frozen_norm in [FrozenNorm::Batch, FrozenNorm::Calibrated, FrozenNorm::Pretrained] {
        for augmentation in [AugmentationPreset::Thesis, AugmentationPreset::Default] {
            let settings = TrainConfig {
                freeze: FreezePolicy::FcOnly,
                frozen_norm,
                patience: 100,
                augmentation: AugmentationConfig {
                    preset: augmentation,
                    pool: 0,
                    noise_probability: 1.0,
                    gamma_probability: 1.0,
                    ..AugmentationConfig::default()
                },
                ..config(6)
            };
            let summary =
                run(&dir.path().join(format!("{frozen_norm:?}{augmentation:?}")), &scans, &settings);
            assert_eq!(summary.history.len(), 6);
            let finite = |row: &EpochMetrics| row.train_loss.is_finite() && row.validation_loss.is_finite();
            assert!(summary.history.iter().all(finite), "{:?}", summary.history);
        }
    }
}

#[test]
fn discriminative_rates_move_the_lower_layers_less() {
    let dir = tempfile::tempdir().unwrap();
    let scans = cohort(dir.path());
    let out = dir.path().join("run");
    let settings = TrainConfig {
        freeze: FreezePolicy::Discriminative,
        layer_decay: Some(0.1),
        weight_decay: 0.0,
        learning_rate_fc: 1e-4,
        ..config(1)
    };
    let summary = run(&out, &scans, &settings);
    assert_eq!(summary.parameters.frozen, 0);
    let before = NetworkWeights::random(Architecture::default(), 0);
    let after = Checkpoint::read(&CheckpointKind::Last.path(&out)).unwrap().weights;
    // The first steps of AdamW are as large as the learning rate.
    let moved = |name: &str| {
        let pairs = before.tensor(name).values.iter().zip(&after.tensor(name).values);
        pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    };
    let (top, below, stem) =
        (moved("layer4.1.conv2.0.weight"), moved("layer3.1.conv2.0.weight"), moved("stem.0.weight"));
    assert!(below > 0.0 && stem > 0.0, "{below} {stem}");
    assert!((top / below - 10.0).abs() < 3.0 && (top / stem / 1e4 - 1.0).abs() < 0.5, "{top} {below} {stem}");
}
