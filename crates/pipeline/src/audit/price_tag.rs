//! What a leaky split costs on one's own data: the same training with an honest split and with a leaky one, with the
//! diagnoses as they are and permuted among subjects.

use std::fs;
use std::path::{Path, PathBuf};

use brainreel_artifact::{FolderLock, link_atomic, write_atomic, write_json};
use brainreel_cohort::{LeakPolicy, Scan, ScanTable, SplitConfig, SplitStrategy, split_scans};
use brainreel_statistics::Estimate;
use brainreel_trackers::TrackerConfig;
use brainreel_training::TrainConfig;
use serde::Serialize;

use crate::evaluate::{self, EvaluateRequest, EvaluateSummary};
use crate::folders::{self, Kind};
use crate::shuffle::permute_diagnoses;
use crate::train::{self, TrainRequest};
use crate::{IoContext, Observer, ResultExt, Stage, StageError, notice};

/// The result, in the folder of the trainings.
const RESULT: &str = "price_tag.json";

/// What to train, how often, and where to.
#[derive(Debug, Clone)]
pub struct PriceTagRequest {
    /// The derivatives.
    pub derivatives: PathBuf,
    /// Folder for the trainings; finished ones are not repeated.
    pub out: PathBuf,
    /// Settings of training. Default: those of [`TrainConfig`].
    pub config: TrainConfig,
    /// Fraction of the scans for validation, and the same for the test. Default: 0.2.
    pub share: f64,
    /// Number of repetitions, with seeds 0, 1, ...: each with another split, another permutation and other random
    /// numbers. Default: 1.
    pub n_seeds: u64,
}

impl PriceTagRequest {
    /// One repetition with the default settings.
    #[must_use]
    pub fn new(derivatives: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            derivatives: derivatives.into(),
            out: out.into(),
            config: TrainConfig::default(),
            share: 0.2,
            n_seeds: 1,
        }
    }
}

/// How scans got their diagnosis and their partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Case {
    /// Whether diagnoses were permuted among subjects.
    pub shuffled_labels: bool,
    /// Whether scans of one subject may be in several partitions.
    pub leaky_split: bool,
}

impl Case {
    /// All cases, the honest training first.
    pub const ALL: [Self; 4] = [
        Self { shuffled_labels: false, leaky_split: false },
        Self { shuffled_labels: false, leaky_split: true },
        Self { shuffled_labels: true, leaky_split: false },
        Self { shuffled_labels: true, leaky_split: true },
    ];

    /// The folder of its runs.
    const fn name(self) -> &'static str {
        match (self.shuffled_labels, self.leaky_split) {
            (false, false) => "true-labels_subject-level",
            (false, true) => "true-labels_scan-level",
            (true, false) => "shuffled-labels_subject-level",
            (true, true) => "shuffled-labels_scan-level",
        }
    }

    /// Name for messages and tables.
    #[must_use]
    pub fn title(self) -> String {
        let labels = if self.shuffled_labels { "shuffled labels" } else { "true labels" };
        let split = if self.leaky_split { "scan-level split (LEAKY)" } else { "subject-level split" };
        format!("{labels}, {split}")
    }
}

/// One training and its test.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// Seed of split, permutation and training.
    pub seed: u64,
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// The test.
    pub evaluation: EvaluateSummary,
}

/// Lowest and highest of several values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ValueRange {
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

/// A case over all seeds.
#[derive(Debug, Clone, Serialize)]
pub struct CaseSummary {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// Mean accuracy over the seeds, on test scans.
    pub mean_accuracy: Option<f64>,
    /// Mean AUC over the seeds, on test scans.
    pub mean_auc: Option<f64>,
    /// Lowest and highest accuracy.
    pub accuracy_range: Option<ValueRange>,
}

/// The price of a leaky split.
#[derive(Debug, Clone, Serialize)]
pub struct PriceTagSummary {
    /// What this is, and what it is not for.
    pub notice: &'static str,
    /// The folder of the trainings.
    pub out: PathBuf,
    /// Number of repetitions.
    pub n_seeds: u64,
    /// Mean accuracy with the leaky split minus that with the honest one, with true labels.
    pub inflation: Option<f64>,
    /// The same with shuffled labels: what recognising subjects alone brings.
    pub inflation_shuffled: Option<f64>,
    /// Each case over all seeds.
    pub summary: Vec<CaseSummary>,
    /// All trainings.
    pub trainings: Vec<Trial>,
}

/// Trains and tests all cases. What is finished is not trained again.
///
/// # Errors
/// No derivatives, too few subjects for the split, and all that training and evaluation refuse.
pub fn run(request: &PriceTagRequest, observer: &mut dyn Observer) -> Result<PriceTagSummary, StageError> {
    let PriceTagRequest { derivatives, out, .. } = request;
    observer.stage_started(Stage::Audit);
    folders::check_input(derivatives, Kind::Derivatives.describe())?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    folders::check_apart(derivatives, out)?;
    folders::check_output(out)?;
    let _lock = FolderLock::acquire(out)?;
    let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let mut trainings = Vec::new();
    for seed in 0..request.n_seeds {
        let shuffled = seed_folder(out, seed).join("shuffled-derivatives");
        write_shuffled_derivatives(derivatives, &table, seed, &shuffled)?;
        for case in Case::ALL {
            let derivatives = if case.shuffled_labels { &shuffled } else { derivatives };
            observer.note(Stage::Audit, &format!("price tag: {}, seed {seed}", case.title()));
            let evaluation = train_case(request, derivatives, case, seed, observer)
                .with_context(|| format!("{}, seed {seed}", case.title()))?;
            trainings.push(Trial { seed, case, evaluation });
        }
    }
    let summary = PriceTagSummary::new(out, request.n_seeds, trainings);
    write_json(&out.join(RESULT), &summary)?;
    Ok(summary)
}

fn seed_folder(out: &Path, seed: u64) -> PathBuf {
    out.join(format!("seed-{seed}"))
}

fn train_case(
    request: &PriceTagRequest,
    derivatives: &Path,
    case: Case,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<EvaluateSummary, StageError> {
    let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let strategy = if case.leaky_split { SplitStrategy::ScanLevel } else { SplitStrategy::Stratified };
    let split = SplitConfig {
        strategy,
        seed,
        train: 1.0 - 2.0 * request.share,
        validation: request.share,
        test: request.share,
        ..SplitConfig::default()
    };
    let split = split_scans(table.scans(), &split)?.split;
    let folder = seed_folder(&request.out, seed);
    let run = folder.join(case.name());
    let mut config = TrainConfig { seed, ..request.config.clone() };
    // The four trainings of a seed have the same frozen stages and the same images.
    config.cache.directory.get_or_insert(folder.join("cache"));
    let training = TrainRequest {
        config,
        tracking: TrackerConfig { tensorboard: false, ..TrackerConfig::default() },
        leaks: LeakPolicy::Allow,
        ..TrainRequest::new(derivatives, split, &run)
    };
    train::run(&training, observer)?;
    evaluate::run(&EvaluateRequest { leaks: LeakPolicy::Allow, ..EvaluateRequest::new(&run) }, observer)
}

/// Writes derivatives with the same images and a scan table in which diagnoses are permuted among subjects.
fn write_shuffled_derivatives(
    derivatives: &Path,
    table: &ScanTable,
    seed: u64,
    out: &Path,
) -> Result<(), StageError> {
    let known = table.scans().iter().filter_map(|scan| Some((scan.subject(), scan.diagnosis?)));
    let permuted = permute_diagnoses(known, seed);
    let relabel = |scan: &Scan| Scan { diagnosis: permuted.get(scan.subject()).copied(), ..scan.clone() };
    let scans: Vec<Scan> = table.scans().iter().map(relabel).collect();
    for scan in &scans {
        for file in [scan.image.clone(), sidecar(&scan.image)] {
            let (from, to) = (derivatives.join(&file), out.join(&file));
            if from.is_file() && !to.exists() {
                link_or_copy(&from, &to)?;
            }
        }
    }
    Ok(write_atomic(&out.join("scans.tsv"), ScanTable::new(scans)?.to_tsv().as_bytes())?)
}

/// The JSON file beside an image.
fn sidecar(image: &str) -> String {
    format!("{}.json", image.trim_end_matches(".gz").trim_end_matches(".nii"))
}

/// A hard link where the file system has them, otherwise a copy.
fn link_or_copy(from: &Path, to: &Path) -> Result<(), StageError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).io_context("create", folder)?;
    }
    if link_atomic(from, to).is_ok() {
        return Ok(());
    }
    let bytes = fs::read(from).io_context("read", from)?;
    Ok(write_atomic(to, &bytes)?)
}

impl PriceTagSummary {
    fn new(out: &Path, n_seeds: u64, trainings: Vec<Trial>) -> Self {
        let [honest, leaky, shuffled, shuffled_leaky] =
            Case::ALL.map(|case| CaseSummary::new(case, &trainings));
        let inflation = |leaky: &CaseSummary, honest: &CaseSummary| -> Option<f64> {
            Some(leaky.mean_accuracy? - honest.mean_accuracy?)
        };
        Self {
            notice: notice::NOTICE,
            out: out.to_owned(),
            n_seeds,
            inflation: inflation(&leaky, &honest),
            inflation_shuffled: inflation(&shuffled_leaky, &shuffled),
            summary: vec![honest, leaky, shuffled, shuffled_leaky],
            trainings,
        }
    }
}

impl CaseSummary {
    fn new(case: Case, trainings: &[Trial]) -> Self {
        let values = |measure: fn(&EvaluateSummary) -> &Estimate| -> Vec<f64> {
            let of_case = trainings.iter().filter(|trial| trial.case == case);
            of_case.filter_map(|trial| measure(&trial.evaluation).value).collect()
        };
        let accuracies = values(|summary| &summary.scans.accuracy);
        let lowest = accuracies.iter().copied().reduce(f64::min);
        let highest = accuracies.iter().copied().reduce(f64::max);
        Self {
            case,
            mean_accuracy: mean(&accuracies),
            mean_auc: mean(&values(|summary| &summary.scans.auc)),
            accuracy_range: lowest.zip(highest).map(|(lowest, highest)| ValueRange { lowest, highest }),
        }
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use brainreel_cohort::{Diagnosis, ScanId};

    use super::*;

    #[test]
    fn diagnoses_are_permuted_among_subjects_and_images_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (derivatives, view) = (dir.path().join("derivatives"), dir.path().join("view"));
        let mut scans = Vec::new();
        for idx in 0..20 {
            for visit in ["m00", "m12"] {
                let id = ScanId::parse(&format!("sub-{idx:02}_ses-{visit}")).unwrap();
                let mut scan = Scan::new(id, Some(if idx < 8 { Diagnosis::Ad } else { Diagnosis::Cn }));
                scan.image = format!("sub-{idx:02}/{}.nii.gz", scan.scan_id);
                write_atomic(&derivatives.join(&scan.image), scan.scan_id.to_string().as_bytes()).unwrap();
                scans.push(scan);
            }
        }
        let table = ScanTable::new(scans).unwrap();
        write_shuffled_derivatives(&derivatives, &table, 3, &view).unwrap();
        let shuffled = ScanTable::read(&view.join("scans.tsv")).unwrap();
        let n_ad =
            |table: &ScanTable| table.scans().iter().filter(|s| s.diagnosis == Some(Diagnosis::Ad)).count();
        assert_eq!(n_ad(&shuffled), n_ad(&table));
        assert_ne!(shuffled, table);
        for pair in shuffled.scans().chunks(2) {
            assert_eq!(pair[0].diagnosis, pair[1].diagnosis, "a subject keeps one diagnosis");
        }
        for scan in shuffled.scans() {
            assert_eq!(fs::read_to_string(view.join(&scan.image)).unwrap(), scan.scan_id.to_string());
        }
        write_shuffled_derivatives(&derivatives, &table, 3, &view).unwrap();
        assert_eq!(ScanTable::read(&view.join("scans.tsv")).unwrap(), shuffled, "again the same");
    }
}
