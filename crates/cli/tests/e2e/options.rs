//! Options, help and what results say about themselves.

use crate::kit::Dir;
use crate::pipeline::until_split;

#[test]
fn help_shows_defaults_and_odd_numbers_are_bad_usage() {
    let dir = Dir::new();
    for (command, defaults) in [
        ("simulate", ["[default: 20]", "[default: 2025]"]),
        ("preprocess", ["[default: 128]", "[default: 3]"]),
        ("train", ["[default: 50]", "[default: calibrated]"]),
    ] {
        let help = dir.ok(&format!("{command} --help")).stdout;
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(defaults.iter().all(|default| flat.contains(default)), "{help}");
    }
    assert_eq!(dir.run("simulate out --threads 2000").code, 2);
    assert_eq!(dir.run("run").code, 2, "an experiment is needed");
    assert!(!dir.path("out").exists());
}

#[test]
fn printed_defaults_are_an_experiment() {
    let dir = Dir::new();
    let printed = dir.ok("run --print-defaults").stdout;
    for key in ["size_voxels = 128", "validation = 0.1", "max_epochs = 50", "[train.augmentation]"] {
        assert!(printed.contains(key), "{key} in\n{printed}");
    }
    dir.write("experiment.toml", printed.as_bytes());
    dir.fails("run experiment.toml", &["stage convert", "ADNI does not exist"]);
}

#[test]
fn label_tables_do_not_swallow_what_follows() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    let (table, _) = dir
        .contents("cohort")
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|extension| extension == "csv"))
        .unwrap();
    let table = format!("cohort/{}", table.display());
    dir.ok(&format!("convert --labels {table} cohort bids"));
    dir.ok(&format!("convert --labels {table} --labels {table} cohort bids"));
}

#[test]
fn results_say_what_they_are_not() {
    let dir = Dir::new();
    until_split(&dir);
    let trained = dir.ok("train derivatives --split split.tsv --out run --epochs 1 -q --json train.json");
    assert!(trained.stderr.contains("warning") && trained.stderr.contains("random numbers"));
    assert!(trained.stdout.contains("research use only"));
    assert!(dir.json("train.json")["notice"].as_str().unwrap().contains("research use only"));
    let evaluated = dir.ok("evaluate run");
    assert!(evaluated.stdout.contains("from random numbers"), "{}", evaluated.stdout);
    let metrics = dir.json("run/evaluation/metrics.json");
    assert!(metrics["notice"].as_str().unwrap().contains("research use only"));
    assert!(metrics["initial_weights_sha256"].is_null());
}

#[test]
fn folders_of_another_kind_are_named() {
    let dir = Dir::new();
    until_split(&dir);
    dir.fails("split bids --out other.tsv", &["bids is a BIDS dataset", "expected derivatives"]);
    dir.fails("train bids --split split.tsv --out run", &["bids is a BIDS dataset"]);
    dir.fails("evaluate derivatives", &["derivatives is derivatives", "expected a run folder"]);
    dir.fails("evaluate split.tsv", &["split.tsv is a file", "run folder"]);
    dir.fails("preprocess bids split.tsv", &["split.tsv is a file", "folder to write to"]);
    dir.fails("convert nowhere new", &["nowhere does not exist"]);
    dir.fails("train derivatives --split split.tsv --out new --weights gone", &["gone does not exist"]);
    assert!(!dir.path("new").exists() && !dir.path("run").exists());
}

#[test]
fn only_files_of_the_same_kind_are_replaced() {
    let dir = Dir::new();
    until_split(&dir);
    dir.write("notes.txt", b"hi");
    dir.fails("split derivatives --out notes.txt", &["notes.txt exists", "--overwrite"]);
    dir.fails("split derivatives --out notes.txt --overwrite", &["notes.txt", "not a split"]);
    dir.fails("split derivatives --out derivatives/scans.tsv --overwrite", &["scans.tsv", "not a split"]);
    dir.fails("split derivatives --out other.tsv --json notes.txt", &["notes.txt", "not a JSON summary"]);
    assert_eq!(dir.read("notes.txt"), "hi");
    assert!(!dir.path("other.tsv").exists(), "it is refused before the work begins");
    dir.fails("split derivatives --out other.tsv --json other.tsv", &["other.tsv", "not a JSON summary"]);
    assert!(dir.read("other.tsv").starts_with("# brainreel split"));
    dir.ok("split derivatives --out other.tsv --overwrite --json split.json");
    dir.ok("train derivatives --split split.tsv --out run --epochs 1");
    dir.fails("split derivatives --out run/split.tsv --overwrite", &["run/split.tsv", "trained run"]);
    dir.ok("evaluate run");
}

#[test]
fn a_wrong_instruction_set_is_bad_usage() {
    let dir = Dir::new();
    for name in ["bogus", "AVX2"] {
        let mut command = dir.command("simulate cohort --subjects 1 --visits 1 --spacing 8 --no-truth");
        let output = command.env("BRAINREEL_ISA", name).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("BRAINREEL_ISA") && said.contains(name) && said.contains("scalar"), "{said}");
    }
}
