//! Checks of an experiment that read its inputs, before the first stage works.

use brainreel_cohort::{LabelTable, SubjectList};

use super::config::Experiment;
use super::layout::Layout;
use crate::preprocess::{check_extractor, hash_of_settings};
use crate::run_folder::{RunFolder, RunInputs};
use crate::{ResultExt, StageError, folders};

impl Experiment {
    /// Checks what a later stage would refuse hours from now: inputs, settings of every stage, weights, the device, and
    /// a trained run that other settings of preprocessing would invalidate.
    ///
    /// # Errors
    /// The [`StageError`] that the stage would return, with the name of the stage.
    pub fn check_ready(&self) -> Result<(), StageError> {
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
        let preprocess = preprocess.clone().validated().context("stage preprocess")?;
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
    fn check_trained_run(&self) -> Result<(), StageError> {
        let run = RunFolder::new(Layout::new(&self.out).run);
        if !run.has_checkpoint() {
            return Ok(());
        }
        let settings = hash_of_settings(&self.preprocess);
        let trained_with = RunInputs::read(&run)?.preprocess_parameters;
        if trained_with.is_none_or(|trained_with| trained_with == settings) {
            return Ok(());
        }
        let found =
            "was trained with other settings in [preprocess]; preprocessing would replace its network inputs";
        let expected = "change `out` to start anew, or restore the settings";
        Err(StageError::output(run.path(), found, expected)).context("stage preprocess")
    }
}
