//! `brainreel split`: scans to training, validation and test, every subject on one side.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::write_atomic;
use brainreel_cohort::{
    Diagnosis, FoldConfig, LeftOut, MatchSummary, Matched, ReplaySummary, SPLIT_MARK, Scan, ScanTable, Split,
    SplitConfig, SplitOutcome, SplitStrategy, SplitSummary, SubjectId, count_left_out, match_age_and_sex,
    split_folds, split_scans,
};
use brainreel_pipeline::notice;
use brainreel_pipeline::run_folder::RunFolder;
use clap::Args;
use serde::Serialize;

use crate::finish::Finish;
use crate::folders::{self, Kind};
use crate::named;
use crate::ui::Ui;

/// Raise whenever the same table and configuration give another split.
pub(crate) const STAGE_REVISION: u32 = 1;

const EXAMPLES: &str = "\
Examples:
  brainreel split derivatives --out split.tsv
  brainreel split derivatives --out split.tsv --validation 0.15 --test 0.15
  brainreel split derivatives --out split.tsv --strategy stratified --seed 7
  brainreel split derivatives --out split.tsv --match-age-sex --caliper-years 2
  brainreel split derivatives --out split.tsv --strategy leave-site-out --sites 011,023
  brainreel split derivatives --out split.tsv --strategy leave-field-strength-out --field-strength 3
  brainreel split derivatives --out split.tsv --subjects published.csv    # columns subject and partition
  brainreel split derivatives --out folds --folds 5                       # folds/split-1.tsv to split-5.tsv
  brainreel split derivatives --out leaky.tsv --strategy scan-level       # leaky on purpose, for demonstration

Round robin, the default and the thesis's: within each diagnosis, subjects are sorted by their number of scans
and dealt in turn to test, validation and training until a partition has its share of the scans; the rest goes
to training. All scans of a subject stay together, in every strategy but scan-level. The file may be edited by
hand; a subject on two sides is refused by every command that reads it. A scan-level split is marked leaky: it
is refused without --allow-leaky, and whatever is made with it says that it is leaky.";

/// Split the scans into training, validation and test, every subject on one side
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SplitArgs {
    /// Derivatives, as `brainreel preprocess` writes them
    derivatives_dir: PathBuf,
    /// The table to write; with --folds a folder for the tables
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The rule
    #[arg(long, value_parser = named::one_of(&STRATEGIES), default_value_t = SplitStrategy::RoundRobin)]
    strategy: SplitStrategy,
    /// Share of the scans for validation
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    validation: f64,
    /// Share of the scans for the test
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    test: f64,
    /// Seed of what is drawn; round-robin draws nothing
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// leave-site-out: sites to test on, separated by commas [default: chosen until the test has its share]
    #[arg(long, value_name = "SITES", value_delimiter = ',')]
    sites: Vec<String>,
    /// leave-field-strength-out: field strength to test on, give or take a tenth
    #[arg(long, value_name = "TESLA")]
    field_strength: Option<f64>,
    /// Leave scans of unknown site or field strength out, instead of refusing them
    #[arg(long)]
    leave_out_unknown: bool,
    /// Keep only AD and CN subjects that form pairs of the same sex and nearly the same age
    #[arg(long)]
    match_age_sex: bool,
    /// Largest difference in age within a pair
    #[arg(long, value_name = "YEARS", default_value_t = 2.0, requires = "match_age_sex")]
    caliper_years: f64,
    /// Repeat a split published elsewhere: a table with the columns subject (002_S_0413, RID 413,
    /// sub-ADNI002S0413) and partition (train, validation, test)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["strategy", "match_age_sex"])]
    subjects: Option<PathBuf>,
    /// Cross-validation: K tables, each subject tested in one of them
    #[arg(long, value_name = "K", conflicts_with_all = ["strategy", "subjects", "sites", "field_strength", "test"])]
    folds: Option<usize>,
    /// Replace a split that is already there
    #[arg(long)]
    overwrite: bool,
}

/// The strategies; a list of subjects is an option of its own.
const STRATEGIES: [SplitStrategy; 5] = [
    SplitStrategy::RoundRobin,
    SplitStrategy::Stratified,
    SplitStrategy::LeaveSiteOut,
    SplitStrategy::LeaveFieldStrengthOut,
    SplitStrategy::ScanLevel,
];

impl SplitArgs {
    fn config(&self) -> SplitConfig {
        let strategy = if self.subjects.is_some() { SplitStrategy::Subjects } else { self.strategy };
        SplitConfig {
            strategy,
            train: 1.0 - self.validation - self.test,
            validation: self.validation,
            test: self.test,
            seed: self.seed,
            sites: self.sites.clone(),
            field_strength_t: self.field_strength,
            leave_out_unknown: self.leave_out_unknown,
            match_age_sex: self.match_age_sex,
            caliper_years: self.caliper_years,
            subjects: self.subjects.clone(),
            ..SplitConfig::default()
        }
    }
}

/// What `split` reports.
#[derive(Debug, Serialize)]
pub(crate) struct SplitReport {
    /// The table that was written.
    pub(crate) split: PathBuf,
    /// What it holds.
    #[serde(flatten)]
    pub(crate) record: SplitRecord,
}

/// A split without its place.
#[derive(Debug, Serialize)]
pub(crate) struct SplitRecord {
    /// What this is, and what it is not for.
    notice: String,
    /// Whether the split is leaky on purpose.
    pub(crate) leaky: bool,
    /// Number of subjects.
    n_subjects_in_all: usize,
    /// Number of subjects with scans on several sides: 0 but for a leaky split.
    n_subjects_on_several_sides: usize,
    /// The strategy and its settings, as the header of the table has them.
    strategy: Option<String>,
    /// Hash over its rows.
    pub content_sha256: String,
    /// Scans without one of the classes' diagnoses.
    pub(crate) n_left_out: usize,
    /// Scans of the classes that are not in the split, by subject, and why.
    left_out: Vec<LeftOut>,
    /// The sites, or the field strength, that are tested and that nobody else was scanned at.
    tested: Vec<String>,
    /// Age and sex matching.
    #[serde(skip_serializing_if = "Option::is_none")]
    matching: Option<MatchSummary>,
    /// How a list of subjects fitted the scans.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<ReplaySummary>,
    /// Subjects and scans in each partition.
    #[serde(flatten)]
    pub(crate) summary: SplitSummary,
}

/// What `split --folds` reports.
#[derive(Debug, Serialize)]
struct FoldsReport {
    notice: &'static str,
    /// Number of folds.
    n_folds: usize,
    /// The tables.
    folds: Vec<SplitReport>,
}

/// Runs the subcommand.
pub(crate) fn execute(args: &SplitArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let config = args.config();
    if let Some(n_folds) = args.folds {
        let report = folds(args, n_folds, ui)?;
        for (fold, report) in report.folds.iter().enumerate() {
            ui.result(format!("fold {}\n{}", fold + 1, report.record.text()));
        }
        ui.summary(&report)?;
        return Ok(Finish::AllWell);
    }
    if args.out.exists() {
        refuse_to_replace(&args.out, args.overwrite)?;
    }
    let report = perform(&args.derivatives_dir, &args.out, &config, ui)?;
    ui.result(report.record.text());
    ui.summary(&report)?;
    Ok(Finish::AllWell)
}

/// Only a split is replaced, only when told to, and not the one that a trained run is bound to.
fn refuse_to_replace(out: &Path, overwrite: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        overwrite,
        "{} exists; pass --overwrite to replace it (models trained with it will no longer match)",
        out.display()
    );
    let is_split = std::fs::read(out).is_ok_and(|bytes| bytes.starts_with(SPLIT_MARK.as_bytes()));
    anyhow::ensure!(
        is_split,
        "{} exists and is not a split of brainreel; choose another name",
        out.display()
    );
    let of_run = RunFolder::new(out.parent().unwrap_or(Path::new(""))).is_run();
    anyhow::ensure!(
        !of_run,
        "{} belongs to the trained run beside it; write the new split elsewhere",
        out.display()
    );
    Ok(())
}

/// Splits the scans of a derivatives folder.
pub(crate) fn perform(
    derivatives: &Path,
    out: &Path,
    config: &SplitConfig,
    ui: &Ui,
) -> anyhow::Result<SplitReport> {
    let table = read_scans(derivatives, &config.classes)?;
    let of_table = || format!("cannot split the scans of {}", derivatives.join("scans.tsv").display());
    let outcome = split_scans(table.scans(), config).with_context(of_table)?;
    write_split(outcome, &table, &config.classes, out, ui)
}

fn read_scans(derivatives: &Path, classes: &[Diagnosis]) -> anyhow::Result<ScanTable> {
    folders::check_input(derivatives, brainreel_pipeline::folders::Kind::Derivatives.describe())?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    let table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    refuse_unlabelled(derivatives, &table, classes)?;
    Ok(table)
}

/// Writes a split that fits the scans, and reports it.
fn write_split(
    outcome: SplitOutcome,
    table: &ScanTable,
    classes: &[Diagnosis],
    out: &Path,
    ui: &Ui,
) -> anyhow::Result<SplitReport> {
    if outcome.split.is_leaky() {
        ui.warn(notice::LEAKY);
    }
    outcome.split.join(table)?;
    write_atomic(out, outcome.split.to_tsv().as_bytes())?;
    let record = SplitRecord::of(outcome, table, classes);
    if record.n_left_out > 0 {
        let classes: Vec<_> = classes.iter().map(ToString::to_string).collect();
        let n_left_out = record.n_left_out;
        ui.note(format!("{:>12} {n_left_out} scans left out: not {}", "split", classes.join(" or ")));
    }
    let [train, validation, test] = record.summary.n_scans;
    let leaky = if record.leaky { "LEAKY: " } else { "" };
    ui.note(format!(
        "{:>12} {leaky}{train} training, {validation} validation, {test} test scans in {}",
        "split",
        out.display()
    ));
    Ok(SplitReport { split: out.to_owned(), record })
}

/// Deals the subjects to folds and writes a split of each.
fn folds(args: &SplitArgs, n_folds: usize, ui: &Ui) -> anyhow::Result<FoldsReport> {
    let config = FoldConfig {
        n_folds,
        validation: args.validation,
        seed: args.seed,
        classes: SplitConfig::default().classes,
    };
    let table = read_scans(&args.derivatives_dir, &config.classes)?;
    let of_table =
        || format!("cannot deal the scans of {}", args.derivatives_dir.join("scans.tsv").display());
    let matched = args.match_age_sex.then(|| match_age_and_sex(table.scans(), args.caliper_years));
    let matched = matched.transpose().with_context(of_table)?;
    let scans = matched.as_ref().map_or(table.scans(), |matched| &matched.scans);
    let splits = split_folds(scans, &config).with_context(of_table)?;
    let path = |fold: usize| args.out.join(format!("split-{fold}.tsv"));
    for fold in (1..=n_folds).filter(|fold| path(*fold).exists()) {
        refuse_to_replace(&path(fold), args.overwrite)?;
    }
    anyhow::ensure!(
        !path(n_folds + 1).exists(),
        "{} is of more folds than {n_folds}; choose another folder",
        path(n_folds + 1).display()
    );
    let mut reports = Vec::new();
    for (split, fold) in splits.into_iter().zip(1..) {
        let outcome = outcome_of_fold(split, matched.as_ref());
        reports.push(write_split(outcome, &table, &config.classes, &path(fold), ui)?);
    }
    Ok(FoldsReport { notice: notice::NOTICE, n_folds, folds: reports })
}

fn outcome_of_fold(split: Split, matched: Option<&Matched>) -> SplitOutcome {
    let left_out = matched.map_or_else(Vec::new, |matched| matched.left_out.clone());
    SplitOutcome {
        split: split.with_left_out(&left_out),
        left_out,
        tested: Vec::new(),
        matching: matched.map(|matched| matched.summary.clone()),
        replay: None,
    }
}

impl SplitRecord {
    fn of(outcome: SplitOutcome, table: &ScanTable, classes: &[Diagnosis]) -> Self {
        let SplitOutcome { split, left_out, tested, matching, replay } = outcome;
        let n_labelled = table.scans().iter().filter(|scan| is_labelled(scan, classes)).count();
        Self {
            notice: notice::for_report(split.is_leaky()),
            leaky: split.is_leaky(),
            n_subjects_in_all: split.n_subjects(),
            n_subjects_on_several_sides: split.n_subjects_on_several_sides(),
            strategy: split.strategy().map(str::to_owned),
            content_sha256: split.content_hash(),
            n_left_out: table.scans().len() - n_labelled,
            left_out,
            tested,
            matching,
            replay,
            summary: split.summary(),
        }
    }

    /// The counts and what has to be known about them, for the terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = self.summary.to_string();
        if !self.tested.is_empty() {
            text += &format!("\ntested, and nobody else was scanned there: {}", self.tested.join(", "));
        }
        if let Some(matching) = &self.matching {
            text += &format!(
                "\n{} pairs of an AD and a CN subject of the same sex, {:.2} years apart on average, {:.2} at most",
                matching.n_pairs, matching.mean_difference_years, matching.largest_difference_years
            );
        }
        for (why, n_subjects, n_scans) in count_left_out(&self.left_out) {
            let of_reason = self.left_out.iter().filter(|left| left.why == why);
            let names = names(of_reason.map(|left| &left.subject));
            text += &format!("\nleft out, {why}: {n_scans} scans of {n_subjects} subjects ({names})");
        }
        if let Some(replay) = &self.replay {
            text += &replay_text(replay);
        }
        if self.leaky {
            text += &format!(
                "\n{} of {} subjects have scans on several sides.\n{}.",
                self.n_subjects_on_several_sides,
                self.n_subjects_in_all,
                notice::LEAKY
            );
        }
        text.trim_end().to_owned()
    }
}

fn replay_text(replay: &ReplaySummary) -> String {
    let mut text = format!("\n{} subjects listed", replay.n_listed);
    for (what, subjects) in [
        ("without a scan here", &replay.without_scans),
        ("listed more than once, in one partition", &replay.repeated),
    ] {
        if !subjects.is_empty() {
            text += &format!("\n{what}: {} ({})", subjects.len(), names(subjects.iter()));
        }
    }
    if replay.is_validation_drawn {
        text += "\nthe list has no validation subjects: some of its training subjects were drawn for it";
    }
    text
}

/// At most ten names; `--json` has all.
fn names<'a>(subjects: impl Iterator<Item = &'a SubjectId>) -> String {
    const SHOWN: usize = 10;
    let all: Vec<String> = subjects.map(ToString::to_string).collect();
    let mut text = all[..all.len().min(SHOWN)].join(", ");
    if all.len() > SHOWN {
        text += &format!(" and {} more, see --json", all.len() - SHOWN);
    }
    text
}

fn is_labelled(scan: &Scan, classes: &[Diagnosis]) -> bool {
    scan.diagnosis.is_some_and(|diagnosis| classes.contains(&diagnosis))
}

fn refuse_unlabelled(derivatives: &Path, table: &ScanTable, classes: &[Diagnosis]) -> anyhow::Result<()> {
    if table.scans().iter().any(|scan| is_labelled(scan, classes)) {
        return Ok(());
    }
    let classes: Vec<_> = classes.iter().map(ToString::to_string).collect();
    anyhow::bail!(
        "none of the {} scans in {} has a diagnosis {}; put it into the column `diagnosis` of \
         sub-*/sub-*_sessions.tsv of the BIDS dataset and preprocess again, or convert with --labels",
        table.scans().len(),
        derivatives.join("scans.tsv").display(),
        classes.join(" or ")
    )
}
