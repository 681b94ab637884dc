//! What `preprocess` leaves behind, and what it refuses.

use crate::kit::Dir;
use crate::strip::network_file;

/// A dataset of a few heads at 4 mm, with the truth.
fn dataset(dir: &Dir, options: &str) {
    dir.ok(&format!("simulate cohort --visits 1 --seed 3 --spacing 4 {options}"));
    dir.ok("convert cohort bids");
}

/// The one file below `folder` whose name ends in `ending`.
fn only(dir: &Dir, folder: &str, ending: &str) -> (std::path::PathBuf, Vec<u8>) {
    let mut found = dir.contents(folder);
    found.retain(|(path, _)| path.to_string_lossy().ends_with(ending));
    assert_eq!(found.len(), 1, "{ending}");
    found.remove(0)
}

#[test]
fn classical_extractor_n4_pictures_and_tables() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 2 --no-truth");
    let asked = "preprocess bids derivatives --extractor bet --spacing 4 --size 32 --keep all";
    dir.ok(&format!("{asked} --json first.json"));
    let first = dir.json("first.json");
    assert_eq!((&first["n_scans"], &first["brain_extractor"]), (&2.into(), &"bet".into()));

    let files = dir.contents("derivatives");
    let count =
        |ending: &str| files.iter().filter(|(path, _)| path.to_string_lossy().ends_with(ending)).count();
    for ending in [
        "_desc-brain_mask.nii.gz",
        "_desc-brain_mask.json",
        "_space-native_desc-brain_T1w.nii.gz",
        "_space-native_desc-biasfield_T1w.nii.gz",
        "_space-native_desc-corrected_T1w.nii.gz",
        "_space-network_desc-preproc_T1w.nii.gz",
        "_qc.svg",
    ] {
        assert_eq!(count(ending), 2, "{ending}");
    }
    let sidecars = files.iter().filter(|(path, _)| path.to_string_lossy().ends_with("preproc_T1w.json"));
    for (_, text) in sidecars {
        let sidecar: serde_json::Value = serde_json::from_slice(text).unwrap();
        assert!(sidecar["BrainExtractor"].as_str().unwrap().starts_with("bet"), "{sidecar}");
        let brain_ml = sidecar["Quality"]["brain"]["volume_ml"].as_f64().unwrap();
        assert!((800.0..2000.0).contains(&brain_ml), "{brain_ml} ml");
        let steps = ["reorient", "extract_brain", "resample", "correct_bias", "crop", "zoom"];
        assert_eq!(sidecar["Quality"]["steps"], serde_json::json!(steps));
    }
    let table = dir.read("derivatives/qc.tsv");
    assert_eq!(table.lines().count(), 3, "{table}");
    let page = dir.read("derivatives/qc.html");
    assert_eq!(page.matches("<img").count(), 2);
    assert!(page.contains("research use only"));
    assert!(dir.read("derivatives/.bidsignore").contains("figures"));

    dir.ok(&format!("{asked} --json again.json"));
    assert_eq!(dir.json("again.json")["n_up_to_date"], 2);
    let (picture, _) = files.iter().find(|(path, _)| path.to_string_lossy().ends_with("_qc.svg")).unwrap();
    std::fs::remove_file(dir.path("derivatives").join(picture)).unwrap();
    dir.ok(&format!("{asked} --threads 1 --json third.json"));
    assert_eq!(dir.json("third.json")["n_up_to_date"], 1);
    assert!(files == dir.contents("derivatives"), "other bytes the second time");
}

#[test]
fn masks_of_others_are_taken_if_they_lie_on_the_scan() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 1 --no-truth");
    let plain = "--spacing 4 --size 32 --bias none";
    dir.ok(&format!("preprocess bids by-bet --extractor bet {plain}"));
    dir.fails(&format!("preprocess bids der --extractor mask {plain}"), &["--masks"]);
    dir.fails(&format!("preprocess bids der --extractor bet --masks by-bet {plain}"), &["expected \"mask\""]);
    dir.fails(&format!("preprocess bids der --extractor mask --masks gone {plain}"), &["gone"]);
    let (mask, bytes) = only(&dir, "by-bet", "_desc-brain_mask.nii.gz");

    dir.ok(&format!("preprocess bids by-mask --extractor mask --masks by-bet {plain}"));
    let image = "_desc-preproc_T1w.nii.gz";
    assert!(only(&dir, "by-bet", image) == only(&dir, "by-mask", image), "the same mask, another image");
    let (_, sidecar) = only(&dir, "by-mask", "_desc-preproc_T1w.json");
    assert!(String::from_utf8(sidecar).unwrap().contains("mask file (sha256"));

    // A mask of another grid: the network input itself, under the mask's name.
    let wrong = dir.path("wrong").join(&mask);
    std::fs::create_dir_all(wrong.parent().unwrap()).unwrap();
    std::fs::write(&wrong, only(&dir, "by-bet", image).1).unwrap();
    let name = mask.file_name().unwrap().to_string_lossy().into_owned();
    dir.fails(
        &format!("preprocess bids der --extractor mask --masks wrong {plain}"),
        &[&name, "expected those of its scan", "none of the 1 scans"],
    );
    std::fs::write(&wrong, &bytes[..bytes.len() / 2]).unwrap();
    dir.fails(&format!("preprocess bids der2 --extractor mask --masks wrong {plain}"), &[&name]);
    std::fs::remove_file(&wrong).unwrap();
    dir.fails(
        &format!("preprocess bids der3 --extractor mask --masks wrong {plain}"),
        &[&name, "does not exist"],
    );
}

#[test]
fn scans_that_left_the_dataset_leave_the_derivatives() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 3 --no-truth");
    let asked = "preprocess bids derivatives --spacing 8 --size 16 --extractor none --bias none";
    dir.ok(asked);
    dir.write("derivatives/sub-mine/ses-1/anat/notes.txt", b"mine");
    let subject = std::fs::read_dir(dir.path("bids"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("sub-"))
        .unwrap();
    std::fs::remove_dir_all(dir.path("bids").join(&subject)).unwrap();
    dir.ok(&format!("{asked} --json report.json"));
    assert_eq!(dir.json("report.json")["n_removed"], 1);
    assert!(!dir.path("derivatives").join(&subject).exists());
    assert!(
        dir.contents("derivatives/figures")
            .iter()
            .all(|(path, _)| !path.to_string_lossy().contains(&subject))
    );
    assert_eq!(dir.read("derivatives/sub-mine/ses-1/anat/notes.txt"), "mine");
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 1 --no-truth");
    dir.fails(
        "preprocess bids der --extractor none",
        &["bias_region", "--bias-region foreground", "stripped already"],
    );
    dir.fails("preprocess bids der --extractor bet --memory 0", &["--memory", "positive"]);
    assert!(!dir.path("der").exists());
    dir.ok(
        "preprocess bids der --extractor none --bias-region foreground --spacing 8 --size 16 --no-pictures",
    );
    assert!(!dir.path("der/figures").exists() && !dir.path("der/qc.html").exists());
}

#[test]
fn without_weights_the_error_says_every_way_on() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 1 --no-truth");
    let ran = dir
        .command("preprocess bids derivatives")
        .env("BRAINREEL_CACHE_DIR", dir.path("empty-cache"))
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let message = String::from_utf8_lossy(&ran.stderr).into_owned();
    for way in ["weights fetch synthstrip", "weights import", "bet"] {
        assert!(message.contains(way), "`{way}` is not in {message}");
    }
    assert!(!dir.path("derivatives").exists());
}

#[test]
fn synthstrip_with_a_file_of_weights() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 1 --no-truth");
    dir.write("everything.safetensors", &network_file(-5.0));
    let asked = "--weights everything.safetensors --spacing 8 --size 16 --bias none --no-pictures";
    dir.ok(&format!("preprocess bids derivatives {asked} --json report.json"));
    assert_eq!(dir.json("report.json")["brain_extractor"], "synthstrip");
    assert!(dir.json("report.json")["warnings"].to_string().contains("edge of the field of view"));
    let (_, sidecar) = only(&dir, "derivatives", "_desc-preproc_T1w.json");
    let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).unwrap();
    assert!(sidecar["BrainExtractor"].as_str().unwrap().starts_with("synthstrip "), "{sidecar}");

    assert!(sidecar["Provenance"]["instruction_set"].is_string(), "{sidecar}");

    // Another instruction set makes nothing out of date.
    let mut command = dir.command(&format!("preprocess bids derivatives {asked} --json report.json"));
    assert!(command.env("BRAINREEL_ISA", "scalar").output().unwrap().status.success());
    assert_eq!(dir.json("report.json")["n_up_to_date"], 1);

    // Other weights are another extractor: nothing is up to date.
    dir.write("everything.safetensors", &network_file(-6.0));
    dir.ok(&format!("preprocess bids derivatives {asked} --json report.json"));
    assert_eq!(dir.json("report.json")["n_up_to_date"], 0);
    dir.write("nothing.safetensors", &network_file(50.0));
    dir.fails(
        "preprocess bids nothing --weights nothing.safetensors --spacing 8 --size 16 --bias none",
        &["found no voxel of brain", "none of the 1 scans"],
    );
    dir.fails(
        "preprocess bids other --extractor bet --weights nothing.safetensors",
        &["expected \"synthstrip\""],
    );
}

#[test]
fn work_of_others_and_of_other_datasets_is_not_replaced() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 2 --no-truth");
    let asked = "preprocess bids derivatives --extractor bet --spacing 4 --size 32 --bias none";
    dir.ok(asked);
    let (masks, before) = {
        let files = dir.contents("derivatives");
        let masks =
            files.iter().filter(|(path, _)| path.to_string_lossy().ends_with("_desc-brain_mask.nii.gz"));
        (masks.cloned().collect::<Vec<_>>(), files.clone())
    };
    assert_eq!(masks.len(), 2);

    // A mask corrected by hand (here: the other subject's) stays; the other scan goes on.
    let corrected = dir.path("derivatives").join(&masks[0].0);
    std::fs::write(&corrected, &masks[1].1).unwrap();
    let ran = dir.run(asked);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("changed since") && ran.stderr.contains("--masks"), "{}", ran.stderr);
    assert_eq!(std::fs::read(&corrected).unwrap(), masks[1].1);
    assert!(dir.read("derivatives/qc.html").contains("failed"));
    std::fs::write(&corrected, &masks[0].1).unwrap();
    dir.ok(asked);
    assert!(dir.contents("derivatives") == before);

    dir.fails(
        "preprocess bids derivatives --extractor mask --masks derivatives --spacing 4 --size 32",
        &["same folder"],
    );

    // Another dataset does not take the folder, and one that fails takes nothing away.
    dir.ok("simulate others --subjects 1 --visits 1 --seed 4 --spacing 8 --no-truth");
    dir.ok("convert others other");
    let other = "preprocess other derivatives --extractor none --bias none --spacing 8 --size 16";
    dir.fails(other, &["of 2 scans", "--replace"]);
    assert!(dir.contents("derivatives") == before);
    dir.ok(&format!("{other} --replace"));
    assert_eq!(dir.contents("derivatives/figures").len(), 1);
}

#[test]
fn files_of_other_settings_do_not_stay_and_images_are_no_masks() {
    let dir = Dir::new();
    dataset(&dir, "--subjects 1 --no-truth");
    let plain = "--spacing 4 --size 32";
    dir.ok(&format!("preprocess bids derivatives --extractor bet {plain} --keep all"));
    let count = |ending: &str| {
        let files = dir.contents("derivatives");
        files.iter().filter(|(path, _)| path.to_string_lossy().contains(ending)).count()
    };
    assert_eq!((count("biasfield"), count("brain_mask"), count("qc.html")), (1, 2, 1));
    let (mask, _) = only(&dir, "derivatives", "_desc-brain_mask.nii.gz");
    dir.ok(&format!("preprocess bids derivatives --extractor none --bias none {plain} --no-pictures"));
    assert_eq!((count("biasfield"), count("brain_mask"), count(".svg"), count("qc.html")), (0, 0, 0, 0));

    let (_, head) = only(&dir, "bids", "_T1w.nii.gz");
    let wrong = dir.path("masks").join(&mask);
    std::fs::create_dir_all(wrong.parent().unwrap()).unwrap();
    std::fs::write(&wrong, head).unwrap();
    dir.fails(
        &format!("preprocess bids der --extractor mask --masks masks {plain}"),
        &["is no mask", "one other number"],
    );
}
