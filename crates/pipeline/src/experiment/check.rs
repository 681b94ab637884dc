//! Checks of an experiment that need nothing but the file.

use std::path::{Path, PathBuf};

use brainreel_cohort::Partition;
use brainreel_training::CheckpointKind;

use super::config::Experiment;
use super::layout::Layout;
use crate::{ResultExt, StageError, folders};

impl Experiment {
    /// Checks that the settings go together and that no stage writes where another reads its input.
    ///
    /// # Errors
    /// [`StageError::Setting`] or [`StageError::Output`].
    pub fn check(&self) -> Result<(), StageError> {
        self.check_sources()?;
        if let Some(cohort) = &self.cohort {
            cohort.validate().context("[cohort]")?;
        }
        self.convert.validate()?;
        self.check_evaluation()?;
        self.check_limits()?;
        self.check_folders()
    }

    fn check_sources(&self) -> Result<(), StageError> {
        let input = &self.input;
        let n_sources = usize::from(input.dicom.is_some())
            + usize::from(input.bids.is_some())
            + usize::from(input.simulate.is_some());
        if n_sources != 1 {
            let expected = "exactly one of dicom, bids, simulate";
            return Err(StageError::setting("[input]", format!("names {n_sources} sources"), expected));
        }
        if self.cohort.is_some() && input.bids.is_some() {
            let expected = "no such section for a BIDS dataset; the stage `cohort` alone selects from one";
            return Err(StageError::setting("[cohort]", "selects from DICOM files", expected));
        }
        if input.shuffle_labels.is_some() && input.bids.is_some() {
            let expected = "dicom or simulate as input";
            return Err(StageError::setting("input.shuffle_labels", "permutes a label table", expected));
        }
        Ok(())
    }

    fn check_evaluation(&self) -> Result<(), StageError> {
        let evaluate = &self.evaluate;
        if evaluate.checkpoint == CheckpointKind::Previous {
            let expected = "best_loss, best_accuracy or last";
            return Err(StageError::setting("evaluate.checkpoint", evaluate.checkpoint, expected));
        }
        if evaluate.partition == Partition::Train {
            return Err(StageError::setting("evaluate.partition", evaluate.partition, "test or validation"));
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), StageError> {
        let limits = &self.limits;
        if limits.jobs == Some(0) {
            return Err(StageError::setting("limits.jobs", 0, "at least 1"));
        }
        let sizes = [
            ("limits.memory_gb", limits.memory_gb),
            ("limits.training_memory_gb", limits.training_memory_gb),
        ];
        for (setting, gb) in sizes {
            if let Some(gb) = gb.filter(|gb| !(gb.is_finite() && *gb > 0.0)) {
                return Err(StageError::setting(setting, gb, "a number of GB above 0"));
            }
        }
        Ok(())
    }

    /// Every file and folder that a stage writes is apart from everything that the experiment reads. `out` itself may
    /// hold inputs.
    fn check_folders(&self) -> Result<(), StageError> {
        let layout = Layout::new(&self.out);
        let is_simulated = self.input.simulate.is_some();
        let mut outputs = layout.outputs();
        // The download of an earlier simulation may be the input of another experiment in the same folder.
        outputs.retain(|output| is_simulated || *output != layout.download);
        outputs.extend(self.train.cache.directory.clone());
        for (setting, path) in self.input_paths() {
            for output in &outputs {
                folders::check_apart(path, output).with_context(|| setting)?;
            }
        }
        Ok(())
    }

    /// Everything that the experiment reads, with the setting that names it.
    fn input_paths(&self) -> Vec<(&'static str, &Path)> {
        let input = &self.input;
        let one: [(&'static str, &Option<PathBuf>); 6] = [
            ("input.dicom", &input.dicom),
            ("input.bids", &input.bids),
            ("input.masks", &input.masks),
            ("input.synthstrip_weights", &input.synthstrip_weights),
            ("split.subjects", &self.split.subjects),
            ("train.weights", &self.train.weights),
        ];
        let one = one.into_iter().filter_map(|(setting, path)| Some((setting, path.as_deref()?)));
        let labels = input.labels.iter().map(|path| ("input.labels", path.as_path()));
        one.chain(labels).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Input;
    use super::*;

    fn experiment(change: impl FnOnce(&mut Experiment)) -> Experiment {
        let input = Input { dicom: Some("ADNI".into()), ..Input::default() };
        let mut experiment = Experiment::new("results", input);
        change(&mut experiment);
        experiment
    }

    #[test]
    fn no_stage_writes_into_an_input() {
        assert!(experiment(|_| {}).check().is_ok());
        let inside = ["results/cohort", "results/bids/sub-1", "results/run", "results/derivatives"];
        for folder in inside {
            let path = PathBuf::from(folder);
            type Change<'a> = Box<dyn Fn(&mut Experiment) + 'a>;
            let changes: [(&str, Change<'_>); 6] = [
                ("input.dicom", Box::new(|e| e.input.dicom = Some(path.clone()))),
                ("input.labels", Box::new(|e| e.input.labels = vec![path.join("labels.csv")])),
                ("input.masks", Box::new(|e| e.input.masks = Some(path.clone()))),
                (
                    "input.synthstrip_weights",
                    Box::new(|e| e.input.synthstrip_weights = Some(path.join("w.pt"))),
                ),
                ("split.subjects", Box::new(|e| e.split.subjects = Some(path.join("list.csv")))),
                ("train.weights", Box::new(|e| e.train.weights = Some(path.join("w.pth")))),
            ];
            for (setting, change) in changes {
                let message = experiment(|e| change(e)).check().unwrap_err().chain();
                assert!(message.starts_with(setting) && message.contains(folder), "{setting}: {message}");
            }
        }
    }

    #[test]
    fn outputs_of_other_kinds_are_kept_apart_too() {
        for (setting, change) in [
            (
                "input.labels",
                Box::new(|e: &mut Experiment| {
                    e.input.labels = vec!["results/labels_shuffled.csv".into()];
                }) as Box<dyn Fn(&mut Experiment)>,
            ),
            ("split.subjects", Box::new(|e| e.split.subjects = Some("results/split.tsv".into()))),
            ("input.dicom", Box::new(|e| e.train.cache.directory = Some("ADNI/cache".into()))),
            ("input.dicom", Box::new(|e| e.out = "ADNI/results".into())),
            ("input.dicom", Box::new(|e| e.out = "ADNI".into())),
        ] {
            let message = experiment(|e| change(e)).check().unwrap_err().chain();
            assert!(message.starts_with(setting), "{setting}: {message}");
        }
        let download = experiment(|e| e.input.dicom = Some("results/download".into()));
        assert!(download.check().is_ok(), "an earlier simulation may be read again");
        assert!(experiment(|e| e.out = ".".into()).check().is_ok(), "out may hold the input");
    }

    #[test]
    fn only_finished_checkpoints_and_unseen_partitions_are_evaluated() {
        let previous = experiment(|e| e.evaluate.checkpoint = CheckpointKind::Previous);
        assert!(previous.check().unwrap_err().to_string().contains("evaluate.checkpoint"));
        let train = experiment(|e| e.evaluate.partition = Partition::Train);
        assert!(train.check().unwrap_err().to_string().contains("evaluate.partition"));
    }
}
