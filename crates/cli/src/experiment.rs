//! `experiment.toml`: one file that says everything about a run.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_cohort::{LabelTable, SelectionConfig, SplitConfig, SubjectList};
use brainreel_pipeline::StageError;
use brainreel_pipeline::catalogue::catalogue;
use brainreel_pipeline::preprocess::{check_extractor, hash_of_settings};
use brainreel_pipeline::run_folder::{RunFolder, RunInputs};
use brainreel_preprocess::PreprocessConfig;
use brainreel_simulate::SimulateConfig;
use brainreel_trackers::TrackerConfig;
use brainreel_training::TrainConfig;
use serde::{Deserialize, Serialize};

use brainreel_pipeline::folders;

/// An experiment: where the scans come from, and the settings of every stage.
///
/// Paths are relative to the folder of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Folder that all outputs go to.
    pub(crate) out: PathBuf,
    /// Where the scans come from.
    pub(crate) input: Input,
    /// Settings of `brainreel cohort`; without them all images are converted.
    pub(crate) cohort: Option<SelectionConfig>,
    /// Settings of `brainreel preprocess`.
    #[serde(default)]
    pub(crate) preprocess: PreprocessConfig,
    /// Settings of `brainreel split`.
    #[serde(default)]
    pub(crate) split: SplitConfig,
    /// Settings of `brainreel train`.
    #[serde(default)]
    pub(crate) train: TrainConfig,
    /// Logs for TensorBoard and Weights & Biases.
    #[serde(default)]
    pub(crate) tracking: TrackerConfig,
}

/// Where the scans come from: exactly one of the three.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// A tree of DICOM files.
    pub(crate) dicom: Option<PathBuf>,
    /// Label tables for `dicom`; without any, the CSV files in the top folder are tried.
    #[serde(default)]
    pub(crate) labels: Vec<PathBuf>,
    /// A BIDS dataset with diagnoses in its sessions.tsv files.
    pub(crate) bids: Option<PathBuf>,
    /// A simulated cohort.
    pub(crate) simulate: Option<SimulateConfig>,
    /// Brain masks for `preprocess.brain_extractor = "mask"`, laid out like the dataset.
    pub(crate) masks: Option<PathBuf>,
    /// Weights of SynthStrip; by default those in the cache.
    pub(crate) synthstrip_weights: Option<PathBuf>,
    /// Seed of a permutation of the diagnoses among the subjects; a check that nothing leaks.
    pub(crate) shuffle_labels: Option<u64>,
}

impl Experiment {
    /// Reads the file and makes its paths absolute or relative to the current folder.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut experiment: Self =
            toml::from_str(&text).with_context(|| format!("{} is not an experiment", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let input = &mut experiment.input;
        let own_paths = input
            .dicom
            .iter_mut()
            .chain(&mut input.bids)
            .chain(&mut input.masks)
            .chain(&mut input.synthstrip_weights)
            .chain(&mut input.labels);
        let train = &mut experiment.train;
        let own_paths = own_paths.chain(&mut train.cache.directory).chain(&mut experiment.split.subjects);
        for relative in own_paths.chain([&mut experiment.out]) {
            *relative = folder.join(&*relative);
        }
        if let Some(weights) = &mut train.weights {
            *weights = catalogue()
                .resolve_in(folder, weights)
                .with_context(|| format!("{}: train.weights", path.display()))?;
        }
        experiment.check().with_context(|| path.display().to_string())?;
        Ok(experiment)
    }

    fn check(&self) -> anyhow::Result<()> {
        let input = &self.input;
        let n_sources = usize::from(input.dicom.is_some())
            + usize::from(input.bids.is_some())
            + usize::from(input.simulate.is_some());
        anyhow::ensure!(
            n_sources == 1,
            "[input] names {n_sources} sources, expected exactly one of dicom, bids, simulate"
        );
        anyhow::ensure!(
            self.cohort.is_none() || input.bids.is_none(),
            "[cohort] selects from DICOM files; for a BIDS dataset take the section out and run `brainreel cohort \
             --images` on the dataset"
        );
        if let Some(cohort) = &self.cohort {
            cohort.validate().context("[cohort]")?;
        }
        anyhow::ensure!(
            input.shuffle_labels.is_none() || input.bids.is_none(),
            "shuffle_labels permutes a label table, so it needs dicom or simulate as input"
        );
        self.check_folders()
    }

    /// Checks, before the first stage, what a later one would stumble over hours from now.
    pub(crate) fn check_ready(&self) -> anyhow::Result<()> {
        let Self { input, preprocess, split, train, .. } = self;
        if let Some(config) = &input.simulate {
            config.validate().context("stage simulate")?;
        }
        if let Some(dicom) = &input.dicom {
            folders::check_input(dicom, "a tree of DICOM files").context("stage convert: input.dicom")?;
        }
        if let Some(bids) = &input.bids {
            folders::check_input(bids, "a BIDS dataset").context("stage preprocess: input.bids")?;
        }
        for table in &input.labels {
            folders::check_file(table, "a label table").context("stage convert: input.labels")?;
        }
        LabelTable::from_files(&input.labels).context("stage convert: input.labels")?;
        let preprocess =
            preprocess.clone().validated().map_err(StageError::from).context("stage preprocess")?;
        split.validate().context("stage split")?;
        if let Some(list) = &split.subjects {
            SubjectList::read(list).context("stage split: split.subjects")?;
        }
        train.validate().context("stage train")?;
        train.device.open().context("stage train: train.device")?;
        if let Some(weights) = &train.weights {
            folders::check_file(weights, "torchvision's .pth, or safetensors with its names")
                .context("stage train: train.weights")?;
        }
        check_extractor(&preprocess, input.masks.as_deref(), input.synthstrip_weights.as_deref())
            .context("stage preprocess")?;
        self.check_trained_run()
    }

    /// Other settings of preprocessing would replace the network inputs that a trained run belongs to.
    fn check_trained_run(&self) -> anyhow::Result<()> {
        let run = RunFolder::new(self.out.join("run"));
        if !run.has_checkpoint() {
            return Ok(());
        }
        let settings = hash_of_settings(&self.preprocess);
        let trained_with = RunInputs::read(&run)?.preprocess_parameters;
        anyhow::ensure!(
            trained_with.is_none_or(|trained_with| trained_with == settings),
            "stage preprocess: [preprocess] was changed since {} was trained, and would replace the network \
             inputs that the run was trained with; change `out` to start anew, or restore the settings",
            run.path().display()
        );
        Ok(())
    }

    /// `out` may hold the input, but not where a stage writes; it may not be the input or lie inside it.
    fn check_folders(&self) -> anyhow::Result<()> {
        let Some(source) = self.input.dicom.as_ref().or(self.input.bids.as_ref()) else { return Ok(()) };
        for folder in ["bids", "derivatives", "run"] {
            folders::check_apart(source, &self.out.join(folder))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use brainreel_cohort::SplitStrategy;

    use super::*;

    fn read(text: &str) -> anyhow::Result<Experiment> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("experiment.toml");
        std::fs::write(&path, text).unwrap();
        Experiment::read(&path)
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let experiment = read("out = \"o\"\n[input]\ndicom = \"ADNI\"\nlabels = [\"/abs/l.csv\"]\n").unwrap();
        assert!(experiment.out.is_absolute() && experiment.out.ends_with("o"));
        assert!(experiment.input.dicom.unwrap().ends_with("ADNI"));
        assert_eq!(experiment.input.labels, [PathBuf::from("/abs/l.csv")]);
    }

    #[test]
    fn training_takes_what_validation_and_test_leave() {
        let split = |text: &str| {
            read(&format!("out = \"o\"\n[input]\nbids = \"b\"\n[split]\n{text}")).map(|read| read.split)
        };
        let config = split("validation = 0.25\ntest = 0.25\n").unwrap();
        assert!((config.train - 0.5).abs() < 1e-12 && config.validate().is_ok());
        assert_eq!(split("").unwrap(), SplitConfig::default());
        assert!(split("train = 0.7\n").unwrap().validate().is_err());
        assert!(split("validation = 0.6\ntest = 0.6\n").unwrap().validate().is_err());
        assert!(split("tests = 0.1\n").is_err());
    }

    #[test]
    fn strategies_are_named_and_their_settings_go_with_them() {
        let split = |text: &str| {
            read(&format!("out = \"o\"\n[input]\nbids = \"b\"\n[split]\n{text}")).map(|read| read.split)
        };
        for strategy in SplitStrategy::ALL {
            let config = split(&format!("strategy = \"{strategy}\"\n")).unwrap();
            assert_eq!(config.strategy, strategy);
        }
        let config = split("strategy = \"leave-site-out\"\nsites = [\"002\"]\n").unwrap();
        assert!(config.validate().is_ok());
        assert!(split("sites = [\"002\"]\n").unwrap().validate().is_err());
        assert!(split("strategy = \"random\"\n").is_err());
        let list = split("strategy = \"subjects\"\nsubjects = \"list.csv\"\n").unwrap().subjects.unwrap();
        assert!(list.is_absolute() && list.ends_with("list.csv"), "{}", list.display());
    }

    #[test]
    fn misspelt_keys_and_missing_sources_are_errors() {
        let message = format!("{:#}", read("out = \"o\"\n[input]\ndicm = \"ADNI\"\n").unwrap_err());
        assert!(message.contains("dicm") && message.contains("experiment.toml"), "{message}");
        for nested in ["ADNI", "ADNI/out", "."] {
            let text = format!("out = \"{nested}\"\n[input]\ndicom = \"ADNI\"\n");
            assert_eq!(read(&text).is_err(), nested != ".", "{nested}");
        }
        assert!(read("out = \".\"\n[input]\nbids = \"bids\"\n").is_err());
        let message = format!("{:#}", read("out = \"o\"\n[input]\n").unwrap_err());
        assert!(message.contains("exactly one of"), "{message}");
    }
}
