//! From a simulated download to a BIDS dataset, through the library.

use std::path::Path;

use brainreel_pipeline::cohort::{self, CohortRequest};
use brainreel_pipeline::convert::{self, ConvertConfig, ConvertRequest};
use brainreel_pipeline::simulate::{self, SimulateRequest};
use brainreel_pipeline::{Observer, ProgressUpdate, Remedy, Silent, Stage, StageError};
use brainreel_simulate::SimulateConfig;

/// Keeps warnings, and the phases that were shown.
#[derive(Default)]
struct Log {
    warnings: Vec<String>,
    phases: Vec<String>,
}

impl Observer for Log {
    fn progress(&mut self, update: &ProgressUpdate<'_>) {
        if !self.phases.iter().any(|phase| phase == update.label) {
            self.phases.push(update.label.to_owned());
        }
    }
    fn warning(&mut self, _stage: Stage, text: &str) {
        self.warnings.push(text.to_owned());
    }
}

fn simulate(out: &Path, seed: u64) {
    let config = SimulateConfig {
        n_subjects: 3,
        n_visits: 1,
        seed,
        spacing_mm: 8.0,
        truth_images: false,
        ..SimulateConfig::default()
    };
    simulate::run(&SimulateRequest { config, ..SimulateRequest::new(out) }, &mut Silent)
        .expect("a small cohort can be simulated");
}

#[test]
fn a_download_becomes_a_dataset_once() {
    let dir = tempfile::tempdir().unwrap();
    let (download, bids) = (dir.path().join("download"), dir.path().join("bids"));
    simulate(&download, 1);
    let labels = convert::find_label_tables(&download).unwrap();
    assert_eq!(labels.len(), 1);
    let request = ConvertRequest { labels, ..ConvertRequest::new(&download, &bids) };
    let mut log = Log::default();
    let first = convert::run(&request, &mut log).unwrap();
    assert_eq!((first.n_kept, first.n_up_to_date, first.n_labelled), (3, 0, 3));
    assert_eq!(log.phases, ["read headers", "convert"]);
    assert!(log.warnings.is_empty(), "{:?}", log.warnings);
    assert_eq!(convert::run(&request, &mut Silent).unwrap().n_up_to_date, 3);

    // A file in the dataset that breaks the rules of BIDS is a warning.
    std::fs::create_dir_all(bids.join("sub-x/anat")).unwrap();
    std::fs::write(bids.join("sub-x/anat/odd_T1w.nii"), "").unwrap();
    convert::run(&request, &mut log).unwrap();
    assert!(log.warnings.iter().any(|text| text.contains("odd_T1w.nii is skipped")), "{:?}", log.warnings);

    // The images of another download are lost only on request.
    let other = dir.path().join("other");
    simulate(&other, 2);
    let mut request = ConvertRequest::new(&other, &bids);
    let error = convert::run(&request, &mut Silent).unwrap_err();
    assert_eq!(error.remedy(), Some(Remedy::ReplaceDataset));
    assert!(error.to_string().contains("3 of its 3 images would be lost"), "{error}");
    assert!(!error.chain().contains("--"), "an option of the command line in {}", error.chain());
    request.config = ConvertConfig { replace: true, ..ConvertConfig::default() };
    let replaced = convert::run(&request, &mut Silent).unwrap();
    assert_eq!((replaced.n_kept, replaced.n_labelled), (3, 0));
}

#[test]
fn a_selection_of_nobody_is_an_error_with_its_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (download, out) = (dir.path().join("download"), dir.path().join("cohort"));
    simulate(&download, 1);
    let mut request = CohortRequest {
        tables: cohort::find_tables(&download).unwrap(),
        images: Some(download),
        ..CohortRequest::new(&out)
    };
    request.config.balance = false;
    let summary = cohort::run(&request, &mut Silent).unwrap();
    assert_eq!(summary.flow.remaining().n_images, 3);
    assert!(out.join("cohort.tsv").is_file() && out.join("flow.svg").is_file());
    request.config.min_age_years = Some(120.0);
    let error = cohort::run(&request, &mut Silent).unwrap_err();
    assert!(matches!(error, StageError::NothingLeft { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(out.join("ledger.tsv")).unwrap().lines().count(), 4);
    request.tables.clear();
    assert!(matches!(cohort::run(&request, &mut Silent), Err(StageError::Setting { .. })));
}

#[test]
fn an_empty_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let request = ConvertRequest::new(dir.path().join("gone"), dir.path().join("bids"));
    let error = convert::run(&request, &mut Silent).unwrap_err();
    assert!(matches!(&error, StageError::Input { path, .. } if path.ends_with("gone")), "{error}");
    std::fs::create_dir(dir.path().join("gone")).unwrap();
    let error = convert::run(&request, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("holds no DICOM image"), "{error}");
    assert!(!dir.path().join("bids").exists());
}
