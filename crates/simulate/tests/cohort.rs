//! What `simulate_cohort` leaves on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use brainreel_artifact::{ContentHash, hash_file};
use brainreel_simulate::{SimulateConfig, SimulateError, simulate_cohort};

fn small() -> SimulateConfig {
    SimulateConfig { n_subjects: 3, n_visits: 2, spacing_mm: 7.0, seed: 11, ..SimulateConfig::default() }
}

fn quiet(_: usize, _: usize) {}

/// Hash of every file under `root`, by relative path.
fn contents(root: &Path) -> BTreeMap<String, ContentHash> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name =
                    path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                found.insert(name, hash_file(&path).expect("a readable file"));
            }
        }
    }
    found
}

fn with_threads(n: usize, out: &Path) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool");
    pool.install(|| simulate_cohort(out, &small(), &quiet)).expect("a cohort");
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (one, three) = (dir.path().join("one"), dir.path().join("three"));
    with_threads(1, &one);
    with_threads(3, &three);
    assert_eq!(contents(&one), contents(&three));
}

#[test]
fn an_interrupted_run_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let first = simulate_cohort(dir.path(), &small(), &quiet).unwrap();
    let whole = contents(dir.path());
    // As if the work had stopped before the last scan and the tables were finished.
    let last = *whole.keys().filter(|name| name.ends_with("truth.json")).collect::<Vec<_>>().last().unwrap();
    fs::remove_file(dir.path().join(last)).unwrap();
    fs::remove_file(dir.path().join(whole.keys().find(|name| name.ends_with(".dcm")).unwrap())).unwrap();
    fs::remove_file(&first.csv).unwrap();
    let calls = AtomicUsize::new(0);
    let again = simulate_cohort(dir.path(), &small(), &|_, total| {
        calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(total, first.n_scans);
    })
    .unwrap();
    assert_eq!(calls.into_inner(), first.n_scans);
    assert!((1..first.n_scans).contains(&again.n_scans_kept), "{} kept", again.n_scans_kept);
    assert_eq!(contents(dir.path()), whole);
}

#[test]
fn the_layout_is_that_of_a_download() {
    let dir = tempfile::tempdir().unwrap();
    let summary = simulate_cohort(dir.path(), &small(), &quiet).unwrap();
    let table = fs::read_to_string(&summary.csv).unwrap();
    let mut lines = table.lines();
    assert_eq!(
        lines.next().unwrap(),
        "\"Image Data ID\",\"Subject\",\"Group\",\"Sex\",\"Age\",\"Visit\",\"Modality\",\"Description\",\"Type\",\
         \"Acq Date\",\"Format\",\"Downloaded\""
    );
    let rows: Vec<Vec<&str>> =
        lines.map(|line| line.split(',').map(|cell| cell.trim_matches('"')).collect()).collect();
    assert_eq!(rows.len(), summary.n_scans);
    let files = contents(dir.path());
    for row in rows {
        let (image, ptid) = (row[0], row[1]);
        let slices = files.keys().filter(|name| {
            name.starts_with(&format!("ADNI/{ptid}/")) && name.ends_with(&format!("_{image}.dcm"))
        });
        assert!(slices.count() >= 20, "{image}");
        for name in ["labels.nii.gz", "mask.nii.gz", "bias.nii.gz", "truth.json"] {
            assert!(files.contains_key(&format!("truth/{image}/{name}")), "{image}/{name}");
        }
    }
    assert_eq!(fs::read_to_string(&summary.truth).unwrap().lines().count(), 1 + summary.n_scans);
}

#[test]
fn a_folder_with_another_cohort_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = SimulateConfig { n_subjects: 1, n_visits: 1, ..small() };
    simulate_cohort(dir.path(), &config, &quiet).unwrap();
    let other = SimulateConfig { seed: 12, ..config };
    let refused = simulate_cohort(dir.path(), &other, &quiet);
    assert!(matches!(refused, Err(SimulateError::OtherCohort { .. })));
    let invalid = SimulateConfig { n_subjects: 0, ..other };
    assert!(matches!(simulate_cohort(dir.path(), &invalid, &quiet), Err(SimulateError::Option { .. })));
}
