//! `brainreel audit --price-tag`: what a leaky split costs on one's own data.

use brainreel_pipeline::audit::price_tag::{PriceTagRequest, PriceTagSummary, run};
use brainreel_pipeline::notice;

use crate::commands::evaluate::text;
use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

/// Trains what `--price-tag` asks for, and prints the price.
pub(super) fn execute(request: &PriceTagRequest, ui: &Ui) -> anyhow::Result<Finish> {
    let summary = run(request, &mut TerminalObserver::new(ui))?;
    ui.result(render(&summary));
    ui.summary(&summary)?;
    Ok(Finish::AllWell)
}

fn render(summary: &PriceTagSummary) -> String {
    let rows: Vec<Vec<String>> = summary
        .trainings
        .iter()
        .map(|trial| {
            let scans = &trial.evaluation.scans;
            vec![
                trial.case.title(),
                trial.seed.to_string(),
                format!("{} of {}", scans.n_scans, scans.n_subjects),
                text(&scans.accuracy),
                text(&scans.auc),
            ]
        })
        .collect();
    let header = ["", "seed", "test scans of subjects", "accuracy [95 %]", "AUC [95 %]"];
    let points =
        |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), |v| format!("{:+.1}", 100.0 * v));
    format!(
        "{}\n\nPrice of the leaky split, mean of {} seeds: {} points of accuracy; with shuffled labels {} points, \
         where every point above chance comes from recognising subjects.\n\nIntervals resample subjects within one test \
         partition; they do not include what another split or seed would change, for which see the seeds.\n{}",
        table(&header, &rows),
        summary.n_seeds,
        points(summary.inflation),
        points(summary.inflation_shuffled),
        notice::SENTENCE
    )
}
