//! The split on random cohorts, on one with the thesis's counts, and on hand-edited files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use brainreel_cohort::{
    CohortError, Diagnosis, Partition, PerPartition, Scan, ScanId, ScanTable, SessionId, Split, SplitConfig,
    SubjectId, split_round_robin,
};
use proptest::prelude::*;

fn scan(subject: &str, visit: usize, diagnosis: Diagnosis) -> Scan {
    let subject = SubjectId::parse(subject).expect("a subject");
    let session = SessionId::parse(&format!("v{visit}")).expect("a session");
    let mut scan = Scan::new(ScanId::new(&subject, &session, None), Some(diagnosis));
    scan.image = format!("{}.nii.gz", scan.scan_id);
    scan
}

/// Subjects of one class with these numbers of scans.
fn class(site: usize, diagnosis: Diagnosis, counts: &[usize]) -> Vec<Scan> {
    let scans = counts.iter().enumerate().flat_map(|(idx, &n_scans)| {
        (0..n_scans).map(move |visit| scan(&format!("{site:03}_S_{idx:04}"), visit, diagnosis))
    });
    scans.collect()
}

fn small_cohort() -> Vec<Scan> {
    let mut scans = class(1, Diagnosis::Cn, &[1, 2, 3, 4, 5]);
    scans.extend(class(2, Diagnosis::Ad, &[1, 2, 3, 4, 5]));
    scans
}

/// A cohort: for each subject a diagnosis at each visit, so that some convert.
fn random_cohort() -> impl Strategy<Value = Vec<Scan>> {
    let visit = prop_oneof![4 => Just(0_usize), 2 => Just(1), 4 => Just(2)];
    let subject = prop_oneof![
        3 => (0..3_usize, 1..9_usize).prop_map(|(diagnosis, n_visits)| vec![diagnosis; n_visits]),
        1 => proptest::collection::vec(visit, 1..9),
    ];
    proptest::collection::vec(subject, 0..60).prop_map(|subjects| {
        let mut scans = small_cohort();
        for (idx, visits) in subjects.into_iter().enumerate() {
            for (visit, diagnosis) in visits.into_iter().enumerate() {
                scans.push(scan(&format!("random{idx}"), visit, Diagnosis::ALL[diagnosis]));
            }
        }
        scans
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn no_subject_is_on_two_sides(
        (scans, shuffled) in random_cohort().prop_flat_map(|scans| (Just(scans.clone()), Just(scans).prop_shuffle()))
    ) {
        let config = SplitConfig::default();
        let split = split_round_robin(&scans, &config).unwrap();
        let mut homes: BTreeMap<&SubjectId, BTreeSet<Partition>> = BTreeMap::new();
        for row in split.rows() {
            homes.entry(row.subject()).or_default().insert(row.partition);
        }
        prop_assert!(homes.values().all(|partitions| partitions.len() == 1));
        let n_wanted = scans.iter().filter(|scan| scan.diagnosis.and_then(Diagnosis::class_idx).is_some()).count();
        prop_assert_eq!(split.rows().len(), n_wanted);
        let again = split_round_robin(&shuffled, &config).unwrap();
        prop_assert_eq!(split.to_tsv(), again.to_tsv());
        let read = Split::from_reader(split.to_tsv().as_bytes(), Path::new("split.tsv")).unwrap();
        prop_assert!(read == split && !read.edited_by_hand());
    }
}

/// `n_subjects` skewed counts, from one scan to many, with sum `n_scans`.
fn skewed_counts(n_subjects: usize, n_scans: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        (0..n_subjects).map(|idx| 1 + idx * idx * 7 / (n_subjects * n_subjects)).collect();
    let mut idx = n_subjects;
    while counts.iter().sum::<usize>() != n_scans {
        idx = if idx == 0 { n_subjects - 1 } else { idx - 1 };
        if counts.iter().sum::<usize>() < n_scans {
            counts[idx] += 1;
        } else if counts[idx] > 1 {
            counts[idx] -= 1;
        }
    }
    counts
}

#[test]
fn the_cohort_of_the_thesis_meets_its_targets() {
    let (ad, cn) = (skewed_counts(203, 650), skewed_counts(205, 650));
    let mut scans = class(1, Diagnosis::Ad, &ad);
    scans.extend(class(2, Diagnosis::Cn, &cn));
    let split = split_round_robin(&scans, &SplitConfig::default()).unwrap();
    let summary = split.counts();
    println!("{summary}");
    for count in &summary.counts {
        let target = if count.partition == Partition::Train { 520 } else { 65 };
        let largest = ad.iter().chain(&cn).max().unwrap();
        assert!(count.n_scans.abs_diff(target) <= *largest, "{count:?}");
    }
    assert_eq!(summary.n_scans.iter().sum::<usize>(), 1300);
    assert_eq!(summary.n_subjects.iter().sum::<usize>(), 408);
    let per_subject = |partition: Partition| {
        *summary.n_scans.get(partition) as f64 / *summary.n_subjects.get(partition) as f64
    };
    assert!(
        per_subject(Partition::Train) > 1.5 * per_subject(Partition::Test),
        "test holds the subjects with few scans"
    );
}

/// For every pair: `n` subjects with this number of scans each.
fn counts(groups: &[(usize, usize)]) -> Vec<usize> {
    groups.iter().flat_map(|&(n_subjects, n_scans)| std::iter::repeat_n(n_scans, n_subjects)).collect()
}

#[test]
fn subjects_are_dealt_as_the_thesis_counts_them() {
    // Numbers of scans are made up so that subjects and scans add up to the thesis's, and as many small
    // subjects as it tested have a tenth of the scans. The same as in examples/split_cohort.rs.
    let mut scans = class(1, Diagnosis::Ad, &counts(&[(42, 1), (33, 2), (30, 3), (49, 4), (38, 5), (11, 6)]));
    scans.extend(class(2, Diagnosis::Cn, &counts(&[(72, 1), (63, 2), (38, 6), (32, 7)])));
    let split = split_round_robin(&scans, &SplitConfig::default()).unwrap();
    let summary = split.counts();
    let got: Vec<(usize, usize)> = summary.counts.iter().map(|c| (c.n_subjects, c.n_scans)).collect();
    // CN and AD of train, validation, test; the thesis: 511, 512, 70, 69, 69, 69 scans of as many subjects.
    assert_eq!(got, [(115, 518), (133, 518), (45, 66), (35, 66), (45, 66), (35, 66)]);
    assert_eq!(summary.n_subjects, PerPartition { train: 248, validation: 80, test: 80 });
    assert_eq!(summary.n_scans, PerPartition { train: 1036, validation: 132, test: 132 });
}

#[test]
fn the_deal_by_hand() {
    // Five subjects of 1, 2, 3, 4, 5 scans; 40/30/30 of 15 scans: targets test 5 (4.5), validation 5, train 6.
    let mut scans = class(1, Diagnosis::Cn, &[5, 3, 1, 2, 4]);
    scans.extend(class(2, Diagnosis::Ad, &[5, 3, 1, 2, 4]));
    let config = SplitConfig { train: 0.4, validation: 0.3, test: 0.3, ..SplitConfig::default() };
    let split = split_round_robin(&scans, &config).unwrap();
    // test takes 1 and 4 (5 reached), validation 2 and 5, train 3.
    let subjects = |partition| {
        let names: Vec<_> = split.subjects_of(partition).into_iter().map(|s| s.label().to_owned()).collect();
        names.into_iter().filter(|name| name.starts_with("001")).collect::<Vec<_>>()
    };
    assert_eq!(subjects(Partition::Test), ["001S0002", "001S0004"]);
    assert_eq!(subjects(Partition::Validation), ["001S0000", "001S0003"]);
    assert_eq!(subjects(Partition::Train), ["001S0001"]);
}

#[test]
fn a_converter_stays_on_one_side_with_all_its_scans() {
    let mut scans = small_cohort();
    scans.extend([
        scan("c", 0, Diagnosis::Cn),
        scan("c", 1, Diagnosis::Mci),
        scan("c", 2, Diagnosis::Ad),
        scan("c", 3, Diagnosis::Ad),
    ]);
    let split = split_round_robin(&scans, &SplitConfig::default()).unwrap();
    let rows: Vec<_> = split.rows().iter().filter(|row| row.subject().label() == "c").collect();
    assert_eq!(rows.len(), 3, "MCI is left out");
    assert!(rows.iter().all(|row| row.partition == rows[0].partition));
    assert_eq!(rows[0].diagnosis, Diagnosis::Cn, "each scan keeps its own session's diagnosis");
}

#[test]
fn too_few_subjects_and_bad_fractions_are_errors() {
    let scans = class(1, Diagnosis::Cn, &[3, 3]);
    let message = split_round_robin(&scans, &SplitConfig::default()).unwrap_err().to_string();
    assert!(message.contains("has no CN scan") || message.contains("has no AD scan"), "{message}");
    for (train, validation, test) in
        [(0.8, 0.2, 0.0), (0.8, 0.1, 0.2), (f64::NAN, 0.1, 0.1), (1.2, -0.1, -0.1)]
    {
        let config = SplitConfig { train, validation, test, ..SplitConfig::default() };
        assert!(matches!(split_round_robin(&small_cohort(), &config), Err(CohortError::Fractions { .. })));
    }
}

fn read(text: &str) -> Result<Split, CohortError> {
    Split::from_reader(text.as_bytes(), Path::new("my/split.tsv"))
}

#[test]
fn editing_by_hand_is_seen_and_a_leak_refused() {
    let split = split_round_robin(&small_cohort(), &SplitConfig::default()).unwrap();
    let text = split.to_tsv();
    let test_subject = split.subjects_of(Partition::Test)[0].to_string();
    let without_hash: String =
        text.lines().filter(|line| !line.starts_with('#')).map(|l| format!("{l}\n")).collect();
    assert!(read(&without_hash).unwrap().edited_by_hand());
    assert!(!read(&text.replace('\n', "\r\n")).unwrap().edited_by_hand(), "line ends are no edit");

    let train = split.rows_of(Partition::Train).find(|row| row.subject().label() == "001S0004").unwrap();
    let line = text.lines().find(|line| line.starts_with(&train.scan_id.to_string())).unwrap();
    let leaked = text.replace(line, &line.replace("\ttrain", "\ttest"));
    let message = read(&leaked).unwrap_err().to_string();
    for part in ["my/split.tsv", "sub-001S0004", "two partitions", "put all scans of a subject"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    // The same subject in ADNI's other spelling is still that subject.
    let alias = format!("{text}sub-ADNI{0}_ses-x\tsub-ADNI{0}\tses-x\tCN\ttrain\n", &test_subject[4..]);
    assert!(matches!(read(&alias), Err(CohortError::SubjectInTwoPartitions { .. })));
    let case = text.clone() + "sub-p_ses-x\tsub-p\tses-x\tCN\ttrain\nsub-P_ses-x\tsub-P\tses-x\tCN\ttest\n";
    assert!(matches!(read(&case), Err(CohortError::SubjectInTwoPartitions { .. })));
}

#[test]
fn other_faults_of_the_file_are_named() {
    let text = split_round_robin(&small_cohort(), &SplitConfig::default()).unwrap().to_tsv();
    let n_lines = text.lines().count();
    let first = text.lines().find(|line| line.starts_with("sub-")).unwrap();
    let cases = [
        (
            text.replacen("\ttrain", "\ttraining", 1),
            "found `training`, expected train, validation or test".to_owned(),
        ),
        (format!("{text}{first}\n"), format!("is listed twice (line {} again)", n_lines + 1)),
        (
            text.replace("\ttest", "\ttrain"),
            "partition test has no CN scan (5 subjects of that class in all)".to_owned(),
        ),
        (text.replace("partition\n", "side\n"), "no column `partition`".to_owned()),
        (
            "# only\nscan_id\tparticipant_id\tsession_id\tdiagnosis\tpartition\n".to_owned(),
            "has no CN scan".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        let message = read(&text).unwrap_err().to_string();
        assert!(message.contains(&expected) && message.contains("my/split.tsv"), "{message}");
    }
}

#[test]
fn joining_with_the_scans_finds_what_does_not_fit() {
    let scans = small_cohort();
    let split = split_round_robin(&scans, &SplitConfig::default()).unwrap();
    let table = ScanTable::new(scans.clone()).unwrap();
    assert_eq!(split.join(&table).unwrap().len(), scans.len());

    let fewer = ScanTable::new(scans[1..].to_vec()).unwrap();
    assert!(split.join(&fewer).unwrap_err().to_string().contains("is not in scans.tsv"));
    let mut relabelled = scans.clone();
    relabelled[0].diagnosis = Some(Diagnosis::Ad);
    let message = split.join(&ScanTable::new(relabelled).unwrap()).unwrap_err().to_string();
    assert!(message.contains("is CN here and AD in scans.tsv"), "{message}");

    let mut twins = scans;
    for partition in [Partition::Train, Partition::Test] {
        let id = &split.rows_of(partition).next().unwrap().scan_id;
        let twin = twins.iter_mut().find(|scan| scan.scan_id == *id).unwrap();
        twin.sha256 = Some("0".repeat(64));
    }
    let table = ScanTable::new(twins).unwrap();
    assert!(matches!(split.join(&table), Err(CohortError::ImageInTwoPartitions { .. })));
}
