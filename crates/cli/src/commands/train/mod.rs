//! `brainreel train`: derivatives and a split to a run folder.

mod folds;
mod forecast;
pub(crate) mod settings;
mod tracking;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use brainreel_artifact::FolderLock;
use brainreel_cohort::{Diagnosis, LeakPolicy, ScanTable, Split};
use brainreel_trackers::TrackerConfig;
use brainreel_training::{
    Forecast, ResumeFrom, TrainConfig, TrainEvent, TrainRequest, TrainSummary, TrainingScan,
};
use clap::Args;
use serde::{Serialize, Serializer};

use self::forecast::memory_size;
use self::tracking::Tracking;
use crate::finish::{Finish, Interrupted};
use crate::folders::{self, Kind};
use crate::gate::Gate;
use crate::leaks::{self, PermitArgs};
use crate::named;
use crate::run_inputs::{self, RunInputs};
use crate::training_view::TrainingView;
use crate::ui::{Ui, table};

/// Raise whenever the same inputs and configuration give another run.
pub(crate) const STAGE_REVISION: u32 = 1;

/// Goes into every report that holds results.
pub(crate) const NOTICE: &str = "for research use only; not a medical device";

/// What the input folder should be.
pub(crate) const DERIVATIVES: &str = "derivatives, as `brainreel preprocess` writes them";

const EXAMPLES: &str = "\
Examples:
  brainreel train derivatives --split split.tsv --out run --weights kinetics400/r3d_18
  brainreel train derivatives --split split.tsv --out run --config train.toml --epochs 20
  brainreel train derivatives --split split.tsv --out run-thesis --norm batch --augmentation thesis
  brainreel train derivatives --split split.tsv --out run-mc3 --weights kinetics400/mc3_18
  brainreel train derivatives --folds 5 --out cv --weights kinetics400/r3d_18
  brainreel train derivatives --split split.tsv --out run --verify-resume
  brainreel train derivatives --split split.tsv --out run-mvit --architecture mvit_v2_s --memory-limit 12GB

By default R3D-18 with stem, layer1, layer2 and layer3 frozen; layer4 and fc are trained. Without --weights
the network starts from random numbers: fine for a trial, not for a result.
Ctrl-C stops after the step, with a checkpoint. Run the same command again after an interruption of any
kind: training goes on where it was, within the epoch, and ends in the same bytes. A run folder that
holds another run is never touched.";

/// Fine-tune a video network on the training partition, stopping by the validation partition
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// Derivatives, as `brainreel preprocess` writes them
    derivatives_dir: PathBuf,
    /// The split, as `brainreel split` writes it
    #[arg(long, value_name = "FILE", required_unless_present = "folds")]
    split: Option<PathBuf>,
    /// Run folder to write to, or to go on with; with --folds a folder of run folders
    #[arg(long, value_name = "RUN_DIR")]
    out: PathBuf,
    /// Cross-validation: deal the subjects to K folds, test each fold with a network trained on the others
    #[arg(long, value_name = "K", conflicts_with_all = ["split", "verify_resume"])]
    folds: Option<usize>,
    /// With --folds: share of the scans that decides when to stop
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, requires = "folds")]
    validation: f64,
    /// Which checkpoint to go on from, should the last be damaged
    #[arg(long, value_parser = named::any::<ResumeFrom>(), default_value_t = ResumeFrom::Last)]
    resume_from: ResumeFrom,
    /// Prove that an interrupted run ends in the same bytes: train on a few of the scans, once in one go and
    /// once killed and resumed, and compare; the run folder itself is not touched
    #[arg(long, conflicts_with = "resume_from")]
    verify_resume: bool,
    /// Refuse a run that would take more memory than this, such as 12GB or 8GiB, and say which setting to change
    /// [default: warn if it is more than is free]
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    memory_limit: Option<u64>,
    /// End after so many steps of the optimizer, as an interruption would
    #[arg(long, value_name = "N", hide = true)]
    stop_after_steps: Option<u64>,
    #[command(flatten)]
    leaks: PermitArgs,
    #[command(flatten)]
    settings: settings::Settings,
    #[command(flatten)]
    tracking: tracking::TrackingArgs,
}

/// What to train on, where to and how.
pub(crate) struct Request<'a> {
    /// The derivatives.
    pub(crate) derivatives: &'a Path,
    /// The split.
    pub(crate) split: &'a Split,
    /// The run folder.
    pub(crate) run: &'a Path,
    /// Settings.
    pub(crate) config: &'a TrainConfig,
    /// Which checkpoint an interrupted run goes on from.
    pub(crate) resume_from: ResumeFrom,
    /// Steps after which to end.
    pub(crate) stop_after_steps: Option<u64>,
    /// What is tracked.
    pub(crate) tracking: &'a TrackerConfig,
    /// Whether the network may not be used.
    pub(crate) offline: bool,
    /// Most bytes of memory that the run may take.
    pub(crate) memory_limit: Option<u64>,
    /// Whether the split may be leaky on purpose.
    pub(crate) leaks: LeakPolicy,
    /// Why a split that does not pass the audit is taken.
    pub(crate) override_audit: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A run from its start, or from its last checkpoint.
    pub(crate) const fn new(
        derivatives: &'a Path,
        split: &'a Split,
        run: &'a Path,
        config: &'a TrainConfig,
        tracking: &'a TrackerConfig,
    ) -> Self {
        Self {
            derivatives,
            split,
            run,
            config,
            resume_from: ResumeFrom::Last,
            stop_after_steps: None,
            tracking,
            offline: false,
            memory_limit: None,
            leaks: LeakPolicy::Refuse,
            override_audit: None,
        }
    }
}

/// What `train` reports.
#[derive(Debug, Serialize)]
pub(crate) struct TrainReport {
    /// What this is, and what it is not for.
    pub(crate) notice: String,
    /// Whether the split is leaky on purpose.
    #[serde(skip_serializing_if = "leaks::is_not")]
    pub(crate) leaky: bool,
    /// The run folder.
    pub(crate) run: PathBuf,
    /// Content hash of the split.
    pub split_sha256: String,
    /// The run; epochs are counted from 1, as on the screen and in `metrics.csv`.
    #[serde(flatten, serialize_with = "from_one")]
    pub(crate) summary: TrainSummary,
    /// What the run was expected to take; nothing where the forecast does not know the device.
    pub(crate) forecast: Option<Forecast>,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &TrainArgs, offline: bool, ui: &Ui) -> anyhow::Result<Finish> {
    let config = args.settings.config()?;
    let tracking = args.tracking.config();
    if args.folds.is_some() {
        return folds::execute(args, &config, offline, ui);
    }
    let path = args.split.as_deref().unwrap_or(Path::new("split.tsv"));
    let split = Split::read_with(path, args.leaks.policy())?;
    if args.verify_resume {
        anyhow::ensure!(
            !split.is_leaky(),
            "{} is leaky; --verify-resume takes a split by subject",
            path.display()
        );
        return verify::execute(args, &config, &split, ui);
    }
    let request = Request {
        resume_from: args.resume_from,
        stop_after_steps: args.stop_after_steps,
        memory_limit: args.memory_limit,
        offline,
        leaks: args.leaks.policy(),
        override_audit: args.leaks.reason(),
        ..Request::new(&args.derivatives_dir, &split, &args.out, &config, &tracking)
    };
    let report = perform(&request, ui)?;
    ui.result(history_table(&report.summary));
    let leaky = leaks::line(report.leaky);
    ui.result(format!("\nFor research use only: not a medical device.{leaky}"));
    ui.summary(&report)?;
    Ok(Finish::AllWell)
}

/// Trains, or goes on with, a run.
pub(crate) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<TrainReport> {
    let Request { derivatives, split, run, config, .. } = *request;
    folders::check_input(derivatives, DERIVATIVES)?;
    folders::check_apart(derivatives, run)?;
    leaks::check(split, request.leaks, ui)?;
    let scans = training_scans(derivatives, split)?;
    if split.edited_by_hand() {
        ui.note(format!("{:>12} {} was edited by hand; this is recorded", "train", split.source().display()));
    }
    config.validate()?;
    if let Some(weights) = &config.weights {
        folders::check_file(weights, "torchvision's .pth, or safetensors with its names")?;
    }
    folders::check_output(run)?;
    let lock = FolderLock::acquire(run)?;
    lock.remove_litter();
    let inputs = RunInputs::of(request, split, &scans)?;
    inputs.check_same_run(run)?;
    let gate = Gate { run, derivatives, split, inputs: &inputs, reason: request.override_audit };
    gate.pass(ui)?;
    if config.weights.is_none() {
        ui.warn("train: no weights given: the network starts from random numbers; fine for a trial, not for a result");
    }
    if !run_inputs::is_started(run) {
        inputs.write(run, split)?;
    }
    let mut view = TrainingView::new(ui, "train");
    let training = TrainRequest {
        split_sha256: Some(split.content_hash()),
        resume_from: request.resume_from,
        stop_after_steps: request.stop_after_steps,
        interrupt: Some(Interruptible::start()),
        memory_limit: request.memory_limit,
        ..TrainRequest::new(run, &scans, config)
    };
    let mut tracking = Tracking::new(request, split, &inputs, ui)?;
    let mut forecast = None;
    let result = brainreel_training::train(&training, &mut |event: TrainEvent<'_>| {
        if let TrainEvent::Forecast { forecast: told, workload } = event {
            forecast = Some(told.clone());
            forecast::tell(told, workload, request, ui);
        }
        tracking.log(&event);
        view.show(&event);
    });
    Interruptible::end();
    let summary = result?;
    view.finish();
    inputs.write(run, split)?;
    if !summary.is_finished {
        return Err(Interrupted { run: run.to_owned(), n_steps: summary.n_steps }.into());
    }
    tracking.finish();
    let why = if summary.stopped_early { "stopped early" } else { "all epochs done" };
    ui.note(format!(
        "{:>12} {} epochs ({why}), least validation loss in epoch {}, in {}",
        "train",
        summary.history.len(),
        summary.best_loss_epoch + 1,
        run.display()
    ));
    Ok(TrainReport {
        notice: leaks::notice(split.is_leaky()),
        leaky: split.is_leaky(),
        run: run.to_owned(),
        split_sha256: split.content_hash(),
        summary,
        forecast,
    })
}

/// Work that Ctrl-C (or SIGTERM) is to end in order: the first one sets a flag that training answers with a
/// checkpoint; a second one, and any at other times, ends the program at once.
struct Interruptible;

static INTERRUPT: AtomicBool = AtomicBool::new(false);
static AT_WORK: AtomicBool = AtomicBool::new(false);

impl Interruptible {
    /// Begins such work, and gives the flag.
    fn start() -> &'static AtomicBool {
        static INSTALLED: AtomicBool = AtomicBool::new(false);
        AT_WORK.store(true, Ordering::Relaxed);
        if !INSTALLED.swap(true, Ordering::Relaxed) {
            // Without a handler Ctrl-C ends the program, and the last checkpoint is a little older.
            let _ = ctrlc::set_handler(|| {
                if !AT_WORK.load(Ordering::Relaxed) || INTERRUPT.swap(true, Ordering::Relaxed) {
                    std::process::exit(Interrupted::EXIT_CODE.into());
                }
            });
        }
        &INTERRUPT
    }

    fn end() {
        AT_WORK.store(false, Ordering::Relaxed);
    }
}

/// The scans of a split, with their images.
pub(crate) fn training_scans(derivatives: &Path, split: &Split) -> anyhow::Result<Vec<TrainingScan>> {
    folders::check_kind(derivatives, Kind::Derivatives)?;
    let scan_table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let joined = split.join(&scan_table)?;
    let scans = joined.into_iter().map(|(row, scan)| {
        let label = match row.diagnosis {
            Diagnosis::Cn => 0,
            Diagnosis::Ad => 1,
            Diagnosis::Mci => anyhow::bail!(
                "{}: {} is MCI; the classifier knows AD and CN only, take the row out",
                split.source().display(),
                row.scan_id
            ),
        };
        Ok(TrainingScan {
            scan_id: row.scan_id.to_string(),
            subject_id: row.subject().to_string(),
            label,
            image: derivatives.join(&scan.image),
            sha256: scan.sha256.clone(),
            partition: row.partition,
        })
    });
    scans.collect()
}

/// A summary whose epochs count from 1, for people.
fn from_one<S: Serializer>(summary: &TrainSummary, serializer: S) -> Result<S::Ok, S::Error> {
    let mut counted = summary.clone();
    counted.best_accuracy_epoch += 1;
    counted.best_loss_epoch += 1;
    for row in &mut counted.history {
        row.epoch += 1;
    }
    counted.serialize(serializer)
}

/// The table of epochs.
pub(crate) fn history_table(summary: &TrainSummary) -> String {
    let rows: Vec<Vec<String>> = summary
        .history
        .iter()
        .map(|epoch| {
            vec![
                (epoch.epoch + 1).to_string(),
                format!("{:.4}", epoch.train_loss),
                format!("{:.4}", epoch.validation_loss),
                format!("{:.3}", epoch.validation_accuracy),
                epoch.validation_auc.map_or_else(|| "n/a".to_owned(), |auc| format!("{auc:.3}")),
            ]
        })
        .collect();
    table(&["epoch", "train loss", "validation loss", "accuracy", "AUC"], &rows)
}
