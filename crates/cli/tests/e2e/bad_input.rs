//! Hostile and mistaken input: one screen that names the file and the remedy, no panic.

use std::fs;

use crate::kit::Dir;
use crate::pipeline::until_split;

#[test]
fn wrong_paths_and_empty_folders() {
    let dir = Dir::new();
    dir.fails("convert nowhere bids", &["nowhere"]);
    fs::create_dir(dir.path("empty")).unwrap();
    dir.fails("convert empty bids", &["empty", "no DICOM"]);
    dir.fails("preprocess empty derivatives", &["empty", "_T1w.nii.gz"]);
    dir.fails("preprocess nowhere derivatives", &["nowhere"]);
    dir.fails("split empty --out split.tsv", &["scans.tsv"]);
    dir.fails("evaluate empty", &["empty", "inputs.json"]);
    dir.fails("run nowhere.toml", &["nowhere.toml"]);
    assert_eq!(dir.run("convert empty").code, 2, "a missing argument is bad usage");
    assert_eq!(dir.run("frobnicate").code, 2);
}

#[test]
fn a_text_file_named_dcm_is_listed_and_the_rest_goes_on() {
    let dir = Dir::new();
    dir.write(
        "fake/a.dcm",
        b"dear diary, this is not a DICOM file, but it is longer than 132 bytes. ".repeat(4).as_slice(),
    );
    dir.fails("convert fake bids", &["fake", "a.dcm"]);
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.write("cohort/ADNI/a.dcm", b"dear diary");
    let ran = dir.run("convert cohort bids");
    assert_eq!(ran.code, 0, "a stray file is a note, not a failed scan:\n{}", ran.stderr);
    assert!(dir.read("bids/conversion_ledger.tsv").contains("a.dcm"), "the ledger lists it");
}

#[test]
fn damaged_images_are_recorded_and_the_others_go_on() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 2 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.ok("convert cohort bids");
    let good = dir.contents("bids");
    let (_, bytes) = good.iter().find(|(path, _)| path.to_string_lossy().ends_with("nii.gz")).unwrap();
    dir.write("bids/sub-cut/ses-1/anat/sub-cut_ses-1_T1w.nii.gz", &bytes[..bytes.len() / 2]);
    dir.write("bids/sub-huge/ses-1/anat/sub-huge_ses-1_T1w.nii", &header_of_a_trillion_voxels());
    let ran = dir.run("preprocess bids derivatives --size 16 --spacing 8");
    assert_eq!(ran.code, 3, "finished with failed scans:\n{}", ran.stderr);
    let failures = dir.read("derivatives/failures.csv");
    assert!(failures.contains("sub-cut_ses-1") && failures.contains("sub-huge_ses-1"), "{failures}");
    assert!(ran.stderr.contains("sub-cut_ses-1_T1w.nii.gz"), "{}", ran.stderr);
    assert_eq!(dir.read("derivatives/scans.tsv").lines().count(), 3, "a header and the two good scans");
}

/// A NIfTI-1 header that claims 10,000 voxels along each axis.
fn header_of_a_trillion_voxels() -> Vec<u8> {
    let mut header = vec![0_u8; 352];
    header[..4].copy_from_slice(&348_i32.to_le_bytes());
    for (axis, n) in [3_i16, 10_000, 10_000, 10_000, 1, 1, 1, 1].into_iter().enumerate() {
        header[40 + 2 * axis..42 + 2 * axis].copy_from_slice(&n.to_le_bytes());
    }
    header[70..72].copy_from_slice(&16_i16.to_le_bytes());
    header[72..74].copy_from_slice(&32_i16.to_le_bytes());
    header[108..112].copy_from_slice(&352_f32.to_le_bytes());
    header[344..348].copy_from_slice(b"n+1\0");
    header
}

#[test]
fn a_label_table_without_a_needed_column() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.write("labels.csv", b"Image Data ID,Subjct,Sex\nI1,002_S_0001,F\n");
    dir.fails("convert cohort bids --labels labels.csv", &["labels.csv", "Subject", "Subjct"]);
    dir.fails("convert cohort bids --labels missing.csv", &["missing.csv"]);
}

#[test]
fn a_subject_on_both_sides_is_refused_everywhere() {
    let dir = Dir::new();
    until_split(&dir);
    let split = dir.read("split.tsv");
    let leaky = leak(&split);
    dir.write("leaky.tsv", leaky.as_bytes());
    dir.fails("train derivatives --split leaky.tsv --out run", &["leaky.tsv", "two partitions", "sub-"]);
    assert!(!dir.path("run/checkpoints").exists());

    dir.ok("train derivatives --split split.tsv --out run --epochs 1");
    dir.write("run/split.tsv", leaky.as_bytes());
    dir.fails("evaluate run", &["split.tsv", "two partitions"]);
}

/// Moves one scan of a subject with several scans to the other side.
fn leak(split: &str) -> String {
    let mut lines: Vec<String> = split.lines().map(str::to_owned).collect();
    let subject = |line: &str| line.split('\t').nth(1).unwrap_or_default().to_owned();
    let repeated = (1..lines.len())
        .find(|&idx| lines[idx].starts_with("sub-") && subject(&lines[idx]) == subject(&lines[idx - 1]))
        .expect("somebody has two scans");
    let (row, partition) = lines[repeated].rsplit_once('\t').unwrap();
    let other = if partition == "test" { "train" } else { "test" };
    lines[repeated] = format!("{row}\t{other}");
    lines.join("\n") + "\n"
}

#[test]
fn a_run_folder_of_another_configuration_is_not_touched() {
    let dir = Dir::new();
    until_split(&dir);
    dir.ok("train derivatives --split split.tsv --out run --epochs 1 --seed 1");
    let before = dir.contents("run");
    dir.fails("train derivatives --split split.tsv --out run --epochs 1 --seed 2", &["run", "another"]);
    assert!(before == dir.contents("run"));
    dir.write("run/checkpoints/last.safetensors", b"not a checkpoint");
    dir.write("run/checkpoints/best_loss.safetensors", b"not a checkpoint");
    dir.write("run/checkpoints/best_accuracy.safetensors", b"not a checkpoint");
    dir.fails("evaluate run", &["safetensors"]);
}

#[test]
fn a_model_is_not_tested_on_scans_preprocessed_otherwise() {
    let dir = Dir::new();
    until_split(&dir);
    dir.ok("train derivatives --split split.tsv --out run --epochs 1");
    let inputs = dir.json("run/inputs.json");
    let n_scans = dir.read("derivatives/scans.tsv").lines().count() - 1;
    assert_eq!(inputs["images"].as_object().unwrap().len(), n_scans);
    dir.ok("preprocess bids other --size 32 --spacing 6 --padding 0");
    dir.ok("evaluate run");
    dir.fails("evaluate run --derivatives other", &["other", "other settings", "--derivatives"]);
    dir.ok("preprocess bids derivatives --size 32 --spacing 6 --keep-resampled");
    dir.ok("evaluate run");
    dir.ok("preprocess bids derivatives --size 32 --spacing 6 --padding 0");
    dir.fails("evaluate run", &["derivatives", "sub-", "preprocess again", "train anew"]);
    dir.fails("train derivatives --split split.tsv --out run --epochs 2", &["holds another run"]);
    assert_eq!(inputs, dir.json("run/inputs.json"));
}

#[test]
fn input_and_output_must_be_apart_and_of_the_right_kind() {
    let dir = Dir::new();
    until_split(&dir);
    dir.fails("convert cohort cohort", &["same folder"]);
    dir.fails("convert cohort cohort/bids", &["cohort/bids", "inside the input"]);
    dir.fails("preprocess bids bids", &["same folder"]);
    dir.fails("preprocess bids bids/derivatives", &["inside the input"]);
    dir.fails("preprocess derivatives again", &["derivatives", "DatasetType derivative"]);
    dir.fails("train derivatives --split split.tsv --out derivatives", &["same folder"]);
    dir.fails("train derivatives --split split.tsv --out derivatives/run", &["inside the input"]);
    dir.fails("convert split.tsv bids", &["split.tsv is a file", "DICOM"]);
    dir.write("experiment.toml", b"out = \"cohort/out\"\n[input]\ndicom = \"cohort\"\n");
    dir.fails("run experiment.toml", &["experiment.toml", "inside the input"]);
    assert!(!dir.path("cohort/bids").exists() && !dir.path("cohort/out").exists());
}

#[test]
fn another_download_does_not_replace_a_conversion_unasked() {
    let dir = Dir::new();
    dir.ok("simulate one --subjects 2 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.ok("simulate two --subjects 2 --visits 1 --seed 4 --spacing 8 --no-truth");
    dir.ok("convert one bids");
    let before = dir.contents("bids");
    dir.fails("convert two bids -q", &["bids", "another download", "2 of its 2 images", "--replace"]);
    assert!(before == dir.contents("bids"));
    // The same scans from elsewhere lose nothing.
    std::fs::rename(dir.path("one"), dir.path("moved")).unwrap();
    dir.ok("convert moved bids");
    assert!(before == dir.contents("bids"));
    let ran = dir.ok("convert two bids -q --replace");
    assert!(ran.stderr.contains("warning") && ran.stderr.contains("removed"), "{}", ran.stderr);
}

#[test]
fn files_of_other_hands_are_not_overwritten() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 2 --visits 1 --seed 3 --spacing 8 --no-truth");
    for name in ["README", "participants.tsv", "dataset_description.json"] {
        dir.write(&format!("bids/{name}"), b"mine");
        dir.fails("convert cohort bids", &[name, "would be overwritten"]);
        assert_eq!(dir.read(&format!("bids/{name}")), "mine");
        std::fs::remove_file(dir.path(&format!("bids/{name}"))).unwrap();
    }
    dir.ok("convert cohort bids");
    dir.ok("convert cohort bids");
    let files = dir.contents("bids");
    let ends = |end: &str| {
        let found = files.iter().find(|(path, _)| path.to_string_lossy().ends_with(end)).unwrap();
        format!("bids/{}", found.0.display())
    };
    let sessions = ends("_sessions.tsv");
    dir.write(&sessions, (dir.read(&sessions) + "ses-late\tn/a\tAD\tn/a\tn/a\n").as_bytes());
    dir.fails("convert cohort bids", &["_sessions.tsv", "would be overwritten"]);
    let image = ends("_T1w.nii.gz");
    let copy = image.replacen("bids", "own", 1);
    dir.write(&copy, b"an image of mine");
    dir.fails("convert cohort own", &["_T1w.nii.gz", "not made by brainreel"]);
    dir.write("der/dataset_description.json", b"{\"Name\": \"fMRIPrep\"}");
    dir.fails("preprocess bids der", &["dataset_description.json", "would be overwritten"]);
    dir.write("der2/scans.tsv", b"mine");
    dir.fails("preprocess bids der2", &["scans.tsv", "would be overwritten"]);
}
