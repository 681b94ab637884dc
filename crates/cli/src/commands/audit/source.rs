//! What is audited: a split of ours, a table of anybody's, or a run folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_audit::TrainingRecord;
use brainreel_cohort::{ClaimedSplit, Partition, SPLIT_MARK, ScanId, ScanTable, SessionId, SubjectId};
use brainreel_pipeline::audit::origin::weights_origin;
use brainreel_pipeline::run_folder::{RunFolder, RunInputs};

use super::AuditArgs;
use crate::folders::{self, Kind};

/// A split to be audited, and what is known of a network trained with it.
pub(super) struct Source {
    pub(super) split: ClaimedSplit,
    pub(super) training: Option<TrainingRecord>,
    /// The files it was read from.
    pub(super) files: Vec<PathBuf>,
    /// Folder that the paths of images are relative to, if they are to be looked at.
    pub(super) images: Option<PathBuf>,
    /// Diagnoses that the scan table has otherwise.
    pub(super) contradictions: Vec<String>,
}

impl Source {
    pub(super) fn read(args: &AuditArgs) -> anyhow::Result<Self> {
        let mut source = match &args.split {
            Some(run) if run.is_dir() => Self::of_run(run)?,
            Some(table) => Self {
                split: ClaimedSplit::read(table, None)?,
                training: None,
                files: vec![table.clone()],
                images: None,
                contradictions: Vec::new(),
            },
            None => Self::of_tables(args)?,
        };
        if let Some(run) = &args.network {
            source.training = Some(record_of(run)?);
        }
        let derivatives = match (&args.derivatives, &args.split) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(run)) if run.is_dir() => {
                Some(run.join(RunInputs::read(&RunFolder::new(run))?.derivatives))
                    .filter(|folder| folder.is_dir())
            }
            _ => None,
        };
        if let Some(folder) = derivatives {
            source.contradictions = look_up(&mut source.split, &folder)?;
            if let Some(run) = args.split.as_ref().filter(|run| run.is_dir() && !args.no_images) {
                refuse_other_images(run, &folder, &source.split)?;
            }
            source.images = Some(folder);
        }
        if let Some(folder) = &args.images {
            folders::check_input(folder, "the folder that image paths are relative to")?;
            source.images = Some(folder.clone());
        }
        source.images = source.images.filter(|_| !args.no_images);
        anyhow::ensure!(!source.split.scans.is_empty(), "{} lists no scan", source.files[0].display());
        Ok(source)
    }

    fn of_run(run: &Path) -> anyhow::Result<Self> {
        folders::check_kind(run, Kind::Run)?;
        let table = RunFolder::new(run).split();
        Ok(Self {
            split: ClaimedSplit::read(&table, None)?,
            training: Some(record_of(run)?),
            files: vec![table],
            images: None,
            contradictions: Vec::new(),
        })
    }

    fn of_tables(args: &AuditArgs) -> anyhow::Result<Self> {
        let mut source = Self {
            split: ClaimedSplit::default(),
            training: None,
            files: Vec::new(),
            images: None,
            contradictions: Vec::new(),
        };
        for (file, partition) in [
            (&args.train, Partition::Train),
            (&args.validation, Partition::Validation),
            (&args.test, Partition::Test),
        ] {
            if let Some(file) = file {
                source.split.scans.extend(ClaimedSplit::read(file, Some(partition))?.scans);
                source.files.push(file.clone());
            }
        }
        Ok(source)
    }
}

/// Takes what the scan table of the derivatives knows of the scans; gives the diagnoses that it has otherwise.
fn look_up(split: &mut ClaimedSplit, derivatives: &Path) -> anyhow::Result<Vec<String>> {
    folders::check_input(derivatives, brainreel_pipeline::folders::Kind::Derivatives.describe())?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let known =
        |subject: &SubjectId, session: &SessionId, run| table.get(&ScanId::new(subject, session, run));
    let mut contradictions = Vec::new();
    for claimed in &mut split.scans {
        let Some(session) = &claimed.session else { continue };
        let Some(scan) = known(&claimed.subject, session, claimed.run) else { continue };
        if let (Some(here), Some(there)) = (claimed.diagnosis, scan.diagnosis)
            && here != there
        {
            contradictions.push(format!("{} is {here} here and {there} there", claimed.describe()));
        }
        claimed.age_years = claimed.age_years.or(scan.age_years);
        claimed.sex = claimed.sex.or(scan.sex);
        claimed.site = claimed.site.take().or_else(|| scan.site.clone());
        claimed.scanner.fill_missing(scan.scanner.clone());
        claimed.sha256 = claimed.sha256.take().or_else(|| scan.sha256.clone());
        claimed.image = claimed.image.take().or_else(|| Some(scan.image.clone()));
    }
    Ok(contradictions)
}

/// Refuses images that are not those that the run was trained with.
fn refuse_other_images(run: &Path, derivatives: &Path, split: &ClaimedSplit) -> anyhow::Result<()> {
    let trained_with = RunInputs::read(&RunFolder::new(run))?.images;
    let now: BTreeSet<&str> = split.scans.iter().filter_map(|scan| scan.sha256.as_deref()).collect();
    let n_others = trained_with.values().filter(|digest| !now.contains(digest.as_str())).count();
    anyhow::ensure!(
        n_others == 0,
        "{n_others} of {} images in {} are not those that {} was trained with; name those with --derivatives, or leave \
         images out with --no-images",
        trained_with.len(),
        derivatives.display(),
        run.display()
    );
    Ok(())
}

/// What a run's network has seen.
fn record_of(run: &Path) -> anyhow::Result<TrainingRecord> {
    folders::check_input(run, "a run folder, as `brainreel train` writes it")?;
    folders::check_kind(run, Kind::Run)?;
    let inputs = RunInputs::read(&RunFolder::new(run))?;
    let table = RunFolder::new(run).split();
    let start = std::fs::read(&table).with_context(|| format!("cannot read {}", table.display()))?;
    anyhow::ensure!(
        start.starts_with(SPLIT_MARK.as_bytes()),
        "{} is not a split that brainreel wrote; restore the run folder",
        table.display()
    );
    let seen =
        ClaimedSplit::read(&table, None)?.scans.into_iter().filter(|scan| scan.partition != Partition::Test);
    let mut trained_on: Vec<SubjectId> = seen.map(|scan| scan.subject).collect();
    trained_on.sort();
    trained_on.dedup();
    // Scans are preprocessed one by one; norms and weights of classes come from training scans.
    Ok(TrainingRecord {
        trained_on,
        crossed_statistics: Some(0),
        weights: weights_origin(inputs.weights_sha256.as_ref()),
    })
}
