//! `brainreel cohort`: which images are used, and why the others are not.

mod demographics;
mod images;
mod output;

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{HashBuilder, Provenance, hash_file, hash_json};
use brainreel_cohort::{
    Cohort, Count, Diagnosis, Flow, FoundImage, Records, Rule, SelectionConfig, TableNote,
};
use clap::Args;
use serde::Serialize;

use crate::commands::convert;
use crate::commands::train::NOTICE;
use crate::finish::Finish;
use crate::folders;
use crate::ui::Ui;

use demographics::Demographics;

/// Raise whenever the same tables, images and settings give another cohort.
pub(crate) const STAGE_REVISION: u32 = 1;

/// How many tables the screen names.
const SHOWN: usize = 5;

/// Largest settings file that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  brainreel cohort MPRAGE_5_01_2026.csv --out cohort         # a list of what to download
  brainreel cohort MPRAGE_5_01_2026.csv DXSUM.csv --images ADNI --out cohort
  brainreel cohort All_Images.csv Manifest.csv ADNIMERGE.csv --images ADNI --config cohort.toml --out cohort
  brainreel cohort --images bids --out cohort                # the dataset's own tables

A cohort.toml (every setting has a default; `brainreel run --print-defaults` lists them under [cohort], and
an experiment.toml with that section may be given as well):
  diagnoses = [\"CN\", \"AD\"]
  phases = [\"ADNI1\", \"ADNI2\"]
  field_strengths_t = [3.0, 1.5]      # the preferred one first
  include = [\"*mprage*\", \"*mp-rage*\"]
  exclude = [\"*repeat*\"]
  min_age_years = 60
  balance = true                      # CN scans by round robin over subjects, until as many as AD

Every image ends up in ledger.tsv, kept or dropped by the first rule that it breaks, with the reason. Each scan
has the diagnosis of the visit nearest to it, at most max_days away, never silently that of the baseline.
Written are cohort.tsv, ledger.tsv, flow.svg, demographics.tsv, demographics.json and cohort.json.";

/// Select a cohort from the tables of a study, and say why each image is in or out
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CohortArgs {
    /// Tables of any known kind: IDA collections and searches, LONI's image tables, MPRAGEMETA, ADNIMERGE,
    /// DXSUM, those of OASIS and AIBL, BIDS participants.tsv and sessions.tsv, a CSV of your own [default: the
    /// tables in the folder of images]
    tables: Vec<PathBuf>,
    /// Images to join the tables with: a tree of DICOM files, or a BIDS dataset. Without, the cohort is a
    /// list of what to download
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Settings of the selection: TOML, or an experiment.toml with a section `[cohort]`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What `cohort` reports.
#[derive(Debug, Serialize)]
pub(crate) struct CohortReport {
    notice: &'static str,
    out: PathBuf,
    tables: Vec<TableNote>,
    images: Option<PathBuf>,
    settings: SelectionConfig,
    flow: Flow,
    demographics: Demographics,
    warnings: Vec<String>,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &CohortArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let config = match &args.config {
        None => SelectionConfig::default(),
        Some(path) => read_config(path)?,
    };
    let of_settings = || args.config.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    config.validate().with_context(of_settings)?;
    if let Some(images) = &args.images {
        folders::check_input(images, "a tree of DICOM files or a BIDS dataset")?;
        folders::check_apart(images, &args.out)?;
    }
    let tables = tables(args)?;
    let request =
        Request { tables: &tables, images: args.images.as_deref(), config: &config, out: &args.out };
    let report = perform(&request, ui)?;
    ui.summary(&report)?;
    report.ensure_some_left()?;
    Ok(Finish::AllWell)
}

/// What to select from, how and where to.
pub(crate) struct Request<'a> {
    /// Tables of any known kind.
    pub(crate) tables: &'a [PathBuf],
    /// A tree of DICOM files or a BIDS dataset.
    pub(crate) images: Option<&'a Path>,
    /// Settings.
    pub(crate) config: &'a SelectionConfig,
    /// Folder to write to.
    pub(crate) out: &'a Path,
}

/// Selects, writes everything down and shows it.
pub(crate) fn perform(request: &Request<'_>, ui: &Ui) -> anyhow::Result<CohortReport> {
    let Request { tables, images, config, out } = *request;
    output::refuse_foreign(out)?;
    let bar = ui.progress("read tables", tables.len());
    let records = Records::read(tables)?;
    bar.finish();
    let found = images.map(|folder| images::find(folder, &records, ui)).transpose()?;
    let bar = ui.progress("select", records.images().len());
    let cohort = brainreel_cohort::select(&records, found.as_deref(), config)?;
    bar.finish();
    let report = report(request, &records, &cohort);
    let provenance = provenance(tables, found.as_deref(), &report.settings)?;
    output::write(out, &cohort, &report, provenance)?;
    show(&report, &cohort, ui);
    Ok(report)
}

impl CohortReport {
    /// Refuses a cohort of nobody.
    pub(crate) fn ensure_some_left(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.flow.remaining().n_images > 0,
            "no image is left: {}; {} says why, image by image",
            last_step(&self.flow),
            self.out.join("ledger.tsv").display()
        );
        Ok(())
    }
}

/// The settings in a file of their own, or in the section of an experiment.
fn read_config(path: &Path) -> anyhow::Result<SelectionConfig> {
    folders::check_file(path, "settings of the selection (TOML)")?;
    let n_bytes = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    anyhow::ensure!(
        n_bytes <= MAX_CONFIG_BYTES,
        "{} has {n_bytes} bytes; expected settings of at most {MAX_CONFIG_BYTES}",
        path.display()
    );
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let of_file = || format!("{} is no file of settings for a cohort", path.display());
    let mut table: toml::Table = toml::from_str(&text).with_context(of_file)?;
    let is_experiment = table.contains_key("out") && table.contains_key("input");
    let settings = match table.remove("cohort") {
        Some(section) => section,
        None if is_experiment => anyhow::bail!(
            "{} is an experiment without a section [cohort]; add one, or leave --config out for the defaults",
            path.display()
        ),
        None => toml::Value::Table(table),
    };
    settings.try_into().with_context(of_file)
}

/// The tables that were named, or those that lie with the images.
fn tables(args: &CohortArgs) -> anyhow::Result<Vec<PathBuf>> {
    for table in &args.tables {
        folders::check_file(table, "a table of a study")?;
    }
    let Some(images) = args.images.as_ref().filter(|_| args.tables.is_empty()) else {
        anyhow::ensure!(
            !args.tables.is_empty(),
            "there is no table to select from; name one, for example the CSV of an image collection (IDA: \
             Advanced Search > your collection > CSV), or --images with a folder that has tables"
        );
        return Ok(args.tables.clone());
    };
    let found = if images::is_bids(images) {
        images::bids_tables(images)?
    } else {
        convert::find_label_tables(images)?
    };
    anyhow::ensure!(
        !found.is_empty(),
        "{} has no table of its own; name one, for example the CSV of the image collection (IDA: Advanced \
         Search > your collection > CSV)",
        images.display()
    );
    Ok(found)
}

fn provenance(
    tables: &[PathBuf],
    found: Option<&[FoundImage]>,
    config: &SelectionConfig,
) -> anyhow::Result<Provenance> {
    let mut hash = HashBuilder::new();
    for table in tables {
        hash = hash.part(hash_file(table)?.as_str());
    }
    for image in found.unwrap_or_default() {
        let date = image.visit.date.map(|date| date.to_string());
        let id = image.image_id.as_ref().map(ToString::to_string);
        let facts = (&image.path, id, date, image.scanner.field_strength, &image.description);
        hash = hash.part(hash_json(&facts).as_str());
    }
    Ok(Provenance::new("cohort", STAGE_REVISION, config, hash.finish()))
}

fn report(request: &Request<'_>, records: &Records, cohort: &Cohort) -> CohortReport {
    CohortReport {
        notice: NOTICE,
        out: request.out.to_owned(),
        tables: records.tables().to_vec(),
        images: request.images.map(Path::to_owned),
        flow: cohort.flow(),
        demographics: Demographics::of(cohort),
        warnings: warnings(records, cohort, request.config),
        settings: request.config.clone(),
    }
}

/// What a person should look at.
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
    let (cn, ad) = (cohort.count(Diagnosis::Cn).n_images, cohort.count(Diagnosis::Ad).n_images);
    for diagnosis in &config.diagnoses {
        if cohort.count(*diagnosis).n_images == 0 {
            warnings.push(format!("no image with the diagnosis {diagnosis} is left"));
        }
    }
    if config.balance && cn < ad {
        warnings.push(format!("{cn} CN scans against {ad} AD scans: no AD scan is dropped to balance them"));
    }
    let n_without = |is_without: fn(&brainreel_cohort::CohortImage) -> bool| {
        cohort.kept().filter(|image| is_without(image)).count()
    };
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

fn last_step(flow: &Flow) -> String {
    flow.steps.last().map_or_else(
        || "the tables list no image".to_owned(),
        |step| format!("the last rule dropped {} ({})", count_text(step.dropped.n_images), step.rule.title()),
    )
}

fn count_text(n_images: usize) -> String {
    format!("{n_images} image{}", if n_images == 1 { "" } else { "s" })
}

fn show(report: &CohortReport, cohort: &Cohort, ui: &Ui) {
    for table in report.tables.iter().take(SHOWN) {
        ui.note(format!("{:>12} {} ({}, rows: {})", "table", table.path.display(), table.kind, table.n_rows));
    }
    if report.tables.len() > SHOWN {
        ui.note(format!("{:>12} and {} more", "", report.tables.len() - SHOWN));
    }
    let head = format!("{:1$}  {2:>9} {3:>9}", "", title_width(&report.flow), "images", "subjects");
    ui.result(format!("{head}\n{}\n", report.flow));
    if cohort.kept().next().is_some() {
        ui.result(report.demographics.to_string());
    }
    for warning in &report.warnings {
        ui.warn(format!("cohort: {warning}"));
    }
    let Count { n_images, n_subjects } = report.flow.remaining();
    let dir = report.out.display();
    ui.note(format!("{:>12} {n_images} images of {n_subjects} subjects, in {dir}", "cohort"));
    ui.result("\nFor research use only: not a medical device.");
}

fn title_width(flow: &Flow) -> usize {
    flow.steps.iter().map(|step| step.rule.title().len()).max().unwrap_or(0).max(10)
}
