//! The tables of the dataset: people, sessions, description.

use std::collections::BTreeMap;
use std::path::Path;

use brainreel_artifact::{write_atomic, write_json};
use brainreel_cohort::{ParticipantRow, ParticipantTable, SessionRow, SessionTable, SubjectId};
use brainreel_formats::bids::{DatasetDescription, DatasetKind};

use super::plan::Planned;

const README: &str = "\
T1-weighted images converted from DICOM by brainreel. For research use only.

- `conversion_ledger.tsv` lists every series of the download, kept or dropped, and why.
- The diagnosis of a session is in `sub-*/sub-*_sessions.tsv`; it belongs to the visit, not to the person.
";

/// Writes all tables of the dataset.
pub(crate) fn write(bids: &Path, converted: &[&Planned<'_>]) -> anyhow::Result<()> {
    let description = DatasetDescription::new("T1-weighted MRI converted by brainreel", DatasetKind::Raw);
    write_json(&bids.join("dataset_description.json"), &description)?;
    write_atomic(&bids.join("README"), README.as_bytes())?;
    write_atomic(&bids.join(".bidsignore"), b"conversion_ledger.tsv\n.brainreel*\n")?;

    let mut people: BTreeMap<&SubjectId, Vec<&Planned<'_>>> = BTreeMap::new();
    for planned in converted {
        people.entry(planned.scan_id.subject()).or_default().push(planned);
    }
    let participants = people
        .iter()
        .map(|(subject, scans)| ParticipantRow {
            subject: (*subject).clone(),
            sex: scans.iter().find_map(|scan| scan.label?.sex),
        })
        .collect();
    write_atomic(&bids.join("participants.tsv"), ParticipantTable::new(participants).to_tsv().as_bytes())?;
    for (subject, scans) in people {
        let rows = scans.iter().map(|scan| session_row(scan)).collect();
        let path = bids.join(subject.to_string()).join(format!("{subject}_sessions.tsv"));
        write_atomic(&path, SessionTable::new(rows).to_tsv().as_bytes())?;
    }
    Ok(())
}

fn session_row(scan: &Planned<'_>) -> SessionRow {
    SessionRow {
        session: scan.scan_id.session().clone(),
        age_years: scan.label.and_then(|row| row.age_years),
        group: scan.label.and_then(|row| row.group.clone()),
        acquisition_date: scan.date,
        visit: scan.label.and_then(|row| row.session.as_ref()).map(|visit| visit.label().to_owned()),
    }
}
