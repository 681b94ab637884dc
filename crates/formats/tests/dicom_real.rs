//! Real series against the volumes that dicom2nifti and other tools made from them. Skipped without the data.

#![expect(clippy::unwrap_used, reason = "a test's helper functions may panic like the test itself")]

use std::path::{Path, PathBuf};

use brainreel_formats::dicom::{self, LoadedSeries, SeriesError, SeriesIndex};
use brainreel_formats::nifti;
use brainreel_testkit::{Tolerance, assert_close, real_data};
use brainreel_volume::{Affine, Volume};

fn real(path: &str) -> Option<PathBuf> {
    real_data().map(|folder| folder.join("dicom").join(path)).filter(|folder| folder.is_dir())
}

fn the_series(folder: &Path) -> SeriesIndex {
    let tree = dicom::scan_tree(folder, &|_, _| {});
    assert_eq!(tree.series.len(), 1, "{}: {:?}", folder.display(), tree.problems);
    tree.series.into_iter().next().unwrap()
}

fn load(folder: &Path) -> Result<LoadedSeries, SeriesError> {
    dicom::load_series(&the_series(folder))
}

/// Asserts that both volumes are equal up to the order and direction of the axes: the voxel map is a signed
/// permutation, affines agree to 1e-3, and values agree to `tolerance`.
fn assert_same(got: &Volume<f64>, expected: &Volume<f64>, tolerance: f64, name: &str) {
    let map = expected.grid().affine().inverse().unwrap().compose(got.grid().affine());
    let rounded = Affine::new(map.rows().map(|row| row.map(f64::round))).unwrap();
    let back = expected.grid().affine().compose(&rounded);
    let (affine, wanted) = (got.grid().affine().rows().as_flattened(), back.rows().as_flattened());
    assert_close(affine, wanted, Tolerance::absolute(1e-3));
    assert_eq!(got.as_slice().len(), expected.as_slice().len(), "{name}");
    let [ni, nj, nk] = got.dims();
    for k in 0..nk {
        for j in 0..nj {
            for i in 0..ni {
                let index = rounded.apply([i as f64, j as f64, k as f64]).map(|v| v as usize);
                let (value, want) = (*got.at([i, j, k]), *expected.at(index));
                let allowed = tolerance * want.abs();
                assert!(
                    (value - want).abs() <= allowed,
                    "{name} at {:?}: {value}, expected {want}",
                    [i, j, k]
                );
            }
        }
    }
}

#[test]
fn series_equal_their_ground_truth() {
    // Integers exactly; rescaled values to single precision.
    let cases = [
        ("generic/anatomical/001", 0.0),
        ("generic/anatomical/001_implicit", 0.0),
        ("generic/anatomical/002_non_isotropic", 1e-6),
        ("generic/compressed/001", 0.0),
        ("generic/compressed_j2k/001", 0.0),
        ("generic/compressed_jpeg/001", 0.0),
        ("generic/compressed_jpegls/001", 0.0),
        ("generic/compressed_rle/001", 0.0),
        ("ge_axial/001", 0.0),
        ("ge_axial/001_implicit", 0.0),
        ("philips/001", 0.0),
        ("philips/001_implicit", 0.0),
    ];
    for (name, tolerance) in cases {
        let Some(folder) = real(name) else { return };
        let loaded = load(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let truth = folder
            .with_file_name(format!("{}_ground_truth.nii.gz", folder.file_name().unwrap().to_str().unwrap()));
        let expected = nifti::read_f64(&truth).unwrap();
        assert_same(&loaded.volume.to_f64(), &expected, tolerance, name);
    }
}

#[test]
fn an_adni_download_equals_the_scan_it_was_made_from() {
    let Some(folder) = real("adni_layout") else { return };
    let tree = dicom::scan_tree(&folder, &|_, _| {});
    assert_eq!(tree.problems.len(), 1, "the collection table is no DICOM file");
    let series = &tree.series[0];
    assert_eq!((series.subject.as_str(), series.image_id.as_deref()), ("002_S_0413", Some("I13893")));
    assert_eq!((series.n_files(), series.modality.as_str()), (188, "MR"));
    let loaded = dicom::load_series(series).unwrap();
    assert_eq!(loaded.warnings, []);
    let scan = real_data().unwrap().join("mri/chris_t1.nii.gz");
    let expected = nifti::read_f64(&scan).unwrap().map(|value| value * 8.0);
    assert_same(&loaded.volume.to_f64(), &expected, 0.0, "adni_layout");
}

#[test]
fn a_whole_collection_is_scanned_the_same_way_twice() {
    let Some(folder) = real("") else { return };
    let (one, two) = (dicom::scan_tree(&folder, &|_, _| {}), dicom::scan_tree(&folder, &|_, _| {}));
    assert_eq!(one.series, two.series);
    assert!(one.series.len() > 10);
}

#[test]
fn each_refused_series_says_why() {
    type Check = fn(&SeriesError) -> bool;
    let cases: [(&str, Check); 7] = [
        ("refused/gantrytilting/001", |error| matches!(error, SeriesError::GantryTilt { .. })),
        ("refused/notavolume/001", |error| matches!(error, SeriesError::NotAVolume { .. })),
        ("refused/slicecount/001", |error| matches!(error, SeriesError::TooFewSlices { got: 2, .. })),
        ("refused/sliceincrement/001", |error| matches!(error, SeriesError::UnequalIncrement { .. })),
        ("refused/sliceincrement/002", |error| matches!(error, SeriesError::UnequalIncrement { .. })),
        ("refused/sliceorientation/001", |error| matches!(error, SeriesError::MixedOrientation { .. })),
        ("generic/rgb/001", |error| error.to_string().contains("RGB")),
    ];
    for (name, is_right) in cases {
        let Some(folder) = real(name) else { return };
        let error = load(&folder).expect_err(name);
        assert!(is_right(&error), "{name}: {error}");
    }
}

/// Damaged pixel data of compressed slices give other pixels or an error, never a panic.
#[test]
fn damaged_compressed_pixels_never_panic() {
    for name in ["jpeg", "rle", "jpegls", "j2k"].map(|codec| format!("generic/compressed_{codec}/001")) {
        let Some(folder) = real(&name) else { return };
        let scratch = tempfile::tempdir().unwrap();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in &files {
            std::fs::copy(file, scratch.path().join(file.file_name().unwrap())).unwrap();
        }
        let target = scratch.path().join(files[1].file_name().unwrap());
        let whole = std::fs::read(&files[1]).unwrap();
        for round in 0..150_usize {
            let mut bytes = whole.clone();
            for step in 0..=round % 5 {
                let behind_header = whole.len() * 9 / 10;
                let from_end = (round * 7_919 + step * 104_729) % behind_header;
                bytes[whole.len() - 1 - from_end] ^= (round as u8).wrapping_mul(37).max(1);
            }
            bytes.truncate(whole.len() - if round % 3 == 0 { round * 11 } else { 0 });
            std::fs::write(&target, bytes).unwrap();
            for series in dicom::scan_tree(scratch.path(), &|_, _| {}).series {
                let _ = dicom::load_series(&series);
            }
        }
    }
}
