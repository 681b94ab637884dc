//! `train --verify-resume`: shows that an interrupted run ends in the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use brainreel_artifact::ContentHash;
use brainreel_cohort::Split;
use brainreel_pipeline::train::verify::{
    ComparedFile, N_EPOCHS, Trial, TrialProgram, VerifyRequest, VerifySummary, run,
};
use brainreel_training::TrainConfig;

use super::TrainArgs;
use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

/// This program, started again.
struct ThisProgram {
    path: PathBuf,
    memory_limit: Option<u64>,
    override_audit: Option<String>,
}

impl TrialProgram for ThisProgram {
    fn train(&self, trial: &Trial<'_>) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("train").arg(trial.derivatives).arg("--quiet");
        command.arg("--split").arg(trial.split);
        command.arg("--config").arg(trial.config);
        command.arg("--out").arg(trial.run);
        command.arg("--threads").arg(rayon::current_num_threads().to_string());
        if let Some(limit) = self.memory_limit {
            command.arg("--memory-limit").arg(format!("{}MB", limit as f64 / 1e6));
        }
        if let Some(reason) = &self.override_audit {
            command.arg("--override-audit").arg(reason);
        }
        command
    }

    fn evaluate(&self, run: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("evaluate").arg(run).arg("--quiet");
        command
    }
}

/// Runs `train --verify-resume`.
pub(super) fn execute(
    args: &TrainArgs,
    config: TrainConfig,
    split: Split,
    ui: &Ui,
) -> anyhow::Result<Finish> {
    let program = ThisProgram {
        path: std::env::current_exe().context("cannot find this program")?,
        memory_limit: args.memory_limit,
        override_audit: args.leaks.reason(),
    };
    let request = VerifyRequest { config, ..VerifyRequest::new(&args.derivatives_dir, split, &args.out) };
    let summary = run(&request, &program, &mut TerminalObserver::new(ui))?;
    ui.result(render(&summary));
    ui.summary(&summary)?;
    anyhow::ensure!(
        summary.n_kills > 0,
        "nothing was proven: the second run had ended before it could be killed; try again with settings or scans \
         that take longer"
    );
    anyhow::ensure!(
        summary.identical,
        "the interrupted run differs from the one in one go; please report this, with the table above and your CPU"
    );
    Ok(Finish::AllWell)
}

fn render(summary: &VerifySummary) -> String {
    let short = |hash: &Option<ContentHash>| {
        hash.as_ref().map_or_else(|| "missing".to_owned(), |hash| hash.short().to_owned())
    };
    let row = |file: &ComparedFile| {
        vec![
            file.file.display().to_string(),
            short(&file.uninterrupted),
            short(&file.interrupted),
            if file.is_identical() { "same bytes".to_owned() } else { "DIFFERENT".to_owned() },
        ]
    };
    let rows: Vec<Vec<String>> = summary.files.iter().map(row).collect();
    let verdict = match (summary.identical, summary.n_kills) {
        (_, 0) => "nothing was proven",
        (true, _) => "resuming is exact on this machine",
        (false, _) => "resuming is NOT exact",
    };
    format!(
        "{}\n\n{} scans, {N_EPOCHS} epochs; the second run was killed {} times: {verdict}.",
        table(&["file", "in one go", "killed and resumed", ""], &rows),
        summary.n_scans,
        summary.n_kills
    )
}
