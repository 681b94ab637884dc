//! Compares NIfTI files with nibabel's results, and checks that damaged files cause no panic.
//!
//! `tests/good` and `tests/bad` are written by `reference/formats.py`.

#![expect(clippy::unwrap_used, reason = "a test's helper functions may panic like the test itself")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use brainreel_formats::nifti::{self, NiftiError, NiftiVersion, WriteOptions};
use brainreel_testkit::{Tolerance, assert_close};
use brainreel_volume::{Affine, Grid, Volume};
use proptest::prelude::*;

#[derive(serde::Deserialize)]
struct Expected {
    files: BTreeMap<String, Answer>,
}

#[derive(serde::Deserialize)]
struct Answer {
    affine: [[f64; 4]; 4],
    values: Vec<f64>,
}

fn folder(role: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(role)
}

fn files(role: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder(role)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension != "json"));
    paths.sort();
    paths
}

fn bad(name: &str) -> NiftiError {
    nifti::read_f32(&folder("bad").join(name)).expect_err(name)
}

#[test]
fn every_good_file_reads_as_nibabel_reads_it() {
    let text = fs::read_to_string(folder("good").join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    assert!(expected.files.len() > 50);
    for (name, answer) in &expected.files {
        let path = folder("good").join(name);
        let volume = nifti::read_f64(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(volume.dims(), [4, 3, 2], "{name}");
        assert_eq!(volume.as_slice(), answer.values, "{name}");
        let got = volume.grid().affine().rows().as_flattened();
        assert_close(got, answer.affine.as_flattened(), Tolerance::absolute(1e-9));
        let single: Vec<f64> = nifti::read_f32(&path).unwrap().as_slice().iter().map(|&v| v.into()).collect();
        assert_close(&single, &answer.values, Tolerance::relative(1e-7));
        assert_close(
            nifti::read_stored(&path).unwrap().to_f64().as_slice(),
            &answer.values,
            Tolerance::relative(1e-7),
        );
    }
}

#[test]
fn a_pair_can_be_named_by_either_file() {
    let by_header = nifti::read_f32(&folder("good").join("pair.hdr")).unwrap();
    assert_eq!(by_header, nifti::read_f32(&folder("good").join("pair.img")).unwrap());
}

/// nibabel would read the header as voxels here; every other reader starts after it.
#[test]
fn an_unset_offset_means_right_behind_the_header() {
    let whole = folder("good").join("v1_le_i2.nii");
    let mut bytes = fs::read(&whole).unwrap();
    bytes[108..112].fill(0); // vox_offset
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("offset.nii");
    fs::write(&path, bytes).unwrap();
    assert_eq!(nifti::read_f32(&path).unwrap(), nifti::read_f32(&whole).unwrap());
}

#[test]
fn every_bad_file_is_an_error_that_names_it() {
    for path in files("bad") {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(bad(name).to_string().contains(name));
    }
}

#[test]
fn errors_tell_what_was_found_and_expected() {
    assert!(matches!(bad("empty.nii"), NiftiError::NotNifti { .. }));
    assert!(bad("text.nii").to_string().contains("it holds text"));
    assert!(matches!(bad("trillion_voxels.nii"), NiftiError::TooLarge { .. }));
    assert!(matches!(bad("trillion_voxels.nii.gz"), NiftiError::TooLarge { .. }));
    // An allowed size, with only 48 bytes of data.
    assert!(matches!(bad("billion_voxels.nii"), NiftiError::Truncated { found: 48, .. }));
    assert!(matches!(bad("billion_voxels.nii.gz"), NiftiError::Truncated { found: 48, .. }));
    assert!(matches!(bad("truncated.nii.gz"), NiftiError::Truncated { expected: 48, .. }));
    assert!(bad("time_series.nii").to_string().contains("4 axes, [4, 3, 2, 2]"));
    assert!(bad("rgb.nii").to_string().contains("RGB"));
    assert!(bad("complex.nii").to_string().contains("complex"));
    assert!(bad("analyze.nii").to_string().contains("Analyze"));
    assert!(matches!(bad("quaternion_nan.nii"), NiftiError::Header { field: "quatern_b,c,d", .. }));
    assert!(matches!(bad("sform_nan.nii"), NiftiError::Affine { kind: "sform", .. }));
    let missing = nifti::read_f32(Path::new("no/such/file.nii")).unwrap_err();
    assert!(missing.to_string().contains("no/such/file.nii"));
    let is_folder = nifti::read_f32(&folder("bad")).unwrap_err();
    assert!(matches!(is_folder, NiftiError::NotNifti { .. }));
}

#[test]
fn no_truncation_panics_or_passes() {
    let scratch = tempfile::tempdir().unwrap();
    for path in files("good") {
        if path.extension().is_some_and(|extension| extension == "img") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        let copy = scratch.path().join(path.file_name().unwrap());
        let header_is_apart = copy.extension().is_some_and(|extension| extension == "hdr");
        // Every byte of one file of each layout, some bytes of those that differ only in number type.
        let name = path.file_name().unwrap().to_str().unwrap();
        let all_bytes = ["_i2.nii", "compressed", "two_members", "extension", "pair", "scaled"];
        let one_of_many = !all_bytes.iter().any(|part| name.contains(part));
        for length in (0..whole.len()).step_by(if one_of_many { 29 } else { 1 }) {
            fs::write(&copy, &whole[..length]).unwrap();
            let outcome = nifti::read_f32(&copy);
            assert!(
                outcome.is_err() || header_is_apart || ends_after_data(&path, length),
                "{path:?} {length}"
            );
        }
    }
}

/// A missing gzip trailer does not affect voxels.
fn ends_after_data(path: &Path, length: usize) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
        && length + 10 >= fs::metadata(path).unwrap().len() as usize
}

#[test]
fn bytes_written_do_not_depend_on_threads_and_read_back() {
    let scratch = tempfile::tempdir().unwrap();
    // More than two gzip pieces of half a mebibyte, with a partial last piece.
    let grid = Grid::new([101, 97, 83], Affine::from_diagonal([-0.9, 1.0, 1.2])).unwrap();
    let volume = Volume::from_fn(grid, |[i, j, k]| ((i * i + 7 * j + k * j) % 1000) as i16);
    let write = |threads: usize, name: &str| {
        let path = scratch.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| nifti::write(&path, &volume)).unwrap();
        path
    };
    let (one, many) = (write(1, "one.nii.gz"), write(5, "many.nii.gz"));
    assert_eq!(fs::read(&one).unwrap(), fs::read(&many).unwrap());
    let back = nifti::read_stored(&many).unwrap();
    assert_eq!(back.type_name(), "i16");
    assert_eq!(back.to_f32().as_slice(), volume.map(|&v| f32::from(v)).as_slice());
    for level in 0..=9 {
        let path = scratch.path().join(format!("level{level}.nii.gz"));
        nifti::write_with(&path, &volume, WriteOptions { level }).unwrap();
        assert_eq!(nifti::read_stored(&path).unwrap(), back, "level {level}");
    }
}

#[test]
fn a_long_axis_is_written_as_version_two() {
    let path = tempfile::tempdir().unwrap().path().join("long.nii");
    let grid = Grid::new([40_000, 1, 1], Affine::from_diagonal([1.0, 1.0, 1.0])).unwrap();
    let volume = Volume::from_fn(grid, |[i, _, _]| i as u16);
    nifti::write(&path, &volume).unwrap();
    assert_eq!(nifti::read_header(&path).unwrap().version, NiftiVersion::Two);
    assert_close(
        &nifti::read_f32(&path).unwrap().as_slice()[39_999..],
        &[39_999.0],
        Tolerance::absolute(0.0),
    );
}

#[test]
fn a_name_that_no_reader_would_know_is_refused() {
    let volume = Volume::from_fn(Grid::new([1, 1, 1], Affine::IDENTITY).unwrap(), |_| 0_u8);
    assert!(nifti::write(Path::new("scan.mgz"), &volume).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The qform alone restores any rotation with voxel sizes and a flip.
    #[test]
    fn sform_and_qform_agree_for_every_rotation(
        axis in prop::array::uniform3(-1.0..1.0_f64),
        angle in -3.2..3.2_f64,
        spacing in prop::array::uniform3(0.3..3.0_f64),
        flip in any::<bool>(),
    ) {
        let norm = axis.iter().map(|v| v * v).sum::<f64>().sqrt();
        prop_assume!(norm > 1e-3);
        let affine = rotation(axis.map(|v| v / norm), angle, spacing, flip);
        let volume = Volume::from_fn(Grid::new([3, 2, 2], affine).unwrap(), |[i, ..]| i as u8);
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("rotated.nii");
        nifti::write(&path, &volume).unwrap();
        let by_sform = nifti::read_f32(&path).unwrap();
        assert_close(by_sform.grid().affine().rows().as_flattened(), affine.rows().as_flattened(),
            Tolerance::absolute(1e-5));
        let mut bytes = fs::read(&path).unwrap();
        bytes[254] = 0; // sform_code
        fs::write(&path, bytes).unwrap();
        let by_qform = nifti::read_f32(&path).unwrap();
        // Near a half turn the fourth component is the square root of single-precision noise.
        assert_close(by_qform.grid().affine().rows().as_flattened(), affine.rows().as_flattened(),
            Tolerance::absolute(5e-3));
    }

    /// No header makes the reader panic.
    #[test]
    fn random_damage_never_panics(
        which in 0..58_usize,
        edits in prop::collection::vec((0..600_usize, any::<u8>()), 1..12),
    ) {
        let paths = files("good");
        let source = &paths[which % paths.len()];
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(source.file_name().unwrap());
        let mut bytes = fs::read(source).unwrap();
        for (offset, value) in edits {
            let length = bytes.len();
            bytes[offset % length] = value;
        }
        fs::write(&path, bytes).unwrap();
        let _ = nifti::read_f32(&path);
    }
}

fn rotation(axis: [f64; 3], angle: f64, spacing: [f64; 3], flip: bool) -> Affine {
    let [x, y, z] = axis;
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    let r = [
        [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
    ];
    let signs = [1.0, 1.0, if flip { -1.0 } else { 1.0 }];
    let row = |row: usize| {
        let scaled = [0, 1, 2].map(|column| r[row][column] * spacing[column] * signs[column]);
        [scaled[0], scaled[1], scaled[2], 10.0 * row as f64 - 7.5]
    };
    Affine::new([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]).unwrap()
}
