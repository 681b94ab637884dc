//! The same subjects in the tables of every archive and generation.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail there")]

use std::fmt::Write as _;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use brainreel_cohort::{
    CohortError, Date, Diagnosis, DiagnosisBasis, ImageId, ImageRecord, JoinRule, Place, Records, Rule,
    SelectionConfig, SubjectId, TableKind, VisitCode, select,
};

/// Ground truth of one scan.
struct Truth {
    image: u32,
    series: u32,
    ptid: &'static str,
    rid: u32,
    visit: &'static str,
    /// Year, month, day.
    date: (u16, u8, u8),
    diagnosis: Diagnosis,
    male: bool,
    age: f64,
    baseline_age: f64,
    years: f64,
}

/// Three subjects, one of whom converts between two visits.
fn truth() -> Vec<Truth> {
    use Diagnosis::{Ad, Cn, Mci};
    let row =
        |image, ptid: &'static str, visit, date, diagnosis, male, baseline_age: f64, years: f64| Truth {
            image,
            series: image + 70_000,
            ptid,
            rid: ptid[6..].parse().unwrap(),
            visit,
            date,
            diagnosis,
            male,
            age: baseline_age + years,
            baseline_age,
            years,
        };
    vec![
        row(13_893, "002_S_0413", "bl", (2006, 4, 18), Cn, false, 76.3, 0.0),
        row(20_001, "002_S_0413", "m12", (2007, 4, 20), Cn, false, 76.3, 1.0),
        row(31_777, "011_S_0005", "bl", (2005, 9, 7), Mci, true, 73.7, 0.0),
        row(40_404, "011_S_0005", "m24", (2007, 9, 11), Ad, true, 73.7, 2.0),
        row(55_555, "127_S_10001", "m06", (2020, 12, 31), Ad, true, 65.5, 0.5),
    ]
}

fn iso(date: (u16, u8, u8)) -> String {
    format!("{:04}-{:02}-{:02}", date.0, date.1, date.2)
}

fn american(date: (u16, u8, u8)) -> String {
    format!("{}/{}/{}", date.1, date.2, date.0)
}

fn table(header: &str, row: impl Fn(&Truth) -> String) -> String {
    let mut text = format!("{header}\n");
    for truth in truth() {
        writeln!(text, "{}", row(&truth)).unwrap();
    }
    text
}

const fn sex(truth: &Truth) -> &'static str {
    if truth.male { "M" } else { "F" }
}

const fn code(diagnosis: Diagnosis) -> u8 {
    match diagnosis {
        Diagnosis::Cn => 1,
        Diagnosis::Mci => 2,
        Diagnosis::Ad => 3,
    }
}

/// With a byte order mark, Windows line ends, quotes, a comma in a description.
fn ida_collection() -> String {
    let text = table(
        "\"Image Data ID\",\"Subject\",\"Group\",\"Sex\",\"Age\",\"Visit\",\"Modality\",\"Description\",\"Type\",\
         \"Acq Date\",\"Format\",\"Downloaded\"",
        |t| {
            format!(
                "\"I{}\",\"{}\",\"{}\",\"{}\",\"{:.0}\",\"{}\",\"MRI\",\"MP-RAGE, repeat\",\"Original\",\"{}\",\"DCM\",\
                 \"5/01/2026\"",
                t.image,
                t.ptid,
                t.diagnosis,
                sex(t),
                t.age,
                t.visit,
                american(t.date)
            )
        },
    );
    format!("\u{feff}{}", text.replace('\n', "\r\n"))
}

/// Other columns, other order, bare image ids.
fn ida_search() -> String {
    table("Image ID,Study Date,Description,Research Group,Subject ID,Phase,Age,Sex,Weight,Visit", |t| {
        format!(
            "{},{},MPRAGE,{},{},ADNI 2,{:.1},{},70.3,ADNI2 Month {}",
            t.image,
            american(t.date),
            t.diagnosis,
            t.ptid,
            t.age,
            sex(t),
            (t.years * 12.0).round()
        )
    })
}

fn loni_all_images() -> String {
    table("image_id,subject_id,phase,study_id,image_type,image_date,image_description", |t| {
        format!("{},{},ADNI2,9,Original,{},MPRAGE", t.image, t.ptid, iso(t.date))
    })
}

fn loni_manifest() -> String {
    table("image_id,series_id", |t| format!("{},S{}", t.image, t.series))
}

fn loni_structural() -> String {
    let header = "image_id,subject_id,mri_visit,mri_date,mri_description,mri_thickness,mri_mfr,mri_mfr_model,\
                  mri_field_str";
    table(header, |t| {
        format!("{},{},{},{},MPRAGE,1.2,SIEMENS,TrioTim,3.0", t.image, t.ptid, t.visit, iso(t.date))
    })
}

fn mprage_meta() -> String {
    table("Orig/Proc,SubjectID,Visit,MagStrength,Sequence,ScanDate,StudyID,SeriesID,ImageUID", |t| {
        format!("Original,{},,1.5,MP-RAGE,{},7,{},{}", t.ptid, iso(t.date), t.series, t.image)
    })
}

/// Dates a few days off the scan's, ages at baseline, and a diagnosis at baseline that must not be used.
fn adnimerge() -> String {
    let header = "RID,COLPROT,ORIGPROT,PTID,SITE,VISCODE,EXAMDATE,DX_bl,AGE,PTGENDER,DX,FLDSTRENG,Years_bl";
    table(header, |t| {
        let (year, month, day) = t.date;
        let exam = (year, month, day.min(25) + 2);
        let sex = if t.male { "Male" } else { "Female" };
        let diagnosis = if t.diagnosis == Diagnosis::Ad { "Dementia" } else { t.diagnosis.name() };
        format!(
            "{},ADNI2,ADNI1,{},{},{},{},LMCI,{},{sex},{diagnosis},3 Tesla MRI,{}",
            t.rid,
            t.ptid,
            &t.ptid[..3],
            t.visit,
            iso(exam),
            t.baseline_age,
            t.years
        )
    })
}

fn dxsum() -> String {
    table("PHASE,PTID,RID,VISCODE,VISCODE2,EXAMDATE,DIAGNOSIS", |t| {
        format!("ADNI2,{},{},v03,{},{},{}", t.ptid, t.rid, t.visit, iso(t.date), code(t.diagnosis))
    })
}

/// Without subject ids, and with kinds of change instead of diagnoses.
fn old_dxsum() -> String {
    table("Phase,RID,SITEID,VISCODE,VISCODE2,USERDATE,EXAMDATE,DXCHANGE", |t| {
        let change = if t.image == 40_404 { 5 } else { code(t.diagnosis) };
        format!("ADNI1,{},107,{},{},2005-01-01,{},{change}", t.rid, t.visit, t.visit, american(t.date))
    })
}

fn plain() -> String {
    table("path\tsubject\tdiagnosis\tsession\tdate\tage\tsex\timage_id", |t| {
        format!(
            ".\\scans\\{}.nii.gz\tsub-ADNI{}\t{}\tses-{}\t{}\t{}\t{}\t{}",
            t.image,
            t.ptid.replace('_', ""),
            t.diagnosis,
            t.visit,
            iso(t.date),
            t.age,
            sex(t),
            t.image
        )
    })
}

fn read(dir: &Path, tables: &[(&str, String)]) -> Result<Records, CohortError> {
    let paths: Vec<PathBuf> = tables
        .iter()
        .map(|(name, text)| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    Records::read(&paths)
}

type Tables = Vec<(&'static str, String)>;

/// The same subjects in tables of each generation.
fn sets() -> [(&'static [TableKind], Tables); 7] {
    [
        (&[TableKind::IdaCollection], vec![("collection.csv", ida_collection())]),
        (&[TableKind::IdaSearch], vec![("idaSearch_5_01_2026.csv", ida_search())]),
        (
            &[TableKind::LoniAllImages, TableKind::LoniManifest, TableKind::AdniMerge],
            vec![
                ("c_All_Images_1.csv", loni_all_images()),
                ("c_Manifest_1.csv", loni_manifest()),
                ("ADNIMERGE.csv", adnimerge()),
            ],
        ),
        (
            &[TableKind::LoniStructuralMri, TableKind::Dxsum],
            vec![("c_Structural_MRI_Images_1.csv", loni_structural()), ("DXSUM.csv", dxsum())],
        ),
        (
            &[TableKind::Dxsum, TableKind::MprageMeta],
            vec![("DXSUM_PDXCONV_ADNIALL.csv", old_dxsum()), ("MPRAGEMETA.csv", mprage_meta())],
        ),
        (&[TableKind::Plain], vec![("mine.tsv", plain())]),
        (
            &[TableKind::IdaCollection, TableKind::Dxsum],
            // The archive's group is from another day. The diagnosis at the visit counts.
            vec![("all_mci.csv", ida_collection().replace("\"CN\"", "\"MCI\"")), ("DXSUM.csv", dxsum())],
        ),
    ]
}

#[test]
fn every_generation_gives_the_same_cohort() {
    let dir = tempfile::tempdir().unwrap();
    for (kinds, tables) in sets() {
        let records = read(dir.path(), &tables).unwrap();
        let found: Vec<TableKind> = records.tables().iter().map(|table| table.kind).collect();
        assert_eq!(found, kinds);
        assert!(records.tables().iter().all(|table| table.n_unknown_people == 0), "{:?}", records.tables());
        assert_eq!(records.images().len(), truth().len());
        let knows_sex = kinds[0] != TableKind::LoniStructuralMri && kinds[0] != TableKind::Dxsum;
        for truth in truth() {
            let image = records.image(&ImageId::parse(&format!("D{}", truth.image)).unwrap()).unwrap();
            let joined = records.join_image(image, &JoinRule::default());
            let (year, month, day) = truth.date;
            assert_eq!(image.person.subject, SubjectId::parse(truth.ptid).unwrap());
            assert_eq!(image.visit.date, Date::new(year, month, day), "{kinds:?}");
            assert_eq!(joined.visit.diagnosis, Some(truth.diagnosis), "{kinds:?} {:?}", joined.basis);
            assert_eq!(joined.person.site.as_deref().map(|site| site.len()), Some(3), "{kinds:?}");
            if knows_sex {
                assert_eq!(
                    joined.person.sex.map(brainreel_cohort::Sex::name),
                    Some(sex(&truth)),
                    "{kinds:?}"
                );
                let age = joined.visit.age_years.unwrap();
                assert!((age - truth.age).abs() < 0.51, "{kinds:?}: {age}, {}", truth.age);
            }
            if matches!(kinds[0], TableKind::IdaSearch) {
                let months = VisitCode::parse(truth.visit).unwrap().months();
                assert_eq!(image.visit.months(), months);
            }
        }
    }
}

#[test]
fn every_generation_gives_the_same_selection() {
    let dir = tempfile::tempdir().unwrap();
    for (kinds, tables) in sets() {
        let records = read(dir.path(), &tables).unwrap();
        let cohort = select(&records, None, &SelectionConfig::default()).unwrap();
        let kept: Vec<String> =
            cohort.kept().map(|image| image.image.id.clone().unwrap().to_string()).collect();
        assert_eq!(kept, ["I13893", "I20001", "I40404", "I55555"], "{kinds:?}\n{}", cohort.ledger_tsv());
        let dropped: Vec<&Rule> =
            cohort.images().iter().filter_map(|image| Some(&image.dropped.as_ref()?.rule)).collect();
        assert_eq!(dropped, [&Rule::Diagnosis], "the one with MCI: {kinds:?}");
    }
}

#[test]
fn series_tell_processed_copies_from_their_originals() {
    let dir = tempfile::tempdir().unwrap();
    let copies = "image_id,subject_id,phase,study_id,image_type,image_date,image_description\n\
                  1,002_S_0413,ADNI1,9,Original,2006-04-18,MPRAGE\n\
                  2,002_S_0413,ADNI1,9,Processed,2006-04-18,MPR; GradWarp; N3\n";
    let manifest = "image_id,series_id\n1,7820\n2,S7820\n";
    let tables = [("m.csv", manifest.to_owned()), ("a.csv", copies.to_owned())];
    let records = read(dir.path(), &tables).unwrap();
    let [one, two] = records.images() else { panic!() };
    assert!(one.image.series_id.is_some() && one.image.series_id == two.image.series_id);
    assert_ne!(one.image.image_type, two.image.image_type);
}

/// OASIS and AIBL: scans are found in folders, and tables describe visits.
#[test]
fn oasis_and_aibl_visits_find_their_scans() {
    let dir = tempfile::tempdir().unwrap();
    let rule = JoinRule::default();
    let scan = |subject: &str, visit: &str| {
        let mut scan = ImageRecord::new(SubjectId::parse(subject).unwrap(), Place { table: 0, line: 0 });
        scan.visit.code = VisitCode::parse(visit);
        scan
    };
    let oasis1 = "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay\n\
                  OAS1_0001_MR1,F,R,74,2,3,29,0,1344,0.743,1.306,N/A\n\
                  OAS1_0003_MR1,F,R,73,4,3,27,0.5,1454,0.708,1.207,N/A\n\
                  OAS1_0004_MR1,M,R,28,,,,,1588,0.803,1.105,N/A\n";
    let records = read(dir.path(), &[("oasis_cross-sectional.csv", oasis1.to_owned())]).unwrap();
    assert_eq!(records.tables()[0].kind, TableKind::Oasis1);
    for (id, diagnosis) in [
        ("OAS1_0001_MR1", Some(Diagnosis::Cn)),
        ("OAS1_0003_MR1", Some(Diagnosis::Ad)),
        ("OAS1_0004_MR1", None),
        ("OAS1_0001_MR2", None),
    ] {
        let scan = scan(id, id);
        let joined = records.join_image(&scan, &rule);
        assert_eq!(joined.visit.diagnosis, diagnosis, "{id}: {:?}", joined.basis);
    }
    let oasis2 = "Subject ID,MRI ID,Group,Visit,MR Delay,M/F,Hand,Age,EDUC,SES,MMSE,CDR,eTIV,nWBV,ASF\n\
                  OAS2_0002,OAS2_0002_MR1,Demented,1,0,M,R,75,12,,23,0.5,1678,0.736,1.046\n\
                  OAS2_0002,OAS2_0002_MR2,Demented,2,560,M,R,76,12,,28,0,1738,0.713,1.010\n";
    let records = read(dir.path(), &[("oasis_longitudinal.csv", oasis2.to_owned())]).unwrap();
    let second = scan("OAS2_0002_MR2", "OAS2_0002_MR2");
    assert_eq!(records.join_image(&second, &rule).visit.diagnosis, Some(Diagnosis::Cn));
    let oasis3 = [
        (
            "OASIS3_UDSb4_cdr.csv",
            "OASISID,OASIS_session_label,days_to_visit,age at visit,MMSE,CDRTOT\n\
             OAS30001,OAS30001_UDSb4_d0000,0000,65.2,29,0\nOAS30001,OAS30001_UDSb4_d3500,3500,74.8,22,1\n"
                .to_owned(),
        ),
        (
            "OASIS3_demographics.csv",
            "OASISID,Subject_accession,AgeatEntry,AgeatDeath,GENDER\nOAS30001,CENTRAL_1,65.2,,2\n".to_owned(),
        ),
    ];
    let records = read(dir.path(), &oasis3).unwrap();
    let early = scan("OAS30001", "OAS30001_MR_d0129");
    let joined = records.join_image(&early, &rule);
    assert_eq!(
        (joined.visit.diagnosis, joined.person.sex.map(|sex| sex.name())),
        (Some(Diagnosis::Cn), Some("F"))
    );
    let DiagnosisBasis::Visit { days: 129, .. } = joined.basis else { panic!("{:?}", joined.basis) };
    let late = scan("OAS30001", "OAS30001_MR_d3000");
    assert_eq!(records.join_image(&late, &rule).visit.diagnosis, None, "500 days are too far");
    let aibl = [
        ("aibl_pdxconv.csv", "RID,SITEID,VISCODE,DXCURREN\n12,2,bl,1\n12,2,m18,3\n13,2,bl,-4\n".to_owned()),
        ("aibl_ptdemog.csv", "RID,SITEID,VISCODE,PTGENDER,PTDOB\n12,2,bl,1,/1931\n".to_owned()),
    ];
    let records = read(dir.path(), &aibl).unwrap();
    let joined = records.join_image(&scan("12", "m18"), &rule).visit.diagnosis;
    assert_eq!(joined, Some(Diagnosis::Ad));
    assert_eq!(records.person(&SubjectId::parse("12").unwrap()).unwrap().person.sex.unwrap().name(), "M");
}

#[test]
fn a_damaged_table_of_any_generation_gets_its_own_advice() {
    let cases = [
        (ida_collection().replace("\"Subject\"", "\"Subjct\""), "`Subjct`", "Advanced Search"),
        (loni_all_images().replace("image_date", "imagedat"), "`imagedat`", "image tables"),
        (mprage_meta().replace("ImageUID", "ImgUID"), "`ImgUID`", "Study Data"),
        (adnimerge().replace(",DX,", ",DXX,"), "`DX`", "Study Data"),
        (dxsum().replace("DIAGNOSIS", "DIAGNSIS"), "`DIAGNSIS`", "Study Data"),
        (plain().replace("diagnosis", "diagnoses"), "`diagnoses`", "of your own"),
    ];
    let few = "Image Data ID,Subjct,Sex\nI1,002_S_0001,F\n".to_owned();
    for (text, nearest, advice) in cases.into_iter().chain([(few, "`Subjct`", "Advanced Search")]) {
        let message =
            Records::from_reader(text.as_bytes(), Path::new("damaged.csv")).unwrap_err().to_string();
        let parts = ["damaged.csv", nearest, advice];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let unknown = Records::from_reader("a,b\n1,2\n".as_bytes(), Path::new("x.csv")).unwrap_err().to_string();
    assert!(unknown.contains("a, b") && unknown.contains("ADNIMERGE"), "{unknown}");
}

#[test]
fn nothing_is_guessed() {
    let rule = JoinRule::default();
    let images = "image_id,subject_id,phase,study_id,image_type,image_date,image_description\n\
                  1,002_S_0413,ADNI1,9,Original,2006-04-18,MPRAGE\n";
    let dir = tempfile::tempdir().unwrap();
    let with = |visits: &str| {
        let header = "PHASE,PTID,RID,VISCODE,VISCODE2,EXAMDATE,DIAGNOSIS\n";
        let tables = [("i.csv", images.to_owned()), ("d.csv", format!("{header}{visits}"))];
        let records = read(dir.path(), &tables).unwrap();
        let joined = records.join(&rule).next().unwrap();
        (joined.visit.diagnosis, joined.basis)
    };
    let far = with("ADNI1,002_S_0413,413,bl,bl,2005-04-18,1\n");
    assert_eq!(far, (None, DiagnosisBasis::None));
    let two_sided =
        with("ADNI1,002_S_0413,413,bl,bl,2006-04-08,1\nADNI1,002_S_0413,413,m06,m06,2006-04-28,3\n");
    assert!(matches!(two_sided, (None, DiagnosisBasis::Conflict { .. })), "{two_sided:?}");
    let nearer = with("ADNI1,002_S_0413,413,bl,bl,2006-04-08,1\nADNI1,002_S_0413,413,m06,m06,2006-04-20,3\n");
    assert!(matches!(nearer, (Some(Diagnosis::Ad), DiagnosisBasis::Visit { days: 2, .. })), "{nearer:?}");
    let unnamed = read(
        dir.path(),
        &[("d.csv", "RID,VISCODE,DIAGNOSIS\n999,bl,1\n".to_owned()), ("i.csv", images.to_owned())],
    )
    .unwrap();
    assert_eq!(unnamed.tables()[0].n_unknown_people, 1);
    let other_person = format!("{images}1,002_S_0414,ADNI1,9,Original,2006-04-18,MPRAGE\n");
    let message = read(dir.path(), &[("i.csv", other_person)]).unwrap_err().to_string();
    assert!(
        message.contains("I1") && message.contains("sub-002S0413") && message.contains("line 3"),
        "{message}"
    );
}

#[test]
fn a_million_rows_are_read() {
    struct Rows(u32, Vec<u8>);
    impl std::io::Read for Rows {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_empty() && self.0 < 1_000_000 {
                let n = self.0;
                self.0 += 1;
                self.1 = format!(
                    "\"I{n}\",\"{:03}_S_{:04}\",\"CN\",\"F\",\"74\",\"m12\",\"MRI\",\"MPRAGE\",\"Original\",\"4/18/2006\"\n",
                    n % 800,
                    n % 10_000
                )
                .into_bytes();
            }
            let n = self.1.len().min(buffer.len());
            buffer[..n].copy_from_slice(&self.1[..n]);
            self.1.drain(..n);
            Ok(n)
        }
    }
    let header = "Image Data ID,Subject,Group,Sex,Age,Visit,Modality,Description,Type,Acq Date\n";
    let rows = Rows(0, header.as_bytes().to_vec());
    let records = Records::from_reader(BufReader::new(rows), Path::new("huge.csv")).unwrap();
    assert_eq!(records.images().len(), 1_000_000);
}
