//! Training from outside: interruption, folds, trackers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::audit::plant_copy;
use crate::kit::Dir;
use crate::pipeline::until_split;

/// Files of a run that are results: the same bytes whatever happened on the way.
const RESULTS: [&str; 7] = [
    "checkpoints/last.safetensors",
    "checkpoints/best_accuracy.safetensors",
    "checkpoints/best_loss.safetensors",
    "metrics.csv",
    "metrics.jsonl",
    "config.json",
    "evaluation/predictions.tsv",
];

#[track_caller]
fn assert_same_results(dir: &Dir, one: &str, other: &str) {
    for file in RESULTS {
        let read = |run: &str| std::fs::read(dir.path(run).join(file)).unwrap();
        assert!(read(one) == read(other), "{file} of {one} and {other} differ");
    }
}

#[test]
fn killed_at_ten_moments_a_run_ends_in_the_same_bytes() {
    let dir = Dir::new();
    until_split(&dir);
    dir.write("train.toml", b"max_epochs = 3\ncheckpoint_minutes = 0.0\n[augmentation]\npool = 0\n");
    let train = "train derivatives --split split.tsv --config train.toml --out";
    let start = Instant::now();
    dir.ok(&format!("{train} whole --threads 2"));
    let whole_run = start.elapsed();
    dir.ok("evaluate whole");
    let mut n_hit = 0;
    for moment in 0_u32..10 {
        let mut command = dir.command(&format!("{train} killed --threads 1"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From a tenth of the whole run to almost half of it, in no order.
        let share = 0.1 + 0.04 * f64::from((moment * 7) % 10);
        sleep(Duration::from_secs_f64(whole_run.as_secs_f64() * share));
        n_hit += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap(); // SIGKILL on Unix; a run that has already ended is no error
        child.wait().unwrap();
    }
    assert!(n_hit >= 1, "every run had ended before it was killed");
    dir.ok(&format!("{train} killed"));
    dir.ok("evaluate killed");
    assert_same_results(&dir, "whole", "killed");
    assert!(!dir.path("killed/checkpoints/previous.safetensors").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_after_the_step_with_a_checkpoint() {
    let dir = Dir::new();
    until_split(&dir);
    let train = "train derivatives --split split.tsv --epochs 40 --patience 40 --out run";
    let mut child = dir.command(train).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let steps = dir.path("run/metrics.jsonl");
    while std::fs::read_to_string(&steps).unwrap_or_default().lines().count() < 3 {
        assert_eq!(child.try_wait().unwrap(), None, "training ended before its third step");
        sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped after") && said.contains("goes on from there"), "{said}");
    assert!(dir.path("run/checkpoints/last.safetensors").is_file());
    let before = dir.read("run/metrics.jsonl").lines().count();
    let again = dir.run(&format!("{train} --stop-after-steps 1"));
    assert_eq!(again.code, 130, "{}", again.stderr);
    assert!(again.stderr.contains("goes on after epoch"), "{}", again.stderr);
    assert_eq!(dir.read("run/metrics.jsonl").lines().count(), before);
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_it_taken_on_request() {
    let dir = Dir::new();
    until_split(&dir);
    let train = "train derivatives --split split.tsv --epochs 1 --checkpoint-minutes 0 --out";
    dir.ok(&format!("{train} whole"));
    dir.ok("evaluate whole");
    assert_eq!(dir.run(&format!("{train} run --stop-after-steps 3")).code, 130);
    let last = dir.path("run/checkpoints/last.safetensors");
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    dir.fails(&format!("{train} run"), &["damaged", "previous.safetensors", "--resume-from previous"]);
    dir.ok(&format!("{train} run --resume-from previous"));
    dir.ok("evaluate run");
    assert_same_results(&dir, "whole", "run");
}

#[test]
fn resuming_is_verified_on_request() {
    let dir = Dir::new();
    until_split(&dir);
    let ran = dir.ok("train derivatives --split split.tsv --out run --verify-resume --json verify.json");
    assert!(ran.stdout.contains("resuming is exact on this machine"), "{}", ran.stdout);
    let report = dir.json("verify.json");
    assert_eq!(report["identical"], true);
    assert!(report["n_kills"].as_u64().unwrap() >= 1, "{report}");
    assert_eq!(report["files"].as_array().unwrap().len(), 6);
    let left: Vec<PathBuf> =
        std::fs::read_dir(dir.path("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let is_trial =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run"));
    assert!(!left.iter().any(is_trial), "{left:?}");
}

#[test]
fn the_trials_of_a_verification_override_the_audit_too() {
    let dir = Dir::new();
    until_split(&dir);
    plant_copy(&dir);
    let verify = "train derivatives --split split.tsv --out run --verify-resume";
    dir.fails(verify, &["a trial of the verification", "does not pass the audit"]);
    assert!(!dir.path("run.verify-resume").exists());
    let ran = dir.ok(&format!("{verify} --override-audit trial"));
    assert!(ran.stdout.contains("resuming is exact on this machine"), "{}", ran.stdout);
}

#[test]
fn evaluation_keeps_to_the_cache_of_the_run() {
    let dir = Dir::new();
    until_split(&dir);
    dir.write("train.toml", b"max_epochs = 1\n[cache]\ndirectory = \"features\"\n");
    dir.ok("train derivatives --split split.tsv --config train.toml --out run");
    let n_kept = dir.contents("features").len();
    dir.ok("evaluate run");
    let n_test = dir.read("split.tsv").lines().filter(|line| line.ends_with("\ttest")).count();
    assert_eq!(dir.contents("features").len(), n_kept + n_test);
    assert!(!dir.path("run/cache").exists());

    dir.write("train.toml", b"max_epochs = 1\n[cache]\nmax_bytes = 0\n");
    dir.ok("train derivatives --split split.tsv --config train.toml --out bare");
    dir.ok("evaluate bare --device cpu");
    assert!(!dir.path("bare/cache").exists(), "nothing is kept");
    let predictions = |run: &str| dir.read(&format!("{run}/evaluation/predictions.tsv"));
    assert_eq!(predictions("run"), predictions("bare"));
}

#[test]
fn folds_test_everybody_once_and_go_on_after_an_interruption() {
    let dir = Dir::new();
    until_split(&dir);
    let train = "train derivatives --folds 3 --epochs 1 --seed 4 --out cv";
    let ran = dir.ok(&format!("{train} --json cv.json"));
    assert!(ran.stdout.contains("mean ± SD") && ran.stdout.contains("research use only"), "{}", ran.stdout);
    let n_scans = dir.read("derivatives/scans.tsv").lines().count() - 1;
    let predictions = dir.read("cv/predictions.tsv");
    assert_eq!(predictions.lines().count(), n_scans + 1);
    assert_eq!(dir.json("cv.json")["pooled_scans"]["n_scans"], n_scans);
    assert_eq!(dir.json("cv/cross_validation.json")["n_folds"], 3);
    assert_eq!(dir.read("cv/folds.csv").lines().count(), 1 + 3 * 2);
    for fold in 1..=3 {
        assert!(dir.path(&format!("cv/fold-{fold}/evaluation/metrics.json")).is_file());
    }
    let before = dir.read("cv/cross_validation.json");
    std::fs::remove_dir_all(dir.path("cv/fold-2")).unwrap();
    std::fs::remove_file(dir.path("cv/cross_validation.json")).unwrap();
    dir.ok(train);
    assert_eq!(dir.read("cv/cross_validation.json"), before);
    dir.fails(&train.replace("--folds 3", "--folds 2"), &["cv", "another folds"]);
    dir.fails(&train.replace("--epochs 1", "--epochs 1 --batch-size 4"), &["cv", "another settings"]);
    dir.fails("train derivatives --folds 30 --out other", &["30 folds", "subjects"]);
}

#[test]
fn trackers_hold_steps_epochs_and_nothing_private() {
    let dir = Dir::new();
    until_split(&dir);
    let train = "train derivatives --split split.tsv --out run --wandb offline --epochs 2";
    assert_eq!(dir.run(&format!("{train} --stop-after-steps 3")).code, 130);
    let ran = dir.ok(train);
    assert!(ran.stderr.contains("wandb sync run"), "{}", ran.stderr);
    let folders = |name: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir.path("run").join(name)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(folders("tensorboard").len(), 1, "one file, also after an interruption");
    let offline: Vec<PathBuf> = folders("wandb").into_iter().filter(|path| path.is_dir()).collect();
    assert_eq!(offline.len(), 1, "{offline:?}");
    let split = dir.read("split.tsv");
    for log in [wandb_file(&offline[0]), folders("tensorboard").remove(0)] {
        let bytes = std::fs::read(&log).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("epoch/validation_loss") && holds("step/loss"), "{}", log.display());
        for subject in
            split.lines().filter(|line| line.starts_with("sub-")).map(|line| line.split('\t').nth(1).unwrap())
        {
            assert!(!holds(subject), "{subject} is in {}", log.display());
        }
    }
    let without = dir.ok("train derivatives --split split.tsv --out plain --no-tensorboard --epochs 1");
    assert!(!dir.path("plain/tensorboard").exists() && !without.stderr.contains("wandb"));
}

fn wandb_file(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "wandb"));
    logs.next().unwrap()
}

#[test]
fn draws_are_written_down_and_repeat() {
    let dir = Dir::new();
    until_split(&dir);
    let train = "train derivatives --split split.tsv --augmentation thesis --epochs 1 --out";
    dir.ok(&format!("{train} one"));
    dir.ok(&format!("{train} two --threads 1"));
    let draws = dir.read("one/draws/epoch-0001.jsonl");
    assert_eq!(draws, dir.read("two/draws/epoch-0001.jsonl"));
    let n_training = dir.read("split.tsv").lines().filter(|line| line.ends_with("\ttrain")).count();
    assert_eq!(draws.lines().count(), n_training);
    assert!(draws.contains("\"scan_id\":\"sub-") && draws.contains("gamma"), "{draws}");
}

/// Runs a command under an instruction set, and returns what it says.
#[cfg(target_arch = "x86_64")]
fn run_under(dir: &Dir, set: &str, args: &str) -> String {
    let output = dir.command(args).env("BRAINREEL_ISA", set).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

/// A run that goes on, or is evaluated, under another instruction set warns of it and records both; nothing is computed
/// anew for it.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_run_under_another_instruction_set_warns() {
    if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("fma") {
        eprintln!("skipped: this processor has one instruction set");
        return;
    }
    let dir = Dir::new();
    until_split(&dir);
    let warning = "with the instruction set avx2 so far and goes on with scalar";
    let train = "train derivatives --split split.tsv --out run";
    let said = run_under(&dir, "avx2", &format!("{train} --stop-after-steps 2"));
    assert!(!said.contains("instruction set"), "{said}");
    let sets = || dir.json("run/inputs.json")["instruction_sets"].clone();
    assert_eq!(sets(), serde_json::json!(["avx2"]));
    let said = run_under(&dir, "avx2", &format!("{train} --stop-after-steps 3"));
    assert!(!said.contains("instruction set"), "{said}");
    let said = run_under(&dir, "scalar", &format!("{train} --stop-after-steps 4"));
    assert!(said.contains(warning), "{said}");
    assert_eq!(sets(), serde_json::json!(["avx2", "scalar"]));
    let said = run_under(&dir, "scalar", train);
    assert!(!said.contains("instruction set"), "both sets are known by now: {said}");
    assert_eq!(sets(), serde_json::json!(["avx2", "scalar"]));

    run_under(&dir, "avx2", "train derivatives --split split.tsv --out other");
    let said = run_under(&dir, "avx2", "evaluate other");
    assert!(!said.contains("instruction set"), "{said}");
    let said = run_under(&dir, "scalar", "evaluate other");
    assert!(said.contains(warning), "{said}");
    assert_eq!(dir.json("other/evaluation/metrics.json")["instruction_set"], "scalar");
}
