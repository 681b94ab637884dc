//! The strategies of `split`, and the word leaky on all that comes of a leaky one.

use std::collections::{BTreeMap, BTreeSet};

use crate::kit::Dir;
use crate::pipeline::until_split;

/// Partitions of every participant.
fn homes(split: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut homes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in split.lines().filter(|line| line.starts_with("sub-")) {
        let cells: Vec<&str> = line.split('\t').collect();
        homes.entry(cells[1].to_owned()).or_default().insert(cells[4].to_owned());
    }
    homes
}

fn is_by_subject(split: &str) -> bool {
    homes(split).values().all(|partitions| partitions.len() == 1)
}

#[test]
fn a_leaky_split_is_refused_and_marks_all_that_comes_of_it() {
    let dir = Dir::new();
    until_split(&dir);
    let made = dir.ok("split derivatives --out leaky.tsv --strategy scan-level --seed 1 --json leaky.json");
    assert!(made.stdout.contains("LEAKY") && made.stderr.contains("LEAKY"), "{}", made.stdout);
    assert_eq!(dir.json("leaky.json")["leaky"], true);
    assert!(dir.json("leaky.json")["n_subjects_on_several_sides"].as_u64().unwrap() > 0);
    let leaky = dir.read("leaky.tsv");
    assert!(leaky.contains("# leaky: scan-level\n") && !is_by_subject(&leaky), "{leaky}");

    let train = "train derivatives --split leaky.tsv --out run --epochs 1";
    dir.fails(train, &["leaky.tsv", "leaky on purpose", "--allow-leaky"]);
    dir.fails(&format!("{train} --allow-leaky --verify-resume"), &["leaky", "by subject"]);
    assert!(!dir.path("run").exists());
    let trained = dir.ok(&format!("{train} --allow-leaky --wandb offline --json train.json"));
    assert!(trained.stdout.contains("LEAKY") && trained.stderr.contains("warning: train: LEAKY"));
    assert_eq!(dir.json("train.json")["leaky"], true);
    assert!(dir.json("train.json")["notice"].as_str().unwrap().starts_with("LEAKY"));
    assert_eq!(dir.json("run/inputs.json")["leaky"], true);
    assert!(dir.read("run/split.tsv").contains("# leaky: scan-level\n"));
    // The same again goes on with the run; an honest split does not.
    dir.fails(train, &["--allow-leaky"]);
    dir.fails("train derivatives --split split.tsv --out run --epochs 1", &["another split"]);

    dir.fails("evaluate run", &["leaky on purpose", "--allow-leaky"]);
    let evaluated = dir.ok("evaluate run --allow-leaky --json evaluate.json");
    assert!(evaluated.stdout.contains("LEAKY"), "{}", evaluated.stdout);
    for report in ["evaluate.json", "run/evaluation/metrics.json"] {
        assert_eq!(dir.json(report)["leaky"], true);
        assert!(dir.json(report)["notice"].as_str().unwrap().starts_with("LEAKY"));
    }
    for table in ["predictions.tsv", "subjects.tsv"] {
        let table = dir.read(&format!("run/evaluation/{table}"));
        let mut lines = table.lines();
        assert!(lines.next().unwrap().ends_with("\tleaky") && lines.all(|line| line.ends_with("\tyes")));
    }

    dir.fails("export run --out model.safetensors", &["leaky on purpose"]);
    assert!(!dir.path("model.safetensors").exists());
    let exported = dir.ok("export run --out model.safetensors --allow-leaky");
    assert_eq!(dir.json("model.json")["leaky"], true);
    assert!(dir.read("model.py").starts_with("# LEAKY") && exported.stdout.contains("# LEAKY"));

    // Nobody gets around it by taking the mark out.
    dir.write("run/split.tsv", leaky.replace("# leaky: scan-level\n", "").as_bytes());
    for command in
        ["evaluate run", "evaluate run --allow-leaky", "export run --out m2.safetensors --allow-leaky"]
    {
        dir.fails(command, &["two partitions"]);
    }
    dir.write("run/split.tsv", leaky.as_bytes());
    let inputs = dir.read("run/inputs.json").replace("\"leaky\": true,", "");
    dir.write("run/inputs.json", inputs.as_bytes());
    dir.fails("evaluate run --allow-leaky", &["was changed after training"]);
}

#[test]
fn an_honest_run_does_not_say_leaky() {
    let dir = Dir::new();
    until_split(&dir);
    let trained = dir.ok("train derivatives --split split.tsv --out run --epochs 1 --json train.json");
    let evaluated = dir.ok("evaluate run --allow-leaky");
    for text in [
        trained.stdout,
        evaluated.stdout,
        dir.read("train.json"),
        dir.read("run/inputs.json"),
        dir.read("run/split.tsv"),
        dir.read("run/evaluation/metrics.json"),
        dir.read("run/evaluation/predictions.tsv"),
    ] {
        assert!(!text.to_lowercase().contains("leaky"), "{text}");
    }
}

const EXPERIMENT: &str = "
out = \"out\"
[input]
simulate = { n_subjects = 8, n_visits = 2, seed = 5, spacing_mm = 6.0, truth_images = false }
[preprocess]
brain_extractor = \"none\"
bias_correction = \"none\"
size_voxels = 32
spacing_mm = 6.0
[split]
validation = 0.25
test = 0.25
strategy = \"scan-level\"
[train]
max_epochs = 1
";

#[test]
fn run_takes_a_leaky_split_on_request_only() {
    let dir = Dir::new();
    dir.write("experiment.toml", EXPERIMENT.as_bytes());
    dir.fails("run experiment.toml", &["stage split", "leaky on purpose", "--allow-leaky"]);
    assert!(!dir.path("out").exists());
    let ran = dir.ok("run experiment.toml --allow-leaky --json run.json");
    assert!(ran.stdout.contains("LEAKY"), "{}", ran.stdout);
    assert_eq!(dir.json("run.json")["evaluation"]["leaky"], true);
    assert_eq!(dir.json("out/split.json")["leaky"], true);
    dir.fails("run experiment.toml", &["--allow-leaky"]);
    // Nor does the finished run pass under an honest experiment.
    dir.write("experiment.toml", EXPERIMENT.replace("scan-level", "stratified").as_bytes());
    dir.fails("run experiment.toml", &["leaky"]);
}

#[test]
fn strategies_of_the_command_line() {
    let dir = Dir::new();
    until_split(&dir);
    let header = dir.read("split.tsv");
    assert!(header.contains("# strategy: round-robin; train 0.6; validation 0.2; test 0.2; classes CN AD\n"));

    dir.ok("split derivatives --out s1.tsv --strategy stratified --seed 1 --validation 0.2 --test 0.2 --json s1.json");
    dir.ok("split derivatives --out s2.tsv --strategy stratified --seed 2 --validation 0.2 --test 0.2");
    let (one, two) = (dir.read("s1.tsv"), dir.read("s2.tsv"));
    assert!(is_by_subject(&one) && one != two);
    assert!(dir.json("s1.json")["strategy"].as_str().unwrap().starts_with("stratified; train 0.6"));

    let folds = dir.ok("split derivatives --folds 3 --out folds --validation 0.3 --json folds.json");
    assert!(folds.stdout.contains("fold 3"));
    assert_eq!(dir.json("folds.json")["folds"].as_array().unwrap().len(), 3);
    let mut tested = Vec::new();
    for fold in 1..=3 {
        let split = dir.read(&format!("folds/split-{fold}.tsv"));
        assert!(is_by_subject(&split) && split.contains(&format!("# strategy: k-fold; fold {fold} of 3")));
        tested.extend(
            homes(&split).into_iter().filter(|(_, home)| home.contains("test")).map(|(name, _)| name),
        );
    }
    tested.sort();
    assert_eq!(tested, homes(&one).into_keys().collect::<Vec<_>>(), "everybody is tested once");
    dir.fails("split derivatives --folds 3 --out folds --validation 0.3", &["split-1.tsv", "--overwrite"]);
    dir.fails("split derivatives --folds 2 --out folds --validation 0.3 --overwrite", &["split-3.tsv"]);
    dir.ok("split derivatives --folds 3 --out folds --validation 0.3 --overwrite");

    dir.fails(
        "split derivatives --out x.tsv --strategy leave-field-strength-out",
        &["field strength", "scans"],
    );
    dir.fails("split derivatives --out x.tsv --strategy leave-site-out --sites 999", &["999", "sites:"]);
    dir.fails("split derivatives --out x.tsv --sites 002", &["leave-site-out"]);
    assert_eq!(dir.run("split derivatives --out x.tsv --folds 3 --strategy stratified").code, 2);
    assert_eq!(dir.run("split derivatives --out x.tsv --subjects s1.tsv --strategy stratified").code, 2);
    dir.fails(
        "split derivatives --out x.tsv --match-age-sex --caliper-years 0 --validation 0.2 --test 0.2",
        &["years"],
    );
    assert!(!dir.path("x.tsv").exists());
}

#[test]
fn a_published_list_of_subjects_is_repeated() {
    let dir = Dir::new();
    until_split(&dir);
    let split = dir.read("split.tsv");
    let mut list = "PTID,set\n999_S_0001,train\n".to_owned();
    for (name, partitions) in homes(&split) {
        // `sub-002S0413` as LONI spells it.
        let ptid = format!("{}_S_{}", &name[4..7], &name[8..]);
        list += &format!("{ptid},{}\n", partitions.first().unwrap());
    }
    dir.write("list.csv", list.as_bytes());
    let ran = dir.ok("split derivatives --out again.tsv --subjects list.csv --json again.json");
    let rows = |text: &str| {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows(&dir.read("again.tsv")), rows(&split));
    assert!(ran.stdout.contains("without a scan here: 1 (sub-999S0001)"), "{}", ran.stdout);
    assert_eq!(dir.json("again.json")["replay"]["n_listed"], 13);
    let (name, partition) = list.lines().nth(2).unwrap().split_once(',').unwrap();
    let other = if partition == "test" { "train" } else { "test" };
    dir.write("list.csv", format!("{list}{},{other}\n", name.to_lowercase()).as_bytes());
    dir.fails(
        "split derivatives --out twice.tsv --subjects list.csv",
        &["list.csv", "line 3", "one partition"],
    );
}
