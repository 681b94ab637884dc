//! Interrupted at any moment and run again: the same bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::kit::Dir;

const EXPERIMENT: &str = "
out = \"out\"
[input]
simulate = { n_subjects = 8, n_visits = 2, seed = 5, spacing_mm = 6.0, truth_images = false }
[preprocess]
brain_extractor = \"bet\"
size_voxels = 32
spacing_mm = 6.0
[split]
train = 0.6
validation = 0.2
test = 0.2
[train]
max_epochs = 3
";

/// All files but the logs that hold times of day.
fn results(dir: &Dir, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let is_log = |path: &Path| {
        path.components().any(|part| part.as_os_str() == "tensorboard" || part.as_os_str() == "wandb")
            || path.ends_with("timing.jsonl")
    };
    dir.contents(folder).into_iter().filter(|(path, _)| !is_log(path)).collect()
}

#[test]
fn killed_runs_end_in_the_same_bytes_and_finished_stages_are_skipped() {
    let whole = Dir::new();
    whole.write("experiment.toml", EXPERIMENT.as_bytes());
    let start = Instant::now();
    whole.ok("run experiment.toml --threads 2");
    let whole_run = start.elapsed();

    let killed = Dir::new();
    killed.write("experiment.toml", EXPERIMENT.as_bytes());
    for share in [0.1, 0.2, 0.3, 0.3, 0.3] {
        let mut command = killed.command("run experiment.toml --threads 1");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_secs_f64(whole_run.as_secs_f64() * share));
        // On Unix this is SIGKILL; a run that has already ended is no error.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    killed.ok("run experiment.toml --threads 1");

    let (expected, got) = (results(&whole, "out"), results(&killed, "out"));
    let names = |files: &[(PathBuf, Vec<u8>)]| -> BTreeSet<PathBuf> {
        files.iter().map(|(path, _)| path.clone()).collect()
    };
    let differing: Vec<PathBuf> = names(&got).symmetric_difference(&names(&expected)).cloned().collect();
    assert!(differing.is_empty(), "only in one of the two: {differing:?}");
    for ((path, one), (_, other)) in expected.iter().zip(&got) {
        assert!(one == other, "{} differs", path.display());
    }

    let again = whole.ok("run experiment.toml --json again.json");
    assert!(again.stdout.contains("AUC"));
    let stages = whole.json("again.json");
    let stages = stages["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 6);
    assert!(stages.iter().all(|stage| stage["up_to_date"] == true), "{stages:?}");
}
