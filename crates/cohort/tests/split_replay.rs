//! A split published elsewhere, as a list of subjects.

use std::path::Path;

use brainreel_cohort::{
    CohortError, Diagnosis, LeftOutReason, Partition, Scan, ScanId, SessionId, SplitConfig, SplitError,
    SplitOutcome, SubjectId, SubjectList, split_by_list,
};

/// 0002 to 0013 of one site, two scans each, CN and AD in turn.
fn cohort() -> Vec<Scan> {
    let mut scans = Vec::new();
    for idx in 2..14 {
        let subject = SubjectId::parse(&format!("011_S_{idx:04}")).expect("a subject");
        let diagnosis = if idx % 2 == 0 { Diagnosis::Cn } else { Diagnosis::Ad };
        for visit in ["bl", "m12"] {
            let session = SessionId::parse(visit).expect("a session");
            scans.push(Scan::new(ScanId::new(&subject, &session, None), Some(diagnosis)));
        }
    }
    scans
}

fn replay(text: &str) -> Result<SplitOutcome, CohortError> {
    let list = SubjectList::from_reader(text.as_bytes(), Path::new("my/list.csv"))?;
    split_by_list(&cohort(), &list, &SplitConfig::default())
}

const LIST: &str = "\
PTID,Set,note
011_S_0002,training,a
11,train,by number (RID)
sub-ADNI011S0004,Train,
0005,train,
011_s_0006,val,
RID,valid,nobody
011S0007,dev,
011_S_0008,test,
9,testing,
";

#[test]
fn every_spelling_finds_its_subject() {
    let outcome = replay(LIST).unwrap();
    let labels = |partition| -> Vec<String> {
        outcome.split.subjects_of(partition).iter().map(|subject| subject.label().to_owned()).collect()
    };
    assert_eq!(labels(Partition::Train), ["011S0002", "011S0004", "011S0005", "011S0011"]);
    assert_eq!(labels(Partition::Validation), ["011S0006", "011S0007"]);
    assert_eq!(labels(Partition::Test), ["011S0008", "011S0009"]);
    assert_eq!(outcome.split.rows().len(), 16, "with all their scans");
    let replay = outcome.replay.unwrap();
    let names = |subjects: &[SubjectId]| subjects.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((replay.n_listed, names(&replay.without_scans)), (9, vec!["sub-RID".to_owned()]));
    assert_eq!(names(&replay.not_listed), ["sub-011S0003", "sub-011S0010", "sub-011S0012", "sub-011S0013"]);
    assert!(!replay.is_validation_drawn && replay.repeated.is_empty());
    assert!(outcome.left_out.iter().all(|left| left.why == LeftOutReason::NotListed && left.n_scans == 2));
    let header = outcome.split.to_tsv();
    assert!(header.contains(&format!("list {}", replay.list_sha256)), "{header}");
    assert!(header.contains("# left out: 8 scans of 4 subjects: not in the list of subjects"), "{header}");
}

#[test]
fn a_person_twice_is_told_and_on_two_sides_refused() {
    for again in ["2", "ADNI011S0002", "sub-011s0002", "011_S_0002"] {
        let outcome = replay(&format!("{LIST}{again},train,\n")).unwrap();
        let replay = outcome.replay.unwrap();
        assert_eq!((replay.repeated.len(), replay.n_listed), (1, 9), "{again}");
        let message = super_replay_error(&format!("{LIST}{again},test,\n"));
        for part in ["my/list.csv", "line 11", "line 2", "remove one"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }
    // Also subjects without scans.
    let outcome = replay(&format!("{LIST}\"123_S_4567\",train,\n4567,train,\n")).unwrap();
    assert_eq!(outcome.replay.unwrap().repeated.len(), 1);
    let message = super_replay_error(&format!("{LIST}\"123_S_4567\",train,\n4567,test,\n"));
    assert!(message.contains("line 12"), "{message}");
}

fn super_replay_error(text: &str) -> String {
    match replay(text) {
        Err(error @ CohortError::Split(SplitError::ListedTwice { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_validation_some_training_subjects_validate() {
    let mut text = "subject\tpartition\n".to_owned();
    for idx in 2..14 {
        text += &format!("011_S_{idx:04}\t{}\n", if idx < 10 { "train" } else { "test" });
    }
    let outcome = replay(&text).unwrap();
    assert!(outcome.replay.unwrap().is_validation_drawn);
    assert_eq!(outcome.split.subjects_of(Partition::Test).len(), 4);
    assert_eq!(outcome.split.subjects_of(Partition::Validation).len(), 2, "one of each class");
    assert_eq!(outcome.split.subjects_of(Partition::Train).len(), 6);
}

#[test]
fn lists_that_do_not_fit_say_so() {
    let cases = [
        ("subject,partition\n941_S_0001,train\n", "none of the 1 subjects listed has a scan here"),
        ("subject,partition\n", "none of the 0 subjects"),
        ("subject,fold\n011_S_0002,1\n", "no column `partition`"),
        ("who,partition\n011_S_0002,train\n", "no column `subject`"),
        ("subject,partition\n011_S_0002,left\n", "line 2, column `partition`: found `left`"),
        ("subject,partition\n../etc,train\n", "line 2, column `subject`"),
        ("subject,partition\n011_S_0002,train\n011_S_0003,val\n011_S_0005,test\n", "has no"),
    ];
    for (text, expected) in cases {
        let message = replay(text).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected} is not in: {message}");
    }
    // One number, two subjects: 2 at site 011 and 2 at site 012.
    let mut scans = cohort();
    let other = SubjectId::parse("012_S_0002").unwrap();
    scans.push(Scan::new(ScanId::new(&other, &SessionId::parse("bl").unwrap(), None), Some(Diagnosis::Ad)));
    let list =
        SubjectList::from_reader(LIST.replace("011_S_0002", "2").as_bytes(), Path::new("l.csv")).unwrap();
    let error = split_by_list(&scans, &list, &SplitConfig::default()).unwrap_err();
    assert!(matches!(error, CohortError::Split(SplitError::Ambiguous { line: 2, .. })), "{error}");
}
