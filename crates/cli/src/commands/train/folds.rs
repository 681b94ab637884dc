//! `train --folds`: cross-validation.

use brainreel_pipeline::evaluate::MEASURES;
use brainreel_pipeline::notice;
use brainreel_pipeline::train::folds::{FoldsRequest, FoldsSummary, run};
use brainreel_statistics::Estimate;
use brainreel_training::TrainConfig;

use super::TrainArgs;
use crate::commands::evaluate::text;
use crate::finish::Finish;
use crate::leaks::closing;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

/// Runs `train --folds`.
pub(super) fn execute(
    args: &TrainArgs,
    n_folds: usize,
    config: TrainConfig,
    offline: bool,
    ui: &Ui,
) -> anyhow::Result<Finish> {
    let request = FoldsRequest {
        validation: args.validation,
        config,
        resume_from: args.resume_from,
        tracking: args.tracking.config(),
        offline,
        memory_limit: args.memory_limit,
        override_audit: args.leaks.reason(),
        ..FoldsRequest::new(&args.derivatives_dir, n_folds, &args.out)
    };
    let summary = run(&request, &mut TerminalObserver::new(ui))?;
    ui.result(render(&summary));
    ui.summary(&summary)?;
    Ok(Finish::AllWell)
}

/// Folds, mean and standard deviation, and the pooled measures, for the terminal.
fn render(summary: &FoldsSummary) -> String {
    let value = |estimate: &Estimate| match estimate.value {
        None => "n/a".to_owned(),
        Some(value) => format!("{value:.3}"),
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (fold, evaluation) in summary.folds.iter().enumerate() {
        let metrics = &evaluation.scans;
        let counts = format!("{} of {}", metrics.n_scans, metrics.n_subjects);
        let values = MEASURES.iter().map(|measure| value((measure.of)(metrics)));
        rows.push([(fold + 1).to_string(), counts].into_iter().chain(values).collect());
    }
    let spreads = summary.summary.iter().map(|spread| spread.scans.to_string());
    rows.push(["mean ± SD".to_owned(), String::new()].into_iter().chain(spreads).collect());
    let spreads = summary.summary.iter().map(|spread| spread.subjects.to_string());
    rows.push(["over subjects".to_owned(), String::new()].into_iter().chain(spreads).collect());
    let header: Vec<&str> =
        ["fold", "scans of subjects"].into_iter().chain(MEASURES.map(|measure| measure.title)).collect();
    let pooled = MEASURES.map(|measure| {
        let of = |metrics| text((measure.of)(metrics));
        vec![measure.title.to_owned(), of(&summary.pooled_scans), of(&summary.pooled_subjects)]
    });
    let (scans, subjects) = (
        format!("all {} scans [95 %]", summary.pooled_scans.n_scans),
        format!("all {} subjects [95 %]", summary.pooled_subjects.n_subjects),
    );
    let start = if summary.folds.iter().any(|fold| fold.initial_weights_sha256.is_none()) {
        format!("The networks were {}.\n", notice::NOT_PRETRAINED)
    } else {
        String::new()
    };
    format!(
        "{}\n\n{}\n\nFolds share training scans, so that their standard deviation understates the uncertainty; the \
         intervals resample subjects.\nProbabilities of different folds come from different networks; the AUC over \
         all scans takes them as comparable.\n\n{start}{}",
        table(&header, &rows),
        table(&["", &scans, &subjects], &pooled),
        closing(false)
    )
}
