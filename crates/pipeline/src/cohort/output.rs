//! The files of a cohort.

use std::path::Path;

use brainreel_artifact::{FolderLock, Provenance, write_atomic, write_json};
use brainreel_cohort::Cohort;
use brainreel_figure::FlowChart;
use serde::{Deserialize, Serialize};

use super::{CohortSummary, report};
use crate::notice::NOTICE;
use crate::{StageError, folders};

/// Says that the folder is ours, and how its files came to be.
const STAMP: &str = "cohort.json";

const FILES: [&str; 6] =
    ["cohort.tsv", "ledger.tsv", "flow.svg", "demographics.tsv", "demographics.json", STAMP];

/// What of [`STAMP`] is read again.
#[derive(Deserialize)]
struct Stamp {
    provenance: Provenance,
}

/// The content of [`STAMP`]: no paths, so that the same work gives the same bytes.
#[derive(Serialize)]
struct Record<'a> {
    notice: &'static str,
    settings: &'a brainreel_cohort::SelectionConfig,
    flow: &'a brainreel_cohort::Flow,
    warnings: &'a [String],
    provenance: Provenance,
}

/// Refuses a folder in which files that brainreel did not write would be replaced.
pub(super) fn refuse_foreign(out: &Path) -> Result<(), StageError> {
    folders::check_output(out)?;
    let stamp = std::fs::read(out.join(STAMP)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let is_ours = stamp.is_some_and(|stamp: Stamp| stamp.provenance.stage == "cohort");
    let foreign = FILES.into_iter().find(|name| !is_ours && out.join(name).exists());
    foreign.map_or(Ok(()), |name| {
        let found = "exists and was not written by the stage `cohort`";
        Err(StageError::output(out.join(name), found, "choose another folder"))
    })
}

/// Writes all files; the stamp comes last but for a folder that has none yet, where it marks the others as ours.
pub(super) fn write(
    out: &Path,
    cohort: &Cohort,
    summary: &CohortSummary,
    provenance: Provenance,
) -> Result<(), StageError> {
    let lock = FolderLock::acquire(out)?;
    lock.remove_litter();
    let record = Record {
        notice: NOTICE,
        settings: &summary.settings,
        flow: &summary.flow,
        warnings: &summary.warnings,
        provenance,
    };
    write_json(&out.join(STAMP), &record)?;
    write_atomic(&out.join("cohort.tsv"), cohort.to_tsv().as_bytes())?;
    write_atomic(&out.join("ledger.tsv"), cohort.ledger_tsv().as_bytes())?;
    write_atomic(&out.join("flow.svg"), chart(summary).to_svg().as_bytes())?;
    write_atomic(&out.join("demographics.tsv"), summary.demographics.to_tsv().as_bytes())?;
    write_json(&out.join("demographics.json"), &summary.demographics)?;
    Ok(())
}

fn chart(summary: &CohortSummary) -> FlowChart {
    let flow = &summary.flow;
    let start = if summary.images.is_some() { "listed or found" } else { "listed" };
    let mut chart = FlowChart::new("How the cohort came about", &format!("{} {start}", flow.all));
    for step in &flow.steps {
        let lost = match step.dropped.n_subjects {
            0 => format!("{}, no subject", report::count_text(step.dropped.n_images)),
            1 => format!("{}, 1 subject", report::count_text(step.dropped.n_images)),
            n => format!("{}, {n} subjects", report::count_text(step.dropped.n_images)),
        };
        chart = chart.step(step.rule.title(), &lost, &step.remaining.to_string());
    }
    for (diagnosis, count) in &flow.kept {
        chart = chart.end(diagnosis.name(), &count.to_string());
    }
    chart
        .note(
            "Each image is dropped by the first rule that it breaks; a subject is lost with the last image.",
        )
        .note("A subject whose diagnosis changes counts under each. For research use only.")
}
