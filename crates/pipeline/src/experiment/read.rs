//! Reading `experiment.toml`.

use std::path::{Path, PathBuf};

use super::config::Experiment;
use crate::catalogue::catalogue;
use crate::settings::read_settings;
use crate::{ResultExt, StageError};

impl Experiment {
    /// Reads the file, makes its paths absolute or relative to the current folder, and checks that settings and folders
    /// go together.
    ///
    /// # Errors
    /// [`StageError::SettingsFile`], [`StageError::Setting`] or [`StageError::Output`].
    pub fn read(path: &Path) -> Result<Self, StageError> {
        let mut experiment: Self = read_settings(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for relative in experiment.paths_mut() {
            *relative = folder.join(&*relative);
        }
        if let Some(weights) = &mut experiment.train.weights {
            *weights = catalogue()
                .resolve_in(folder, weights)
                .with_context(|| format!("{}: train.weights", path.display()))?;
        }
        experiment.check().with_context(|| path.display())?;
        Ok(experiment)
    }

    /// All paths, except weights, which may be a name.
    fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let input = &mut self.input;
        let optional = [
            &mut input.dicom,
            &mut input.bids,
            &mut input.masks,
            &mut input.synthstrip_weights,
            &mut self.train.cache.directory,
            &mut self.split.subjects,
        ];
        optional.into_iter().flatten().chain(&mut input.labels).chain([&mut self.out])
    }
}
