//! Every strategy on random cohorts: subjects are in one partition, targets are met, and the order of scans
//! has no effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use brainreel_cohort::{
    CohortError, Diagnosis, FieldStrength, LeakPolicy, Partition, Scan, ScanId, SessionId, Sex, Split,
    SplitConfig, SplitError, SplitOutcome, SplitStrategy, SubjectId, split_scans,
};
use proptest::prelude::*;

const SITES: [&str; 6] = ["002", "011", "023", "098", "127", "941"];
const FIELD_STRENGTHS: [f64; 3] = [1.5, 1.494, 3.0];

/// A simulated subject: diagnosis at each visit, with site and time.
#[derive(Debug, Clone)]
struct Made {
    visits: Vec<usize>,
    /// Site and field strength of the first visit, and of the others.
    places: [(usize, usize); 2],
    age_years: u8,
    is_male: bool,
    /// Every other scan uses another spelling of the same id.
    has_alias: bool,
}

fn scans_of(idx: usize, made: &Made) -> Vec<Scan> {
    let scan = |(visit, diagnosis): (usize, &usize)| {
        let name =
            if made.has_alias && visit % 2 == 1 { format!("Person{idx}") } else { format!("person{idx}") };
        let subject = SubjectId::parse(&name).expect("a subject");
        let session = SessionId::parse(&format!("v{visit}")).expect("a session");
        let (site, field_strength) = made.places[visit.min(1)];
        let mut scan = Scan::new(ScanId::new(&subject, &session, None), Some(Diagnosis::ALL[*diagnosis]));
        scan.image = format!("{}.nii.gz", scan.scan_id);
        scan.age_years = Some(f64::from(made.age_years) + 0.5 * visit as f64);
        scan.sex = Some(if made.is_male { Sex::M } else { Sex::F });
        scan.site = Some(SITES[site].to_owned());
        scan.scanner.field_strength = FieldStrength::new(FIELD_STRENGTHS[field_strength]);
        scan
    };
    made.visits.iter().enumerate().map(scan).collect()
}

/// Two subjects of each class at each site and field strength, so that no partition lacks a class.
fn base_cohort() -> Vec<Made> {
    let mut made = Vec::new();
    for place in 0..SITES.len() * 2 {
        for diagnosis in [0, 2] {
            for n_visits in [1, 3] {
                let place = (place % SITES.len(), 1 + place / SITES.len());
                made.push(Made {
                    visits: vec![diagnosis; n_visits],
                    places: [place; 2],
                    age_years: 60 + 5 * n_visits as u8,
                    is_male: n_visits == 3,
                    has_alias: n_visits == 3,
                });
            }
        }
    }
    made
}

fn random_cohort() -> impl Strategy<Value = Vec<Scan>> {
    let visit = prop_oneof![4 => Just(0_usize), 2 => Just(1), 4 => Just(2)];
    let visits = prop_oneof![
        3 => (0..3_usize, 1..9_usize).prop_map(|(diagnosis, n_visits)| vec![diagnosis; n_visits]),
        1 => proptest::collection::vec(visit, 1..9),
    ];
    let place = || (0..SITES.len(), 0..FIELD_STRENGTHS.len());
    let places = (place(), proptest::option::weighted(0.2, place()));
    let subject = (visits, places, 55..95_u8, any::<bool>(), any::<bool>()).prop_map(
        |(visits, (first, other), age_years, is_male, has_alias)| Made {
            visits,
            places: [first, other.unwrap_or(first)],
            age_years,
            is_male,
            has_alias,
        },
    );
    proptest::collection::vec(subject, 0..60).prop_map(|subjects| {
        let all = base_cohort().into_iter().chain(subjects);
        all.enumerate().flat_map(|(idx, made)| scans_of(idx, &made)).collect()
    })
}

fn cohort_and_shuffled() -> impl Strategy<Value = (Vec<Scan>, Vec<Scan>)> {
    random_cohort().prop_flat_map(|scans| (Just(scans.clone()), Just(scans).prop_shuffle()))
}

fn config(strategy: SplitStrategy, seed: u64) -> SplitConfig {
    SplitConfig { strategy, seed, train: 0.6, validation: 0.2, test: 0.2, ..SplitConfig::default() }
}

/// Splits, and checks the invariants of every split by subject.
fn split_by_subject(
    (scans, shuffled): &(Vec<Scan>, Vec<Scan>),
    config: &SplitConfig,
) -> Result<SplitOutcome, TestCaseError> {
    let outcome = split_scans(scans, config).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let split = &outcome.split;
    let mut homes: BTreeMap<String, BTreeSet<Partition>> = BTreeMap::new();
    for row in split.rows() {
        homes.entry(row.subject().person_key()).or_default().insert(row.partition);
    }
    prop_assert!(homes.values().all(|partitions| partitions.len() == 1));
    prop_assert!(!split.is_leaky() && split.n_subjects_on_several_sides() == 0 && split.verify().is_ok());
    let of_classes = scans.iter().filter(|scan| scan.diagnosis.and_then(Diagnosis::class_idx).is_some());
    let n_left_out: usize = outcome.left_out.iter().map(|left| left.n_scans).sum();
    prop_assert_eq!(split.rows().len() + n_left_out, of_classes.count(), "every scan is accounted for");

    let again = split_scans(shuffled, config).expect("as before");
    prop_assert_eq!(split.to_tsv(), again.split.to_tsv());
    prop_assert_eq!(&outcome.left_out, &again.left_out);
    let read = read(&split.to_tsv()).expect("what was written");
    prop_assert!(read == *split && !read.edited_by_hand());
    prop_assert_eq!(read.to_tsv(), split.to_tsv());
    prop_assert!(read.strategy().is_some_and(|text| text.starts_with(config.strategy.name())));
    Ok(outcome)
}

fn read(text: &str) -> Result<Split, CohortError> {
    Split::from_reader(text.as_bytes(), Path::new("my/split.tsv"))
}

fn read_leaky(text: &str) -> Result<Split, CohortError> {
    Split::from_reader_with(text.as_bytes(), Path::new("my/split.tsv"), LeakPolicy::Allow)
}

fn is_leak<T>(outcome: &Result<T, CohortError>) -> bool {
    matches!(outcome, Err(CohortError::SubjectInTwoPartitions { .. }))
}

/// Scans of each subject, by the class in which the subject is split.
fn scans_by_class(split: &Split) -> BTreeMap<Diagnosis, BTreeMap<String, (Partition, usize)>> {
    let mut people: BTreeMap<String, (Diagnosis, Partition, usize)> = BTreeMap::new();
    for row in split.rows() {
        let key = row.subject().person_key();
        let person = people.entry(key).or_insert((row.diagnosis, row.partition, 0));
        person.0 = person.0.max(row.diagnosis);
        person.2 += 1;
    }
    let mut classes: BTreeMap<Diagnosis, BTreeMap<String, (Partition, usize)>> = BTreeMap::new();
    for (key, (class, partition, n_scans)) in people {
        classes.entry(class).or_default().insert(key, (partition, n_scans));
    }
    classes
}

/// Test and validation are within one subject of their share of each class. `train` is the rest.
fn meets_targets(split: &Split, config: &SplitConfig) -> Result<(), TestCaseError> {
    for people in scans_by_class(split).values() {
        let sum = |partition: Option<Partition>| -> usize {
            let of_it = people.values().filter(|(home, _)| partition.is_none_or(|wanted| *home == wanted));
            of_it.map(|(_, n_scans)| n_scans).sum()
        };
        let largest = people.values().map(|(_, n_scans)| *n_scans).max().unwrap_or(0);
        for (partition, share) in [(Partition::Test, config.test), (Partition::Validation, config.validation)]
        {
            let target = (share * sum(None) as f64).round() as usize;
            let n_scans = sum(Some(partition));
            prop_assert!(n_scans.abs_diff(target) <= largest, "{partition}: {n_scans}, target {target}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn round_robin(cohort in cohort_and_shuffled()) {
        let config = config(SplitStrategy::RoundRobin, 0);
        meets_targets(&split_by_subject(&cohort, &config)?.split, &config)?;
    }

    #[test]
    fn stratified(cohort in cohort_and_shuffled(), seed in 0..5_u64) {
        let config = config(SplitStrategy::Stratified, seed);
        let split = split_by_subject(&cohort, &config)?.split;
        meets_targets(&split, &config)?;
        // Here training too: the deviations of the others add up to at most one subject.
        for people in scans_by_class(&split).values() {
            let n_all: usize = people.values().map(|(_, n_scans)| n_scans).sum();
            let of_train = people.values().filter(|(home, _)| *home == Partition::Train);
            let n_train: usize = of_train.map(|(_, n_scans)| n_scans).sum();
            let target = n_all - 2 * (0.2 * n_all as f64).round() as usize;
            let largest = people.values().map(|(_, n_scans)| *n_scans).max().unwrap_or(0);
            prop_assert!(n_train.abs_diff(target) <= largest, "{n_train}, target {target}, largest {largest}");
        }
    }

    #[test]
    fn leave_site_out(cohort in cohort_and_shuffled(), n_named in 0..3_usize) {
        let sites = SITES[..n_named].iter().map(|&site| site.to_owned()).collect();
        let config = SplitConfig { sites, ..config(SplitStrategy::LeaveSiteOut, 3) };
        let outcome = split_by_subject(&cohort, &config)?;
        let site_of: BTreeMap<&ScanId, &str> =
            cohort.0.iter().map(|scan| (&scan.scan_id, scan.site.as_deref().unwrap_or_default())).collect();
        for row in outcome.split.rows() {
            let is_tested = outcome.tested.iter().any(|site| site == site_of[&row.scan_id]);
            prop_assert_eq!(is_tested, row.partition == Partition::Test);
        }
        if n_named > 0 {
            prop_assert_eq!(&outcome.tested, &config.sites);
        } else {
            let n_of = |partition| outcome.split.rows_of(partition).count();
            let n_all = outcome.split.rows().len();
            prop_assert!(5 * n_of(Partition::Test) + 5 >= n_all, "the test has its share");
        }
    }

    #[test]
    fn leave_field_strength_out(cohort in cohort_and_shuffled(), is_high in any::<bool>()) {
        let wanted = if is_high { 3.0 } else { 1.5 };
        let strategy = SplitStrategy::LeaveFieldStrengthOut;
        let config = SplitConfig { field_strength_t: Some(wanted), ..config(strategy, 3) };
        let split = split_by_subject(&cohort, &config)?.split;
        let tesla: BTreeMap<&ScanId, f64> =
            cohort.0.iter().filter_map(|scan| Some((&scan.scan_id, scan.scanner.field_strength?.tesla()))).collect();
        for row in split.rows() {
            let is_tested = (tesla[&row.scan_id] - wanted).abs() < 0.1;
            prop_assert_eq!(is_tested, row.partition == Partition::Test);
        }
    }

    #[test]
    fn matched_cohorts_are_balanced(cohort in cohort_and_shuffled(), caliper in 0..6_u8) {
        let caliper_years = f64::from(caliper);
        let strategy = SplitStrategy::Stratified;
        let config = SplitConfig { match_age_sex: true, caliper_years, ..config(strategy, 1) };
        let outcome = split_by_subject(&cohort, &config)?;
        let matching = outcome.matching.as_ref().expect("pairs");
        prop_assert!(matching.largest_difference_years <= caliper_years + 1e-9);
        let kept: BTreeSet<String> =
            outcome.split.rows().iter().map(|row| row.subject().person_key()).collect();
        let classes = scans_by_class(&outcome.split);
        let scan_of: BTreeMap<String, &Scan> =
            cohort.0.iter().map(|scan| (scan.subject().person_key(), scan)).collect();
        for sex in [Sex::F, Sex::M] {
            let n_of = |class| classes[&class].keys().filter(|key| scan_of[*key].sex == Some(sex)).count();
            prop_assert_eq!(n_of(Diagnosis::Ad), n_of(Diagnosis::Cn));
        }
        prop_assert_eq!(kept.len(), 2 * matching.n_pairs);
        for left in &outcome.left_out {
            prop_assert!(!kept.contains(&left.subject.person_key()), "whole subjects are left out");
        }
    }

    #[test]
    fn a_scan_level_split_is_found_out(cohort in cohort_and_shuffled(), seed in 0..5_u64) {
        let config = config(SplitStrategy::ScanLevel, seed);
        let split = split_scans(&cohort.0, &config).expect("a split").split;
        prop_assert!(split.is_leaky() && split.n_subjects_on_several_sides() > 0);
        let again = split_scans(&cohort.1, &config).expect("a split").split;
        prop_assert_eq!(split.to_tsv(), again.to_tsv());
        prop_assert!(is_leak(&split.verify()));

        let text = split.to_tsv();
        let refused = matches!(read(&text), Err(CohortError::Split(SplitError::Leaky { .. })));
        prop_assert!(refused);
        prop_assert!(read_leaky(&text).expect("allowed") == split);
        // Without its mark it is a table with a leak, for every reader.
        let unmarked = text.replace("# leaky: scan-level\n", "");
        for read in [read(&unmarked), read_leaky(&unmarked)] {
            prop_assert!(is_leak(&read));
        }
    }
}

/// The base cohort that every random cohort contains.
fn cohort() -> Vec<Scan> {
    base_cohort().iter().enumerate().flat_map(|(idx, made)| scans_of(idx, made)).collect()
}

#[test]
fn the_mark_of_a_leaky_split_is_hashed_and_cannot_be_put_on_by_hand() {
    let leaky = split_scans(&cohort(), &config(SplitStrategy::ScanLevel, 0)).unwrap().split.to_tsv();
    assert!(leaky.starts_with("# brainreel split; LEAKY ON PURPOSE"), "{leaky}");
    let moved = leaky.replacen("\ttrain\n", "\ttest\n", 1);
    assert!(matches!(read_leaky(&moved), Err(CohortError::Split(SplitError::LeakyEdited { .. }))));

    let honest = split_scans(&cohort(), &config(SplitStrategy::Stratified, 0)).unwrap().split;
    let marked = honest.to_tsv().replacen('\n', "\n# leaky: scan-level\n", 1);
    assert!(matches!(read(&marked), Err(CohortError::Split(SplitError::Leaky { .. }))));
    assert!(matches!(read_leaky(&marked), Err(CohortError::Split(SplitError::LeakyEdited { .. }))));

    // The mark changes the hash of the same rows, so that a checkpoint of one does not match the other.
    let once: Vec<Scan> = cohort().into_iter().filter(|scan| scan.session().label() == "v0").collect();
    let split = split_scans(&once, &config(SplitStrategy::ScanLevel, 0)).unwrap().split;
    assert_eq!(split.n_subjects_on_several_sides(), 0);
    let unmarked = read(&split.to_tsv().replace("# leaky: scan-level\n", "")).unwrap();
    assert!(unmarked.edited_by_hand() && unmarked.content_hash() != split.content_hash());
}

#[test]
fn strategy_and_what_is_left_out_stand_in_the_header_and_stay_there() {
    let mut scans = cohort();
    scans[0].age_years = None;
    let config = SplitConfig { match_age_sex: true, ..config(SplitStrategy::Stratified, 7) };
    let split = split_scans(&scans, &config).unwrap().split;
    let text = split.to_tsv();
    let strategy = "stratified; train 0.6; validation 0.2; test 0.2; classes CN AD; seed 7; age and sex matched, caliper in years 2";
    assert!(text.contains(&format!("# strategy: {strategy}\n")), "{text}");
    assert!(text.contains("# left out: 1 scans of 1 subjects: age not known\n"), "{text}");
    assert_eq!(split.strategy(), Some(strategy));

    // A scan was moved by hand, so the strategy no longer describes the split.
    let homes = scans_by_class(&split);
    let is_single = |line: &&str| {
        let name = line.split('\t').nth(1).unwrap_or_default().trim_start_matches("sub-").to_uppercase();
        homes.values().any(|people| people.get(&name) == Some(&(Partition::Train, 1)))
    };
    let line = text.lines().find(is_single).unwrap();
    let edited = text.replace(line, &line.replace("\ttrain", "\ttest"));
    let edited = read(&edited).unwrap();
    assert!(edited.edited_by_hand());
    let again = read(&edited.to_tsv()).unwrap();
    assert!(!again.edited_by_hand() && again.strategy().unwrap().ends_with("rows edited by hand since"));
    assert_eq!(again.to_tsv(), edited.to_tsv());
}

#[test]
fn scans_of_unknown_site_are_refused_or_left_out_on_record() {
    let mut scans = cohort();
    for scan in &mut scans[..3] {
        scan.site = None;
    }
    let config = config(SplitStrategy::LeaveSiteOut, 0);
    let message = split_scans(&scans, &config).unwrap_err().to_string();
    for part in ["3 of 96 scans have no site", "sub-Person1_ses-v1", "column `site`"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    let config = SplitConfig { leave_out_unknown: true, ..config };
    let outcome = split_scans(&scans, &config).unwrap();
    assert_eq!(outcome.left_out.iter().map(|left| left.n_scans).sum::<usize>(), 3);
    assert!(outcome.split.to_tsv().contains("site not known"));
    assert_eq!(outcome.split.rows().len(), 93);
}

#[test]
fn what_cannot_be_split_says_why() {
    let of = |config: SplitConfig| split_scans(&cohort(), &config).unwrap_err().to_string();
    let site = config(SplitStrategy::LeaveSiteOut, 0);
    let field = config(SplitStrategy::LeaveFieldStrengthOut, 0);
    let all_sites = SITES.iter().map(|&site| site.to_owned()).collect();
    let cases = [
        (SplitConfig { sites: vec!["999".to_owned()], ..site.clone() }, "no scan is of site `999`"),
        (SplitConfig { sites: all_sites, ..site.clone() }, "partition train has no CN scan; test on fewer"),
        (
            SplitConfig { sites: vec!["002".to_owned()], ..field.clone() },
            "`sites` is a setting of leave-site-out",
        ),
        (field.clone(), "field strength 1.494 (24 CN, 24 AD scans), 3 (24 CN, 24 AD scans)"),
        (SplitConfig { field_strength_t: Some(7.0), ..field.clone() }, "no scan was made at 7 T"),
        (SplitConfig { field_strength_t: Some(f64::NAN), ..field }, "above 0"),
        (SplitConfig { match_age_sex: true, caliper_years: f64::NAN, ..site.clone() }, "caliper"),
        (SplitConfig { match_age_sex: true, classes: Diagnosis::ALL.to_vec(), ..site }, "pairs AD with CN"),
        (config(SplitStrategy::Subjects, 0), "name the table"),
    ];
    for (config, expected) in cases {
        let message = of(config);
        assert!(message.contains(expected), "{expected} is not in: {message}");
    }
    let mut scans = cohort();
    for scan in &mut scans {
        scan.sex = Some(if scan.diagnosis == Some(Diagnosis::Ad) { Sex::F } else { Sex::M });
    }
    let config = SplitConfig { match_age_sex: true, ..config(SplitStrategy::RoundRobin, 0) };
    assert!(matches!(
        split_scans(&scans, &config),
        Err(CohortError::Split(SplitError::NoPairs { n_ad: 24, n_cn: 24, .. }))
    ));
}

#[test]
fn the_nearest_in_age_become_pairs() {
    // AD of 70, 71 and 80 years; CN of 69.5, 70.6, 75 and 81.9: 70 takes 69.5, 71 takes 70.6, 80 takes 81.9.
    let person = |name: &str, diagnosis, age_years| {
        let (subject, session) = (SubjectId::parse(name).unwrap(), SessionId::parse("v").unwrap());
        let mut scan = Scan::new(ScanId::new(&subject, &session, None), Some(diagnosis));
        (scan.age_years, scan.sex) = (Some(age_years), Some(Sex::F));
        scan
    };
    let scans = [
        person("a", Diagnosis::Ad, 70.0),
        person("b", Diagnosis::Ad, 71.0),
        person("c", Diagnosis::Ad, 80.0),
        person("w", Diagnosis::Cn, 69.5),
        person("x", Diagnosis::Cn, 70.6),
        person("y", Diagnosis::Cn, 75.0),
        person("z", Diagnosis::Cn, 81.9),
    ];
    let matched = brainreel_cohort::match_age_and_sex(&scans, 2.0).unwrap();
    let left: Vec<&str> = matched.left_out.iter().map(|left| left.subject.label()).collect();
    assert_eq!((left, matched.summary.n_pairs), (vec!["y"], 3));
    assert!((matched.summary.mean_difference_years - (0.5 + 0.4 + 1.9) / 3.0).abs() < 1e-9);
    let narrow = brainreel_cohort::match_age_and_sex(&scans, 1.0).unwrap();
    assert_eq!(narrow.summary.n_pairs, 2);
    assert_eq!(narrow.left_out.len(), 3);
}
