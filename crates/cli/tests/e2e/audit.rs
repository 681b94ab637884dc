//! Audits of splits, ours and anybody's.

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
