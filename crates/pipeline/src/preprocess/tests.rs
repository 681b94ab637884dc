use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use brainreel_preprocess::n4::N4Config;
use brainreel_volume::{Affine, Grid, Volume};
use tempfile::TempDir;

use super::*;
use crate::{Remedy, Silent};

/// A dataset of heads with a mask for each, and a request that keeps everything.
struct Fixture {
    dir: TempDir,
    request: PreprocessRequest,
}

impl Fixture {
    fn new(subjects: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut request = PreprocessRequest::new(dir.path().join("bids"), dir.path().join("derivatives"));
        request.masks = Some(dir.path().join("masks"));
        request.keep = Keep::ALL.to_vec();
        request.limits = Limits { n_jobs: 1, max_bytes: u64::MAX };
        request.config = PreprocessConfig {
            brain_extractor: ExtractorChoice::Mask,
            spacing_mm: 8.0,
            size_voxels: 16,
            n4: N4Config { shrink_factor: 1, n_iterations: vec![2], ..N4Config::default() },
            ..PreprocessConfig::default()
        };
        for (i, subject) in subjects.iter().enumerate() {
            let name = bids::BidsName::t1w(subject, None, None).unwrap();
            let grid = Grid::new([20, 22, 24], Affine::from_diagonal([7.0, 8.0, 9.0])).unwrap();
            let inside = |[x, y, z]: [usize; 3]| x > 3 && y > 4 && z > 5 && x + y + z + i < 45;
            let head = Volume::from_fn(grid, |at| {
                let tissue = [60.0, 100.0, 140.0][(at[0] + at[1] + at[2]) % 3];
                if inside(at) { tissue + at[0] as f32 } else { 5.0 + (at[1] % 3) as f32 }
            });
            nifti::write(&request.bids.join(name.relative_path()), &head).unwrap();
            let mask = Volume::from_fn(grid, |at| u8::from(inside(at)));
            let masks = request.masks.as_ref().unwrap();
            nifti::write(&masks.join(name.brain_mask().relative_path()), &mask).unwrap();
        }
        Self { dir, request }
    }

    fn run(&self) -> Result<PreprocessSummary, StageError> {
        run(&self.request, &mut Silent)
    }

    /// The files of one subject, by name.
    fn files(&self, subject: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in [format!("sub-{subject}/anat"), "figures".to_owned()] {
            let Ok(entries) = fs::read_dir(self.request.derivatives.join(folder)) else { continue };
            for entry in entries.map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                if name.starts_with(&format!("sub-{subject}_")) {
                    files.insert(name, fs::read(entry.path()).unwrap());
                }
            }
        }
        files
    }

    fn path(&self, subject: &str, companion: Companion) -> std::path::PathBuf {
        let name = bids::BidsName::t1w(subject, None, None).unwrap();
        self.request.derivatives.join(companion.path(&name))
    }
}

fn zeros_like(path: &Path) -> Volume<f32> {
    nifti::read_f32(path).unwrap().map(|_| 0.0)
}

#[test]
fn a_scan_has_all_its_files_and_is_up_to_date_the_second_time() {
    let fixture = Fixture::new(&["01"]);
    let summary = fixture.run().unwrap();
    assert_eq!((summary.n_scans, summary.n_up_to_date), (1, 0));
    let files = fixture.files("01");
    for companion in Companion::all() {
        assert!(fixture.path("01", companion).is_file(), "{companion:?}");
    }
    assert_eq!(fixture.run().unwrap().n_up_to_date, 1);
    assert_eq!(fixture.files("01"), files);
}

#[test]
fn a_file_that_a_person_changed_stops_its_scan_before_anything_is_written() {
    let kept = Keep::ALL.map(Companion::Kept);
    for companion in [Companion::BrainMask].into_iter().chain(kept) {
        let mut fixture = Fixture::new(&["01", "02"]);
        fixture.run().unwrap();
        let path = fixture.path("01", companion);
        nifti::write(&path, &zeros_like(&path)).unwrap();
        let (edited, other) = (fixture.files("01"), fixture.files("02"));
        fixture.request.config.size_voxels = 24;
        let summary = fixture.run().unwrap();
        assert_eq!(summary.failures.len(), 1, "{companion:?}");
        assert!(summary.failures[0].error.contains("changed since"), "{:?}", summary.failures);
        let is_mask = companion == Companion::BrainMask;
        assert_eq!(summary.failures[0].remedy, is_mask.then_some(Remedy::UseAsMask));
        assert_eq!(fixture.files("01"), edited, "{companion:?}");
        assert_ne!(fixture.files("02"), other);
    }
}

#[test]
fn a_foreign_file_under_a_name_of_ours_is_not_replaced() {
    let network_input = |fixture: &Fixture| {
        let name = bids::BidsName::t1w("01", None, None).unwrap();
        fixture.request.derivatives.join(files::network_input(&name).relative_path())
    };
    let fixture = Fixture::new(&["01"]);
    let mut paths: Vec<_> = Companion::all().map(|companion| fixture.path("01", companion)).collect();
    paths.push(network_input(&fixture));
    for path in paths {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"mine").unwrap();
        let error = fixture.run().unwrap_err();
        assert!(matches!(error, StageError::NothingLeft { .. }), "{error}");
        let table = fs::read_to_string(fixture.request.derivatives.join("failures.csv")).unwrap();
        assert!(table.contains("was not written by"), "{table}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fixture.files("01").len(), 1, "something was written beside {}", path.display());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_a_killed_run_left_is_taken_over() {
    let fixture = Fixture::new(&["01"]);
    fixture.run().unwrap();
    let files = fixture.files("01");
    let sidecar = fixture.request.derivatives.join("sub-01/anat/sub-01_space-network_desc-preproc_T1w.json");
    fs::remove_file(sidecar).unwrap();
    assert!(fixture.run().unwrap().failures.is_empty());
    assert_eq!(fixture.files("01"), files);
}

#[test]
fn images_of_every_kind_are_removed_with_their_setting_and_with_their_scan() {
    let mut fixture = Fixture::new(&["01", "02"]);
    fixture.run().unwrap();
    fixture.request.keep = vec![Keep::Field];
    fixture.request.pictures = false;
    fixture.request.config.size_voxels = 24;
    fixture.run().unwrap();
    for companion in Companion::all() {
        let expected = matches!(companion, Companion::BrainMask | Companion::Kept(Keep::Field));
        assert_eq!(fixture.path("01", companion).exists(), expected, "{companion:?}");
    }
    fixture.request.keep = Keep::ALL.to_vec();
    fixture.request.pictures = true;
    fixture.request.config.size_voxels = 16;
    fixture.run().unwrap();
    fs::remove_dir_all(fixture.dir.path().join("bids/sub-01")).unwrap();
    assert_eq!(fixture.run().unwrap().n_removed, 1);
    assert!(fixture.files("01").is_empty() && !fixture.request.derivatives.join("sub-01").exists());
}

#[test]
fn a_mask_that_a_person_changed_outlives_its_scan_and_its_setting() {
    let mut fixture = Fixture::new(&["01", "02"]);
    fixture.run().unwrap();
    let mask = fixture.path("01", Companion::BrainMask);
    nifti::write(&mask, &zeros_like(&mask)).unwrap();
    let edited = fs::read(&mask).unwrap();
    let masks = fixture.request.masks.take();
    let config = fixture.request.config.clone();
    fixture.request.config =
        PreprocessConfig { spacing_mm: 8.0, size_voxels: 16, ..PreprocessConfig::whole_head() };
    assert_eq!(fixture.run().unwrap().failures.len(), 1);
    assert_eq!(fs::read(&mask).unwrap(), edited);
    (fixture.request.masks, fixture.request.config) = (masks, config);
    fs::remove_dir_all(fixture.dir.path().join("bids/sub-01")).unwrap();
    assert_eq!(fixture.run().unwrap().n_removed, 1);
    assert_eq!(fs::read(&mask).unwrap(), edited);
}
