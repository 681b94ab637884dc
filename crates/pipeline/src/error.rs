//! What can go wrong in a stage, whose fault it is, and what can be done about it.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use brainreel_cohort::{CohortError, SplitError};
use brainreel_training::TrainError;

use crate::Stage;
use crate::settings::SettingsError;

/// Why a stage failed as a whole.
///
/// Messages say what was found and what was expected, and name the file. They name no command line options: a front
/// end turns the [`Remedy`] into its own words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// What was given to read is not what the stage reads.
    #[error("{} {found}; expected {expected}", path.display())]
    Input {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, as the predicate of a sentence: `is a file`, `does not exist`.
        found: String,
        /// What should be there.
        expected: String,
        /// What can be done beside that.
        remedy: Option<Remedy>,
    },
    /// A setting, or a combination of settings, is not possible.
    #[error("{setting}: {found}; expected {expected}")]
    Setting {
        /// The setting, by its key in `experiment.toml`.
        setting: String,
        /// What it was.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A settings file.
    #[error(transparent)]
    SettingsFile(#[from] SettingsError),
    /// The output folder holds something that the stage would lose, overwrite or mix up.
    #[error("{} {found}; {expected}", path.display())]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What is there, as the predicate of a sentence.
        found: String,
        /// What to do.
        expected: String,
        /// What can be done beside that.
        remedy: Option<Remedy>,
    },
    /// The stage refuses to go on, to keep results honest: leaks, failed audits, changed images.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// How a person can go on all the same.
        remedy: Option<Remedy>,
    },
    /// The request leaves out something that its settings need.
    #[error("{what}")]
    Missing {
        /// What is needed, and by which setting.
        what: String,
        /// How to give it.
        remedy: Remedy,
    },
    /// All items of a stage failed or were excluded, so there is nothing to go on with.
    #[error("{reason}")]
    NothingLeft {
        /// What is missing, and which file says why.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted: `read`, `remove`, `list`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file that brainreel wrote is damaged or was edited so that it cannot be read.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The observer asked the stage to stop.
    #[error("{stage} was stopped")]
    Cancelled {
        /// The stage.
        stage: Stage,
    },
    /// Training was stopped, with a checkpoint if there was a step. Nothing may build on the run yet.
    #[error("stopped {}", describe_stop(run, *n_steps))]
    TrainingStopped {
        /// The run folder.
        run: PathBuf,
        /// Steps of the optimizer so far.
        n_steps: u64,
    },
    /// A process that a verification started ended with an error.
    #[error("a trial of the verification ended with {status}: {message}")]
    TrialFailed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        message: String,
    },
    /// An error with the place where it happened.
    #[error("{context}")]
    Context {
        /// The stage, scan or setting.
        context: String,
        /// The error.
        #[source]
        source: Box<StageError>,
    },
    /// Output files and records.
    #[error(transparent)]
    Artifact(#[from] brainreel_artifact::ArtifactError),
    /// Tables and cohorts.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// Names and folders of BIDS datasets.
    #[error(transparent)]
    Bids(#[from] brainreel_formats::bids::BidsError),
    /// Series of DICOM files.
    #[error(transparent)]
    Series(#[from] brainreel_formats::dicom::SeriesError),
    /// NIfTI images.
    #[error(transparent)]
    Nifti(#[from] brainreel_formats::nifti::NiftiError),
    /// Splits.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Metrics.
    #[error(transparent)]
    Statistics(#[from] brainreel_statistics::StatisticsError),
    /// Weights, networks and devices.
    #[error(transparent)]
    Model(#[from] brainreel_models::ModelError),
    /// Logs of a run.
    #[error(transparent)]
    Tracker(#[from] brainreel_trackers::TrackerError),
    /// Settings of preprocessing.
    #[error(transparent)]
    PreprocessConfig(#[from] brainreel_preprocess::ConfigError),
    /// A scan that cannot be preprocessed.
    #[error(transparent)]
    Preprocess(#[from] brainreel_preprocess::PreprocessError),
    /// A brain that cannot be found.
    #[error(transparent)]
    Extraction(#[from] brainreel_preprocess::ExtractionError),
    /// Settings of SynthStrip.
    #[error(transparent)]
    SynthStripConfig(#[from] brainreel_synthstrip::ConfigError),
    /// Published weights.
    #[error(transparent)]
    Weights(#[from] brainreel_weights::WeightsError),
    /// Files with weights.
    #[error(transparent)]
    Checkpoint(#[from] brainreel_checkpoint::CheckpointError),
    /// Training and prediction.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Simulation.
    #[error(transparent)]
    Simulate(#[from] brainreel_simulate::SimulateError),
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The input data.
    Input,
    /// The settings.
    Settings,
    /// The state of the output folder.
    Output,
    /// Nobody's: brainreel refuses, to keep results honest.
    Refusal,
    /// The file system.
    Io,
    /// Nobody's: the work was stopped.
    Stopped,
    /// brainreel's own.
    Internal,
}

/// What a person can do about an error. Exhaustive on purpose: a front end names its own way for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Write to another folder, or wait for the other process.
    ChooseAnotherFolder,
    /// Lose the images of the other download in the dataset.
    ReplaceDataset,
    /// Take a split that is leaky on purpose.
    AllowLeaky,
    /// Go on with a split that fails the audit, with a reason on record.
    OverrideAudit,
    /// Say where the derivatives are now.
    NameDerivatives,
    /// Resume from the checkpoint before the last one.
    ResumeFromPrevious,
    /// Resume from the last checkpoint.
    ResumeFromLast,
    /// Let brainreel overwrite files that it did not write.
    ReplaceFiles,
    /// Lose the network inputs of the other dataset in the folder.
    ReplaceNetworkInputs,
    /// Replace existing files.
    Overwrite,
    /// Take a mask that was edited by hand as input.
    UseAsMask,
    /// Say where the brain masks are.
    NameMasks,
    /// Name a folder for the masks of several heads.
    NameMaskFolder,
    /// Fetch or import the weights, or take the extractor that needs none.
    GetSynthStrip,
    /// Estimate the bias field from the foreground, since the images are stripped already.
    UseForeground,
    /// Exclude scans of unknown site or field strength, on record.
    LeaveOutUnknown,
    /// Convert with tables of diagnoses.
    AddDiagnoses,
    /// Say where the derivatives are that the run was trained with, or compare no images.
    NameDerivativesOrSkipImages,
}

impl Remedy {
    /// What can be done about an error of a split, for front ends that read splits themselves.
    #[must_use]
    pub const fn from_split_error(error: &SplitError) -> Option<Self> {
        match error {
            SplitError::Leaky { .. } => Some(Self::AllowLeaky),
            SplitError::Unknown { .. } => Some(Self::LeaveOutUnknown),
            _ => None,
        }
    }
}

impl StageError {
    /// An input that is not what the stage reads.
    pub fn input(path: impl Into<PathBuf>, found: impl Display, expected: impl Display) -> Self {
        Self::Input {
            path: path.into(),
            found: found.to_string(),
            expected: expected.to_string(),
            remedy: None,
        }
    }

    /// A setting that is not possible.
    pub fn setting(setting: impl Display, found: impl Display, expected: impl Display) -> Self {
        Self::Setting {
            setting: setting.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// An output folder that holds something else.
    pub fn output(path: impl Into<PathBuf>, found: impl Display, expected: impl Display) -> Self {
        Self::Output {
            path: path.into(),
            found: found.to_string(),
            expected: expected.to_string(),
            remedy: None,
        }
    }

    /// A refusal that keeps results honest.
    pub fn refused(reason: impl Display, remedy: impl Into<Option<Remedy>>) -> Self {
        Self::Refused { reason: reason.to_string(), remedy: remedy.into() }
    }

    /// A file that brainreel wrote and that cannot be read any more.
    pub fn damaged(
        path: impl Into<PathBuf>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Damaged { path: path.into(), source: source.into() }
    }

    /// A folder that cannot be listed.
    #[must_use]
    pub fn list(folder: &Path, error: walkdir::Error) -> Self {
        let path = error.path().unwrap_or(folder).to_owned();
        Self::Io { action: "list", path, source: error.into() }
    }

    /// Adds a remedy to an error about an input, an output or a refusal.
    #[must_use]
    pub fn with_remedy(mut self, wanted: Remedy) -> Self {
        if let Self::Input { remedy, .. } | Self::Output { remedy, .. } | Self::Refused { remedy, .. } =
            &mut self
        {
            *remedy = Some(wanted);
        }
        self
    }

    /// The error below all contexts.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Context { source, .. } => source.root(),
            error => error,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self.root() {
            Self::Setting { .. }
            | Self::SettingsFile(_)
            | Self::Missing { .. }
            | Self::PreprocessConfig(_)
            | Self::SynthStripConfig(_) => Fault::Settings,
            Self::Output { .. } => Fault::Output,
            Self::Refused { .. } => Fault::Refusal,
            Self::Io { .. } | Self::Artifact(_) => Fault::Io,
            Self::Cancelled { .. } | Self::TrainingStopped { .. } => Fault::Stopped,
            Self::Train(error) => fault_of_training(error),
            Self::Split(error) | Self::Cohort(CohortError::Split(error)) => fault_of_split(error),
            Self::Cohort(CohortError::Fractions { .. } | CohortError::Folds { .. }) => Fault::Settings,
            _ => Fault::Input,
        }
    }

    /// What can be done about it, if there is something beside correcting the cause.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self.root() {
            Self::Input { remedy, .. } | Self::Output { remedy, .. } | Self::Refused { remedy, .. } => {
                *remedy
            }
            Self::Missing { remedy, .. } => Some(*remedy),
            Self::Weights(brainreel_weights::WeightsError::Missing { name: "synthstrip", .. }) => {
                Some(Remedy::GetSynthStrip)
            }
            Self::PreprocessConfig(brainreel_preprocess::ConfigError::BiasWithoutBrain) => {
                Some(Remedy::UseForeground)
            }
            Self::Artifact(brainreel_artifact::ArtifactError::Locked { .. }) => {
                Some(Remedy::ChooseAnotherFolder)
            }
            Self::Train(TrainError::DamagedLast { .. }) => Some(Remedy::ResumeFromPrevious),
            Self::Train(TrainError::NoPrevious { .. }) => Some(Remedy::ResumeFromLast),
            Self::Split(error) => Remedy::from_split_error(error),
            Self::Cohort(CohortError::Split(error)) => Remedy::from_split_error(error),
            _ => None,
        }
    }

    /// The message and all its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }
}

const fn fault_of_split(error: &SplitError) -> Fault {
    match error {
        SplitError::Settings { .. }
        | SplitError::NoSuchGroup { .. }
        | SplitError::TooMuchTested { .. }
        | SplitError::NoPairs { .. } => Fault::Settings,
        SplitError::Leaky { .. } | SplitError::LeakyEdited { .. } => Fault::Refusal,
        _ => Fault::Input,
    }
}

fn fault_of_training(error: &TrainError) -> Fault {
    match error {
        TrainError::Config { .. }
        | TrainError::Augmentation(_)
        | TrainError::Memory { .. }
        | TrainError::NoPrevious { .. } => Fault::Settings,
        TrainError::OtherRun { .. }
        | TrainError::OtherRevision { .. }
        | TrainError::DamagedLast { .. }
        | TrainError::Checkpoint { .. } => Fault::Output,
        TrainError::Log { .. }
        | TrainError::Remove { .. }
        | TrainError::Read { .. }
        | TrainError::Tracker(_)
        | TrainError::Artifact(_) => Fault::Io,
        _ => Fault::Input,
    }
}

fn describe_stop(run: &Path, n_steps: u64) -> String {
    let run = run.display();
    match n_steps {
        0 => format!(
            "before the first step of {run}; the same training starts over, with the features computed so far"
        ),
        n => format!("after {n} steps, with a checkpoint in {run}; the same training goes on from there"),
    }
}

/// Adds the place where an error happened.
pub trait ResultExt<T> {
    /// Puts `context` in front of an error.
    ///
    /// # Errors
    /// The same error, with its place.
    fn context(self, context: impl Display) -> Result<T, StageError>;

    /// Puts the text that `context` makes in front of an error.
    ///
    /// # Errors
    /// The same error, with its place.
    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T, StageError>;
}

impl<T, E: Into<StageError>> ResultExt<T> for Result<T, E> {
    fn context(self, context: impl Display) -> Result<T, StageError> {
        self.with_context(|| context)
    }

    fn with_context<C: Display>(self, context: impl FnOnce() -> C) -> Result<T, StageError> {
        self.map_err(|error| StageError::Context {
            context: context().to_string(),
            source: Box::new(error.into()),
        })
    }
}

/// Names the file of an I/O error.
pub trait IoContext<T> {
    /// `action` is a verb: `read`, `remove`, `list`.
    ///
    /// # Errors
    /// [`StageError::Io`].
    fn io_context(self, action: &'static str, path: &Path) -> Result<T, StageError>;
}

impl<T> IoContext<T> for Result<T, io::Error> {
    fn io_context(self, action: &'static str, path: &Path) -> Result<T, StageError> {
        self.map_err(|source| StageError::Io { action, path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_hides_neither_fault_nor_remedy_nor_causes() {
        let gone = std::fs::read("/no/such/file").io_context("read", Path::new("/no/such/file"));
        let error = gone.context("stage convert").unwrap_err();
        assert_eq!(error.fault(), Fault::Io);
        assert!(error.chain().starts_with("stage convert: cannot read /no/such/file: "), "{}", error.chain());
        let refused: Result<(), _> = Err(StageError::refused("leaks", Remedy::OverrideAudit));
        let error = refused.context("stage train").unwrap_err();
        assert_eq!((error.fault(), error.remedy()), (Fault::Refusal, Some(Remedy::OverrideAudit)));
        let full = StageError::output("out", "holds another run", "choose another folder");
        assert_eq!(full.to_string(), "out holds another run; choose another folder");
        assert_eq!(full.with_remedy(Remedy::ReplaceDataset).remedy(), Some(Remedy::ReplaceDataset));
    }
}
