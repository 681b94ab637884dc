//! `brainreel audit`: what is wrong with a split, ours or anybody's.

mod price;

use std::path::{Path, PathBuf};

use brainreel_audit::{Confound, DEFAULT_HALF_WIDTH, Finding, describe};
use brainreel_cohort::PerPartition;
use brainreel_pipeline::audit::price_tag::PriceTagRequest;
use brainreel_pipeline::audit::{self, AuditRequest, AuditSummary, ImageSource, SplitSource};
use brainreel_pipeline::notice;
use clap::Args;

use crate::commands::train::settings::Settings;
use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

/// Cases of a finding that the terminal shows.
const MAX_EXAMPLES: usize = 5;

const EXAMPLES: &str = "\
Examples:
  brainreel audit split.tsv --derivatives derivatives    # a split of brainreel's, with its images
  brainreel audit run --html audit.html                  # a trained run
  brainreel audit theirs.csv                             # anybody's: subject and partition of each scan
  brainreel audit theirs.csv --images .                  # and the images in its column `path`
  brainreel audit --train train.csv --validation val.csv --test test.csv
  brainreel audit --test new_test.csv --network run      # has this network seen anybody of them?
  brainreel audit --price-tag price --derivatives derivatives --config train.toml --seeds 3

Names are brought to one spelling first: 002_S_0413, sub-ADNI002S0413 and RID 413 are one person,
OAS1_0001_MR2 is a rescan of OAS1_0001_MR1. Images are compared by their voxels and their noise:
copies are found, other visits of a person are not mistaken for them. Leakage is reported in the
categories of Wen et al. 2020. Exit code 4: a leak, or two statements that exclude each other.";

/// Find leaks in a split: subjects on two sides, copied images, contradicting labels, confounds
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    /// A split, ours or anybody's (CSV or TSV), or a run folder
    #[arg(required_unless_present_any = ["train", "test", "price_tag"])]
    split: Option<PathBuf>,
    /// Table of the training scans, where each partition has a table of its own
    #[arg(long, value_name = "FILE", conflicts_with = "split")]
    train: Option<PathBuf>,
    /// Table of the validation scans
    #[arg(long, value_name = "FILE", conflicts_with = "split")]
    validation: Option<PathBuf>,
    /// Table of the test scans
    #[arg(long, value_name = "FILE", conflicts_with = "split")]
    test: Option<PathBuf>,
    /// The derivatives that a split of brainreel's is of: ages, sites and images
    #[arg(long, value_name = "DIR")]
    derivatives: Option<PathBuf>,
    /// Folder that the image paths of a table are relative to: images (NIfTI) are compared with each other
    #[arg(long, value_name = "DIR", conflicts_with = "derivatives")]
    images: Option<PathBuf>,
    /// Do not look at images
    #[arg(long)]
    no_images: bool,
    /// Run folder of a network that is to be tested on these scans
    #[arg(long, value_name = "RUN_DIR")]
    network: Option<PathBuf>,
    /// Half of the width that the 95 % interval of the accuracy may have
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_HALF_WIDTH)]
    precision: f64,
    /// Train with an honest and with a leaky split, with true and with shuffled labels, and print what the leak costs;
    /// runs go to this folder, and finished ones are not repeated
    #[arg(long, value_name = "DIR", requires = "derivatives", conflicts_with_all = ["split", "train", "test", "network", "html"])]
    price_tag: Option<PathBuf>,
    /// With --price-tag: settings of training as TOML, as `train --config` takes them
    #[arg(long, value_name = "FILE.toml", requires = "price_tag")]
    config: Option<PathBuf>,
    /// With --price-tag: how often, each time with another split and other random numbers
    #[arg(long, value_name = "N", requires = "price_tag", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// With --price-tag: share of the scans for validation, and for the test
    #[arg(long, value_name = "SHARE", requires = "price_tag", default_value_t = 0.2)]
    share: f64,
    /// Write a page for people
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl AuditArgs {
    fn request(&self) -> AuditRequest {
        let split = match &self.split {
            Some(path) => SplitSource::from_path(path),
            None => SplitSource::Tables {
                train: self.train.clone(),
                validation: self.validation.clone(),
                test: self.test.clone(),
            },
        };
        let images = match &self.images {
            _ if self.no_images => ImageSource::Skip,
            Some(folder) => ImageSource::Folder(folder.clone()),
            None => ImageSource::Derivatives,
        };
        AuditRequest {
            derivatives: self.derivatives.clone(),
            images,
            network: self.network.clone(),
            half_width: self.precision,
            html: self.html.clone(),
            ..AuditRequest::new(split)
        }
    }
}

/// Runs the subcommand.
pub(crate) fn execute(args: &AuditArgs, ui: &Ui) -> anyhow::Result<Finish> {
    if let Some(out) = &args.price_tag {
        let request = PriceTagRequest {
            config: Settings::of_file(args.config.clone()).config()?,
            share: args.share,
            n_seeds: args.seeds,
            ..PriceTagRequest::new(args.derivatives.as_deref().unwrap_or(Path::new("derivatives")), out)
        };
        return price::execute(&request, ui);
    }
    let summary = audit::run(&args.request(), &mut TerminalObserver::new(ui))?;
    ui.result(render(&summary));
    ui.summary(&summary)?;
    Ok(if summary.passes { Finish::AllWell } else { Finish::AuditFailed })
}

/// The whole audit as text.
fn render(summary: &AuditSummary) -> String {
    let sizes = &summary.report.sizes;
    let header = ["", "training", "validation", "test"];
    let row = |name: &str, n: &PerPartition<usize>| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(n.iter().map(ToString::to_string)).collect()
    };
    let mut rows = vec![row("subjects", &sizes.n_subjects), row("scans", &sizes.n_scans)];
    rows.extend(sizes.n_scans_by_diagnosis.iter().map(|(diagnosis, n)| row(&format!("  {diagnosis}"), n)));
    let verdicts = summary.report.verdicts.iter().map(|verdict| {
        vec![verdict.category.title().to_owned(), verdict.opinion.to_string(), verdict.reason.clone()]
    });
    let mut text = format!(
        "{}\n\n{}{}",
        table(&header, &rows),
        table(&["leakage (Wen et al. 2020)", "", ""], &verdicts.collect::<Vec<_>>()),
        render_confounds(&summary.report.confounds)
    );
    for finding in &summary.report.findings {
        text += &render_finding(finding);
    }
    let verdict = if summary.passes { "passed" } else { "FAILED" };
    text + &format!("\n\naudit {verdict}. {}", notice::SENTENCE)
}

fn render_finding(finding: &Finding) -> String {
    let mut text = format!("\n\n{}: {}", finding.level, finding.message);
    for example in finding.examples.iter().take(MAX_EXAMPLES) {
        text += &format!("\n    {example}");
    }
    let n_more = finding.n_cases.saturating_sub(finding.examples.len().min(MAX_EXAMPLES));
    if n_more > 0 && !finding.examples.is_empty() {
        text += &format!("\n    and {n_more} more");
    }
    if !finding.remedy.is_empty() {
        text += &format!("\n  {}", finding.remedy);
    }
    text
}

/// How strongly attributes go with diagnosis and partition; empty if nothing is known about them.
fn render_confounds(confounds: &[Confound]) -> String {
    if confounds.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = confounds
        .iter()
        .map(|confound| {
            let pair = format!("{} and {}", confound.attribute.title(), confound.against.title());
            vec![pair, describe(&confound.association)]
        })
        .collect();
    format!("\n\n{}", table(&["what goes together", "a subject counted once"], &rows))
}
