//! The tables of the dataset: people, sessions, description.

use std::collections::BTreeMap;

use brainreel_cohort::{ParticipantTable, Person, SessionId, SessionRow, SessionTable, SubjectId};
use brainreel_formats::bids::{DatasetDescription, DatasetKind};

use super::plan::Planned;

const README: &str = "\
T1-weighted images converted from DICOM by brainreel. For research use only.

- `conversion_ledger.tsv` lists every series of the download, kept or dropped, and why.
- The diagnosis of a session is in `sub-*/sub-*_sessions.tsv`; it belongs to the visit, not to the person.
";

/// A table or a text of the dataset.
pub(super) struct TextFile {
    /// Path in the dataset, with forward slashes.
    pub(super) path: String,
    pub(super) content: Vec<u8>,
}

impl TextFile {
    fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: content.into() }
    }
}

/// All tables and texts of the dataset.
pub(super) fn contents(converted: &[&Planned<'_>]) -> Vec<TextFile> {
    let description = DatasetDescription::new("T1-weighted MRI converted by brainreel", DatasetKind::Raw);
    let mut description = serde_json::to_vec_pretty(&description).expect("texts only");
    description.push(b'\n');
    let mut files = vec![
        TextFile::new("dataset_description.json", description),
        TextFile::new("README", README),
        TextFile::new(".bidsignore", "conversion_ledger.tsv\n.brainreel*\n"),
    ];

    let mut people: BTreeMap<&SubjectId, Vec<&Planned<'_>>> = BTreeMap::new();
    for planned in converted {
        people.entry(planned.scan_id.subject()).or_default().push(planned);
    }
    let participants = people
        .iter()
        .map(|(subject, scans)| Person {
            subject: (*subject).clone(),
            sex: scans.iter().find_map(|scan| scan.label?.person.sex),
            site: subject.adni_site().map(Into::into),
        })
        .collect();
    let participants = ParticipantTable::new(participants).to_tsv();
    files.push(TextFile::new("participants.tsv", participants));
    for (subject, scans) in people {
        let mut sessions: BTreeMap<_, Vec<&Planned<'_>>> = BTreeMap::new();
        for scan in scans {
            sessions.entry(scan.scan_id.session()).or_default().push(scan);
        }
        let rows = sessions.into_iter().map(|(session, scans)| session_row(session, &scans)).collect();
        let path = format!("{subject}/{subject}_sessions.tsv");
        files.push(TextFile::new(path, SessionTable::new(rows).to_tsv()));
    }
    files
}

/// What any of the session's scans knows; conflicting labels were refused before.
fn session_row(session: &SessionId, scans: &[&Planned<'_>]) -> SessionRow {
    let labels = || scans.iter().filter_map(|scan| scan.label);
    SessionRow {
        session: session.clone(),
        age_years: labels().find_map(|row| row.visit.age_years),
        group: labels().find_map(|row| row.group.clone()),
        acquisition_date: scans.iter().find_map(|scan| scan.date),
        visit: labels().find_map(|row| row.visit.session()).map(|visit| visit.label().to_owned()),
    }
}
