//! A small study through the library: simulate a download, convert, preprocess, split, train, evaluate.
//!
//! `cargo run --release -p brainreel-pipeline --example small_study -- FOLDER`

use std::io::Write;
use std::path::PathBuf;

use brainreel_cohort::{Split, SplitConfig};
use brainreel_pipeline::convert::{ConvertRequest, find_label_tables};
use brainreel_pipeline::evaluate::EvaluateRequest;
use brainreel_pipeline::preprocess::PreprocessRequest;
use brainreel_pipeline::simulate::SimulateRequest;
use brainreel_pipeline::split::SplitRequest;
use brainreel_pipeline::train::TrainRequest;
use brainreel_pipeline::{Observer, ProgressUpdate, Stage, StageError};
use brainreel_pipeline::{convert, demo, evaluate, preprocess, simulate, split, train};

/// Writes one line per phase, overwritten as it proceeds.
struct Lines;

impl Observer for Lines {
    fn progress(&mut self, update: &ProgressUpdate<'_>) {
        let ProgressUpdate { stage, label, done, total, .. } = update;
        let total = total.map_or_else(|| "?".to_owned(), |total| total.to_string());
        let _ = write!(std::io::stderr(), "\r{stage:>12} {label}: {done} of {total}    ");
    }

    fn note(&mut self, stage: Stage, text: &str) {
        let _ = writeln!(std::io::stderr(), "\r{stage:>12} {text}");
    }
}

fn main() -> Result<(), StageError> {
    let out = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("small-study"), PathBuf::from);
    let at = |name: &str| out.join(name);
    let mut demo = demo::experiment(&out, 1, false);
    let mut cohort = demo.input.simulate.take().unwrap_or_default();
    (cohort.n_subjects, cohort.spacing_mm, demo.train.max_epochs) = (16, 4.0, 1);
    simulate::run(&SimulateRequest { config: cohort, ..SimulateRequest::new(at("download")) }, &mut Lines)?;
    let labels = find_label_tables(&at("download"))?;
    convert::run(&ConvertRequest { labels, ..ConvertRequest::new(at("download"), at("bids")) }, &mut Lines)?;
    let inputs = PreprocessRequest::new(at("bids"), at("derivatives"));
    preprocess::run(&PreprocessRequest { config: demo.preprocess, ..inputs }, &mut Lines)?;
    let config = SplitConfig { train: 0.5, validation: 0.25, test: 0.25, ..SplitConfig::default() };
    let tables = SplitRequest::new(at("derivatives"), at("split.tsv"));
    split::run(&SplitRequest { config, overwrite: true, ..tables }, &mut Lines)?;
    let training = TrainRequest::new(at("derivatives"), Split::read(&at("split.tsv"))?, at("run"));
    train::run(&TrainRequest { config: demo.train, ..training }, &mut Lines)?;
    let result = evaluate::run(&EvaluateRequest::new(at("run")), &mut Lines)?;
    let accuracy = result.subjects.accuracy.value.unwrap_or(f64::NAN);
    let _ =
        writeln!(std::io::stdout(), "accuracy {accuracy:.2} over {} subjects", result.subjects.n_subjects);
    Ok(())
}
