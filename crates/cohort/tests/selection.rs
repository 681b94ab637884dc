//! Selection: each rule alone, totals, balance, independence of row order.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use brainreel_cohort::{
    Cohort, Date, Diagnosis, FoundImage, ImageChoice, ImageId, Pattern, Records, Rule, SelectionConfig,
    SubjectId, Visit, VisitCode, select,
};

/// A scan in three tables: a search of the archive, a manifest, and the list of structural images.
#[derive(Debug, Clone)]
struct Row {
    id: u32,
    series: u32,
    subject: &'static str,
    group: &'static str,
    visit: &'static str,
    date: &'static str,
    age: &'static str,
    phase: &'static str,
    modality: &'static str,
    description: &'static str,
    kind: &'static str,
    tesla: &'static str,
}

const ROW: Row = Row {
    id: 1,
    series: 901,
    subject: "002_S_0001",
    group: "CN",
    visit: "bl",
    date: "2006-04-18",
    age: "70",
    phase: "ADNI1",
    modality: "MRI",
    description: "MPRAGE",
    kind: "Original",
    tesla: "3.0",
};

/// Two subjects of each diagnosis, and a third one with AD to whom the rules apply.
fn base() -> Vec<Row> {
    vec![
        Row { ..ROW },
        Row { id: 2, series: 902, subject: "002_S_0002", ..ROW },
        Row { id: 3, series: 903, subject: "011_S_0003", group: "AD", ..ROW },
        Row { id: 4, series: 904, subject: "011_S_0004", group: "AD", ..ROW },
        Row { id: 5, series: 905, subject: "023_S_0005", group: "AD", ..ROW },
    ]
}

fn records_with(rows: &[Row], more: &[(&str, &str)]) -> Records {
    let mut search =
        "Subject ID,Phase,Sex,Research Group,Visit,Study Date,Age,Modality,Description,Type,Image ID\n"
            .to_owned();
    let mut manifest = "image_id,series_id\n".to_owned();
    let mut structural =
        "image_id,subject_id,mri_visit,mri_date,mri_description,mri_mfr,mri_mfr_model,mri_field_str\n"
            .to_owned();
    for row in rows {
        let Row { id, series, subject, group, visit, date, age, phase, modality, description, kind, tesla } =
            row;
        let search_row =
            format!("{subject},{phase},F,{group},{visit},{date},{age},{modality},{description},{kind},{id}");
        writeln!(search, "{search_row}").expect("text");
        writeln!(manifest, "{id},{series}").expect("text");
        writeln!(structural, "{id},{subject},{visit},{date},{description},SIEMENS,Trio,{tesla}")
            .expect("text");
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut tables = vec![
        ("search.csv", search.as_str()),
        ("manifest.csv", manifest.as_str()),
        ("structural.csv", structural.as_str()),
    ];
    tables.extend(more);
    let paths: Vec<PathBuf> = tables
        .iter()
        .map(|(name, text)| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("a table");
            path
        })
        .collect();
    Records::read(&paths).expect("good tables")
}

fn records(rows: &[Row]) -> Records {
    records_with(rows, &[])
}

/// The excluded images by id, with their rules.
fn dropped(cohort: &Cohort) -> Vec<(String, Rule)> {
    let images = cohort.images().iter().filter_map(|image| {
        let id = image.image.id.as_ref().map(ToString::to_string).unwrap_or_default();
        Some((id, image.dropped.as_ref()?.rule))
    });
    images.collect()
}

#[track_caller]
fn only_drops(rows: &[Row], config: &SelectionConfig, expected: &[(&str, Rule)]) {
    let cohort = select(&records(rows), None, config).expect("good settings");
    let expected: Vec<(String, Rule)> = expected.iter().map(|(id, rule)| ((*id).to_owned(), *rule)).collect();
    assert_eq!(dropped(&cohort), expected, "{}", cohort.ledger_tsv());
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect()
}

#[test]
fn nobody_is_dropped_without_a_reason() {
    only_drops(&base(), &SelectionConfig::default(), &[]);
}

#[test]
fn each_rule_of_single_images_drops_just_what_breaks_it() {
    let default = SelectionConfig::default;
    type Change = fn(&mut Row);
    let cases: [(Rule, SelectionConfig, Change); 14] = [
        (Rule::Modality, default(), |row| row.modality = "PET"),
        (Rule::Description, SelectionConfig { exclude: patterns(&["*repeat*"]), ..default() }, |row| {
            row.description = "MPRAGE REPEAT";
        }),
        (Rule::Description, SelectionConfig { include: patterns(&["x", "*mp?age*"]), ..default() }, |row| {
            row.description = "Localizer";
        }),
        (Rule::Description, SelectionConfig { include: patterns(&["*mprage*"]), ..default() }, |row| {
            row.description = "";
        }),
        (Rule::Phase, SelectionConfig { phases: vec!["adni 1".to_owned()], ..default() }, |row| {
            row.phase = "ADNI2";
        }),
        (Rule::Phase, SelectionConfig { phases: vec!["ADNI1".to_owned()], ..default() }, |row| {
            row.phase = ""
        }),
        (Rule::FieldStrength, SelectionConfig { field_strengths_t: vec![2.9], ..default() }, |row| {
            row.tesla = "1.5";
        }),
        (Rule::FieldStrength, SelectionConfig { field_strengths_t: vec![3.0], ..default() }, |row| {
            row.tesla = ""
        }),
        (Rule::ImageType, SelectionConfig { images: ImageChoice::Original, ..default() }, |row| {
            row.kind = "Processed";
        }),
        (Rule::Age, SelectionConfig { min_age_years: Some(60.0), ..default() }, |row| row.age = "59.9"),
        (Rule::Age, SelectionConfig { max_age_years: Some(90.0), ..default() }, |row| row.age = "91"),
        (Rule::Age, SelectionConfig { max_age_years: Some(90.0), ..default() }, |row| row.age = ""),
        (Rule::NoDiagnosis, default(), |row| row.group = "SMC"),
        (Rule::Diagnosis, default(), |row| row.group = "MCI"),
    ];
    for (rule, config, change) in cases {
        let mut rows = base();
        only_drops(&rows, &config, &[]);
        change(&mut rows[4]);
        only_drops(&rows, &config, &[("I5", rule)]);
    }
}

#[test]
fn diagnoses_come_from_near_visits_that_agree() {
    let visits = |rows: &str| format!("PHASE,PTID,RID,VISCODE,VISCODE2,EXAMDATE,DIAGNOSIS\n{rows}");
    let outcome = |rows: &str, max_days: u32| {
        let visits = visits(rows);
        let records = records_with(&base(), &[("DXSUM.csv", visits.as_str())]);
        let cohort =
            select(&records, None, &SelectionConfig { max_days, ..SelectionConfig::default() }).unwrap();
        let image = cohort.images().iter().find(|image| image.image.id == ImageId::parse("5").ok()).unwrap();
        (dropped(&cohort), image.dropped.clone().map(|why| why.reason).unwrap_or_default())
    };
    let two_sided = "ADNI1,023_S_0005,5,bl,bl,2006-04-08,1\nADNI1,023_S_0005,5,m06,m06,2006-04-28,3\n";
    let (rules, reason) = outcome(two_sided, 180);
    assert_eq!(rules, [("I5".to_owned(), Rule::DiagnosisConflict)]);
    assert!(reason.contains("DXSUM.csv, line 2") && reason.contains("line 3"), "{reason}");
    let far = "ADNI1,023_S_0005,5,bl,bl,2005-04-18,3\n";
    let (rules, reason) = outcome(far, 180);
    assert_eq!(rules, [("I5".to_owned(), Rule::NoDiagnosis)]);
    assert!(reason.contains("365 days") && reason.contains("DXSUM.csv, line 2"), "{reason}");
    assert_eq!(outcome(far, 400).0, []);
}

#[test]
fn research_groups_stand_for_diagnoses_only_if_told() {
    let config = SelectionConfig { accept_research_group: false, ..SelectionConfig::default() };
    let all: Vec<String> = (1..=5).map(|id| format!("I{id}")).collect();
    let expected: Vec<(&str, Rule)> = all.iter().map(|id| (id.as_str(), Rule::NoDiagnosis)).collect();
    only_drops(&base(), &config, &expected);
}

#[test]
fn one_image_of_a_series_one_scan_of_a_visit() {
    let default = SelectionConfig::default;
    let with = |more: &[Row]| [base(), more.to_vec()].concat();
    let ad = |id, series| Row { id, series, subject: "023_S_0005", group: "AD", ..ROW };
    // The processed copy has the lower id. The original is preferred by default.
    let copy = Row { kind: "Processed", date: "2006-08-18", visit: "m03", ..ad(6, 905) };
    only_drops(&with(std::slice::from_ref(&copy)), &default(), &[("I6", Rule::OtherCopy)]);
    let processed = SelectionConfig { images: ImageChoice::PreferProcessed, ..default() };
    only_drops(&with(std::slice::from_ref(&copy)), &processed, &[("I5", Rule::OtherCopy)]);
    let any = SelectionConfig { images: ImageChoice::Any, ..default() };
    only_drops(&with(&[copy]), &any, &[]);

    // Per visit: the original, then the field strength listed first, then the lower series number.
    only_drops(&with(&[ad(6, 1000)]), &default(), &[("I6", Rule::OnePerVisit)]);
    only_drops(&with(&[ad(6, 99)]), &default(), &[("I5", Rule::OnePerVisit)]);
    only_drops(&with(&[Row { kind: "Processed", ..ad(6, 99) }]), &default(), &[("I6", Rule::OnePerVisit)]);
    let weak = Row { tesla: "1.5", ..ad(6, 1000) };
    let first_weak = SelectionConfig { field_strengths_t: vec![1.5, 3.0], ..default() };
    only_drops(&with(&[weak]), &first_weak, &[("I5", Rule::OnePerVisit)]);
    let several = SelectionConfig { one_per_visit: false, ..default() };
    only_drops(&with(&[ad(6, 1000)]), &several, &[]);
}

#[test]
fn visits_are_told_by_code_and_day() {
    let default = SelectionConfig::default;
    let with = |more: Row| [base(), vec![more]].concat();
    let ad = Row { id: 6, series: 906, subject: "023_S_0005", group: "AD", ..ROW };
    // Screening and baseline are the same visit.
    only_drops(
        &with(Row { visit: "sc", date: "2006-04-02", ..ad }),
        &default(),
        &[("I6", Rule::OnePerVisit)],
    );
    // The same code two years later is a visit of another phase.
    only_drops(&with(Row { date: "2008-04-18", ..ad.clone() }), &default(), &[]);
    only_drops(&with(Row { visit: "m06", date: "2006-10-18", ..ad }), &default(), &[]);
}

#[test]
fn the_earliest_scans_stay() {
    let mut rows = base();
    let ad = Row { subject: "023_S_0005", group: "AD", ..ROW };
    rows.push(Row { id: 6, series: 906, visit: "m24", date: "2008-04-18", ..ad });
    rows.push(Row { id: 7, series: 907, visit: "m12", date: "2007-04-18", ..ad });
    let config = SelectionConfig { max_scans_per_subject: Some(2), ..SelectionConfig::default() };
    only_drops(&rows, &config, &[("I6", Rule::MaxScans)]);
}

/// A CN scan of person `person` at visit `visit`.
fn cn_scan(person: usize, visit: usize) -> Row {
    const PEOPLE: [&str; 8] = [
        "002_S_0101",
        "002_S_0102",
        "011_S_0103",
        "011_S_0104",
        "023_S_0105",
        "023_S_0106",
        "035_S_0107",
        "035_S_0108",
    ];
    const VISITS: [(&str, &str); 4] =
        [("bl", "2006-04-18"), ("m12", "2007-04-18"), ("m24", "2008-04-18"), ("m36", "2009-04-18")];
    let id = u32::try_from(100 + 10 * person + visit).expect("a small number");
    let (code, date) = VISITS[visit];
    Row { id, series: id + 1000, subject: PEOPLE[person], visit: code, date, ..ROW }
}

#[test]
fn the_balance_keeps_every_ad_scan_and_as_many_cn_subjects_as_possible() {
    // Eight CN subjects with 1, 2, 3, 4, 1, 2, 3, 4 scans; ten AD scans of three subjects.
    let mut rows: Vec<Row> =
        (0..8).flat_map(|person| (0..=person % 4).map(move |visit| cn_scan(person, visit))).collect();
    let people = ["099_S_0001", "099_S_0002", "099_S_0003"];
    for n in 0..10 {
        let row = cn_scan(0, n % 4);
        let id = u32::try_from(500 + n).unwrap();
        rows.push(Row { id, series: id, subject: people[n / 4], group: "AD", ..row });
    }
    let cohort_of = |config: &SelectionConfig| select(&records(&rows), None, config).unwrap();
    let mut choices = std::collections::BTreeSet::new();
    for seed in 0..4 {
        let cohort = cohort_of(&SelectionConfig { seed, ..SelectionConfig::default() });
        let (cn, ad) = (cohort.count(Diagnosis::Cn), cohort.count(Diagnosis::Ad));
        assert_eq!((cn.n_images, cn.n_subjects), (10, 8));
        assert_eq!((ad.n_images, ad.n_subjects), (10, 3));
        assert_eq!(cohort.dropped_by(Rule::Balance).count(), 10);
        choices.insert(cohort.to_tsv());
    }
    assert!(choices.len() > 1, "the seed decides who is last");
    let all = cohort_of(&SelectionConfig { balance: false, ..SelectionConfig::default() });
    assert_eq!(all.count(Diagnosis::Cn).n_images, 20);
}

#[test]
fn without_ad_there_is_nothing_to_balance_against() {
    only_drops(&base()[..2], &SelectionConfig::default(), &[]);
    let fewer_cn = [&base()[..1], &base()[2..]].concat();
    only_drops(&fewer_cn, &SelectionConfig::default(), &[]);
}

#[test]
fn images_without_rows_and_rows_without_images_are_told() {
    let subject = |name: &str| SubjectId::parse(name).ok();
    let found_at = |path: &str, id: u32, name: &str| FoundImage {
        image_id: ImageId::parse(&id.to_string()).ok(),
        subject: subject(name),
        ..FoundImage::at(path)
    };
    let mut found: Vec<FoundImage> =
        base().iter().take(4).map(|row| found_at(&format!("ADNI/{}", row.id), row.id, row.subject)).collect();
    let records = records(&base());
    let outcome = |found: &[FoundImage]| {
        let cohort = select(&records, Some(found), &SelectionConfig::default()).unwrap();
        assert_eq!(cohort.images().len(), dropped(&cohort).len() + cohort.kept().count());
        dropped(&cohort)
    };
    let missing = ("I5".to_owned(), Rule::NoImage);
    assert_eq!(outcome(&found), std::slice::from_ref(&missing));
    found.push(found_at("ADNI/5", 5, "023_S_0005"));
    assert_eq!(outcome(&found), []);
    for (change, id, rule) in [
        (found_at("ADNI/77", 77, "023_S_0077"), "I77", Rule::NoRow),
        (FoundImage::at("loose"), "", Rule::NoRow),
        (found_at("again/5", 5, "023_S_0005"), "I5", Rule::Repeated),
    ] {
        found.push(change);
        assert_eq!(outcome(&found), [(id.to_owned(), rule)], "{rule}");
        found.pop();
    }
    found[4].subject = subject("023_S_0006");
    assert_eq!(outcome(&found), [("I5".to_owned(), Rule::SubjectConflict)]);
    found[4].subject = subject("anonymous");
    assert_eq!(outcome(&found), [], "a header's own name is not sure");
    found[4].objection = Some("the series calls itself FLAIR".to_owned());
    assert_eq!(outcome(&found), [("I5".to_owned(), Rule::NotT1)]);
}

#[test]
fn images_without_numbers_find_their_rows_by_person_and_day() {
    let records = records(&base());
    let found: Vec<FoundImage> = base()
        .iter()
        .map(|row| FoundImage {
            subject: SubjectId::parse(row.subject).ok(),
            visit: Visit { date: Date::parse(row.date), ..Visit::default() },
            ..FoundImage::at(&format!("sub/{}", row.id))
        })
        .collect();
    let cohort = select(&records, Some(&found), &SelectionConfig::default()).unwrap();
    assert_eq!(dropped(&cohort), []);
    assert!(cohort.kept().all(|image| image.image.path.is_some() && image.place.is_some()));
    // A dataset without dates has sessions.
    let by_session: Vec<FoundImage> = found
        .iter()
        .map(|image| FoundImage {
            visit: Visit { code: VisitCode::parse("ses-M000"), ..Visit::default() },
            ..image.clone()
        })
        .collect();
    let cohort = select(&records, Some(&by_session), &SelectionConfig::default()).unwrap();
    assert_eq!(dropped(&cohort), []);
    assert!(cohort.kept().all(|image| image.place.is_some()));
    // Two images of one day for one row: the match is ambiguous.
    let twice = [found.clone(), vec![FoundImage { path: "sub/x".to_owned(), ..found[4].clone() }]].concat();
    let cohort = select(&records, Some(&twice), &SelectionConfig::default()).unwrap();
    let rules: Vec<Rule> = dropped(&cohort).into_iter().map(|(_, rule)| rule).collect();
    assert_eq!(rules, [Rule::NoImage, Rule::NoRow, Rule::NoRow]);
}

#[test]
fn visits_alone_are_enough_for_images_that_were_found() {
    let visits = "PHASE,PTID,RID,VISCODE,VISCODE2,EXAMDATE,DIAGNOSIS\n\
                  ADNI1,002_S_0001,1,bl,bl,2006-04-10,1\nADNI1,011_S_0003,3,bl,bl,2006-04-10,3\n";
    let records = Records::from_reader(visits.as_bytes(), std::path::Path::new("DXSUM.csv")).unwrap();
    let found = ["002_S_0001", "011_S_0003", "023_S_0005"].map(|name| FoundImage {
        subject: SubjectId::parse(name).ok(),
        visit: Visit { date: Date::parse("2006-04-18"), ..Visit::default() },
        image_id: ImageId::parse(name).ok(),
        ..FoundImage::at(name)
    });
    let cohort = select(&records, Some(&found), &SelectionConfig::default()).unwrap();
    assert_eq!(dropped(&cohort), [("023_S_0005".to_owned(), Rule::NoRow)]);
    let text = cohort.to_tsv();
    assert!(text.contains("\tCN\tvisit\t8\tDXSUM.csv, line 2\t"), "{text}");
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let default = SelectionConfig::default;
    for (config, setting) in [
        (SelectionConfig { diagnoses: vec![], ..default() }, "diagnoses"),
        (SelectionConfig { diagnoses: vec![Diagnosis::Ad], ..default() }, "balance"),
        (SelectionConfig { field_strengths_t: vec![f64::NAN], ..default() }, "field_strengths_t"),
        (SelectionConfig { phases: vec![" ".to_owned()], ..default() }, "phases"),
        (SelectionConfig { min_age_years: Some(-1.0), ..default() }, "min_age_years"),
        (
            SelectionConfig { min_age_years: Some(80.0), max_age_years: Some(60.0), ..default() },
            "min_age_years",
        ),
        (SelectionConfig { max_scans_per_subject: Some(0), ..default() }, "max_scans_per_subject"),
    ] {
        let message = select(&records(&base()), None, &config).unwrap_err().to_string();
        assert!(message.contains(setting), "{setting}: {message}");
    }
}

/// Rows with every kind of error, from a small random number generator.
fn many_rows() -> Vec<Row> {
    let mut state = 7_u32;
    let mut draw = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % n
    };
    const GROUPS: [&str; 6] = ["CN", "CN", "CN", "AD", "MCI", "SMC"];
    let mut rows = Vec::new();
    for id in 0..600_u32 {
        let place = cn_scan(draw(8), draw(4));
        rows.push(Row {
            id,
            series: 5000 + u32::try_from(draw(500)).expect("small") + 500 * (place.id / 10),
            group: GROUPS[draw(6)],
            age: ["55", "61.5", "77", ""][draw(4)],
            modality: ["MRI", "MRI", "MRI", "MRI", "PET"][draw(5)],
            description: ["MPRAGE", "MP-RAGE", "MPRAGE repeat", "Survey"][draw(4)],
            kind: ["Original", "Processed"][draw(2)],
            tesla: ["1.5", "3.0", "2.9"][draw(3)],
            phase: ["ADNI1", "ADNI2", "ADNIGO"][draw(3)],
            ..place
        });
    }
    rows
}

#[test]
fn ledger_and_flow_count_the_same_and_every_image_once() {
    let rows = many_rows();
    let config = SelectionConfig {
        include: patterns(&["*mp*rage*"]),
        phases: vec!["ADNI1".to_owned(), "ADNI2".to_owned()],
        min_age_years: Some(60.0),
        max_scans_per_subject: Some(3),
        ..SelectionConfig::default()
    };
    let cohort = select(&records(&rows), None, &config).unwrap();
    let flow = cohort.flow();
    let ledger = cohort.ledger_tsv();
    assert_eq!(ledger.lines().count(), rows.len() + 1);
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for line in ledger.lines().skip(1) {
        *by_rule.entry(line.split('\t').nth(10).unwrap()).or_default() += 1;
    }
    assert_eq!(flow.all.n_images, rows.len());
    let mut left = flow.all.n_images;
    for step in &flow.steps {
        assert_eq!(Some(step.dropped.n_images), by_rule.remove(step.rule.name()), "{}", step.rule);
        left -= step.dropped.n_images;
        assert_eq!(step.remaining.n_images, left);
    }
    assert_eq!(by_rule.into_iter().collect::<Vec<_>>(), [("kept", left)]);
    assert!(flow.steps.len() >= 8, "{flow}");
    let kept: usize = flow.kept.iter().map(|(_, count)| count.n_images).sum();
    assert_eq!((kept, cohort.to_tsv().lines().count()), (left, left + 1));
    for step in &flow.steps {
        let left = cohort
            .images()
            .iter()
            .filter(|image| image.dropped.as_ref().is_none_or(|why| why.rule > step.rule));
        let people: std::collections::BTreeSet<_> = left.map(|image| image.person_key()).collect();
        assert_eq!(step.remaining.n_subjects, people.len(), "{}", step.rule);
    }
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let rows = many_rows();
    let reversed: Vec<Row> = rows.iter().rev().cloned().collect();
    let kept = |rows: &[Row]| {
        let cohort = select(&records(rows), None, &SelectionConfig::default()).unwrap();
        let ids: Vec<_> = cohort.kept().map(|image| image.image.id.clone()).collect();
        (ids, cohort.flow())
    };
    assert_eq!(kept(&rows), kept(&reversed));
}
