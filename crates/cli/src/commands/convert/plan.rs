//! Which series are converted, and under which names.

use std::collections::{BTreeMap, BTreeSet};

use brainreel_artifact::hash_bytes;
use brainreel_cohort::{
    Date, ImageId, LabelRow, LabelTable, LedgerRow, Outcome, ScanId, SessionId, SubjectId,
};
use brainreel_formats::dicom::{FileProblem, SeriesIndex};

/// What the plan depends on beside the series.
pub(crate) struct Rules<'a> {
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
        let label = find_label(index, rules.labels);
        match examine(index, label, rules) {
            Ok(candidate) => candidates.push(candidate),
            Err(verdict) => left_out.push(ledger_row(index, label, verdict)),
        }
    }
    let kept = name_scans(candidates, &mut left_out);
    Plan { kept, left_out }
}

/// A series that passed the rules, before scans of one session are told apart.
struct Candidate<'a> {
    series: &'a SeriesIndex,
    label: Option<&'a LabelRow>,
    subject: SubjectId,
    date: Option<Date>,
}

fn find_label<'a>(series: &SeriesIndex, labels: &'a LabelTable) -> Option<&'a LabelRow> {
    let by_image = series.image_id.as_deref().and_then(|id| labels.lookup(id));
    by_image.or_else(|| {
        let subject = SubjectId::parse(&series.subject).ok()?;
        labels.lookup_date(&subject, scan_date(series)?)
    })
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
    let subject = if rules.hash_subjects {
        SubjectId::parse(hash_bytes(raw.as_bytes()).short())
    } else {
        SubjectId::parse(raw)
    };
    let subject = subject.map_err(|_| Verdict {
        outcome: Outcome::Failed,
        rule: "no_subject",
        reason: "neither the path, nor PatientID, nor a label table gives a usable subject; add a label \
                 table, or pass --hash-subjects"
            .to_owned(),
    })?;
    Ok(Candidate { series, label, subject, date: scan_date(series) })
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
fn name_scans<'a>(candidates: Vec<Candidate<'a>>, left_out: &mut Vec<LedgerRow>) -> Vec<Planned<'a>> {
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
                ledger_row(scan.series, scan.label, verdict)
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
    let subject = Some(planned.scan_id.subject().to_string());
    LedgerRow { subject, ..ledger_row(planned.series, planned.label, verdict) }
}

/// The description comes from the label table: the header's is free text and stays out.
fn ledger_row(series: &SeriesIndex, label: Option<&LabelRow>, verdict: Verdict) -> LedgerRow {
    LedgerRow {
        series: hash_bytes(series.series_uid.as_bytes()).short().to_owned(),
        image_id: series.image_id.as_deref().and_then(|id| ImageId::parse(id).ok()).map(|id| id.to_string()),
        subject: label.map(|row| row.subject.to_string()),
        description: label.and_then(|row| row.description.clone()),
        n_files: series.n_files(),
        outcome: verdict.outcome,
        rule: verdict.rule.to_owned(),
        reason: verdict.reason,
        output: None,
    }
}

/// The ledger's row for a file that is no slice of a series; nothing for files that were never meant to be.
pub(crate) fn problem_row(problem: &FileProblem, root: &std::path::Path) -> Option<LedgerRow> {
    let hidden = problem.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let extension = problem.path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase());
    if hidden || extension.is_some_and(|text| OTHER_FILES.contains(&text.as_str())) {
        return None;
    }
    let relative = problem.path.strip_prefix(root).unwrap_or(&problem.path);
    Some(LedgerRow {
        series: "n/a".to_owned(),
        image_id: None,
        subject: None,
        description: None,
        n_files: 1,
        outcome: Outcome::Dropped,
        rule: "not_dicom".to_owned(),
        reason: format!("{} {}", relative.display(), problem.fault),
        output: None,
    })
}
