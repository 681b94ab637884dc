//! Stamps: whether the outputs of a stage are up to date.
//!
//! A stamp holds the provenance of a finished stage and a hash of its outputs. The version of the program is recorded but
//! not compared: an output is out of date when the revision of its stage, its settings or its inputs changed.

use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, Provenance, write_json};
use serde::{Deserialize, Serialize};

use crate::{Detail, IoContext, Observer, ResultExt, Stage, StageError};

/// What a stage does, what it depends on and how to see that its outputs are there.
pub struct Step<'a, P: Serialize> {
    /// The stage.
    pub stage: Stage,
    /// Revision of the stage's algorithm.
    pub revision: u32,
    /// Everything that changes the result, except the inputs.
    pub parameters: &'a P,
    /// Hash of what the stage reads.
    pub inputs: ContentHash,
    /// Hash of what the stage has written; an error means that it is not there.
    pub outputs: &'a dyn Fn() -> Result<ContentHash, StageError>,
}

/// What became of a stage.
#[derive(Debug, Serialize)]
pub struct StepReport {
    /// The stage.
    pub stage: Stage,
    /// Whether it was up to date.
    pub up_to_date: bool,
    /// Scans that failed.
    pub n_failed: usize,
}

/// The stamp of a finished stage.
#[derive(Serialize, Deserialize)]
struct Stamp {
    provenance: Provenance,
    outputs: ContentHash,
}

/// The stages walked so far.
pub struct Walk {
    stamps: PathBuf,
    reports: Vec<StepReport>,
}

impl Walk {
    /// Stamps are kept in a hidden folder of `out`.
    #[must_use]
    pub fn new(out: &Path) -> Self {
        Self { stamps: out.join(".stages"), reports: Vec::new() }
    }

    /// Does `work` unless the stage's stamp says that nothing has changed. Returns the hash of the
    /// outputs, which is an input of the next stage.
    ///
    /// `work` returns the number of scans that failed; a stage with failures gets no stamp, so the next
    /// run tries those scans again.
    ///
    /// # Errors
    /// Those of `work`, and outputs that are missing after it.
    pub fn step<P: Serialize>(
        &mut self,
        step: &Step<'_, P>,
        observer: &mut dyn Observer,
        work: impl FnOnce(&mut dyn Observer) -> Result<usize, StageError>,
    ) -> Result<ContentHash, StageError> {
        let path = self.stamps.join(format!("{}.json", step.stage));
        let provenance =
            Provenance::new(step.stage.name(), step.revision, step.parameters, step.inputs.clone());
        match check_stamp(&path, &provenance, step.outputs) {
            Ok(outputs) => {
                observer.note(step.stage, "up to date");
                self.reports.push(StepReport { stage: step.stage, up_to_date: true, n_failed: 0 });
                return Ok(outputs);
            }
            Err(reason) => observer.detail(step.stage, Detail::Stage, &format!("runs: {reason}")),
        }
        // An older stamp would vouch for files that are about to change.
        if path.exists() {
            std::fs::remove_file(&path).io_context("remove", &path)?;
        }
        let n_failed = work(observer).with_context(|| format!("stage {}", step.stage))?;
        let outputs = (step.outputs)().with_context(|| format!("outputs of stage {}", step.stage))?;
        if n_failed == 0 {
            write_json(&path, &Stamp { provenance, outputs: outputs.clone() })?;
        }
        self.reports.push(StepReport { stage: step.stage, up_to_date: false, n_failed });
        Ok(outputs)
    }

    /// The stages, in order.
    #[must_use]
    pub fn finish(self) -> Vec<StepReport> {
        self.reports
    }
}

/// The hash of the outputs if they are up to date; otherwise the reason why they are not.
fn check_stamp(
    path: &Path,
    provenance: &Provenance,
    outputs: &dyn Fn() -> Result<ContentHash, StageError>,
) -> Result<ContentHash, &'static str> {
    let bytes = std::fs::read(path).map_err(|_| "it has not finished before")?;
    let stamp: Stamp = serde_json::from_slice(&bytes).map_err(|_| "its stamp is damaged")?;
    let earlier = &stamp.provenance;
    if earlier.stage_revision != provenance.stage_revision {
        return Err("this version of brainreel computes other numbers");
    }
    if earlier.parameters != provenance.parameters {
        return Err("its settings changed");
    }
    if earlier.inputs != provenance.inputs {
        return Err("its inputs changed");
    }
    match outputs() {
        Ok(found) if found == stamp.outputs && earlier.is_same_work(provenance) => Ok(found),
        Ok(_) => Err("its outputs were changed"),
        Err(_) => Err("its outputs are missing"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use brainreel_artifact::{hash_bytes, hash_file};

    use super::*;
    use crate::Silent;

    /// Walks one step that copies `parameter` to a file; returns whether it had to work.
    fn walk_once(out: &Path, parameter: &str, n_failed: usize) -> bool {
        let mut walk = Walk::new(out);
        let file = out.join("result");
        let worked = Cell::new(false);
        let step = Step {
            stage: Stage::Split,
            revision: 1,
            parameters: &parameter,
            inputs: hash_bytes(b"input"),
            outputs: &|| Ok(hash_file(&file)?),
        };
        let work = |_: &mut dyn Observer| {
            worked.set(true);
            std::fs::write(&file, parameter).io_context("write", &file)?;
            Ok(n_failed)
        };
        walk.step(&step, &mut Silent, work).unwrap();
        worked.get()
    }

    #[test]
    fn work_is_done_only_when_something_changed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(walk_once(dir.path(), "a", 0));
        assert!(!walk_once(dir.path(), "a", 0));
        assert!(walk_once(dir.path(), "b", 0), "parameters changed");
        std::fs::write(dir.path().join("result"), b"edited").unwrap();
        assert!(walk_once(dir.path(), "b", 0), "outputs changed");
        std::fs::remove_file(dir.path().join("result")).unwrap();
        assert!(walk_once(dir.path(), "b", 0), "outputs are gone");
    }

    #[test]
    fn another_version_of_the_program_alone_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(walk_once(dir.path(), "a", 0));
        let path = dir.path().join(".stages/split.json");
        let stamp = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, stamp.replace(brainreel_artifact::TOOL_VERSION, "brainreel 0.0.1")).unwrap();
        assert!(!walk_once(dir.path(), "a", 0), "only the version changed");
        std::fs::write(&path, stamp.replace("\"stage_revision\": 1", "\"stage_revision\": 0")).unwrap();
        assert!(walk_once(dir.path(), "a", 0), "the revision changed");
    }

    #[test]
    fn a_stage_with_failed_scans_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(walk_once(dir.path(), "a", 2));
        assert!(walk_once(dir.path(), "a", 0));
        assert!(!walk_once(dir.path(), "a", 0));
    }
}
