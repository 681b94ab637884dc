//! What a leaky split costs on one's own data: the same training with an honest split and with a leaky one, with the
//! diagnoses as they are and permuted among subjects.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{FolderLock, link_atomic, write_atomic, write_json};
use brainreel_cohort::{LeakPolicy, Scan, ScanTable, SplitConfig, SplitStrategy, split_scans};
use brainreel_pipeline::evaluate::{self, EvaluateRequest, EvaluateSummary};
use brainreel_pipeline::notice::NOTICE;
use brainreel_pipeline::shuffle::permute_diagnoses;
use brainreel_pipeline::train::{self, TrainRequest};
use brainreel_statistics::Estimate;
use brainreel_trackers::TrackerConfig;
use brainreel_training::TrainConfig;
use serde::Serialize;

use crate::commands::evaluate::text;
use crate::folders::{self, Kind};
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

/// The result.
const RESULT: &str = "price_tag.json";

/// What is trained, how often, and where to.
pub(super) struct Request<'a> {
    pub(super) derivatives: &'a Path,
    pub(super) out: &'a Path,
    pub(super) config: TrainConfig,
    pub(super) split: SplitConfig,
    /// Seeds 0, 1, ...: each another split, another permutation, other random numbers.
    pub(super) n_seeds: u64,
}

/// How scans got their labels and their partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Case {
    /// Whether diagnoses were permuted among subjects.
    shuffled_labels: bool,
    /// Whether scans of one subject may be on both sides.
    leaky_split: bool,
}

impl Case {
    const ALL: [Self; 4] = [
        Self { shuffled_labels: false, leaky_split: false },
        Self { shuffled_labels: false, leaky_split: true },
        Self { shuffled_labels: true, leaky_split: false },
        Self { shuffled_labels: true, leaky_split: true },
    ];

    fn name(self) -> &'static str {
        match (self.shuffled_labels, self.leaky_split) {
            (false, false) => "true-labels_subject-level",
            (false, true) => "true-labels_scan-level",
            (true, false) => "shuffled-labels_subject-level",
            (true, true) => "shuffled-labels_scan-level",
        }
    }

    fn title(self) -> String {
        let labels = if self.shuffled_labels { "shuffled labels" } else { "true labels" };
        let split = if self.leaky_split { "scan-level split (LEAKY)" } else { "subject-level split" };
        format!("{labels}, {split}")
    }
}

/// One training.
#[derive(Debug, Serialize)]
struct Trained {
    seed: u64,
    #[serde(flatten)]
    case: Case,
    evaluation: EvaluateSummary,
}

/// A case over all seeds.
#[derive(Debug, Serialize)]
struct CaseSummary {
    #[serde(flatten)]
    case: Case,
    /// Mean over the seeds of accuracy and AUC over test scans.
    mean_accuracy: Option<f64>,
    mean_auc: Option<f64>,
    /// Lowest and highest accuracy.
    accuracy_range: Option<[f64; 2]>,
}

/// What `audit --price-tag` reports.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    notice: &'static str,
    out: PathBuf,
    n_seeds: u64,
    /// Mean accuracy of the leaky split less that of the honest one, labels as they are.
    inflation: Option<f64>,
    /// The same with shuffled labels: what memory of people alone brings.
    inflation_shuffled: Option<f64>,
    summary: Vec<CaseSummary>,
    trainings: Vec<Trained>,
}

/// Trains all cases; what is finished is not trained again.
pub(super) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<Report> {
    let Request { derivatives, out, .. } = *request;
    folders::check_input(derivatives, brainreel_pipeline::folders::Kind::Derivatives.describe())?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    folders::check_apart(derivatives, out)?;
    folders::check_output(out)?;
    let _lock = FolderLock::acquire(out)?;
    let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let mut trainings = Vec::new();
    for seed in 0..request.n_seeds {
        let permuted = out.join(format!("seed-{seed}")).join("shuffled-derivatives");
        shuffled_view(derivatives, &table, seed, &permuted)?;
        for case in Case::ALL {
            let source = if case.shuffled_labels { permuted.as_path() } else { derivatives };
            ui.note(format!("{:>12} {}, seed {seed}", "price tag", case.title()));
            let evaluation = train_one(request, source, seed, case, ui)
                .with_context(|| format!("{}, seed {seed}", case.title()))?;
            trainings.push(Trained { seed, case, evaluation });
        }
    }
    let report = Report::of(out, request.n_seeds, trainings);
    write_json(&out.join(RESULT), &report)?;
    Ok(report)
}

fn train_one(
    request: &Request<'_>,
    derivatives: &Path,
    seed: u64,
    case: Case,
    ui: &Ui,
) -> anyhow::Result<EvaluateSummary> {
    let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let strategy = if case.leaky_split { SplitStrategy::ScanLevel } else { SplitStrategy::Stratified };
    let config = SplitConfig { strategy, seed, ..request.split.clone() };
    let split = split_scans(table.scans(), &config)?.split;
    let run = request.out.join(format!("seed-{seed}")).join(case.name());
    let mut settings = TrainConfig { seed, ..request.config.clone() };
    // The four trainings of a seed have one frozen part and the same images.
    let shared = request.out.join(format!("seed-{seed}")).join("cache");
    settings.cache.directory.get_or_insert(shared);
    let trackers = TrackerConfig { tensorboard: false, ..TrackerConfig::default() };
    let training = TrainRequest {
        config: settings,
        tracking: trackers,
        leaks: LeakPolicy::Allow,
        ..TrainRequest::new(derivatives, split, &run)
    };
    let mut observer = TerminalObserver::new(ui);
    train::run(&training, &mut observer)?;
    let evaluation = EvaluateRequest { leaks: LeakPolicy::Allow, ..EvaluateRequest::new(&run) };
    Ok(evaluate::run(&evaluation, &mut observer)?)
}

/// A folder with the same images, and a scan table in which diagnoses are permuted among subjects: every scan of a
/// subject gets the most severe diagnosis of the one whose place it takes.
fn shuffled_view(derivatives: &Path, table: &ScanTable, seed: u64, view: &Path) -> anyhow::Result<()> {
    let known = table.scans().iter().filter_map(|scan| Some((scan.subject(), scan.diagnosis?)));
    let shuffled = permute_diagnoses(known, seed);
    let relabelled = |scan: &Scan| Scan { diagnosis: shuffled.get(scan.subject()).copied(), ..scan.clone() };
    let scans: Vec<Scan> = table.scans().iter().map(relabelled).collect();
    for scan in &scans {
        for file in with_sidecar(&scan.image) {
            let (from, to) = (derivatives.join(&file), view.join(&file));
            if from.is_file() && !to.exists() {
                link_or_copy(&from, &to)?;
            }
        }
    }
    Ok(write_atomic(&view.join("scans.tsv"), ScanTable::new(scans)?.to_tsv().as_bytes())?)
}

/// An image and the JSON file beside it.
fn with_sidecar(image: &str) -> [String; 2] {
    let stem = image.trim_end_matches(".gz").trim_end_matches(".nii");
    [image.to_owned(), format!("{stem}.json")]
}

/// A second name where the file system has that, otherwise a copy.
fn link_or_copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if link_atomic(from, to).is_ok() {
        return Ok(());
    }
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    Ok(write_atomic(to, &bytes)?)
}

impl Report {
    fn of(out: &Path, n_seeds: u64, trainings: Vec<Trained>) -> Self {
        let of = |case: Case, measure: fn(&EvaluateSummary) -> &Estimate| -> Vec<f64> {
            let of_case = trainings.iter().filter(|trained| trained.case == case);
            of_case.filter_map(|trained| measure(&trained.evaluation).value).collect()
        };
        let mean =
            |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let summary: Vec<CaseSummary> = Case::ALL
            .into_iter()
            .map(|case| {
                let accuracies = of(case, |report| &report.scans.accuracy);
                let least = accuracies.iter().copied().reduce(f64::min);
                let most = accuracies.iter().copied().reduce(f64::max);
                CaseSummary {
                    case,
                    mean_accuracy: mean(&accuracies),
                    mean_auc: mean(&of(case, |report| &report.scans.auc)),
                    accuracy_range: least.zip(most).map(|(least, most)| [least, most]),
                }
            })
            .collect();
        let inflation = |honest: usize, leaky: usize| -> Option<f64> {
            Some(summary[leaky].mean_accuracy? - summary[honest].mean_accuracy?)
        };
        let (inflation, inflation_shuffled) = (inflation(0, 1), inflation(2, 3));
        Self {
            notice: NOTICE,
            out: out.to_owned(),
            n_seeds,
            inflation,
            inflation_shuffled,
            summary,
            trainings,
        }
    }

    /// For the terminal.
    pub(super) fn told(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .trainings
            .iter()
            .map(|trained| {
                let scans = &trained.evaluation.scans;
                vec![
                    trained.case.title(),
                    trained.seed.to_string(),
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
             where every point above chance is memory of people.\n\nIntervals resample subjects within one test \
             partition; they do not hold what another split or seed would change, for which see the seeds.\n\
             For research use only: not a medical device.",
            table(&header, &rows),
            self.n_seeds,
            points(self.inflation),
            points(self.inflation_shuffled)
        )
    }
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
        shuffled_view(&derivatives, &table, 3, &view).unwrap();
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
        shuffled_view(&derivatives, &table, 3, &view).unwrap();
        assert_eq!(ScanTable::read(&view.join("scans.tsv")).unwrap(), shuffled, "again the same");
    }
}
