//! The split to be audited, read from a table, a run folder or one table per partition, and what is known about it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use brainreel_audit::TrainingRecord;
use brainreel_cohort::{
    ClaimedScan, ClaimedSplit, Partition, SPLIT_MARK, Scan, ScanId, ScanTable, SubjectId,
};

use super::origin::weights_origin;
use super::{AuditRequest, ImageSource, SplitSource};
use crate::folders::{self, Kind};
use crate::run_folder::{RunFolder, RunInputs};
use crate::{IoContext, Remedy, StageError};

/// A split to be audited, with the evidence beside it.
pub(super) struct Source {
    pub(super) split: ClaimedSplit,
    /// How the network was trained that is audited or to be tested.
    pub(super) training: Option<TrainingRecord>,
    /// The files that the split was read from.
    pub(super) files: Vec<PathBuf>,
    /// Folder that the paths of images are relative to; `None` if no images are compared.
    pub(super) images: Option<PathBuf>,
    /// Diagnoses that differ between the split and the scan table.
    pub(super) contradictions: Vec<String>,
}

impl Source {
    pub(super) fn read(request: &AuditRequest) -> Result<Self, StageError> {
        let mut source = match &request.split {
            SplitSource::Run(run) => Self::from_run(run)?,
            SplitSource::Table(table) => Self::from_tables(&[(table, None)])?,
            SplitSource::Tables { train, validation, test } => {
                let tables =
                    [(train, Partition::Train), (validation, Partition::Validation), (test, Partition::Test)];
                let given =
                    tables.iter().filter_map(|(table, partition)| Some((table.as_ref()?, Some(*partition))));
                Self::from_tables(&given.collect::<Vec<_>>())?
            }
        };
        if source.split.scans.is_empty() {
            let expected = "a row for each scan";
            return Err(StageError::input(&source.files[0], "lists no scan", expected));
        }
        if let Some(run) = &request.network {
            source.training = Some(read_training_record(run)?);
        }
        source.add_derivatives(request)?;
        match &request.images {
            ImageSource::Derivatives => {}
            ImageSource::Folder(folder) => {
                folders::check_input(folder, "the folder that image paths are relative to")?;
                source.images = Some(folder.clone());
            }
            ImageSource::Skip => source.images = None,
        }
        Ok(source)
    }

    fn from_run(run: &Path) -> Result<Self, StageError> {
        folders::check_kind(run, Kind::Run)?;
        let mut source = Self::from_tables(&[(&RunFolder::new(run).split(), None)])?;
        source.training = Some(read_training_record(run)?);
        Ok(source)
    }

    fn from_tables(tables: &[(&PathBuf, Option<Partition>)]) -> Result<Self, StageError> {
        let mut source = Self {
            split: ClaimedSplit::default(),
            training: None,
            files: Vec::new(),
            images: None,
            contradictions: Vec::new(),
        };
        for (table, partition) in tables {
            source.split.scans.extend(ClaimedSplit::read(table, *partition)?.scans);
            source.files.push((*table).clone());
        }
        Ok(source)
    }

    /// Adds what the derivatives know about the scans: those of the request, or those of the audited run.
    fn add_derivatives(&mut self, request: &AuditRequest) -> Result<(), StageError> {
        let run = match &request.split {
            SplitSource::Run(run) => Some(run),
            _ => None,
        };
        let derivatives = match (&request.derivatives, run) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(run)) => {
                let folder = run.join(RunInputs::read(&RunFolder::new(run))?.derivatives);
                Some(folder).filter(|folder| folder.is_dir())
            }
            (None, None) => None,
        };
        let Some(derivatives) = derivatives else { return Ok(()) };
        folders::check_input(&derivatives, Kind::Derivatives.describe())?;
        folders::check_kind(&derivatives, Kind::Derivatives)?;
        let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
        self.contradictions = add_scan_table(&mut self.split.scans, &table);
        if let Some(run) = run.filter(|_| request.images != ImageSource::Skip) {
            refuse_other_images(run, &derivatives, &self.split)?;
        }
        self.images = Some(derivatives);
        Ok(())
    }
}

/// Fills in what the scan table knows about the scans; returns the diagnoses that differ.
fn add_scan_table(scans: &mut [ClaimedScan], table: &ScanTable) -> Vec<String> {
    let mut contradictions = Vec::new();
    for claimed in scans {
        let Some(session) = &claimed.session else { continue };
        let Some(scan) = table.get(&ScanId::new(&claimed.subject, session, claimed.run)) else { continue };
        if let (Some(here), Some(there)) = (claimed.diagnosis, scan.diagnosis)
            && here != there
        {
            contradictions.push(format!("{} is {here} here and {there} there", claimed.describe()));
        }
        fill_in(claimed, scan);
    }
    contradictions
}

fn fill_in(claimed: &mut ClaimedScan, scan: &Scan) {
    claimed.age_years = claimed.age_years.or(scan.age_years);
    claimed.sex = claimed.sex.or(scan.sex);
    claimed.site = claimed.site.take().or_else(|| scan.site.clone());
    claimed.scanner.fill_missing(scan.scanner.clone());
    claimed.sha256 = claimed.sha256.take().or_else(|| scan.sha256.clone());
    claimed.image = claimed.image.take().or_else(|| Some(scan.image.clone()));
}

/// Refuses images that are not those that the run was trained with.
fn refuse_other_images(run: &Path, derivatives: &Path, split: &ClaimedSplit) -> Result<(), StageError> {
    let trained_with = RunInputs::read(&RunFolder::new(run))?.images;
    let now: BTreeSet<&str> = split.scans.iter().filter_map(|scan| scan.sha256.as_deref()).collect();
    let n_others = trained_with.values().filter(|digest| !now.contains(digest.as_str())).count();
    if n_others == 0 {
        return Ok(());
    }
    let found = format!(
        "lacks {n_others} of the {} images that {} was trained with",
        trained_with.len(),
        run.display()
    );
    let expected = "the derivatives that the run was trained with";
    Err(StageError::input(derivatives, found, expected).with_remedy(Remedy::NameDerivativesOrSkipImages))
}

/// What the network of a run was trained on.
fn read_training_record(run: &Path) -> Result<TrainingRecord, StageError> {
    folders::check_input(run, Kind::Run.describe())?;
    folders::check_kind(run, Kind::Run)?;
    let folder = RunFolder::new(run);
    let inputs = RunInputs::read(&folder)?;
    let table = folder.split();
    let bytes = std::fs::read(&table).io_context("read", &table)?;
    if !bytes.starts_with(SPLIT_MARK.as_bytes()) {
        let found = "is not a split that brainreel wrote";
        return Err(StageError::input(
            table,
            found,
            "the split that the run was trained with; restore the run folder",
        ));
    }
    let seen =
        ClaimedSplit::read(&table, None)?.scans.into_iter().filter(|scan| scan.partition != Partition::Test);
    let mut trained_on: Vec<SubjectId> = seen.map(|scan| scan.subject).collect();
    trained_on.sort();
    trained_on.dedup();
    Ok(TrainingRecord {
        trained_on,
        // Scans are preprocessed one by one; statistics of batch norms and weights of classes come from training scans.
        crossed_statistics: Some(0),
        weights: weights_origin(inputs.weights_sha256.as_ref()),
    })
}
