//! `brainreel split`: scans to training, validation and test, every subject on one side.

use std::path::PathBuf;

use brainreel_cohort::{LeftOutCount, ReplaySummary, SplitConfig, SplitStrategy, SubjectId, count_left_out};
use brainreel_pipeline::notice;
use brainreel_pipeline::split::folds::FoldsRequest;
use brainreel_pipeline::split::{self, SplitRecord, SplitRequest};
use clap::Args;

use crate::finish::Finish;
use crate::named;
use crate::observer::TerminalObserver;
use crate::ui::Ui;

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
    #[arg(long, value_parser = named::one_of(&STRATEGIES), default_value_t = SplitStrategy::RoundRobin)]
    strategy: SplitStrategy,
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    validation: f64,
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    test: f64,
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[arg(long, value_name = "SITES", value_delimiter = ',')]
    sites: Vec<String>,
    #[arg(long, value_name = "TESLA")]
    field_strength: Option<f64>,
    #[arg(long)]
    leave_out_unknown: bool,
    #[arg(long)]
    match_age_sex: bool,
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

    fn folds_request(&self, n_folds: usize) -> FoldsRequest {
        FoldsRequest {
            validation: self.validation,
            seed: self.seed,
            match_within_years: self.match_age_sex.then_some(self.caliper_years),
            overwrite: self.overwrite,
            ..FoldsRequest::new(&self.derivatives_dir, &self.out, n_folds)
        }
    }
}

/// Runs the subcommand.
pub(crate) fn execute(args: &SplitArgs, ui: &Ui) -> anyhow::Result<Finish> {
    let mut observer = TerminalObserver::new(ui);
    if let Some(n_folds) = args.folds {
        let summary = split::folds::run(&args.folds_request(n_folds), &mut observer)?;
        for (fold, split) in (1..).zip(&summary.folds) {
            ui.result(format!("fold {fold}\n{}", render(&split.record)));
        }
        ui.summary(&summary)?;
        return Ok(Finish::AllWell);
    }
    let request = SplitRequest {
        config: args.config(),
        overwrite: args.overwrite,
        ..SplitRequest::new(&args.derivatives_dir, &args.out)
    };
    let summary = split::run(&request, &mut observer)?;
    ui.result(render(&summary.record));
    ui.summary(&summary)?;
    Ok(Finish::AllWell)
}

/// The counts and what has to be known about them.
fn render(record: &SplitRecord) -> String {
    let mut text = record.counts.to_string();
    if !record.tested.is_empty() {
        text += &format!("\ntested, and nobody else was scanned there: {}", record.tested.join(", "));
    }
    if let Some(matching) = &record.matching {
        text += &format!(
            "\n{} pairs of an AD and a CN subject of the same sex, {:.2} years apart on average, {:.2} at most",
            matching.n_pairs, matching.mean_difference_years, matching.largest_difference_years
        );
    }
    for LeftOutCount { why, n_subjects, n_scans } in count_left_out(&record.left_out) {
        let left_out = record.left_out.iter().filter(|left_out| left_out.why == why);
        let names = list_names(left_out.map(|left_out| &left_out.subject));
        text += &format!("\nleft out, {why}: {n_scans} scans of {n_subjects} subjects ({names})");
    }
    if let Some(replay) = &record.replay {
        text += &render_replay(replay);
    }
    if record.leaky {
        text += &format!(
            "\n{} of {} subjects have scans on several sides.\n{}.",
            record.n_subjects_on_several_sides,
            record.n_subjects_in_all,
            notice::LEAKY
        );
    }
    text.trim_end().to_owned()
}

fn render_replay(replay: &ReplaySummary) -> String {
    let mut text = format!("\n{} subjects listed", replay.n_listed);
    for (what, subjects) in [
        ("without a scan here", &replay.without_scans),
        ("listed more than once, in one partition", &replay.repeated),
    ] {
        if !subjects.is_empty() {
            text += &format!("\n{what}: {} ({})", subjects.len(), list_names(subjects.iter()));
        }
    }
    if replay.is_validation_drawn {
        text += "\nthe list has no validation subjects: some of its training subjects were drawn for it";
    }
    text
}

/// At most ten names; the JSON summary has all.
fn list_names<'a>(subjects: impl Iterator<Item = &'a SubjectId>) -> String {
    const MAX_NAMES: usize = 10;
    let all: Vec<String> = subjects.map(ToString::to_string).collect();
    let mut text = all[..all.len().min(MAX_NAMES)].join(", ");
    if all.len() > MAX_NAMES {
        text += &format!(" and {} more, see --json", all.len() - MAX_NAMES);
    }
    text
}
