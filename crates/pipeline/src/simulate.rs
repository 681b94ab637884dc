//! A cohort with known truth, written as an ADNI-like download.

use std::path::PathBuf;

use brainreel_artifact::FolderLock;
use brainreel_simulate::{CohortSummary, SimulateConfig, simulate_cohort};

use crate::{Observer, Reporter, ResultExt, Stage, StageError, folders};

/// Raise whenever the same configuration gives other files.
pub const STAGE_REVISION: u32 = 1;

/// Where to write, and what.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulateRequest {
    /// The folder to write to.
    pub out: PathBuf,
    /// The cohort. Default: [`SimulateConfig::default`].
    pub config: SimulateConfig,
}

impl SimulateRequest {
    /// A request with the defaults.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), config: SimulateConfig::default() }
    }
}

/// What `simulate` wrote.
pub type SimulateSummary = CohortSummary;

/// Simulates a cohort.
///
/// # Errors
/// [`StageError`]: a setting that is not possible, a folder that cannot be written to.
pub fn run(request: &SimulateRequest, observer: &mut dyn Observer) -> Result<SimulateSummary, StageError> {
    let reporter = Reporter::new(Stage::Simulate, observer);
    let SimulateRequest { out, config } = request;
    config.validate()?;
    folders::check_output(out)?;
    let lock = FolderLock::acquire(out)?;
    lock.remove_litter();
    let progress = reporter.progress("simulate", 0);
    simulate_cohort(out, config, &|done, total| progress.set(done, total))
        .with_context(|| format!("simulating a cohort in {}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    #[test]
    fn a_wrong_setting_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let config = SimulateConfig { n_visits: 9, ..SimulateConfig::default() };
        let error = run(&SimulateRequest { config, ..SimulateRequest::new(&out) }, &mut Silent).unwrap_err();
        assert!(error.chain().contains("n_visits"), "{}", error.chain());
        assert!(!out.exists());
    }
}
