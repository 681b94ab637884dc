//! Which series are converted, and under which names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use brainreel_artifact::hash_bytes;
use brainreel_cohort::{
    CohortList, Date, Group, ImageId, LabelRow, LabelTable, LedgerRow, Outcome, ScanId, SessionId, SubjectId,
};
use brainreel_formats::bids::{BidsError, BidsName};
use brainreel_formats::dicom::{FileFault, FileProblem, SeriesIndex};

use super::{ConvertConfig, contrast};

/// What the plan depends on beside the series.
pub(super) struct Rules<'a> {
    /// The folder of the download.
    pub(super) root: &'a Path,
    /// Who was scanned, when, with which diagnosis.
    pub(super) labels: &'a LabelTable,
    /// The images that are converted, if not all are.
    pub(super) cohort: Option<&'a CohortList>,
    /// Settings.
    pub(super) config: &'a ConvertConfig,
}

/// A series that will be converted.
pub(super) struct Planned<'a> {
    pub(super) series: &'a SeriesIndex,
    pub(super) label: Option<&'a LabelRow>,
    pub(super) scan_id: ScanId,
    pub(super) date: Option<Date>,
}

impl Planned<'_> {
    /// The name of the image in the dataset.
    pub(super) fn bids_name(&self) -> Result<BidsName, BidsError> {
        let id = &self.scan_id;
        BidsName::t1w(id.subject().label(), Some(id.session().label()), id.run())
    }
}

/// What is converted, and the ledger of what is not.
pub(super) struct Plan<'a> {
    pub(super) kept: Vec<Planned<'a>>,
    pub(super) excluded: Vec<LedgerRow>,
}

/// A rule's verdict on a series that is not converted.
struct Verdict {
    outcome: Outcome,
    rule: &'static str,
    reason: String,
}

/// Stands for the series of a file that belongs to none.
const NO_SERIES: &str = "n/a";

/// File endings that lie about in downloads and are never meant as DICOM.
const OTHER_FILES: [&str; 14] =
    ["csv", "tsv", "txt", "json", "xml", "pdf", "nii", "gz", "zip", "md", "html", "png", "jpg", "part"];

/// Decides about every series.
pub(super) fn plan<'a>(series: &'a [SeriesIndex], rules: &Rules<'a>) -> Plan<'a> {
    let (mut candidates, mut excluded) = (Vec::new(), Vec::new());
    for index in series {
        let label = find_label(index, rules);
        match examine(index, label, rules) {
            Ok(candidate) => candidates.push(candidate),
            Err(verdict) => excluded.push(ledger_row(index, label, rules, verdict)),
        }
    }
    let kept = name_scans(candidates, rules, &mut excluded);
    Plan { kept, excluded }
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
    let by_day = || labels.lookup_date(&SubjectId::parse(&series.subject).ok()?, series.scan_date()?);
    by_image().or_else(by_path).or_else(by_day)
}

/// The subject's name in all outputs. Spellings of one name become one before they are hashed.
fn output_subject(raw: &str, rules: &Rules<'_>) -> Option<SubjectId> {
    let subject = SubjectId::parse(raw);
    if !rules.config.hash_subjects {
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
    if !rules.config.any_contrast
        && let Some(objection) = contrast::find_objection(series)
    {
        return dropped(objection.rule, objection.reason);
    }
    if let Some(cohort) = rules.cohort.filter(|cohort| !is_listed(series, cohort, rules)) {
        return dropped(
            "not_in_cohort",
            format!("it is none of the {} images of the cohort", cohort.n_images()),
        );
    }
    let raw = label.map_or(series.subject.as_str(), |row| row.person.subject.label());
    let known = SubjectId::parse(&series.subject).ok().filter(|_| is_ptid(&series.subject));
    if let (Some(row), Some(known)) = (label, known)
        && row.person.subject != known
    {
        return Err(Verdict {
            outcome: Outcome::Failed,
            rule: "label_conflict",
            reason: format!(
                "the label table gives this image to {}, the download to {}; is it the table of this download?",
                shown_subject(&row.person.subject, rules),
                shown_subject(&known, rules)
            ),
        });
    }
    let subject = output_subject(raw, rules).ok_or_else(|| Verdict {
        outcome: Outcome::Failed,
        rule: "no_subject",
        reason: "neither the path, nor PatientID, nor a label table gives a usable subject; add a label \
                 table, or name subjects by hashes of their ids"
            .to_owned(),
    })?;
    Ok(Candidate { series, label, subject, date: series.scan_date() })
}

/// Whether a series is in the cohort: by its number, by the path of its folder or of a file.
fn is_listed(series: &SeriesIndex, cohort: &CohortList, rules: &Rules<'_>) -> bool {
    let id = series.image_id.as_deref().and_then(|id| ImageId::parse(id).ok());
    let inside = |path: &Path| path.strip_prefix(rules.root).unwrap_or(path).to_string_lossy().into_owned();
    let paths: Vec<String> =
        std::iter::once(series.folder.as_path()).chain(series.paths()).map(inside).collect();
    cohort.contains(id.as_ref(), paths.iter().map(String::as_str))
}

/// A subject as it may be shown.
fn shown_subject(subject: &SubjectId, rules: &Rules<'_>) -> String {
    output_subject(subject.label(), rules).map_or_else(|| "another subject".to_owned(), |id| id.to_string())
}

/// `002_S_0413`: a name that only an ADNI participant has.
fn is_ptid(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    text.split_once("_S_").is_some_and(|(site, number)| site.len() == 3 && digits(site) && digits(number))
}

/// Gives every series its scan id: the visit code if there is one and all its scans are of one day, else
/// the day; scans of one session are numbered in the order of their image ids.
fn name_scans<'a>(
    candidates: Vec<Candidate<'a>>,
    rules: &Rules<'_>,
    excluded: &mut Vec<LedgerRow>,
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
        if let Some(reason) = label_conflict(&subject, &session, &scans) {
            excluded.extend(scans.iter().map(|scan| {
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
    candidate.label?.visit.session().map(|session| session.label().to_owned())
}

fn label_conflict(subject: &SubjectId, session: &SessionId, scans: &[&Candidate<'_>]) -> Option<String> {
    let groups: BTreeSet<String> =
        scans.iter().filter_map(|scan| Some(scan.label?.group.as_ref()?.to_string())).collect();
    (groups.len() > 1).then(|| {
        let groups: Vec<String> = groups.into_iter().collect();
        format!("{subject}, {session} has the labels {}; correct the label table", groups.join(" and "))
    })
}

/// Numeric order of image ids: I999 before I1000.
fn image_number(series: &SeriesIndex) -> u64 {
    let id = series.image_id.as_deref().unwrap_or_default();
    id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(u64::MAX)
}

/// The ledger's row for a series that was converted.
pub(super) fn kept_row(
    planned: &Planned<'_>,
    output: String,
    warnings: &[String],
    rules: &Rules<'_>,
) -> LedgerRow {
    let contrast = if rules.config.any_contrast {
        "of any contrast, as the settings ask".to_owned()
    } else {
        contrast::describe_t1(planned.series)
    };
    let diagnosis = match (planned.label, unknown_diagnosis(planned)) {
        (Some(row), _) if row.diagnosis().is_some() => "with a diagnosis".to_owned(),
        (Some(_), Some(word)) => {
            format!("without a diagnosis: the label table says `{word}`, expected CN, MCI or AD")
        }
        (Some(_), None) => "without a diagnosis: the label table gives none".to_owned(),
        (None, _) => "without a diagnosis: in no label table".to_owned(),
    };
    let mut reason = format!("{contrast}; {diagnosis}");
    if let Some(missing) = planned.series.missing_slices() {
        reason += &format!("; {missing}");
    }
    for warning in warnings {
        reason += &format!("; warning: {warning}");
    }
    let verdict = Verdict { outcome: Outcome::Kept, rule: "kept", reason };
    LedgerRow { output: Some(output), ..planned_row(planned, rules, verdict) }
}

/// The word in the label table's group column, if it is no diagnosis.
pub(super) fn unknown_diagnosis(planned: &Planned<'_>) -> Option<String> {
    match planned.label?.group.as_ref()? {
        Group::Other(word) => Some(word.clone()),
        Group::Diagnosis(_) => None,
    }
}

/// The ledger's row for a series that could not be converted.
pub(super) fn failed_row(planned: &Planned<'_>, reason: String, rules: &Rules<'_>) -> LedgerRow {
    planned_row(planned, rules, Verdict { outcome: Outcome::Failed, rule: "not_convertible", reason })
}

fn planned_row(planned: &Planned<'_>, rules: &Rules<'_>, verdict: Verdict) -> LedgerRow {
    base_row(planned.series, planned.label, Some(planned.scan_id.subject()), rules, verdict)
}

/// The description comes from the label table: the header's is free text and stays out.
fn ledger_row(
    series: &SeriesIndex,
    label: Option<&LabelRow>,
    rules: &Rules<'_>,
    verdict: Verdict,
) -> LedgerRow {
    let subject = label.and_then(|row| output_subject(row.person.subject.label(), rules));
    base_row(series, label, subject.as_ref(), rules, verdict)
}

fn base_row(
    series: &SeriesIndex,
    label: Option<&LabelRow>,
    subject: Option<&SubjectId>,
    rules: &Rules<'_>,
    verdict: Verdict,
) -> LedgerRow {
    let image_id = series.image_id.as_deref().and_then(|id| ImageId::parse(id).ok()).map(|id| id.to_string());
    // Whoever has the archive's tables finds the subject of an image.
    let hash = |id: String| hash_bytes(id.as_bytes()).short().to_owned();
    LedgerRow {
        series: hash_bytes(series.series_uid.as_bytes()).short().to_owned(),
        image_id: if rules.config.hash_subjects { image_id.map(hash) } else { image_id },
        subject: subject.map(ToString::to_string),
        description: label.and_then(|row| row.image.description.as_deref().map(str::to_owned)),
        n_files: series.n_files(),
        outcome: verdict.outcome,
        rule: verdict.rule.to_owned(),
        reason: verdict.reason,
        output: None,
    }
}

/// The ledger's row for a file that is no slice of a series; nothing for files that were never meant to
/// be. A damaged file, or one that lies among the slices of a series and is named like them, is a slice
/// that was lost: a failure.
pub(super) fn problem_row(
    problem: &FileProblem,
    kept: &[Planned<'_>],
    rules: &Rules<'_>,
) -> Option<LedgerRow> {
    let path = problem.path.as_path();
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    if hidden || extension(path).is_some_and(|text| OTHER_FILES.contains(&text.as_str())) {
        return None;
    }
    let among = |planned: &Planned<'_>| {
        planned.series.paths().any(|slice| {
            slice.parent() == path.parent() && (is_dcm(path) || extension(slice) == extension(path))
        })
    };
    let lost = match problem.fault {
        FileFault::Read(_) | FileFault::Truncated { .. } | FileFault::Damaged { .. } => true,
        FileFault::NotDicom { .. } => kept.iter().any(among),
        _ => false,
    };
    let (outcome, rule) = match problem.fault {
        _ if lost => (Outcome::Failed, "unreadable_file"),
        FileFault::LinkOut => (Outcome::Dropped, "link_out_of_tree"),
        _ => (Outcome::Dropped, "not_dicom"),
    };
    Some(LedgerRow {
        series: NO_SERIES.to_owned(),
        image_id: None,
        subject: None,
        description: None,
        n_files: 1,
        outcome,
        rule: rule.to_owned(),
        reason: portable(&format!("{} {}", path.display(), problem.fault), [path].into_iter(), rules),
        output: None,
    })
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase())
}

fn is_dcm(path: &Path) -> bool {
    extension(path).is_some_and(|text| text == "dcm")
}

/// Whether a row is about a file that is no slice of a series.
pub(super) fn is_file(row: &LedgerRow) -> bool {
    row.series == NO_SERIES
}

/// A reason that names some of `paths` or their folders, with their places in the download, so that the
/// ledger can travel. With hashed subjects folders and files are hashed: their names may be those of people.
pub(super) fn portable<'p>(reason: &str, paths: impl Iterator<Item = &'p Path>, rules: &Rules<'_>) -> String {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for path in paths.filter(|path| path.components().next().is_some()) {
        let Some(folder) = path.parent() else { continue };
        for named in [path, folder] {
            let text = named.display().to_string();
            if !text.is_empty() && reason.contains(&text) {
                names.insert(text, place(named, named == folder, rules));
            }
        }
    }
    replace_names(reason, &names)
}

/// A file or folder as it may be shown.
fn place(path: &Path, is_folder: bool, rules: &Rules<'_>) -> String {
    let inside = path.strip_prefix(rules.root).unwrap_or(path);
    if !rules.config.hash_subjects {
        return if inside.as_os_str().is_empty() { ".".to_owned() } else { inside.display().to_string() };
    }
    let hashed = |text: &str| hash_bytes(text.as_bytes()).short().to_owned();
    if is_folder {
        return hashed(&inside.to_string_lossy());
    }
    let folder = inside.parent().unwrap_or(Path::new("")).to_string_lossy();
    let name = inside.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/{}", hashed(&folder), hashed(&name))
}

/// Replaces whole names in a text, files before the folders that they lie in, each place once.
fn replace_names(text: &str, names: &BTreeMap<String, String>) -> String {
    let in_name = |c: char| c.is_alphanumeric() || "/\\_-".contains(c);
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let starts = !out.ends_with(in_name);
        let found = names.iter().rev().find(|(name, _)| {
            starts && rest.strip_prefix(name.as_str()).is_some_and(|behind| !behind.starts_with(in_name))
        });
        if let Some((name, shown)) = found {
            out += shown;
            rest = &rest[name.len()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reason: &str, root: &str, path: &str) -> String {
        let labels = LabelTable::default();
        let config = ConvertConfig::default();
        let rules = Rules { root: Path::new(root), labels: &labels, cohort: None, config: &config };
        portable(reason, [Path::new(path)].into_iter(), &rules)
    }

    #[test]
    fn names_start_at_the_download() {
        assert_eq!(shown("series in /a/b has 3", "/a/b", "/a/b/x.dcm"), "series in . has 3");
        assert_eq!(shown("/a/b/c/x.dcm is cut (in /a/b/c)", "/a/b", "/a/b/c/x.dcm"), "c/x.dcm is cut (in c)");
        assert_eq!(shown("series in a has a 3 a", "./a", "./a/x"), "series in a has a 3 a");
        assert_eq!(shown("./x.dcm is cut. 3 mm.", ".", "./x.dcm"), "x.dcm is cut. 3 mm.");
        assert_eq!(shown("a/a/x of a/ab", "a", "a/a/x"), "a/x of a/ab");
    }
}
