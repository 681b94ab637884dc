//! `brainreel cohort`: tables alone, with a download, with a dataset; bad input.

use std::collections::BTreeMap;
use std::fs;

use crate::kit::Dir;

/// Five people in an image collection: two CN, one MCI, two AD; the first has two scans of one visit.
const COLLECTION: &str = "\
\"Image Data ID\",\"Subject\",\"Group\",\"Sex\",\"Age\",\"Visit\",\"Modality\",\"Description\",\"Type\",\"Acq Date\"
\"I11\",\"002_S_0001\",\"CN\",\"F\",\"74\",\"sc\",\"MRI\",\"MPRAGE\",\"Original\",\"4/18/2006\"
\"I12\",\"002_S_0001\",\"CN\",\"F\",\"74\",\"sc\",\"MRI\",\"MPRAGE, repeat\",\"Original\",\"4/18/2006\"
\"I13\",\"002_S_0001\",\"CN\",\"F\",\"75\",\"m12\",\"MRI\",\"MPRAGE\",\"Original\",\"4/20/2007\"
\"I21\",\"011_S_0002\",\"CN\",\"M\",\"55\",\"sc\",\"MRI\",\"MPRAGE\",\"Original\",\"5/18/2006\"
\"I31\",\"011_S_0003\",\"MCI\",\"M\",\"71\",\"sc\",\"MRI\",\"MPRAGE\",\"Original\",\"6/18/2006\"
\"I41\",\"023_S_0004\",\"AD\",\"F\",\"81\",\"sc\",\"MRI\",\"MPRAGE\",\"Original\",\"7/18/2006\"
\"I51\",\"023_S_0005\",\"AD\",\"M\",\"69\",\"sc\",\"MRI\",\"MPRAGE\",\"Original\",\"8/18/2006\"
";

/// Cells of a column of a table.
fn column(table: &str, name: &str) -> Vec<String> {
    let mut lines = table.lines();
    let idx = lines.next().unwrap().split('\t').position(|column| column == name).unwrap();
    lines.map(|line| line.split('\t').nth(idx).unwrap().to_owned()).collect()
}

#[test]
fn a_table_alone_gives_a_list_and_a_ledger() {
    let dir = Dir::new();
    dir.write("collection.csv", COLLECTION.as_bytes());
    let ran = dir.ok("cohort collection.csv --out cohort --json cohort.json");
    assert_eq!(column(&dir.read("cohort/cohort.tsv"), "image_id"), ["I11", "I21", "I41", "I51"]);
    let ledger = dir.read("cohort/ledger.tsv");
    let rules: BTreeMap<String, String> =
        column(&ledger, "image_id").into_iter().zip(column(&ledger, "rule")).collect();
    let of = |id: &str| rules[id].as_str();
    assert_eq!(
        (of("I12"), of("I13"), of("I31"), of("I11")),
        ("one_per_visit", "balance", "diagnosis", "kept")
    );
    assert_eq!(column(&ledger, "line"), ["2", "3", "4", "5", "6", "7", "8"]);

    // The numbers of ledger, screen, summary and picture are the same.
    let flow = &dir.json("cohort.json")["flow"];
    assert_eq!((&flow["all"]["n_images"], flow["steps"].as_array().unwrap().len()), (&7.into(), 3));
    let picture = dir.read("cohort/flow.svg");
    for step in flow["steps"].as_array().unwrap() {
        let rule = step["rule"].as_str().unwrap();
        let n = column(&ledger, "rule").iter().filter(|found| *found == rule).count();
        assert_eq!(step["dropped"]["n_images"], n, "{rule}");
        let (images, subjects) = (&step["remaining"]["n_images"], &step["remaining"]["n_subjects"]);
        assert!(picture.contains(&format!("{images} images of {subjects} subjects")), "{picture}");
        let on_screen = ran.stdout.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            line.contains("->") && words.ends_with(&[&images.to_string(), &subjects.to_string()])
        });
        assert!(on_screen, "{}", ran.stdout);
    }
    assert!(ran.stdout.contains("research use only") && picture.contains("research use only"));
    assert!(ran.stdout.contains("Hedges g") && ran.stdout.contains("Fisher exact"), "{}", ran.stdout);
    let demographics = dir.json("cohort/demographics.json");
    assert!(demographics["notice"].as_str().unwrap().contains("research use only"));
    assert_eq!(demographics["groups"][0]["age_years"]["mean"], 64.5);
    assert!(dir.read("cohort/demographics.tsv").contains("\nsex\tF\t1\t1\tFisher exact\t"));
}

#[test]
fn download_dataset_and_table_give_the_same_cohort() {
    let dir = Dir::new();
    dir.ok("simulate cohort --subjects 12 --visits 2 --seed 3 --spacing 8 --no-truth");
    dir.ok("convert cohort bids");
    let table = "cohort/ADNI_simulated.csv";
    dir.ok(&format!("cohort {table} --out listed"));
    dir.ok("cohort --images cohort --out found");
    dir.ok(&format!("cohort {table} --images cohort/ADNI --out again --threads 1"));
    dir.ok(&format!("cohort {table} --images bids --out dataset"));
    dir.ok("cohort --images bids --out own");
    let who = |folder: &str| {
        let text = dir.read(&format!("{folder}/cohort.tsv"));
        ["image_id", "participant_id", "diagnosis", "sex", "site"].map(|name| column(&text, name))
    };
    let expected = who("listed");
    assert!(expected[0].len() >= 8, "{expected:?}");
    for folder in ["found", "again", "dataset", "own"] {
        assert_eq!(who(folder), expected, "{folder}");
    }
    let scanner = column(&dir.read("found/cohort.tsv"), "field_strength_t");
    assert!(scanner.iter().all(|tesla| tesla == "1.5" || tesla == "3"), "{scanner:?}");
    assert_eq!(column(&dir.read("dataset/cohort.tsv"), "field_strength_t"), scanner);

    // Taken away and brought in: rows without images, images without rows.
    let mut subjects: Vec<_> =
        fs::read_dir(dir.path("cohort/ADNI")).unwrap().map(|entry| entry.unwrap()).collect();
    subjects.sort_by_key(fs::DirEntry::file_name);
    fs::rename(subjects[0].path(), dir.path("cohort/ADNI/123_S_9999")).unwrap();
    let ran = dir.ok(&format!("cohort {table} --images cohort --out moved"));
    let rules = column(&dir.read("moved/ledger.tsv"), "rule");
    assert!(rules.iter().any(|rule| rule == "subject_conflict"), "{rules:?}");
    assert!(ran.stderr.contains("name different subjects"), "{}", ran.stderr);
    fs::remove_dir_all(dir.path("cohort/ADNI/123_S_9999")).unwrap();
    dir.ok(&format!("cohort {table} --images cohort --out fewer"));
    let rules = column(&dir.read("fewer/ledger.tsv"), "rule");
    assert!(rules.iter().any(|rule| rule == "no_image"), "{rules:?}");
}

#[test]
fn only_the_chosen_images_are_converted() {
    let dir = Dir::new();
    dir.ok("simulate download --subjects 6 --visits 3 --seed 3 --spacing 8 --no-truth");
    dir.write("first.toml", b"max_scans_per_subject = 1\nbalance = false\n");
    dir.ok("cohort --images download --config first.toml --out chosen");
    let chosen = column(&dir.read("chosen/cohort.tsv"), "image_id");
    assert_eq!(chosen.len(), 6);
    dir.ok("convert download bids --cohort chosen/cohort.tsv");
    let ledger = dir.read("bids/conversion_ledger.tsv");
    let rules = column(&ledger, "rule");
    let converted: Vec<String> = column(&ledger, "image_id")
        .into_iter()
        .zip(&rules)
        .filter(|(_, rule)| *rule == "kept")
        .map(|(id, _)| id)
        .collect();
    assert_eq!(converted, chosen);
    assert!(rules.iter().any(|rule| rule == "not_in_cohort"), "{ledger}");
    assert_eq!(column(&dir.read("bids/participants.tsv"), "participant_id").len(), 6);
    // A smaller cohort would take images away: only on request.
    dir.write("fewer.toml", b"max_scans_per_subject = 1\nbalance = false\ndiagnoses = [\"AD\"]\n");
    dir.ok("cohort --images download --config fewer.toml --out fewer");
    dir.fails("convert download bids --cohort fewer/cohort.tsv", &["--replace"]);
    dir.fails("convert download new --cohort gone.tsv", &["gone.tsv", "stage `cohort`"]);
    dir.fails("convert download new --cohort fewer.toml", &["fewer.toml"]);
}

#[test]
fn settings_come_from_their_own_file_or_from_an_experiment() {
    let dir = Dir::new();
    dir.write("collection.csv", COLLECTION.as_bytes());
    dir.write("own.toml", b"diagnoses = [\"CN\", \"MCI\", \"AD\"]\nmin_age_years = 60\nbalance = false\n");
    dir.ok("cohort collection.csv --config own.toml --out own");
    assert_eq!(column(&dir.read("own/cohort.tsv"), "image_id"), ["I11", "I13", "I31", "I41", "I51"]);
    let printed = dir.ok("run --print-defaults").stdout;
    dir.write("experiment.toml", printed.as_bytes());
    dir.ok("cohort collection.csv --config experiment.toml --out same");
    dir.ok("cohort collection.csv --out default");
    assert!(dir.contents("same") == dir.contents("default"));

    dir.write("bad.toml", b"diagnosis = [\"AD\"]\n");
    dir.fails("cohort collection.csv --config bad.toml --out x", &["bad.toml", "diagnosis", "diagnoses"]);
    dir.write("bad.toml", b"diagnoses = [\"AD\"]\n");
    dir.fails("cohort collection.csv --config bad.toml --out x", &["bad.toml", "balance"]);
    dir.write("bad.toml", b"exclude = [\"\"]\n");
    dir.fails("cohort collection.csv --config bad.toml --out x", &["bad.toml", "*mprage*"]);
    dir.write("bad.toml", b"out = \"o\"\n[input]\nbids = \"b\"\n");
    dir.fails("cohort collection.csv --config bad.toml --out x", &["bad.toml", "[cohort]"]);
    dir.fails("cohort collection.csv --config gone.toml --out x", &["gone.toml"]);
    assert!(!dir.path("x").exists());
}

#[test]
fn bad_input_is_named_and_nothing_foreign_is_replaced() {
    let dir = Dir::new();
    dir.write("collection.csv", COLLECTION.as_bytes());
    dir.fails("cohort --out x", &["no table", "Advanced Search"]);
    dir.fails("cohort gone.csv --out x", &["gone.csv"]);
    dir.write("odd.csv", COLLECTION.replace("\"Subject\"", "\"Subjct\"").as_bytes());
    dir.fails("cohort odd.csv --out x", &["odd.csv", "`Subject`", "`Subjct`", "Advanced Search"]);
    dir.write("other.csv", b"a,b\n1,2\n");
    dir.fails("cohort other.csv --out x", &["other.csv", "a, b", "ADNIMERGE"]);
    dir.fails("cohort collection.csv --images nowhere --out x", &["nowhere"]);
    fs::create_dir(dir.path("empty")).unwrap();
    dir.fails("cohort collection.csv --images empty --out x", &["empty", "no image"]);
    dir.fails("cohort --images empty --out x", &["empty", "no table"]);
    dir.fails("cohort collection.csv --images empty --out empty/x", &["must be apart"]);
    dir.fails("cohort collection.csv --out collection.csv", &["is a file"]);
    dir.write("mine/ledger.tsv", b"my own");
    dir.fails("cohort collection.csv --out mine", &["mine/ledger.tsv", "not written by"]);
    assert_eq!(dir.read("mine/ledger.tsv"), "my own");
    assert!(!dir.path("x").exists());
    // Nothing left is an error, with the ledger written.
    dir.write("none.toml", b"min_age_years = 120\n");
    dir.fails("cohort collection.csv --config none.toml --out none", &["no image is left", "ledger.tsv"]);
    assert_eq!(column(&dir.read("none/ledger.tsv"), "rule"), ["age"; 7]);
    // Run again into the same folder.
    dir.ok("cohort collection.csv --out none");
    let help = dir.ok("cohort --help").stdout;
    assert!(help.contains("brainreel cohort") && help.contains("--json") && help.contains("cohort.toml"));
}

#[test]
fn an_experiment_selects_before_it_converts() {
    let dir = Dir::new();
    let experiment = "out = \"out\"
[input]
simulate = { n_subjects = 12, n_visits = 2, seed = 5, spacing_mm = 6.0, truth_images = false }
[cohort]
max_scans_per_subject = 1
balance = false
[preprocess]
brain_extractor = \"none\"
bias_correction = \"none\"
size_voxels = 32
spacing_mm = 6.0
[split]
train = 0.5
validation = 0.25
test = 0.25
[train]
max_epochs = 1
";
    dir.write("experiment.toml", experiment.as_bytes());
    dir.ok("run experiment.toml");
    let scans = dir.read("out/derivatives/scans.tsv");
    let subjects: Vec<&str> = scans.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap()).collect();
    let distinct: std::collections::BTreeSet<&&str> = subjects.iter().collect();
    assert_eq!(distinct.len(), subjects.len(), "one scan a subject: {scans}");
    assert!(
        dir.read("out/cohort/ledger.tsv").contains("\tmax_scans\t"),
        "{}",
        dir.read("out/cohort/ledger.tsv")
    );
    let again = dir.ok("run experiment.toml");
    assert!(again.stderr.contains("cohort up to date"), "{}", again.stderr);
    dir.write("bids.toml", experiment.replace("simulate = {", "bids = \"b\"\n#").as_bytes());
    dir.fails("run bids.toml", &["[cohort]: selects from DICOM files"]);
}
