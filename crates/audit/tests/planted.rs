//! Leaks of every kind, planted into clean cohorts, are found. Clean cohorts cause no findings.

use brainreel_audit::{
    AuditReport, Category, Check, CopyKind, Evidence, ImageCopy, Level, Opinion, TrainingRecord,
    WeightsOrigin, audit,
};
use brainreel_cohort::{
    ClaimedScan, ClaimedSplit, Diagnosis, Partition, Scan, ScanId, SessionId, SplitConfig, SplitStrategy,
    SubjectId, split_scans,
};

const N_SUBJECTS: usize = 50;

/// One of many clean cohorts: 50 ADNI subjects with one to four visits, split by subject.
fn clean(seed: usize) -> Vec<ClaimedScan> {
    let mut scans = Vec::new();
    for idx in 0..N_SUBJECTS {
        let subject =
            SubjectId::parse(&format!("{:03}_S_{:04}", idx % 7 + 2, 100 + 31 * seed + idx)).expect("a name");
        let diagnosis = if idx % 2 == 0 { Diagnosis::Cn } else { Diagnosis::Ad };
        for visit in 0..=(idx * (seed + 3)) % 4 {
            let session = SessionId::parse(&format!("m{:02}", 6 * visit)).expect("a visit");
            let mut scan = Scan::new(ScanId::new(&subject, &session, None), Some(diagnosis));
            scan.image = format!("{}.nii.gz", scan.scan_id);
            scan.sha256 = Some(format!("{seed:08x}{idx:08x}{visit:048x}"));
            scan.age_years = Some(65.0 + (idx * 7 % 20) as f64);
            scans.push(scan);
        }
    }
    let config = SplitConfig {
        strategy: SplitStrategy::Stratified,
        seed: seed as u64,
        train: 0.6,
        validation: 0.2,
        test: 0.2,
        ..SplitConfig::default()
    };
    let split = split_scans(&scans, &config).expect("enough of everybody").split;
    ClaimedSplit::of_split(&split, |id| scans.iter().find(|scan| scan.scan_id == *id)).scans
}

fn first_in(scans: &[ClaimedScan], partition: Partition) -> usize {
    scans.iter().position(|scan| scan.partition == partition).expect("nobody is missing")
}

#[track_caller]
fn assert_found(report: &AuditReport, check: Check, level: Level) {
    let found = report.findings.iter().find(|finding| finding.check == check);
    assert_eq!(found.map(|finding| finding.level), Some(level), "{check:?} in {:#?}", report.findings);
    assert_eq!(report.passes(), !level.fails());
}

#[test]
fn clean_cohorts_raise_no_alarm() {
    for seed in 0..20 {
        let scans = clean(seed);
        let report = audit(&Evidence { copies: Some(&[]), ..Evidence::of(&scans) });
        assert!(report.passes(), "seed {seed}: {:#?}", report.findings);
        // Ten subjects are too few for an interval of ±0.1. This is the only finding.
        let checks: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, [Check::Precision], "seed {seed}");
        assert_eq!(report.verdicts[0].opinion, Opinion::NoneDetected);
        assert_eq!(report.sizes.n_subjects.iter().sum::<usize>(), N_SUBJECTS);
    }
}

#[test]
fn a_person_on_two_sides_is_found_under_every_name() {
    for seed in 0..5 {
        let scans = clean(seed);
        let trained = scans[first_in(&scans, Partition::Train)].clone();
        let ptid = trained.subject.label().to_owned();
        let (site, rid) = ptid.split_once('S').expect("ADNI's name");
        let names = [
            ptid.clone(),
            format!("{site}_S_{rid}"),
            format!("sub-ADNI{ptid}"),
            rid.trim_start_matches('0').to_owned(),
            format!("RID{rid}"),
            ptid.to_lowercase(),
        ];
        for name in names {
            let mut leaky = scans.clone();
            leaky.push(ClaimedScan {
                partition: Partition::Test,
                subject: SubjectId::parse(&name).expect("a name"),
                name: name.clone(),
                session: Some(SessionId::parse("m48").expect("a visit")),
                sha256: None,
                image: None,
                ..trained.clone()
            });
            let report = audit(&Evidence::of(&leaky));
            assert_found(&report, Check::SubjectOverlap, Level::Leak);
            assert_eq!(report.verdicts[0].category, Category::WrongSplit);
            assert_eq!(report.verdicts[0].opinion, Opinion::Clear, "{name}");
        }
    }
}

#[test]
fn rescans_of_oasis_are_one_person() {
    let table = "subject,diagnosis,partition\nOAS1_0001_MR1,CN,train\nOAS1_0002_MR1,AD,train\n\
                 OAS1_0003_MR1,CN,validation\nOAS1_0004_MR1,AD,validation\nOAS1_0001_MR2,CN,test\nOAS1_0005_MR1,AD,test\n";
    let split = ClaimedSplit::from_reader(table.as_bytes(), "oasis.csv".as_ref(), None).expect("a table");
    let report = audit(&Evidence::of(&split.scans));
    assert_found(&report, Check::SubjectOverlap, Level::Leak);
}

#[test]
fn numbers_alone_are_people_too() {
    for (one, other, are_one) in
        [("413", "0413", true), ("413.0", "413", true), ("RID413", "413", true), ("413", "414", false)]
    {
        let table = format!(
            "RID,DX,set\n{one},AD,train\n7,CN,train\n8,CN,val\n9,AD,val\n{other},AD,test\n10,CN,test\n"
        );
        let split = ClaimedSplit::from_reader(table.as_bytes(), "rid.csv".as_ref(), None).expect("a table");
        let report = audit(&Evidence::of(&split.scans));
        assert_eq!(report.passes(), !are_one, "{one} and {other}: {:#?}", report.findings);
    }
}

#[test]
fn what_was_not_compared_is_not_called_clean() {
    let scans = clean(9);
    let unread = ["sub-1.nii.gz is truncated".to_owned()];
    let report = audit(&Evidence { copies: Some(&[]), unread: &unread, ..Evidence::of(&scans) });
    assert_found(&report, Check::UnreadImages, Level::Warning);
    assert_eq!(report.verdicts[0].opinion, Opinion::Unclear);
    let changed = ["sub-1.nii.gz".to_owned()];
    assert_found(
        &audit(&Evidence { changed: &changed, ..Evidence::of(&scans) }),
        Check::ChangedImages,
        Level::Conflict,
    );
    let other = ["sub-1 ses-m00 is AD here and CN there".to_owned()];
    assert_found(
        &audit(&Evidence { contradictions: &other, ..Evidence::of(&scans) }),
        Check::LabelConflict,
        Level::Conflict,
    );
}

#[test]
fn one_file_on_two_sides_is_found_by_its_path() {
    let mut scans = clean(2);
    let (train, test) = (first_in(&scans, Partition::Train), first_in(&scans, Partition::Test));
    scans[test].image = scans[train].image.clone();
    assert_found(&audit(&Evidence::of(&scans)), Check::IdenticalImages, Level::Leak);
}

#[test]
fn copies_are_judged_by_their_partitions_and_subjects() {
    let scans = clean(3);
    let (train, test) = (first_in(&scans, Partition::Train), first_in(&scans, Partition::Test));
    let other_train = scans
        .iter()
        .position(|scan| scan.partition == Partition::Train && scan.subject != scans[train].subject)
        .expect("two people in training");
    let report = |first, second, kind| {
        let copies = [ImageCopy { first, second, kind }];
        audit(&Evidence { copies: Some(&copies), ..Evidence::of(&scans) })
    };
    let crossed = report(test, train, CopyKind::NearDuplicate);
    assert_found(&crossed, Check::NearDuplicates, Level::Leak);
    assert_found(&report(train, test, CopyKind::Identical), Check::IdenticalImages, Level::Leak);
    assert_found(&report(train, other_train, CopyKind::Identical), Check::SharedImage, Level::Conflict);
}

#[test]
fn one_file_under_two_names_is_found_by_its_digest() {
    let mut scans = clean(4);
    let (train, test) = (first_in(&scans, Partition::Train), first_in(&scans, Partition::Test));
    scans[test].sha256 = scans[train].sha256.clone();
    assert_found(&audit(&Evidence::of(&scans)), Check::IdenticalImages, Level::Leak);
}

#[test]
fn labels_that_contradict_each_other_are_found() {
    let mut scans = clean(5);
    let mut twin = scans[0].clone();
    twin.diagnosis = Some(if twin.diagnosis == Some(Diagnosis::Ad) { Diagnosis::Cn } else { Diagnosis::Ad });
    (twin.sha256, twin.image) = (None, None);
    scans.push(twin);
    assert_found(&audit(&Evidence::of(&scans)), Check::LabelConflict, Level::Conflict);
    let mut scans = clean(5);
    scans[2].diagnosis = None;
    assert_found(&audit(&Evidence::of(&scans)), Check::MissingLabels, Level::Warning);
}

#[test]
fn a_split_without_a_test_is_no_independent_one() {
    let opinion_on = |scans: &[ClaimedScan]| audit(&Evidence::of(scans)).verdicts[3].clone();
    let all = clean(6);
    let without =
        |partition| all.iter().filter(|scan| scan.partition != partition).cloned().collect::<Vec<_>>();
    assert_eq!(opinion_on(&all).opinion, Opinion::NoneDetected);
    assert_eq!(opinion_on(&without(Partition::Validation)).opinion, Opinion::Unclear);
    assert_eq!(opinion_on(&without(Partition::Test)).opinion, Opinion::Clear);
    assert_eq!(opinion_on(&all).category, Category::NoIndependentTest);
}

#[test]
fn what_a_network_has_seen_is_not_to_be_tested() {
    let scans = clean(7);
    let test = scans[first_in(&scans, Partition::Test)].subject.clone();
    let train = scans[first_in(&scans, Partition::Train)].subject.clone();
    let record = |trained_on: &[SubjectId], weights| TrainingRecord {
        trained_on: trained_on.to_vec(),
        crossed_statistics: Some(0),
        weights,
    };
    let of = |record: &TrainingRecord| audit(&Evidence { training: Some(record), ..Evidence::of(&scans) });
    let honest =
        of(&record(std::slice::from_ref(&train), WeightsOrigin::Published("kinetics400/r3d_18".to_owned())));
    assert!(honest.passes());
    assert!(honest.verdicts.iter().all(|verdict| verdict.opinion == Opinion::NoneDetected), "{honest:#?}");
    let seen = of(&record(&[train.clone(), test.clone()], WeightsOrigin::Random));
    assert_found(&seen, Check::TrainedOn, Level::Leak);
    let transferred = of(&record(std::slice::from_ref(&train), WeightsOrigin::Trained(vec![test])));
    assert_found(&transferred, Check::InitialWeights, Level::Leak);
    assert_eq!(transferred.verdicts[2].opinion, Opinion::Clear);
    let crossed = TrainingRecord { crossed_statistics: Some(4), ..record(&[train], WeightsOrigin::Unknown) };
    let crossed = of(&crossed);
    assert_found(&crossed, Check::CrossedStatistics, Level::Leak);
    assert_eq!(
        [crossed.verdicts[1].opinion, crossed.verdicts[2].opinion],
        [Opinion::Clear, Opinion::Unclear]
    );
}

#[test]
fn a_report_is_json_and_back() {
    let scans = clean(8);
    let report = audit(&Evidence::of(&scans));
    let text = serde_json::to_string(&report).expect("plain data serialises");
    assert_eq!(serde_json::from_str::<AuditReport>(&text).expect("its own text"), report);
}
