//! What the dataset's tables say about its people.

use std::path::Path;

use brainreel_cohort::{ParticipantTable, Scan, ScanId, SessionId, SessionRow, SessionTable, SubjectId};
use brainreel_formats::bids::{BidsImage, read_scanner};

use super::scan::Done;
use crate::StageError;

/// What the dataset's tables say about its people.
pub(super) struct People<'a> {
    bids: &'a Path,
    participants: ParticipantTable,
}

impl<'a> People<'a> {
    pub(super) fn read(bids: &'a Path) -> Result<Self, StageError> {
        let path = bids.join("participants.tsv");
        let participants =
            if path.exists() { ParticipantTable::read(&path)? } else { ParticipantTable::default() };
        Ok(Self { bids, participants })
    }

    /// The row of `scans.tsv`: diagnosis and age belong to the session, sex and site to the person, the scanner to
    /// the image.
    pub(super) fn describe(&self, image: &BidsImage, done: &Done) -> Result<Scan, StageError> {
        // BIDS lets a subject do without sessions: then all is one session.
        let session = SessionId::parse(image.name.session().unwrap_or("1"))?;
        let scan_id = ScanId::new(&SubjectId::parse(image.name.subject())?, &session, image.name.run());
        let folder = format!("sub-{}", image.name.subject());
        let path = self.bids.join(&folder).join(format!("{folder}_sessions.tsv"));
        let sessions = if path.exists() { SessionTable::read(&path)? } else { SessionTable::default() };
        let session = sessions.get(scan_id.session());
        let participant = self.participants.get(scan_id.subject());
        Ok(Scan {
            site: participant
                .and_then(|row| row.site.as_deref().map(str::to_owned))
                .or_else(|| scan_id.subject().adni_site()),
            scanner: read_scanner(&image.path),
            diagnosis: session.and_then(SessionRow::diagnosis),
            age_years: session.and_then(|row| row.age_years),
            sex: participant.and_then(|row| row.sex),
            image: done.image.clone(),
            sha256: Some(done.sha256.to_string()),
            scan_id,
        })
    }
}
