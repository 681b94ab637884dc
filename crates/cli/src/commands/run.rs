//! `brainreel run`: all stages from one `experiment.toml`, skipping what is up to date.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, FolderLock, HashBuilder, hash_bytes, hash_file, write_json};
use brainreel_cohort::{LeakPolicy, ScanTable, Split, SplitConfig};
use brainreel_pipeline::batch::{self, Limits};
use brainreel_pipeline::cohort::CohortRequest;
use brainreel_pipeline::convert::{ConvertRequest, find_label_tables};
use brainreel_pipeline::evaluate::{self, EvaluateRequest, EvaluateSummary};
use brainreel_pipeline::preprocess::{self, PreprocessRequest};
use brainreel_pipeline::run_folder::RunFolder;
use brainreel_pipeline::simulate::SimulateRequest;
use brainreel_pipeline::split::{self, SplitRequest};
use brainreel_pipeline::train::{self, TrainRequest};
use brainreel_pipeline::{fingerprint, shuffle};
use clap::Args;
use serde::Serialize;

use crate::commands::evaluate::render;
use crate::commands::{cohort, convert, simulate};
use crate::experiment::Experiment;
use crate::finish::Finish;
use crate::leaks::PermitArgs;
use crate::observer::TerminalObserver;
use crate::stages::{Step, StepReport, Walk};
use crate::ui::Ui;
use crate::{defaults, hints};
use brainreel_pipeline::folders;

const EXAMPLES: &str = "\
Examples:
  brainreel run experiment.toml
  brainreel run --print-defaults > experiment.toml    # every setting, with its default and its meaning

A small experiment.toml (paths are relative to the file; every setting has a default):
  out = \"results\"
  [input]
  dicom = \"ADNI\"
  labels = [\"ADNI1_Complete_5_01_2026.csv\"]
  [cohort]                       # select, one scan a visit, AD and CN in balance; without it all images
  min_age_years = 55
  [train]
  weights = \"r3d_18-b3b3357e.pth\"

Stages whose inputs, settings and code are unchanged are skipped. Interrupt at any moment and run
again: the final files are the same, byte for byte.";

/// Run all stages of an experiment, skipping what is up to date
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The experiment
    #[arg(required_unless_present = "print_defaults")]
    experiment: Option<PathBuf>,
    /// Print an experiment.toml with every setting, its default and what it means, and do nothing else
    #[arg(long)]
    print_defaults: bool,
    /// Scans to convert or preprocess at a time [default: one for each thread, at most 8]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    leaks: PermitArgs,
}

/// What `run` reports.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    /// The folder with everything.
    pub(crate) out: PathBuf,
    /// The stages, in order.
    pub(crate) stages: Vec<StepReport>,
    /// Why the result is not one to quote, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caveat: Option<String>,
    /// The result.
    pub(crate) evaluation: EvaluateSummary,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &RunArgs, offline: bool, ui: &Ui) -> anyhow::Result<Finish> {
    let Some(path) = args.experiment.as_ref().filter(|_| !args.print_defaults) else {
        ui.result(defaults::annotated()?);
        return Ok(Finish::AllWell);
    };
    let experiment = Experiment::read(path)?;
    let n_jobs = args.jobs.unwrap_or_else(batch::default_jobs);
    let (report, finish) = walk(&experiment, n_jobs, offline, &args.leaks, ui)?;
    ui.result(render(&report.evaluation));
    ui.result(format!("\nresults in {}", report.out.display()));
    ui.summary(&report)?;
    Ok(finish)
}

/// Where each stage of an experiment writes.
struct Layout {
    download: PathBuf,
    cohort: PathBuf,
    shuffled_labels: PathBuf,
    bids: PathBuf,
    derivatives: PathBuf,
    split: PathBuf,
    run: RunFolder,
}

impl Layout {
    fn below(out: &Path) -> Self {
        Self {
            download: out.join("download"),
            cohort: out.join("cohort"),
            shuffled_labels: out.join("labels_shuffled.csv"),
            bids: out.join("bids"),
            derivatives: out.join("derivatives"),
            split: out.join("split.tsv"),
            run: RunFolder::new(out.join("run")),
        }
    }
}

/// A BIDS dataset that is ready, and its fingerprint.
struct Dataset {
    bids: PathBuf,
    fingerprint: ContentHash,
}

/// Walks all stages.
pub(crate) fn walk(
    experiment: &Experiment,
    n_jobs: usize,
    offline: bool,
    permit: &PermitArgs,
    ui: &Ui,
) -> anyhow::Result<(RunReport, Finish)> {
    let leaks = permit.policy();
    anyhow::ensure!(
        !experiment.split.strategy.is_leaky() || leaks == LeakPolicy::Allow,
        "stage split: strategy = \"{}\" is leaky on purpose; choose another, or pass --allow-leaky for a \
         demonstration, whose every result is marked leaky",
        experiment.split.strategy
    );
    experiment.check_ready()?;
    let out = &experiment.out;
    folders::check_output(out)?;
    let _lock = FolderLock::acquire(out)?;
    let layout = Layout::below(out);
    let mut walk = Walk::new(out, ui);
    let dataset = dataset(experiment, &layout, n_jobs, &mut walk, ui)?;
    let derivatives = preprocess_step(experiment, &layout, &dataset, n_jobs, &mut walk, ui)?;
    let split = split_step(experiment, &layout, derivatives.clone(), leaks, &mut walk, ui)?;
    let request = TrainRequest {
        config: experiment.train.clone(),
        tracking: experiment.tracking.clone(),
        offline,
        leaks,
        override_audit: permit.reason(),
        ..TrainRequest::new(&layout.derivatives, split, layout.run.path())
    };
    train_step(&request, &mut walk, ui)?;
    let evaluation = evaluate_step(&layout, &derivatives, leaks, &mut walk, ui)?;
    let (finish, stages) = walk.finish();
    Ok((RunReport { out: out.clone(), stages, caveat: None, evaluation }, finish))
}

fn dataset(
    experiment: &Experiment,
    layout: &Layout,
    n_jobs: usize,
    walk: &mut Walk<'_>,
    ui: &Ui,
) -> anyhow::Result<Dataset> {
    let input = &experiment.input;
    if let Some(bids) = &input.bids {
        return Ok(Dataset { bids: bids.clone(), fingerprint: fingerprint::of_input(bids)? });
    }
    let (dicom, fingerprint) = match &input.simulate {
        None => {
            let dicom = input.dicom.clone().unwrap_or_default();
            let fingerprint = fingerprint::of_input(&dicom)?;
            (dicom, fingerprint)
        }
        Some(config) => {
            let step = Step {
                stage: "simulate",
                revision: brainreel_pipeline::simulate::STAGE_REVISION,
                parameters: config,
                inputs: hash_bytes(b""),
                outputs: &|| Ok(fingerprint::of_folder(&layout.download)?),
            };
            let request = SimulateRequest { out: layout.download.clone(), config: config.clone() };
            let outputs = walk.step(&step, || Ok(simulate::perform(&request, ui).map(|_| 0)?))?;
            (layout.download.clone(), outputs)
        }
    };
    let mut labels = if input.labels.is_empty() { find_label_tables(&dicom)? } else { input.labels.clone() };
    if let Some(seed) = input.shuffle_labels {
        shuffle::shuffle_labels(&labels, seed, &layout.shuffled_labels)?;
        labels = vec![layout.shuffled_labels.clone()];
        ui.note(format!("{:>12} diagnoses permuted among subjects: expect chance level", "labels"));
    }
    let mut inputs = HashBuilder::new().part(fingerprint.as_str());
    for table in &labels {
        inputs = inputs.part(hash_file(table)?.as_str());
    }
    let inputs = inputs.finish();
    let mut request =
        ConvertRequest { labels: labels.clone(), n_jobs, ..ConvertRequest::new(&dicom, &layout.bids) };
    let list = layout.cohort.join("cohort.tsv");
    let inputs = match &experiment.cohort {
        None => inputs,
        Some(config) => {
            request.join_rule = config.join_rule();
            request.cohort = Some(list.clone());
            let selection = CohortRequest {
                tables: labels.clone(),
                images: Some(dicom.clone()),
                config: config.clone(),
                out: layout.cohort.clone(),
            };
            let chosen = cohort_step(&selection, &list, inputs.clone(), walk, ui)?;
            HashBuilder::new().part(inputs.as_str()).part(chosen.as_str()).finish()
        }
    };
    let step = Step {
        stage: "convert",
        revision: brainreel_pipeline::convert::STAGE_REVISION,
        parameters: &(),
        inputs,
        outputs: &|| Ok(fingerprint::of_folder(&layout.bids)?),
    };
    let outputs = walk.step(&step, || Ok(convert::perform(&request, ui)?.failures.len()))?;
    Ok(Dataset { bids: layout.bids.clone(), fingerprint: outputs })
}

fn cohort_step(
    selection: &CohortRequest,
    list: &Path,
    inputs: ContentHash,
    walk: &mut Walk<'_>,
    ui: &Ui,
) -> anyhow::Result<ContentHash> {
    let step = Step {
        stage: "cohort",
        revision: brainreel_pipeline::cohort::STAGE_REVISION,
        parameters: &selection.config,
        inputs,
        outputs: &|| Ok(hash_file(list)?),
    };
    walk.step(&step, || {
        cohort::perform(selection, ui)?.ensure_some_left()?;
        Ok(0)
    })
}

fn preprocess_step(
    experiment: &Experiment,
    layout: &Layout,
    dataset: &Dataset,
    n_jobs: usize,
    walk: &mut Walk<'_>,
    ui: &Ui,
) -> anyhow::Result<ContentHash> {
    let mut inputs = HashBuilder::new().part(dataset.fingerprint.as_str());
    let input = &experiment.input;
    if let Some(masks) = &input.masks {
        inputs = inputs.part(fingerprint::of_input(masks)?.as_str());
    }
    if let Some(weights) = &input.synthstrip_weights {
        inputs = inputs.part(hash_file(weights)?.as_str());
    }
    let step = Step {
        stage: "preprocess",
        revision: brainreel_preprocess::REVISION,
        parameters: &experiment.preprocess,
        inputs: inputs.finish(),
        outputs: &|| Ok(fingerprint::of_folder(&layout.derivatives)?),
    };
    let request = PreprocessRequest {
        config: experiment.preprocess.clone(),
        masks: input.masks.clone(),
        weights: input.synthstrip_weights.clone(),
        limits: Limits { n_jobs, max_bytes: batch::default_bytes() },
        ..PreprocessRequest::new(&dataset.bids, &layout.derivatives)
    };
    walk.step(&step, || {
        let summary = preprocess::run(&request, &mut TerminalObserver::new(ui))?;
        hints::show_for_failures(&summary.failures, ui);
        Ok(summary.failures.len())
    })?;
    Ok(hash_file(&layout.derivatives.join("scans.tsv"))?)
}

fn split_step(
    experiment: &Experiment,
    layout: &Layout,
    derivatives: ContentHash,
    leaks: LeakPolicy,
    walk: &mut Walk<'_>,
    ui: &Ui,
) -> anyhow::Result<Split> {
    // A split that was edited by hand stays, so only its existence is asked for here.
    let present = || {
        anyhow::ensure!(layout.split.exists(), "{} is missing", layout.split.display());
        Ok(hash_bytes(b"present"))
    };
    let edited = layout.split.exists() && Split::read_with(&layout.split, leaks)?.edited_by_hand();
    let mut inputs = HashBuilder::new().part(derivatives.as_str());
    if let Some(list) = &experiment.split.subjects {
        inputs = inputs.part(hash_file(list)?.as_str());
    }
    let step = Step {
        stage: "split",
        revision: split::STAGE_REVISION,
        parameters: &SplitConfig { subjects: None, ..experiment.split.clone() },
        inputs: inputs.finish(),
        outputs: &present,
    };
    walk.step(&step, || {
        if edited {
            let table = ScanTable::read(&layout.derivatives.join("scans.tsv"))?;
            Split::read(&layout.split)?.join(&table).context(
                "the split was edited by hand and no longer fits the scans; correct it, or delete it to have it made anew",
            )?;
            ui.note(format!("{:>12} {} was edited by hand and stays", "split", layout.split.display()));
            return Ok(0);
        }
        let request = SplitRequest {
            config: experiment.split.clone(),
            overwrite: true,
            ..SplitRequest::new(&layout.derivatives, &layout.split)
        };
        let summary = split::run(&request, &mut TerminalObserver::new(ui))?;
        write_json(&layout.split.with_extension("json"), &summary.record)?;
        Ok(0)
    })?;
    Ok(Split::read_with(&layout.split, leaks)?)
}

fn train_step(request: &TrainRequest, walk: &mut Walk<'_>, ui: &Ui) -> anyhow::Result<()> {
    let mut inputs = HashBuilder::new()
        .part(hash_file(&request.derivatives.join("scans.tsv"))?.as_str())
        .part(request.split.content_hash());
    if let Some(weights) = &request.config.weights {
        inputs = inputs.part(hash_file(weights)?.as_str());
    }
    let step = Step {
        stage: "train",
        revision: train::STAGE_REVISION,
        parameters: &request.config.portable(),
        inputs: inputs.finish(),
        outputs: &|| Ok(fingerprint::of_folder(&RunFolder::new(&request.run).training().checkpoints())?),
    };
    walk.step(&step, || {
        train::run(request, &mut TerminalObserver::new(ui))?;
        Ok(0)
    })?;
    Ok(())
}

fn evaluate_step(
    layout: &Layout,
    derivatives: &ContentHash,
    leaks: LeakPolicy,
    walk: &mut Walk<'_>,
    ui: &Ui,
) -> anyhow::Result<EvaluateSummary> {
    let request = EvaluateRequest { leaks, ..EvaluateRequest::new(layout.run.path()) };
    let inputs = HashBuilder::new()
        .part(hash_file(&layout.run.checkpoint(request.checkpoint))?.as_str())
        .part(derivatives.as_str())
        .part(Split::read_with(&layout.run.split(), leaks)?.content_hash());
    let step = Step {
        stage: "evaluate",
        revision: evaluate::STAGE_REVISION,
        parameters: &request.parameters(),
        inputs: inputs.finish(),
        outputs: &|| Ok(fingerprint::of_folder(layout.run.test_evaluation().path())?),
    };
    walk.step(&step, || {
        evaluate::run(&request, &mut TerminalObserver::new(ui))?;
        Ok(0)
    })?;
    Ok(evaluate::read_summary(&layout.run)?)
}
