//! Cross-validation: one split per fold, every subject tested in one of them.

use std::path::{Path, PathBuf};

use brainreel_cohort::{
    Diagnosis, FoldConfig, Matched, Split, SplitConfig, SplitOutcome, match_age_and_sex, split_folds,
};
use serde::Serialize;

use super::{SplitSummary, check_replaceable, read_scans, scan_table, write_split};
use crate::{Observer, Reporter, ResultExt, Stage, StageError, notice};

/// What to split into folds, how, and where to.
#[derive(Debug, Clone)]
pub struct FoldsRequest {
    /// Derivatives, as the stage `preprocess` writes them.
    pub derivatives: PathBuf,
    /// Folder for the tables `split-1.tsv`, `split-2.tsv`, ...
    pub out: PathBuf,
    /// Number of folds, from 2.
    pub n_folds: usize,
    /// Fraction of the scans of each class for validation, from the folds that are not tested. Default: 0.1.
    pub validation: f64,
    /// Seed of the order in which subjects are dealt. Default: 0.
    pub seed: u64,
    /// The classes. Default: CN and AD.
    pub classes: Vec<Diagnosis>,
    /// Largest difference in age, in years, within pairs of an AD and a CN subject of the same sex; subjects without a
    /// partner are left out. Default: no matching.
    pub match_within_years: Option<f64>,
    /// Whether splits that are already in `out` are replaced. Default: no.
    pub overwrite: bool,
}

impl FoldsRequest {
    /// The default folds of a derivatives folder.
    #[must_use]
    pub fn new(derivatives: impl Into<PathBuf>, out: impl Into<PathBuf>, n_folds: usize) -> Self {
        let SplitConfig { validation, seed, classes, .. } = SplitConfig::default();
        Self {
            derivatives: derivatives.into(),
            out: out.into(),
            n_folds,
            validation,
            seed,
            classes,
            match_within_years: None,
            overwrite: false,
        }
    }

    /// The table of a fold; folds count from 1.
    fn path(&self, fold: usize) -> PathBuf {
        self.out.join(format!("split-{fold}.tsv"))
    }
}

/// The splits of all folds.
#[derive(Debug, Clone, Serialize)]
pub struct FoldsSummary {
    /// What this is, and what it is not for.
    pub notice: &'static str,
    /// Number of folds.
    pub n_folds: usize,
    /// The splits.
    pub folds: Vec<SplitSummary>,
}

/// Deals the subjects of a derivatives folder to folds and writes one split per fold.
///
/// # Errors
/// No derivatives, fewer subjects of a class than folds, a share out of range, or files in `out` that may not be
/// replaced.
pub fn run(request: &FoldsRequest, observer: &mut dyn Observer) -> Result<FoldsSummary, StageError> {
    let reporter = Reporter::new(Stage::Split, observer);
    let FoldsRequest { derivatives, n_folds, classes, .. } = request;
    let config = FoldConfig {
        n_folds: *n_folds,
        validation: request.validation,
        seed: request.seed,
        classes: classes.clone(),
    };
    let table = read_scans(derivatives, classes)?;
    let context = || format!("cannot deal the scans of {}", scan_table(derivatives).display());
    let matched = request.match_within_years.map(|years| match_age_and_sex(table.scans(), years));
    let matched = matched.transpose().with_context(context)?;
    let scans = matched.as_ref().map_or(table.scans(), |matched| &matched.scans);
    let splits = split_folds(scans, &config).with_context(context)?;
    for fold in 1..=*n_folds {
        check_replaceable(&request.path(fold), request.overwrite)?;
    }
    check_no_more_folds(&request.path(n_folds + 1), *n_folds)?;
    let mut folds = Vec::new();
    for (split, fold) in splits.into_iter().zip(1..) {
        let outcome = fold_outcome(split, matched.as_ref());
        folds.push(write_split(outcome, &table, classes, &request.path(fold), &reporter)?);
    }
    Ok(FoldsSummary { notice: notice::NOTICE, n_folds: *n_folds, folds })
}

/// Refuses a folder with the splits of more folds, which would stay beside the new ones.
fn check_no_more_folds(next: &Path, n_folds: usize) -> Result<(), StageError> {
    if next.exists() {
        let found = format!("belongs to a cross-validation of more than {n_folds} folds");
        return Err(StageError::output(next, found, "choose another folder"));
    }
    Ok(())
}

fn fold_outcome(split: Split, matched: Option<&Matched>) -> SplitOutcome {
    let left_out = matched.map_or_else(Vec::new, |matched| matched.left_out.clone());
    SplitOutcome {
        split: split.with_left_out(&left_out),
        left_out,
        tested: Vec::new(),
        matching: matched.map(|matched| matched.summary.clone()),
        replay: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use brainreel_cohort::Partition;

    use super::super::tests::write_derivatives;
    use super::*;
    use crate::{Remedy, Silent};

    #[test]
    fn every_subject_is_tested_once_and_folds_are_not_mixed() {
        let dir = tempfile::tempdir().unwrap();
        let derivatives = dir.path().join("derivatives");
        write_derivatives(&derivatives);
        let mut request = FoldsRequest::new(&derivatives, dir.path().join("folds"), 3);
        let summary = run(&request, &mut Silent).unwrap();
        let mut tested = BTreeSet::new();
        for fold in &summary.folds {
            for subject in Split::read(&fold.split).unwrap().subjects_of(Partition::Test) {
                assert!(tested.insert(subject.clone()), "{subject} is tested twice");
            }
        }
        assert_eq!(tested.len(), 16);
        assert_eq!(run(&request, &mut Silent).unwrap_err().remedy(), Some(Remedy::Overwrite));
        request.overwrite = true;
        assert!(run(&request, &mut Silent).is_ok());
        request.n_folds = 2;
        let error = run(&request, &mut Silent).unwrap_err();
        assert!(error.to_string().contains("split-3.tsv"), "{error}");
    }
}
