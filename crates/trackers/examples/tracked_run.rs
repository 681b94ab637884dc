//! A simulated run of three epochs that is killed in the second and resumed: `tracked_run FOLDER`.
//! `reference/trackers.py` reads the logs with the official readers.

use std::path::Path;

use brainreel_trackers::{JsonLines, RunInfo, TrackerConfig, TrackerError, Trackers, WandbMode};
use serde_json::json;

const STEPS_PER_EPOCH: u64 = 4;

fn main() -> Result<(), TrackerError> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "tracked_run".to_owned());
    let run_dir = Path::new(&folder);
    log_steps(run_dir, None, 1..=7)?;
    // Steps 6 and 7 came after the last checkpoint.
    let trackers = log_steps(run_dir, Some(5), 6..=12)?;
    trackers.finish(0)?;
    Ok(())
}

/// Logs these steps like a run. Dropping the trackers simulates a kill.
fn log_steps(
    run_dir: &Path,
    resume_at_step: Option<u64>,
    steps: std::ops::RangeInclusive<u64>,
) -> Result<Trackers, TrackerError> {
    let config = TrackerConfig {
        wandb: WandbMode::Offline,
        group: Some("folds".to_owned()),
        tags: vec!["trial".to_owned()],
        ..TrackerConfig::default()
    };
    let run = RunInfo {
        run_hash: "a made-up run".to_owned(),
        name: "made-up".to_owned(),
        config: json!({"architecture": "r3d_18", "learning_rate": 1e-4, "augmentation": {"pool": 4}}),
    };
    let mut trackers = Trackers::open(run_dir, &config, &run, resume_at_step)?;
    let mut lines = JsonLines::open(&run_dir.join("metrics.jsonl"), resume_at_step)?;
    for step in steps {
        let epoch = step.div_ceil(STEPS_PER_EPOCH);
        let loss = 0.7 / step as f64;
        trackers.log_step(step, &[("train/loss", loss), ("train/learning_rate", 1e-4)])?;
        lines.log_step(step, epoch, &[("loss", loss), ("learning_rate", 1e-4)])?;
        if step.is_multiple_of(STEPS_PER_EPOCH) {
            log_epoch(run_dir, (&mut trackers, &mut lines), step, epoch)?;
        }
    }
    Ok(trackers)
}

fn log_epoch(
    run_dir: &Path,
    (trackers, lines): (&mut Trackers, &mut JsonLines),
    step: u64,
    epoch: u64,
) -> Result<(), TrackerError> {
    let loss = 0.6 - 0.1 * epoch as f64;
    trackers.log_epoch(step, epoch, &[("validation/loss", loss)])?;
    lines.log_epoch(step, epoch, &[("validation_loss", loss)])?;
    let path = run_dir.join("checkpoints/best-loss.safetensors");
    brainreel_artifact::write_atomic(&path, format!("model of epoch {epoch}").as_bytes())?;
    trackers.log_model(step, &path, "best_loss", &json!({"epoch": epoch, "validation_loss": loss}))?;
    if epoch == 2 {
        trackers.log_model(step, &path, "best_accuracy", &json!({"epoch": epoch}))?;
    }
    Ok(())
}
