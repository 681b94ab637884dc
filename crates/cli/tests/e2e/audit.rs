//! Audits of splits, ours and anybody's.

use brainreel_formats::nifti;
use brainreel_volume::{Affine, Grid, Volume};

use crate::kit::Dir;
use crate::pipeline::until_split;

const LEAKY: &str = "subject,visit,label,set\n002_S_0413,m00,AD,train\n003_S_0907,m00,CN,train\n\
                     005_S_0223,bl,CN,validation\n007_S_1206,bl,AD,validation\nsub-ADNI002S0413,m12,AD,test\n\
                     011_S_0021,bl,CN,test\n";

#[test]
fn a_leaky_table_of_anybodys_is_told_and_fails() {
    let dir = Dir::new();
    dir.write("theirs.csv", LEAKY.as_bytes());
    let ran = dir.run("audit theirs.csv --html audit.html --json audit.json");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    for words in
        ["1 subject in more than one partition", "CLEAR LEAK", "002_S_0413", "audit FAILED", "research use"]
    {
        assert!(ran.stdout.contains(words), "`{words}` is not in: {}", ran.stdout);
    }
    let report = dir.json("audit.json");
    assert_eq!(
        (&report["passes"], &report["findings"][0]["check"]),
        (&false.into(), &"subject-overlap".into())
    );
    assert_eq!(report["verdicts"][0]["opinion"], "clear");
    assert!(dir.read("audit.html").contains("1 subject in more than one partition"));

    // The same people, a table a partition.
    let honest = LEAKY.replace("sub-ADNI002S0413,m12", "013_S_1035,bl");
    let part = |partition: &str| -> String {
        let rows = honest.lines().filter(|line| line.ends_with(partition) || line.starts_with("subject"));
        rows.map(|row| row.rsplit_once(',').unwrap().0.to_owned() + "\n").collect()
    };
    for partition in ["train", "validation", "test"] {
        dir.write(&format!("{partition}.csv"), part(partition).as_bytes());
    }
    let ran = dir.ok("audit --train train.csv --validation validation.csv --test test.csv");
    assert!(ran.stdout.contains("audit passed"), "{}", ran.stdout);
}

#[test]
fn tables_that_cannot_be_audited_are_named() {
    let dir = Dir::new();
    dir.write("theirs.csv", b"name,diagnosis\na,AD\n");
    dir.fails("audit theirs.csv", &["theirs.csv", "no column `partition`", "name, diagnosis"]);
    dir.write("empty.csv", b"subject,partition\n");
    dir.fails("audit empty.csv", &["empty.csv lists no scan"]);
    dir.fails("audit nowhere.csv", &["nowhere.csv"]);
    dir.write("notes.html", b"mine");
    dir.write("good.csv", LEAKY.as_bytes());
    dir.fails("audit good.csv --html notes.html", &["notes.html exists"]);
    assert_eq!(dir.read("notes.html"), "mine");
}

#[test]
fn a_trained_run_is_audited_with_what_its_network_has_seen() {
    let dir = Dir::new();
    until_split(&dir);
    dir.ok("audit split.tsv --derivatives derivatives");
    dir.ok("train derivatives --split split.tsv --out run --epochs 1");
    let ran = dir.ok("audit run --json run.json");
    assert!(ran.stdout.contains("training started from random numbers"), "{}", ran.stdout);
    let verdicts = dir.json("run.json")["verdicts"].as_array().unwrap().clone();
    assert!(verdicts.iter().all(|verdict| verdict["opinion"] == "none-detected"), "{verdicts:?}");
    // Others' test set with one of the run's training subjects.
    let split = dir.read("run/split.tsv");
    let seen = split.lines().find(|line| line.ends_with("\ttrain")).unwrap().split('\t').nth(1).unwrap();
    dir.write("new.csv", format!("subject,diagnosis\n{seen},AD\nelsewhere,CN\n").as_bytes());
    let ran = dir.run("audit --test new.csv --network run");
    assert_eq!(ran.code, 4, "{}", ran.stdout);
    assert!(ran.stdout.contains("trained on 1 subject of the test partition"), "{}", ran.stdout);
}

#[test]
fn a_copy_under_another_name_is_found_and_another_visit_is_none() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 3 --visits 2 --seed 3 --spacing 2 --no-truth");
    dir.ok("convert cohort bids");
    let images: Vec<String> = dir
        .contents("bids")
        .into_iter()
        .map(|(path, _)| path.to_string_lossy().into_owned())
        .filter(|path| path.ends_with("_T1w.nii.gz"))
        .collect();
    let subject = |path: &str| path.split('/').next().unwrap().to_owned();
    let first = images[0].clone();
    let same_person = images.iter().filter(|path| subject(path) == subject(&first)).count();
    assert!(same_person > 1, "another visit of the first person: {images:?}");
    let mut table = "path,label,set\n".to_owned();
    for path in &images {
        // Everybody keeps to one side.
        let set = if subject(path) == subject(&first) { "train" } else { "test" };
        table += &format!("{path},{},{set}\n", u8::from(set == "test"));
    }
    dir.write("honest.csv", table.as_bytes());
    let honest = dir.run("audit honest.csv --images bids --json honest.json");
    assert_eq!(honest.code, 0, "{}{}", honest.stdout, honest.stderr);
    assert_eq!(dir.json("honest.json")["n_images"], images.len());

    let image = nifti::read_f32(&dir.path("bids").join(&first)).unwrap();
    let copy = image.map(|voxel| 1.7 * voxel + 30.0);
    std::fs::create_dir_all(dir.path("bids/sub-other")).unwrap();
    nifti::write(&dir.path("bids/sub-other/sub-other_T1w.nii.gz"), &copy).unwrap();
    dir.write("leaky.csv", format!("{table}sub-other/sub-other_T1w.nii.gz,1,test\n").as_bytes());
    let leaky = dir.run("audit leaky.csv --images bids");
    assert_eq!(leaky.code, 4, "{}", leaky.stdout);
    assert!(leaky.stdout.contains("1 pair of images of one acquisition in different"), "{}", leaky.stdout);
}

/// Identical voxels under the names of a training and a test subject, in files that differ.
pub(crate) fn plant_copy(dir: &Dir) {
    let split = dir.read("split.tsv");
    let scan_in = |partition: &str| {
        let row = split.lines().find(|line| line.ends_with(partition) && line.starts_with("sub-")).unwrap();
        row.split('\t').next().unwrap().to_owned()
    };
    let scans = dir.read("derivatives/scans.tsv");
    let row_of =
        |id: &str| scans.lines().find(|line| line.split('\t').next() == Some(id)).unwrap().to_owned();
    let (train, test) = (row_of(&scan_in("\ttrain")), row_of(&scan_in("\ttest")));
    let cell = |row: &str, idx: usize| row.split('\t').nth(idx).unwrap().to_owned();
    let image = nifti::read_f32(&dir.path("derivatives").join(cell(&train, 7))).unwrap();
    let grid = Grid::new(image.dims(), Affine::from_diagonal([1.5, 1.5, 1.5])).unwrap();
    let path = dir.path("derivatives").join(cell(&test, 7));
    nifti::write(&path, &Volume::new(grid, image.as_slice().to_vec()).unwrap()).unwrap();
    let digest = brainreel_artifact::hash_file(&path).unwrap();
    let changed = test.replace(&cell(&test, 8), digest.as_str());
    dir.write("derivatives/scans.tsv", scans.replace(&test, &changed).as_bytes());
}

#[test]
fn training_and_evaluation_are_audited_first() {
    let dir = Dir::new();
    until_split(&dir);
    plant_copy(&dir);
    let train = "train derivatives --split split.tsv --epochs 1 --out run";
    dir.fails(train, &["does not pass the audit", "identical images", "--override-audit"]);
    assert!(!dir.path("run/checkpoints").exists(), "refused before training");
    assert_eq!(dir.json("run/audit.json")["passes"], false);
    let ran = dir.ok(&format!("{train} --override-audit trial"));
    assert!(ran.stderr.contains("the audit failed and was overridden: trial"), "{}", ran.stderr);
    dir.ok("evaluate run");
    let audit = &dir.json("run/evaluation/metrics.json")["audit"];
    assert_eq!((&audit["passes"], &audit["overridden"]), (&false.into(), &"trial".into()));
    // Without its record the run is audited again, and refused.
    std::fs::remove_file(dir.path("run/audit.json")).unwrap();
    dir.fails("evaluate run", &["does not pass the audit"]);
}

#[test]
fn the_price_of_a_leak_is_told_beside_the_honest_figure() {
    let dir = Dir::new();
    until_split(&dir);
    dir.write("train.toml", b"max_epochs = 1\n");
    let price = "audit --price-tag price --derivatives derivatives --config train.toml --share 0.25 --json price.json";
    let ran = dir.ok(price);
    for words in ["true labels, subject-level split", "scan-level split (LEAKY)", "Price of the leaky split"]
    {
        assert!(ran.stdout.contains(words), "`{words}` is not in: {}", ran.stdout);
    }
    let report = dir.json("price.json");
    assert_eq!(report["trainings"].as_array().unwrap().len(), 4);
    assert_eq!(report["trainings"][1]["evaluation"]["leaky"], true);
    assert_eq!(report["trainings"][0]["evaluation"]["audit"]["passes"], true);
    let before = dir.read("price/price_tag.json");
    dir.ok(price);
    assert_eq!(dir.read("price/price_tag.json"), before, "finished trainings are taken as they are");
}
