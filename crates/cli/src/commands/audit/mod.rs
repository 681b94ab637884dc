//! `brainreel audit`: what is wrong with a split, ours or anybody's.

mod page;
mod price;
pub(crate) mod source;

use std::path::{Path, PathBuf};

use brainreel_artifact::write_atomic;
use brainreel_audit::{AuditReport, DEFAULT_HALF_WIDTH, Evidence, audit, describe};
use brainreel_cohort::SplitConfig;
use brainreel_pipeline::audit::copies;
use brainreel_pipeline::notice::NOTICE;
use brainreel_pipeline::{Reporter, Stage};
use clap::Args;
use serde::Serialize;

use self::source::Source;
use crate::commands::train::settings::Settings;
use crate::finish::Finish;
use crate::observer::TerminalObserver;
use crate::ui::{Ui, table};

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
copies are found, other visits of a person are not mistaken for them. Leakage is told in the
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

/// What `audit` reports.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What this is, and what it is not for.
    notice: &'static str,
    /// What was audited.
    audited: Vec<PathBuf>,
    /// Images that were compared with each other.
    n_images: usize,
    /// Whether there is neither a leak nor a conflict.
    passes: bool,
    #[serde(flatten)]
    report: AuditReport,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &AuditArgs, ui: &Ui) -> anyhow::Result<Finish> {
    anyhow::ensure!(
        args.precision > 0.0 && args.precision <= 0.5,
        "--precision is {}, expected a share above 0 and at most 0.5",
        args.precision
    );
    if let Some(out) = &args.price_tag {
        return price_tag(args, out, ui);
    }
    anyhow::ensure!(
        args.test.is_none() || args.train.is_some() || args.network.is_some(),
        "--test alone has nothing to leak from; add --train FILE, or --network RUN_DIR"
    );
    let source = Source::read(args)?;
    let mut observer = TerminalObserver::new(ui);
    let reporter = Reporter::new(Stage::Audit, &mut observer);
    let looked = source.images.as_deref().map(|folder| copies::look(&source.split.scans, folder, &reporter));
    if let Some(looked) = &looked {
        for image in &looked.unread {
            ui.warn(format!("audit: {image}"));
        }
        if looked.n_undecided > 0 {
            ui.note(format!(
                "{:>12} {} pairs look alike, but are too small or too smooth to tell copies from rescans",
                "copies", looked.n_undecided
            ));
        }
    }
    let evidence = Evidence {
        training: source.training.as_ref(),
        copies: looked.as_ref().filter(|looked| looked.n_images > 0).map(|looked| looked.copies.as_slice()),
        unread: looked.as_ref().map_or(&[], |looked| looked.unread.as_slice()),
        contradictions: &source.contradictions,
        half_width: args.precision,
        ..Evidence::of(&source.split.scans)
    };
    let report = audit(&evidence);
    let n_images = looked.as_ref().map_or(0, |looked| looked.n_images);
    let report = Report { notice: NOTICE, audited: source.files, n_images, passes: report.passes(), report };
    if let Some(path) = &args.html {
        write_page(path, &report)?;
        ui.note(format!("{:>12} {}", "page", path.display()));
    }
    ui.result(report.told());
    ui.summary(&report)?;
    Ok(if report.passes { Finish::AllWell } else { Finish::AuditFailed })
}

/// Trains what `--price-tag` asks for.
fn price_tag(args: &AuditArgs, out: &Path, ui: &Ui) -> anyhow::Result<Finish> {
    let config = Settings::of_file(args.config.clone()).config()?;
    let request = price::Request {
        derivatives: args.derivatives.as_deref().unwrap_or(Path::new("derivatives")),
        out,
        config,
        split: SplitConfig {
            train: 1.0 - 2.0 * args.share,
            validation: args.share,
            test: args.share,
            ..SplitConfig::default()
        },
        n_seeds: args.seeds,
    };
    let report = price::perform(&request, ui)?;
    ui.result(report.told());
    ui.summary(&report)?;
    Ok(Finish::AllWell)
}

/// Writes the page; a file that is no page of ours stays.
fn write_page(path: &Path, report: &Report) -> anyhow::Result<()> {
    if path.exists() {
        let is_ours = std::fs::read(path)
            .is_ok_and(|bytes| bytes.windows(page::MARK.len()).any(|w| w == page::MARK.as_bytes()));
        anyhow::ensure!(
            is_ours,
            "{} exists and is no page of `brainreel audit`; choose another name",
            path.display()
        );
    }
    Ok(write_atomic(path, page::render(report).as_bytes())?)
}

impl Report {
    /// For the terminal.
    fn told(&self) -> String {
        let sizes = &self.report.sizes;
        let header = ["", "training", "validation", "test"];
        let row = |name: &str, n: [usize; 3]| -> Vec<String> {
            std::iter::once(name.to_owned()).chain(n.map(|n| n.to_string())).collect()
        };
        let mut rows = vec![row("subjects", sizes.n_subjects), row("scans", sizes.n_scans)];
        rows.extend(sizes.by_diagnosis.iter().map(|(diagnosis, n)| row(&format!("  {diagnosis}"), *n)));
        let mut text = table(&header, &rows);
        text += "\n\n";
        let verdicts = self.report.verdicts.iter().map(|verdict| {
            vec![verdict.category.title().to_owned(), verdict.opinion.to_string(), verdict.reason.clone()]
        });
        text += &table(&["leakage (Wen et al. 2020)", "", ""], &verdicts.collect::<Vec<_>>());
        text += &self.confounds();
        for finding in &self.report.findings {
            text += &format!("\n\n{}: {}", finding.level, finding.message);
            for example in finding.examples.iter().take(SHOWN) {
                text += &format!("\n    {example}");
            }
            let n_more = finding.n_cases.saturating_sub(finding.examples.len().min(SHOWN));
            if n_more > 0 && !finding.examples.is_empty() {
                text += &format!("\n    and {n_more} more");
            }
            if !finding.remedy.is_empty() {
                text += &format!("\n  {}", finding.remedy);
            }
        }
        let verdict = if self.passes { "passed" } else { "FAILED" };
        text + &format!("\n\naudit {verdict}. For research use only: not a medical device.")
    }
}

impl Report {
    /// How strongly attributes go with diagnosis and partition; empty if nothing is known of them.
    fn confounds(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .report
            .confounds
            .iter()
            .map(|confound| {
                let pair = format!("{} and {}", confound.attribute.title(), confound.against.title());
                vec![pair, describe(&confound.association)]
            })
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        format!("\n\n{}", table(&["what goes together", "a subject counted once"], &rows))
    }
}

/// Cases of a finding that the terminal shows.
const SHOWN: usize = 5;
