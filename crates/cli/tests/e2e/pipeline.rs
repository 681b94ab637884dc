//! Every stage by hand, on a small cohort.

use std::collections::BTreeMap;

use crate::kit::Dir;

/// Simulates, converts, preprocesses and splits a small cohort.
pub(crate) fn until_split(dir: &Dir) {
    dir.ok("simulate cohort --subjects 12 --visits 2 --seed 3 --spacing 6 --no-truth --json simulate.json");
    dir.ok("convert cohort bids --json convert.json");
    dir.ok("preprocess bids derivatives --size 32 --extractor none --bias none --spacing 6 --json preprocess.json");
    dir.ok("split derivatives --out split.tsv --validation 0.2 --test 0.2 --json split.json");
}

#[test]
fn every_stage_by_hand() {
    let dir = Dir::new();
    until_split(&dir);
    let n_scans = dir.json("simulate.json")["n_scans"].as_u64().unwrap();
    assert!(n_scans >= 12);
    assert_eq!(dir.json("preprocess.json")["n_scans"], n_scans);

    let ledger = dir.read("bids/conversion_ledger.tsv");
    assert_eq!(ledger.lines().filter(|line| line.contains("\tkept\t")).count() as u64, n_scans);
    let scans = dir.read("derivatives/scans.tsv");
    assert_eq!(scans.lines().count() as u64, n_scans + 1);
    assert!(scans.lines().skip(1).all(|line| line.contains("\tAD\t") || line.contains("\tCN\t")), "{scans}");
    subjects_stay_together(&dir.read("split.tsv"));

    dir.ok("train derivatives --split split.tsv --out run --epochs 2 --json train.json");
    let metrics = dir.read("run/metrics.csv");
    assert_eq!(metrics.lines().count(), 3, "a header and two epochs: {metrics}");
    assert!(metrics.lines().nth(1).unwrap().starts_with("1,"), "epochs count from 1: {metrics}");
    let history = &dir.json("train.json")["history"];
    assert_eq!((&history[0]["epoch"], &history[1]["epoch"]), (&1.into(), &2.into()));
    for checkpoint in ["last", "best_loss", "best_accuracy"] {
        assert!(dir.path(&format!("run/checkpoints/{checkpoint}.safetensors")).is_file());
    }

    let evaluated = dir.ok("evaluate run --json evaluate.json");
    assert!(evaluated.stdout.contains("AUC") && evaluated.stdout.contains("research use only"));
    let predictions = dir.read("run/evaluation/predictions.tsv");
    let n_test = dir.read("split.tsv").lines().filter(|line| line.ends_with("\ttest")).count();
    assert_eq!(predictions.lines().count(), n_test + 1);
}

fn subjects_stay_together(split: &str) {
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    for line in split.lines().filter(|line| line.starts_with("sub-")) {
        let cells: Vec<&str> = line.split('\t').collect();
        let home = homes.entry(cells[1]).or_insert(cells[4]);
        assert_eq!(*home, cells[4], "{} is in two partitions", cells[1]);
    }
    assert_eq!(homes.len(), 12);
}

#[test]
fn nothing_of_the_patient_reaches_the_outputs() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.ok("convert cohort bids");
    let written = dir.contents("bids");
    assert!(written.iter().any(|(path, _)| path.to_string_lossy().ends_with("_T1w.json")));
    for (path, content) in written {
        let text = String::from_utf8_lossy(&content);
        for word in ["PatientName", "PatientBirthDate", "StudyDescription", "InstitutionName"] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
}

#[test]
fn scans_taken_out_of_the_download_leave_the_dataset() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 3 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.ok("convert cohort bids");
    let images = |dir: &Dir| {
        let files = dir.contents("bids");
        files.iter().filter(|(path, _)| path.to_string_lossy().ends_with("_T1w.nii.gz")).count()
    };
    assert_eq!(images(&dir), 3);
    let subject = std::fs::read_dir(dir.path("cohort/ADNI")).unwrap().next().unwrap().unwrap();
    std::fs::remove_dir_all(subject.path()).unwrap();
    dir.ok("convert cohort bids");
    assert_eq!(images(&dir), 2);
}

#[test]
fn hashed_subjects_appear_nowhere_by_name() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 2 --visits 1 --seed 3 --spacing 8 --no-truth");
    let names: Vec<String> = std::fs::read_dir(dir.path("cohort/ADNI"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    dir.write(&format!("cohort/ADNI/{}/stray.dcm", names[0]), b"not DICOM");
    dir.ok("convert cohort named");
    let ledger = dir.read("named/conversion_ledger.tsv");
    let image_ids: Vec<&str> = ledger.split_whitespace().filter(|word| is_image_id(word)).collect();
    assert!(!image_ids.is_empty(), "{ledger}");
    dir.ok("convert cohort bids --hash-subjects");
    let hashed = dir.read("bids/conversion_ledger.tsv");
    assert!(image_ids.iter().all(|id| !hashed.contains(id)), "{image_ids:?} in {hashed}");
    for (path, content) in dir.contents("bids") {
        let text = format!("{} {}", path.display(), String::from_utf8_lossy(&content));
        for name in &names {
            let label: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            assert!(!text.contains(name) && !text.contains(&label), "{name} in {}", path.display());
        }
    }
}

/// An image id of the archive: `I` and digits.
fn is_image_id(word: &str) -> bool {
    word.strip_prefix('I')
        .is_some_and(|digits| digits.len() > 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[test]
fn help_has_examples_for_every_subcommand() {
    let dir = Dir::new();
    let help = dir.ok("--help").stdout;
    for command in ["simulate", "convert", "preprocess", "split", "train", "evaluate", "run", "demo"] {
        assert!(help.contains(command));
        let own = dir.ok(&format!("{command} --help")).stdout;
        assert!(own.contains(&format!("brainreel {command}")), "no example in:\n{own}");
        assert!(own.contains("--json"));
    }
}
