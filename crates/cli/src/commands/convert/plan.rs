//! Which series are converted, and under which names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use brainreel_artifact::hash_bytes;
use brainreel_cohort::{
    Date, ImageId, LabelRow, LabelTable, LedgerRow, Outcome, ScanId, SessionId, SubjectId,
};
use brainreel_formats::dicom::{FileProblem, SeriesIndex};

/// What the plan depends on beside the series.
pub(crate) struct Rules<'a> {
    /// The folder of the download.
    pub(crate) root: &'a Path,
    /// Who was scanned, when, with which diagnosis.
    pub(crate) labels: &'a LabelTable,
    /// Whether series of other contrasts than T1 are converted as well.
    pub(crate) any_contrast: bool,
    /// Whether subjects get the hash of their id for a name.
    pub(crate) hash_subjects: bool,
}

/// A series that will be converted.
pub(crate) struct Planned<'a> {
    pub(crate) series: &'a SeriesIndex,
    pub(crate) label: Option<&'a LabelRow>,
    pub(crate) scan_id: ScanId,
    pub(crate) date: Option<Date>,
}

/// What is converted, and the ledger of what is not.
pub(crate) struct Plan<'a> {
    pub(crate) kept: Vec<Planned<'a>>,
    pub(crate) left_out: Vec<LedgerRow>,
}

/// A rule's verdict on a series that is not converted.
struct Verdict {
    outcome: Outcome,
    rule: &'static str,
    reason: String,
}

/// Words in a series description that say it is no T1-weighted head.
const OTHER_CONTRASTS: [&str; 17] = [
    "LOCALIZER",
    "LOCALISER",
    "SCOUT",
    "SURVEY",
    "CALIBRATION",
    "T2",
    "PD",
    "FLAIR",
    "DTI",
    "DWI",
    "ADC",
    "BOLD",
    "FMRI",
    "ASL",
    "SWI",
    "FIELDMAP",
    "PHASE",
];

/// File endings that lie about in downloads and are never meant as DICOM.
const OTHER_FILES: [&str; 14] =
    ["csv", "tsv", "txt", "json", "xml", "pdf", "nii", "gz", "zip", "md", "html", "png", "jpg", "part"];

/// Decides about every series.
pub(crate) fn plan<'a>(series: &'a [SeriesIndex], rules: &Rules<'a>) -> Plan<'a> {
    let (mut candidates, mut left_out) = (Vec::new(), Vec::new());
    for index in series {
        let label = find_label(index, rules);
        match examine(index, label, rules) {
            Ok(candidate) => candidates.push(candidate),
            Err(verdict) => left_out.push(ledger_row(index, label, rules, verdict)),
        }
    }
    let kept = name_scans(candidates, rules, &mut left_out);
    Plan { kept, left_out }
}

/// A series that passed the rules, before scans of one session are told apart.
struct Candidate<'a> {
    series: &'a SeriesIndex,
    label: Option<&'a LabelRow>,
    subject: SubjectId,
    date: Option<Date>,
}

/// The label of a series: by image id, by the path of a file or of its folder, by subject and day.
fn find_label<'a>(series: &SeriesIndex, rules: &Rules<'a>) -> Option<&'a LabelRow> {
    let labels = rules.labels;
    let by_image = || labels.lookup(series.image_id.as_deref()?);
    let by_path = || {
        let inside = |path: &Path| {
            let relative = path.strip_prefix(rules.root).unwrap_or(path);
            labels.lookup_path(&relative.to_string_lossy())
        };
        inside(&series.folder).or_else(|| series.paths().find_map(inside))
    };
    let by_day = || labels.lookup_date(&SubjectId::parse(&series.subject).ok()?, scan_date(series)?);
    by_image().or_else(by_path).or_else(by_day)
}

/// The subject's name in all outputs. Spellings of one name become one before they are hashed.
fn output_subject(raw: &str, rules: &Rules<'_>) -> Option<SubjectId> {
    let subject = SubjectId::parse(raw);
    if !rules.hash_subjects {
        return subject.ok();
    }
    let key = subject.map_or_else(|_| raw.to_owned(), |subject| subject.person_key());
    SubjectId::parse(hash_bytes(key.as_bytes()).short()).ok()
}

fn examine<'a>(
    series: &'a SeriesIndex,
    label: Option<&'a LabelRow>,
    rules: &Rules<'_>,
) -> Result<Candidate<'a>, Verdict> {
    let dropped = |rule, reason: String| Err(Verdict { outcome: Outcome::Dropped, rule, reason });
    if series.modality != "MR" {
        return dropped("not_mr", "the modality is not MR".to_owned());
    }
    if let Some(word) = other_contrast(series).filter(|_| !rules.any_contrast) {
        return dropped("not_t1", format!("the series calls itself {word}"));
    }
    let raw = label.map_or(series.subject.as_str(), |row| row.subject.label());
    let known = SubjectId::parse(&series.subject).ok().filter(|_| is_ptid(&series.subject));
    if let (Some(row), Some(known)) = (label, known)
        && row.subject != known
    {
        return Err(Verdict {
            outcome: Outcome::Failed,
            rule: "label_conflict",
            reason: "the label table gives this image to another subject than the download does; \
                     is it the table of this download?"
                .to_owned(),
        });
    }
    let subject = output_subject(raw, rules).ok_or_else(|| Verdict {
        outcome: Outcome::Failed,
        rule: "no_subject",
        reason: "neither the path, nor PatientID, nor a label table gives a usable subject; add a label \
                 table, or pass --hash-subjects"
            .to_owned(),
    })?;
    Ok(Candidate { series, label, subject, date: scan_date(series) })
}

/// `002_S_0413`: a name that only an ADNI participant has.
fn is_ptid(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    text.split_once("_S_").is_some_and(|(site, number)| site.len() == 3 && digits(site) && digits(number))
}

fn other_contrast(series: &SeriesIndex) -> Option<&'static str> {
    let text = format!("{} {}", series.description, series.image_type).to_ascii_uppercase();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    OTHER_CONTRASTS.into_iter().find(|word| words.contains(word))
}

fn scan_date(series: &SeriesIndex) -> Option<Date> {
    let text = series.acquisition_date.as_deref().or(series.study_date.as_deref())?;
    Date::parse(&format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..)?))
}

/// Gives every series its scan id: the visit code if there is one and all its scans are of one day, else
/// the day; scans of one session are numbered in the order of their image ids.
fn name_scans<'a>(
    candidates: Vec<Candidate<'a>>,
    rules: &Rules<'_>,
    left_out: &mut Vec<LedgerRow>,
) -> Vec<Planned<'a>> {
    let mut days: BTreeMap<(&SubjectId, String), BTreeSet<Option<Date>>> = BTreeMap::new();
    for candidate in &candidates {
        if let Some(visit) = visit_code(candidate) {
            days.entry((&candidate.subject, visit)).or_default().insert(candidate.date);
        }
    }
    let session_of = |candidate: &Candidate<'_>| -> SessionId {
        let by_day = candidate.date.map(Date::compact);
        let visit = visit_code(candidate).filter(|visit| {
            by_day.is_none()
                || days.get(&(&candidate.subject, visit.clone())).is_some_and(|days| days.len() == 1)
        });
        let label = visit.or(by_day).unwrap_or_else(|| "1".to_owned());
        SessionId::parse(&label).expect("a visit code or a date is a session label")
    };
    let mut sessions: BTreeMap<(SubjectId, SessionId), Vec<&Candidate<'a>>> = BTreeMap::new();
    for candidate in &candidates {
        sessions.entry((candidate.subject.clone(), session_of(candidate))).or_default().push(candidate);
    }
    let mut kept = Vec::new();
    for ((subject, session), mut scans) in sessions {
        if let Some(reason) = label_conflict(&scans) {
            left_out.extend(scans.iter().map(|scan| {
                let verdict =
                    Verdict { outcome: Outcome::Failed, rule: "label_conflict", reason: reason.clone() };
                ledger_row(scan.series, scan.label, rules, verdict)
            }));
            continue;
        }
        scans.sort_by_key(|scan| (image_number(scan.series), &scan.series.series_uid, &scan.series.folder));
        let several = scans.len() > 1;
        kept.extend((1_u32..).zip(scans).map(|(run, scan)| Planned {
            series: scan.series,
            label: scan.label,
            scan_id: ScanId::new(&subject, &session, several.then_some(run)),
            date: scan.date,
        }));
    }
    kept
}

fn visit_code(candidate: &Candidate<'_>) -> Option<String> {
    candidate.label?.session.as_ref().map(|session| session.label().to_owned())
}

fn label_conflict(scans: &[&Candidate<'_>]) -> Option<String> {
    let groups: BTreeSet<String> =
        scans.iter().filter_map(|scan| Some(scan.label?.group.as_ref()?.to_string())).collect();
    (groups.len() > 1).then(|| {
        let groups: Vec<String> = groups.into_iter().collect();
        format!("one session has the labels {}; correct the label table", groups.join(" and "))
    })
}

/// Numeric order of image ids: I999 before I1000.
fn image_number(series: &SeriesIndex) -> u64 {
    let id = series.image_id.as_deref().unwrap_or_default();
    id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(u64::MAX)
}

/// The ledger's row for a series that will be converted.
pub(crate) fn kept_row(planned: &Planned<'_>, output: String) -> LedgerRow {
    let reason = match planned.label {
        Some(row) if row.diagnosis().is_some() => "T1-weighted, with a diagnosis".to_owned(),
        Some(_) => "T1-weighted; the label table gives no diagnosis".to_owned(),
        None => "T1-weighted; in no label table, so without a diagnosis".to_owned(),
    };
    let verdict = Verdict { outcome: Outcome::Kept, rule: "kept", reason };
    LedgerRow { output: Some(output), ..planned_row(planned, verdict) }
}

/// The ledger's row for a series that could not be converted.
pub(crate) fn failed_row(planned: &Planned<'_>, reason: String) -> LedgerRow {
    planned_row(planned, Verdict { outcome: Outcome::Failed, rule: "not_convertible", reason })
}

fn planned_row(planned: &Planned<'_>, verdict: Verdict) -> LedgerRow {
    base_row(planned.series, planned.label, Some(planned.scan_id.subject()), verdict)
}

/// The description comes from the label table: the header's is free text and stays out.
fn ledger_row(
    series: &SeriesIndex,
    label: Option<&LabelRow>,
    rules: &Rules<'_>,
    verdict: Verdict,
) -> LedgerRow {
    let subject = label.and_then(|row| output_subject(row.subject.label(), rules));
    base_row(series, label, subject.as_ref(), verdict)
}

fn base_row(
    series: &SeriesIndex,
    label: Option<&LabelRow>,
    subject: Option<&SubjectId>,
    verdict: Verdict,
) -> LedgerRow {
    LedgerRow {
        series: hash_bytes(series.series_uid.as_bytes()).short().to_owned(),
        image_id: series.image_id.as_deref().and_then(|id| ImageId::parse(id).ok()).map(|id| id.to_string()),
        subject: subject.map(ToString::to_string),
        description: label.and_then(|row| row.description.clone()),
        n_files: series.n_files(),
        outcome: verdict.outcome,
        rule: verdict.rule.to_owned(),
        reason: verdict.reason,
        output: None,
    }
}

/// The ledger's row for a file that is no slice of a series; nothing for files that were never meant to be.
pub(crate) fn problem_row(problem: &FileProblem, rules: &Rules<'_>) -> Option<LedgerRow> {
    let hidden = problem.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let extension = problem.path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase());
    if hidden || extension.is_some_and(|text| OTHER_FILES.contains(&text.as_str())) {
        return None;
    }
    Some(LedgerRow {
        series: "n/a".to_owned(),
        image_id: None,
        subject: None,
        description: None,
        n_files: 1,
        outcome: Outcome::Dropped,
        rule: "not_dicom".to_owned(),
        reason: without_root(&format!("{} {}", problem.path.display(), problem.fault), &problem.path, rules),
        output: None,
    })
}

/// A reason that names `path`, relative to the download, so that the ledger can travel. With hashed
/// subjects folders and files are hashed too: their names may be those of people.
pub(crate) fn without_root(reason: &str, path: &Path, rules: &Rules<'_>) -> String {
    if rules.hash_subjects {
        let folder = path.parent().unwrap_or(path).to_string_lossy();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hashed = |text: &str| hash_bytes(text.as_bytes()).short().to_owned();
        let reason = reason.replace(&*folder, &hashed(&folder));
        return if name.is_empty() { reason } else { reason.replace(&*name, &hashed(&name)) };
    }
    let root: PathBuf = rules.root.components().collect();
    reason.replace(&format!("{}/", root.display()), "")
}
