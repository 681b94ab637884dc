//! Walking stages in order and skipping what is up to date.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, Provenance, write_json};
use serde::{Deserialize, Serialize};

use crate::finish::Finish;
use crate::ui::Ui;

/// What a stage does, what it depends on and how to see that its outputs are there.
pub(crate) struct Step<'a, P: Serialize> {
    /// Name of the stage, as in `brainreel --help`.
    pub(crate) stage: &'static str,
    /// Revision of the stage's algorithm.
    pub(crate) revision: u32,
    /// Everything that changes the result, except the inputs.
    pub(crate) parameters: &'a P,
    /// Hash of what the stage reads.
    pub(crate) inputs: ContentHash,
    /// Hash of what the stage has written; an error means that it is not there.
    pub(crate) outputs: &'a dyn Fn() -> anyhow::Result<ContentHash>,
}

/// What became of a stage.
#[derive(Debug, Serialize)]
pub(crate) struct StepReport {
    /// Name of the stage.
    pub(crate) stage: String,
    /// Whether it was up to date.
    pub(crate) up_to_date: bool,
    /// Scans that failed.
    pub(crate) n_failed: usize,
}

/// The stamp of a finished stage.
#[derive(Serialize, Deserialize)]
struct Stamp {
    provenance: Provenance,
    outputs: ContentHash,
}

/// The stages walked so far.
pub(crate) struct Walk<'a> {
    stamps: PathBuf,
    ui: &'a Ui,
    reports: Vec<StepReport>,
}

impl<'a> Walk<'a> {
    /// Stamps are kept in a hidden folder of `out`.
    pub(crate) fn new(out: &Path, ui: &'a Ui) -> Self {
        Self { stamps: out.join(".stages"), ui, reports: Vec::new() }
    }

    /// Does `work` unless the stage's stamp says that nothing has changed. Returns the hash of the
    /// outputs, which is an input of the next stage.
    ///
    /// `work` returns the number of scans that failed; a stage with failures gets no stamp, so the next
    /// run tries those scans again.
    pub(crate) fn step<P: Serialize>(
        &mut self,
        step: &Step<'_, P>,
        work: impl FnOnce() -> anyhow::Result<usize>,
    ) -> anyhow::Result<ContentHash> {
        let path = self.stamps.join(format!("{}.json", step.stage));
        let provenance = Provenance::new(step.stage, step.revision, step.parameters, step.inputs.clone());
        if let Some(outputs) = valid_stamp(&path, &provenance, step.outputs) {
            self.ui.note(format!("{:>12} up to date", step.stage));
            self.reports.push(StepReport { stage: step.stage.to_owned(), up_to_date: true, n_failed: 0 });
            return Ok(outputs);
        }
        // An older stamp would vouch for files that are about to change.
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let n_failed = work().with_context(|| format!("stage {}", step.stage))?;
        let outputs = (step.outputs)().with_context(|| format!("outputs of stage {}", step.stage))?;
        if n_failed == 0 {
            write_json(&path, &Stamp { provenance, outputs: outputs.clone() })?;
        }
        self.reports.push(StepReport { stage: step.stage.to_owned(), up_to_date: false, n_failed });
        Ok(outputs)
    }

    /// How the whole walk ended, and the stages one by one.
    pub(crate) fn finish(self) -> (Finish, Vec<StepReport>) {
        let n_failed = self.reports.iter().map(|report| report.n_failed).sum();
        (Finish::from_failures(n_failed), self.reports)
    }
}

fn valid_stamp(
    path: &Path,
    provenance: &Provenance,
    outputs: &dyn Fn() -> anyhow::Result<ContentHash>,
) -> Option<ContentHash> {
    let stamp: Stamp = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (stamp.provenance == *provenance && outputs().ok()? == stamp.outputs).then_some(stamp.outputs)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use brainreel_artifact::{hash_bytes, hash_file};

    use super::*;

    /// Walks one step that copies `parameter` to a file; returns whether it had to work.
    fn walk_once(out: &Path, parameter: &str, n_failed: usize) -> bool {
        let ui = Ui::new(true, None);
        let mut walk = Walk::new(out, &ui);
        let file = out.join("result");
        let worked = Cell::new(false);
        let step = Step {
            stage: "split",
            revision: 1,
            parameters: &parameter,
            inputs: hash_bytes(b"input"),
            outputs: &|| Ok(hash_file(&file)?),
        };
        let work = || {
            worked.set(true);
            std::fs::write(&file, parameter)?;
            Ok(n_failed)
        };
        walk.step(&step, work).unwrap();
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
    fn a_stage_with_failed_scans_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(walk_once(dir.path(), "a", 2));
        assert!(walk_once(dir.path(), "a", 0));
        assert!(!walk_once(dir.path(), "a", 0));
    }
}
