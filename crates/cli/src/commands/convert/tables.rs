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

/// All tables and texts of the dataset, by their path in it.
pub(crate) fn contents(converted: &[&Planned<'_>]) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let description = DatasetDescription::new("T1-weighted MRI converted by brainreel", DatasetKind::Raw);
    let mut description = serde_json::to_vec_pretty(&description)?;
    description.push(b'\n');
    let mut files = vec![
        ("dataset_description.json".to_owned(), description),
        ("README".to_owned(), README.as_bytes().to_vec()),
        (".bidsignore".to_owned(), b"conversion_ledger.tsv\n.brainreel*\n".to_vec()),
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
    files.push(("participants.tsv".to_owned(), participants.into_bytes()));
    for (subject, scans) in people {
        let mut sessions: BTreeMap<_, Vec<&Planned<'_>>> = BTreeMap::new();
        for scan in scans {
            sessions.entry(scan.scan_id.session()).or_default().push(scan);
        }
        let rows = sessions.into_iter().map(|(session, scans)| session_row(session, &scans)).collect();
        let path = format!("{subject}/{subject}_sessions.tsv");
        files.push((path, SessionTable::new(rows).to_tsv().into_bytes()));
    }
    Ok(files)
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
