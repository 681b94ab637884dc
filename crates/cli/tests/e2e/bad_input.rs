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
    let ran = dir.run("preprocess bids derivatives --size 16 --extractor none --bias none --spacing 8");
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
    dir.write("others.csv", b"image_id,subject,diagnosis\nI999999,002_S_9999,AD\n");
    let ran = dir.ok("convert cohort bids --labels others.csv");
    assert!(ran.stderr.contains("none of the 1 rows of the label tables"), "{}", ran.stderr);
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
    dir.ok("preprocess bids other --size 32 --extractor none --bias none --spacing 6 --padding 0");
    dir.ok("evaluate run");
    dir.fails("evaluate run --derivatives other", &["other", "other settings", "--derivatives"]);
    dir.ok("preprocess bids derivatives --size 32 --extractor none --bias none --spacing 6 --keep corrected");
    dir.ok("evaluate run");
    dir.ok("preprocess bids derivatives --size 32 --extractor none --bias none --spacing 6 --padding 0");
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

/// Nothing that an earlier run wrote stays behind for a scan that is not there any more.
#[test]
fn scans_that_are_gone_leave_no_file_behind() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 2 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.ok("convert cohort bids");
    let subjects = |folder: &str| -> Vec<_> {
        fs::read_dir(dir.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect()
    };
    let gone = subjects("cohort/ADNI").pop().unwrap();
    let kept = dir.path("elsewhere");
    fs::rename(&gone, &kept).unwrap();
    let ran = dir.ok("convert cohort bids -q");
    assert!(ran.stderr.contains("removed"), "{}", ran.stderr);
    let left: Vec<_> =
        subjects("bids").into_iter().filter(|path| path.to_string_lossy().contains("sub-")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let here = dir.contents("bids");
    // What somebody changed stays, and is named.
    fs::rename(&kept, &gone).unwrap();
    dir.ok("convert cohort bids");
    let sessions: Vec<_> = dir
        .contents("bids")
        .into_iter()
        .filter(|(path, _)| {
            path.to_string_lossy().ends_with("_sessions.tsv") && !here.iter().any(|(p, _)| p == path)
        })
        .collect();
    let (changed, _) = &sessions[0];
    fs::write(dir.path("bids").join(changed), b"mine").unwrap();
    fs::rename(&gone, &kept).unwrap();
    let ran = dir.ok("convert cohort bids -q");
    assert!(ran.stderr.contains("_sessions.tsv") && ran.stderr.contains("it stays"), "{}", ran.stderr);
    assert_eq!(fs::read(dir.path("bids").join(changed)).unwrap(), b"mine");
}

/// The ledger's counts say what they count.
#[test]
fn failed_files_are_counted_as_files() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    let folder = slices(&dir, "cohort").pop().unwrap();
    fs::write(folder.with_file_name("broken.dcm"), b"").unwrap();
    let ran = dir.run("convert cohort bids --json convert.json");
    assert_eq!(ran.code, 3);
    assert!(
        ran.stderr.contains("failed: 1 file,") && ran.stderr.contains("convert: 1 file failed"),
        "{}",
        ran.stderr
    );
    let report = dir.json("convert.json");
    assert_eq!((&report["n_failed_files"], &report["n_failed_series"]), (&1.into(), &0.into()));
    let ledger = dir.read("bids/conversion_ledger.tsv");
    assert!(ledger.contains("\tADNI/") && !ledger.contains("cohort"), "{ledger}");
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

/// The slices of the only series of a cohort, in the order of their InstanceNumber.
fn slices(dir: &Dir, cohort: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = dir
        .contents(cohort)
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "dcm"))
        .map(|(path, bytes)| (number_of(&bytes), dir.path(cohort).join(path)))
        .collect();
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

/// InstanceNumber (0020,0013), an IS of two letters before the length.
fn number_of(bytes: &[u8]) -> i64 {
    let tag = [0x20, 0, 0x13, 0, b'I', b'S'];
    let at = bytes.windows(6).position(|window| window == tag).unwrap();
    let length = usize::from(bytes[at + 6]);
    String::from_utf8_lossy(&bytes[at + 8..at + 8 + length]).trim().parse().unwrap()
}

#[test]
fn a_series_that_was_cut_short_is_named() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    let files = slices(&dir, "cohort");
    for file in &files[..3] {
        fs::remove_file(file).unwrap();
    }
    let ran = dir.ok("convert cohort bids -q --json convert.json");
    assert!(ran.stderr.contains("sub-") && ran.stderr.contains("InstanceNumber 1 to 3 missing"));
    assert!(dir.read("bids/conversion_ledger.tsv").contains("InstanceNumber 1 to 3 missing"));
    assert_eq!(dir.json("convert.json")["incomplete"].as_array().unwrap().len(), 1);

    for file in &files[3..files.len() - 6] {
        fs::remove_file(file).unwrap();
    }
    dir.ok("convert cohort bids");
    for _ in 0..2 {
        let ran = dir.ok("preprocess bids derivatives --size 16 --extractor none --bias none --spacing 8 -q --json preprocess.json");
        assert!(ran.stderr.contains("field of view") && ran.stderr.contains(" mm"), "{}", ran.stderr);
        assert_eq!(dir.json("preprocess.json")["warnings"].as_array().unwrap().len(), 1);
    }
    let sidecar = dir.contents("derivatives").into_iter().find(|(path, _)| is_sidecar(path)).unwrap();
    let sidecar: serde_json::Value = serde_json::from_slice(&sidecar.1).unwrap();
    assert_eq!(sidecar["Quality"]["warnings"][0]["kind"], "small_field_of_view");
}

fn is_sidecar(path: &std::path::Path) -> bool {
    path.to_string_lossy().ends_with("_T1w.json")
}

#[test]
fn a_slice_that_cannot_be_read_is_a_failure_and_hashed_names_stay_hidden() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    let last = slices(&dir, "cohort").pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::remove_file(&last).unwrap();
    let secret = last.with_file_name("SECRET_DOE.dcm");
    // Cut in its header, in its pixels, or to nothing: the other slices still make a volume.
    for n_bytes in [600, bytes.len() - 10, 0] {
        fs::write(&secret, &bytes[..n_bytes]).unwrap();
        let ran = dir.run("convert cohort bids");
        let all_gone = n_bytes == bytes.len() - 10;
        assert_eq!(ran.code, if all_gone { 1 } else { 3 }, "{n_bytes} bytes:\n{}", ran.stderr);
        assert!(ran.stderr.contains("SECRET_DOE.dcm"), "{}", ran.stderr);
        let hashed = dir.run("convert cohort hashed --hash-subjects");
        let said = hashed.stderr + &dir.read("hashed/conversion_ledger.tsv");
        assert!(said.contains("failed") && !said.contains("SECRET") && !said.contains("DOE"), "{said}");
    }
}

/// Replaces a value of the header by one of the same length.
fn retag(dir: &Dir, cohort: &str, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    for file in slices(dir, cohort) {
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn diffusion_and_echo_planar_series_are_left_out_by_name() {
    let dir = Dir::new();
    let cases: [(&str, &[u8], &[u8]); 6] = [
        ("localizer", br"ORIGINAL\PRIMARY\M\ND", br"DERIVED\LOCALIZER\A\B"),
        ("not_magnitude", br"ORIGINAL\PRIMARY\M\ND", br"ORIGINAL\PRIMARY\P\ND"),
        ("reformatted", br"ORIGINAL\PRIMARY\M\ND", br"DERIVED\SECONDARY\MPR"),
        ("diffusion", br"ORIGINAL\PRIMARY\M\ND", br"ORIGINAL\DIFFUSION\ND"),
        ("echo_planar", br"GR\IR", br"EP\SE"),
        ("computed", br"ORIGINAL\PRIMARY\M\ND", br"DERIVED\PRIMARY\MIP\A"),
    ];
    for (rule, from, to) in cases {
        dir.ok(&format!("simulate {rule} --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth"));
        retag(&dir, rule, from, to);
        dir.fails(&format!("convert {rule} bids-{rule}"), &["none of the 1 series", "ledger"]);
        assert!(
            dir.read(&format!("bids-{rule}/conversion_ledger.tsv")).contains(&format!("dropped\t{rule}"))
        );
        dir.ok(&format!("convert {rule} any-{rule} --any-contrast"));
    }
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    dir.ok("convert cohort bids");
    assert!(dir.read("bids/conversion_ledger.tsv").contains("as far as the header says (ScanningSequence"));
}

#[test]
fn run_looks_at_everything_before_the_first_stage() {
    let dir = Dir::new();
    let simulated = "out = \"out\"\n[input]\nsimulate = { n_subjects = 8, n_visits = 1, seed = 5, spacing_mm = 8.0, truth_images = false }\n";
    let cases = [
        (format!("{simulated}[train]\nweights = \"gone.safetensors\"\n"), "stage train", "gone.safetensors"),
        (format!("{simulated}[train]\nbatch_size = 0\n"), "stage train", "batch_size"),
        (format!("{simulated}[preprocess]\nsize_voxels = 2\n"), "stage preprocess", "size_voxels"),
        (format!("{simulated}[split]\nvalidation = 0.9\ntest = 0.9\n"), "stage split", "fractions"),
        ("out = \"out\"\n[input]\ndicom = \"gone\"\n".to_owned(), "stage convert", "gone does not exist"),
        ("out = \"out\"\n[input]\nbids = \"gone\"\n".to_owned(), "stage preprocess", "gone does not exist"),
        (
            "out = \"out\"\n[input]\ndicom = \"scans\"\nlabels = [\"gone.csv\"]\n".to_owned(),
            "stage convert",
            "gone.csv does not exist",
        ),
    ];
    dir.write("elsewhere/scans/a.dcm", b"");
    for (text, stage, word) in cases {
        dir.write("elsewhere/experiment.toml", text.as_bytes());
        dir.fails("run elsewhere/experiment.toml", &[stage, word]);
        assert!(!dir.path("elsewhere/out").exists(), "{text}");
    }
}

#[test]
fn run_does_not_replace_the_network_inputs_of_a_trained_run() {
    let dir = Dir::new();
    let experiment = |padding: usize| {
        format!(
            "out = \"out\"\n[input]\nsimulate = {{ n_subjects = 8, n_visits = 1, seed = 5, spacing_mm = 8.0, \
             truth_images = false }}\n[preprocess]\nbrain_extractor = \"none\"\nbias_correction = \"none\"\nsize_voxels = 16\nspacing_mm = 8.0\npadding_voxels = {padding}\n\
             [split]\nvalidation = 0.25\ntest = 0.25\n[train]\nmax_epochs = 1\n"
        )
    };
    dir.write("experiment.toml", experiment(3).as_bytes());
    dir.ok("run experiment.toml");
    let before = dir.contents("out");
    dir.write("experiment.toml", experiment(0).as_bytes());
    dir.fails("run experiment.toml", &["stage preprocess", "change `out`"]);
    assert!(before == dir.contents("out"));
}

#[test]
fn a_split_without_any_diagnosis_says_where_diagnoses_go() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 2 --visits 1 --seed 3 --spacing 8 --no-truth");
    for (path, _) in dir.contents("cohort") {
        if path.extension().is_some_and(|extension| extension == "csv") {
            fs::remove_file(dir.path("cohort").join(path)).unwrap();
        }
    }
    dir.ok("convert cohort bids");
    dir.ok("preprocess bids derivatives --size 16 --extractor none --bias none --spacing 8");
    dir.fails(
        "split derivatives --out split.tsv",
        &["none of the 2 scans", "CN or AD", "_sessions.tsv", "--labels"],
    );
}

#[test]
fn a_checkpoint_whose_weights_changed_is_refused() {
    let dir = Dir::new();
    until_split(&dir);
    dir.ok("train derivatives --split split.tsv --out run --epochs 1");
    // Run again, a finished run leaves no second names of its checkpoints behind.
    dir.ok("train derivatives --split split.tsv --out run --epochs 1");
    assert_eq!(fs::read_dir(dir.path("run/checkpoints")).unwrap().count(), 3);
    for name in ["best_loss", "last", "best_accuracy"] {
        let path = dir.path(&format!("run/checkpoints/{name}.safetensors"));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        // A new file: several names may stand for one.
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    dir.fails("evaluate run", &["best_loss.safetensors", "have changed", "SHA-256"]);
    dir.fails(
        "train derivatives --split split.tsv --out run --epochs 1",
        &["last.safetensors", "have changed", "SHA-256"],
    );
}

#[test]
fn weights_of_pytorch_and_a_device_that_is_not_there() {
    let dir = Dir::new();
    until_split(&dir);
    dir.write("r3d_18.pth", b"PK\x03\x04 and so on, as a zip archive begins");
    dir.fails(
        "train derivatives --split split.tsv --out run --weights r3d_18.pth",
        &["r3d_18.pth", "PyTorch", "zip archive"],
    );
    let experiment = "out = \"out\"\n[input]\nsimulate = { n_subjects = 8 }\n[train]\ndevice = \"cuda\"\n";
    dir.write("experiment.toml", experiment.as_bytes());
    dir.fails("run experiment.toml", &["train.device", "cuda"]);
    assert!(!dir.path("out/download").exists(), "it is refused before the first stage");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_download_is_not_waited_for() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 1 --visits 1 --seed 3 --spacing 8 --no-truth");
    let made = std::process::Command::new("mkfifo").arg(dir.path("cohort/pipe.dcm")).status();
    if made.is_ok_and(|status| status.success()) {
        dir.ok("convert cohort bids");
        assert!(dir.read("bids/conversion_ledger.tsv").contains("pipe.dcm"));
    }
}
