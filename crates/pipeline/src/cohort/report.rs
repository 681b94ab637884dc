//! The summary of a selection, and what deserves attention in it.

use std::path::PathBuf;

use brainreel_cohort::{Cohort, CohortImage, Diagnosis, Flow, Records, Rule, SelectionConfig, TableNote};
use serde::Serialize;

use super::{CohortRequest, Demographics};
use crate::StageError;
use crate::notice::NOTICE;

/// What `cohort` did.
#[derive(Debug, Clone, Serialize)]
pub struct CohortSummary {
    notice: &'static str,
    /// The folder that was written.
    pub out: PathBuf,
    /// The tables, in the order of the request.
    pub tables: Vec<TableNote>,
    /// The folder of images.
    pub images: Option<PathBuf>,
    /// The rules of the selection.
    pub settings: SelectionConfig,
    /// How many images and subjects each rule left.
    pub flow: Flow,
    /// Who is in the cohort.
    pub demographics: Demographics,
    /// What deserves attention.
    pub warnings: Vec<String>,
}

impl CohortSummary {
    /// Refuses an empty cohort.
    ///
    /// # Errors
    /// [`StageError::NothingLeft`] names the rule that dropped the last images.
    pub fn ensure_some_left(&self) -> Result<(), StageError> {
        if self.flow.remaining().n_images > 0 {
            return Ok(());
        }
        let last = self.flow.steps.last().map_or_else(
            || "the tables list no image".to_owned(),
            |step| {
                let dropped = count_text(step.dropped.n_images);
                format!("the last rule dropped {dropped} ({})", step.rule.title())
            },
        );
        let ledger = self.out.join("ledger.tsv");
        let reason = format!("no image is left: {last}; {} says why, image by image", ledger.display());
        Err(StageError::NothingLeft { reason })
    }
}

pub(super) fn summarise(request: &CohortRequest, records: &Records, cohort: &Cohort) -> CohortSummary {
    CohortSummary {
        notice: NOTICE,
        out: request.out.clone(),
        tables: records.tables().to_vec(),
        images: request.images.clone(),
        flow: cohort.flow(),
        demographics: Demographics::of(cohort),
        warnings: warnings(records, cohort, &request.config),
        settings: request.config.clone(),
    }
}

/// What deserves attention.
fn warnings(records: &Records, cohort: &Cohort, config: &SelectionConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    for table in records.tables().iter().filter(|table| table.n_unknown_people > 0) {
        warnings.push(format!(
            "{}: {} of {} rows are of people known by a number only; add a table that names them (ADNIMERGE, or \
             a newer DXSUM)",
            table.path.display(),
            table.n_unknown_people,
            table.n_rows
        ));
    }
    let mut of_rule = |rule: Rule, advice: &str| {
        let n = cohort.dropped_by(rule).count();
        if n > 0 {
            warnings.push(format!("{}, {}; {advice}", count_text(n), rule.title()));
        }
    };
    of_rule(Rule::NoImage, "download them, or leave them out");
    of_rule(Rule::NoRow, "is the table that lists them missing? Name it as well");
    of_rule(Rule::SubjectConflict, "are these the tables of this download?");
    of_rule(Rule::DiagnosisConflict, "correct the visits that the ledger names");
    warnings.extend(balance_warnings(cohort, config));
    let n_without =
        |is_without: fn(&CohortImage) -> bool| cohort.kept().filter(|image| is_without(image)).count();
    for (n, what) in [
        (n_without(|image| image.visit.age_years.is_none()), "age"),
        (n_without(|image| image.sex().is_none()), "sex"),
    ] {
        if n > 0 {
            warnings
                .push(format!("{n} images of the cohort have no {what}; ADNIMERGE or an IDA table has it"));
        }
    }
    warnings
}

fn balance_warnings(cohort: &Cohort, config: &SelectionConfig) -> Vec<String> {
    let empty = config.diagnoses.iter().filter(|diagnosis| cohort.count(**diagnosis).n_images == 0);
    let mut warnings: Vec<String> =
        empty.map(|diagnosis| format!("no image with the diagnosis {diagnosis} is left")).collect();
    let (cn, ad) = (cohort.count(Diagnosis::Cn).n_images, cohort.count(Diagnosis::Ad).n_images);
    if config.balance && cn < ad {
        warnings.push(format!("{cn} CN scans against {ad} AD scans: no AD scan is dropped to balance them"));
    }
    warnings
}

/// `1 image`, `2 images`.
pub(super) fn count_text(n_images: usize) -> String {
    format!("{n_images} image{}", if n_images == 1 { "" } else { "s" })
}
