//! What the dataset's tables say about its people.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use brainreel_cohort::{ParticipantTable, Scan, ScanId, SessionId, SessionRow, SessionTable, SubjectId};
use brainreel_formats::bids::BidsImage;
use serde::Deserialize;

use super::scan::Done;

/// What the dataset's tables say about its people.
pub(super) struct People<'a> {
    bids: &'a Path,
    participants: ParticipantTable,
}

impl<'a> People<'a> {
    pub(super) fn read(bids: &'a Path) -> anyhow::Result<Self> {
        let path = bids.join("participants.tsv");
        let participants =
            if path.exists() { ParticipantTable::read(&path)? } else { ParticipantTable::default() };
        Ok(Self { bids, participants })
    }

    /// The row of `scans.tsv`: diagnosis and age belong to the session, sex and site to the person, the scanner to
    /// the image.
    pub(super) fn describe(&self, image: &BidsImage, done: &Done) -> anyhow::Result<Scan> {
        // BIDS lets a subject do without sessions: then all is one session.
        let session = SessionId::parse(image.name.session().unwrap_or("1"))?;
        let scan_id = ScanId::new(&SubjectId::parse(image.name.subject())?, &session, image.name.run());
        let folder = format!("sub-{}", image.name.subject());
        let path = self.bids.join(&folder).join(format!("{folder}_sessions.tsv"));
        let sessions = if path.exists() { SessionTable::read(&path)? } else { SessionTable::default() };
        let session = sessions.get(scan_id.session());
        let participant = self.participants.get(scan_id.subject());
        let scanner = Scanner::of(image);
        Ok(Scan {
            site: participant.and_then(|row| row.site.clone()).or_else(|| scan_id.subject().adni_site()),
            scanner: scanner.name(),
            field_strength_t: scanner.magnetic_field_strength.filter(|tesla| (0.0..=100.0).contains(tesla)),
            diagnosis: session.and_then(SessionRow::diagnosis),
            age_years: session.and_then(|row| row.age_years),
            sex: participant.and_then(|row| row.sex),
            image: done.image.clone(),
            sha256: Some(done.sha256.to_string()),
            scan_id,
        })
    }
}

/// Largest sidecar that is read.
const MAX_SIDECAR_BYTES: u64 = 1 << 20;

/// What the JSON file beside an image says of the scanner, whoever wrote it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Scanner {
    /// Who built it.
    pub(crate) manufacturer: Option<String>,
    /// Its model.
    pub(crate) manufacturers_model_name: Option<String>,
    /// Tesla.
    pub(crate) magnetic_field_strength: Option<f64>,
}

impl Scanner {
    /// Nothing where there is no such file, or it is none.
    pub(crate) fn of(image: &BidsImage) -> Self {
        let name = image.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.trim_end_matches(".gz").trim_end_matches(".nii");
        let mut text = String::new();
        File::open(image.path.with_file_name(format!("{stem}.json")))
            .and_then(|file| file.take(MAX_SIDECAR_BYTES).read_to_string(&mut text))
            .ok()
            .and_then(|_| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    /// Manufacturer and model, such as `SIEMENS Avanto`.
    fn name(&self) -> Option<String> {
        let words = self.manufacturer.iter().chain(&self.manufacturers_model_name).map(|word| word.trim());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}
