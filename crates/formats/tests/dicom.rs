//! Series written by brainreel, intact and damaged.

#![expect(clippy::unwrap_used, reason = "a test's helper functions may panic like the test itself")]

use std::fs;
use std::path::{Path, PathBuf};

use brainreel_formats::StoredVolume;
use brainreel_formats::dicom::{
    self, FileFault, LoadedSeries, SeriesError, SeriesTags, SeriesTree, SeriesWarning,
};
use brainreel_testkit::{Tolerance, assert_close};
use brainreel_volume::{Affine, Grid, Volume};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use proptest::prelude::*;

const SECRET: &str = "Doe^Jane";

fn series_tags() -> SeriesTags {
    SeriesTags {
        patient_id: "002_S_0413".into(),
        patient_sex: "F".into(),
        patient_age_years: Some(74),
        study_uid: dicom::uid_from(&["study", "1"]),
        series_uid: dicom::uid_from(&["series", "1"]),
        date: "20060418".into(),
        time: "082030".into(),
        description: "MPRAGE".into(),
        series_number: 2,
        manufacturer: "SIEMENS".into(),
        model: "Sonata".into(),
        field_strength_t: 1.5,
        repetition_time_ms: 2400.0,
        echo_time_ms: 2.98,
        inversion_time_ms: Some(1000.0),
        flip_angle_deg: 8.0,
    }
}

/// Sagittal, slightly oblique.
fn oblique() -> Affine {
    let (s, c) = 0.04_f64.sin_cos();
    Affine::new([
        [0.0, s * 0.95, c * 1.2, -81.5],
        [-1.05, 0.0, 0.0, 120.25],
        [0.0, -c * 0.95, s * 1.2, 110.125],
        [0.0, 0.0, 0.0, 1.0],
    ])
    .unwrap()
}

fn phantom(affine: Affine, n_slices: usize) -> Volume<i16> {
    let grid = Grid::new([7, 5, n_slices], affine).unwrap();
    Volume::from_fn(grid, |[i, j, k]| (i + 10 * j + 100 * k) as i16 - 50)
}

/// Names whose sort order differs from the slice order.
fn shuffled(k: usize) -> String {
    format!("{:03}_{k}.dcm", (k * 7 + 3) % 11)
}

fn written(n_slices: usize) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let volume = phantom(oblique(), n_slices);
    let paths = dicom::write_series(folder.path(), &volume, &series_tags(), &shuffled).unwrap();
    (folder, paths)
}

fn scan(folder: &Path) -> SeriesTree {
    dicom::scan_tree(folder, &|_, _| {})
}

fn load(folder: &Path) -> Result<LoadedSeries, SeriesError> {
    let tree = scan(folder);
    assert_eq!(tree.series.len(), 1, "{:?}", tree.problems);
    dicom::load_series(&tree.series[0])
}

/// Changes elements of a file.
fn edit(path: &Path, change: impl FnOnce(&mut InMemDicomObject)) {
    let mut object = dicom_object::open_file(path).unwrap();
    change(&mut object);
    object.write_to_file(path).unwrap();
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

#[test]
fn a_series_comes_back_as_it_was_written() {
    let left_handed = Affine::from_diagonal([-0.9, 1.0, 1.3]);
    for affine in [oblique(), left_handed, Affine::from_diagonal([0.9, 1.0, 1.3])] {
        let folder = tempfile::tempdir().unwrap();
        let volume = phantom(affine, 9);
        dicom::write_series(folder.path(), &volume, &series_tags(), &shuffled).unwrap();
        let loaded = load(folder.path()).unwrap();
        assert_eq!(loaded.warnings, []);
        let StoredVolume::I16(got) = loaded.volume else { panic!("{}", loaded.volume.type_name()) };
        // Slices are returned in ascending order along their normal, which may reverse them.
        let to_got = got.grid().affine().inverse().unwrap().compose(volume.grid().affine());
        for k in 0..9 {
            for i in 0..7 {
                let index = to_got.apply([i as f64, 2.0, k as f64]).map(|v| v.round() as usize);
                assert_eq!(got.at(index), volume.at([i, 2, k]));
            }
        }
        let rounded = Affine::new(to_got.rows().map(|row| row.map(f64::round))).unwrap();
        let back = got.grid().affine().compose(&rounded);
        assert_close(back.rows().as_flattened(), affine.rows().as_flattened(), Tolerance::absolute(1e-6));
    }
}

#[test]
fn unsigned_series_stay_unsigned_and_bytes_repeat() {
    let grid = Grid::new([4, 4, 5], Affine::IDENTITY).unwrap();
    let volume = Volume::from_fn(grid, |[i, j, k]| (60_000 + i + 4 * j + 16 * k) as u16);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = folders.each_ref().map(|folder| {
        let paths = dicom::write_series(folder.path(), &volume, &series_tags(), &shuffled).unwrap();
        paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(files[0], files[1]);
    assert_eq!(load(folders[0].path()).unwrap().volume, StoredVolume::U16(volume));
}

#[test]
fn the_index_says_what_the_files_say() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("ADNI/011_S_0002/MPRAGE/2006-04-18_08_20_30.0/I4711");
    dicom::write_series(&inner, &phantom(oblique(), 5), &series_tags(), &shuffled).unwrap();
    let tree = scan(folder.path());
    let series = &tree.series[0];
    assert_eq!(series.subject, "011_S_0002");
    assert_eq!(series.patient_id, "002_S_0413");
    assert_eq!(series.image_id.as_deref(), Some("I4711"));
    assert_eq!(series.study_date, brainreel_cohort::Date::new(2006, 4, 18));
    assert_eq!((series.description.as_str(), series.n_files()), ("MPRAGE", 5));
    assert_eq!(series.series_uid, dicom::uid_from(&["series", "1"]));
}

/// `convert` and `cohort` call the same function, so a scan has one date.
#[test]
fn a_date_that_does_not_exist_is_passed_over() {
    let (folder, paths) = written(5);
    let set = |tag, date| paths.iter().for_each(|path| edit(path, |object| put(object, tag, VR::DA, date)));
    let day = |year, month, day| brainreel_cohort::Date::new(year, month, day);
    let found = || scan(folder.path()).series[0].scan_date();
    set(tags::STUDY_DATE, "20060416");
    set(tags::SERIES_DATE, "2006.04.17");
    assert_eq!(found(), day(2006, 4, 18));
    set(tags::ACQUISITION_DATE, "20060431");
    assert_eq!(found(), day(2006, 4, 17), "the series date, as old scanners write it");
    set(tags::SERIES_DATE, "");
    assert_eq!(found(), day(2006, 4, 16));
    set(tags::STUDY_DATE, "20061318");
    assert_eq!(found(), None);
}

#[test]
fn the_fingerprint_follows_the_content_and_not_the_place() {
    let (one, _) = written(5);
    let (two, paths) = written(5);
    let fingerprint = |folder: &Path| scan(folder).series[0].fingerprint();
    let whole = fingerprint(one.path());
    assert_eq!(whole, fingerprint(two.path()));
    edit(&paths[0], |object| put(object, tags::FLIP_ANGLE, VR::DS, "9"));
    let (first, second) = (fingerprint(one.path()), fingerprint(two.path()));
    // Acquisition parameters are those of the first file in path order.
    let is_first = scan(two.path()).series[0].paths().next() == Some(paths[0].as_path());
    assert_eq!(first != second, is_first);
    fs::remove_file(&paths[4]).unwrap();
    assert_ne!(whole, fingerprint(two.path()));
}

#[test]
fn the_sidecar_has_parameters_and_no_person() {
    let (folder, paths) = written(5);
    for path in &paths {
        edit(path, |object| {
            put(object, tags::PATIENT_NAME, VR::PN, SECRET);
            put(object, tags::PATIENT_BIRTH_DATE, VR::DA, "19320101");
            put(object, tags::INSTITUTION_NAME, VR::LO, SECRET);
            put(object, tags::PATIENT_COMMENTS, VR::LT, SECRET);
            put(object, tags::SERIES_DESCRIPTION, VR::LO, SECRET);
        });
    }
    let sidecar = load(folder.path()).unwrap().sidecar;
    let json = serde_json::to_string(&sidecar).unwrap();
    for trace in ["Doe", "Jane", "1932", "2006", "0413", "MPRAGE"] {
        assert!(!json.contains(trace), "{trace} in {json}");
    }
    assert!(json.contains(r#""RepetitionTime":2.4"#), "{json}");
    assert!(json.contains(r#""EchoTime":0.00298"#), "{json}");
    assert!(json.contains(r#""MRAcquisitionType":"3D""#), "{json}");
    assert!(json.contains(r#""ManufacturersModelName":"Sonata""#), "{json}");
    assert!(json.contains(r#""ImageType":["ORIGINAL","PRIMARY","M","ND"]"#), "{json}");
    assert_eq!(serde_json::from_str::<dicom::Sidecar>(&json).unwrap(), sidecar);
}

#[test]
fn stored_bits_and_rescaling_are_respected() {
    let (folder, paths) = written(5);
    for path in &paths {
        edit(path, |object| {
            object.put(DataElement::new(tags::BITS_STORED, VR::US, PrimitiveValue::from(4_u16)));
            object.put(DataElement::new(tags::HIGH_BIT, VR::US, PrimitiveValue::from(5_u16)));
        });
    }
    let (volume, whole) = (phantom(oblique(), 5), load(folder.path()).unwrap().volume.to_f64());
    // Bits 2 to 5 as a signed number of four bits.
    let expected = |value: i16| f64::from((value << 10) >> 12);
    // Slices are returned in ascending order along the normal.
    let k = if oblique().determinant() < 0.0 { 3 } else { 1 };
    assert_close(&[*whole.at([3, 2, k])], &[expected(*volume.at([3, 2, 1]))], Tolerance::absolute(0.0));
    for path in &paths {
        edit(path, |object| {
            put(object, tags::RESCALE_SLOPE, VR::DS, "0.5");
            put(object, tags::RESCALE_INTERCEPT, VR::DS, "-3");
        });
    }
    let loaded = load(folder.path()).unwrap().volume;
    assert_eq!(loaded.type_name(), "f32");
    let rescaled: Vec<f64> = whole.as_slice().iter().map(|value| value * 0.5 - 3.0).collect();
    assert_close(loaded.to_f64().as_slice(), &rescaled, Tolerance::absolute(0.0));
}

#[test]
fn what_is_not_dicom_is_a_problem_with_a_reason() {
    let (folder, paths) = written(6);
    fs::write(folder.path().join("a_text.dcm"), "no picture at all\n".repeat(20)).unwrap();
    fs::write(folder.path().join("b_empty.dcm"), "").unwrap();
    fs::write(folder.path().join("c_noise.dcm"), [0xa5; 300]).unwrap();
    let broken = fs::read(&paths[0]).unwrap();
    fs::write(folder.path().join("d_broken.dcm"), &broken[..400]).unwrap();
    let tree = scan(folder.path());
    let faults: Vec<String> = tree.problems.iter().map(|problem| problem.fault.to_string()).collect();
    assert_eq!(tree.problems.len(), 4);
    assert!(faults[0].contains("holds text") && faults[1].contains("empty"), "{faults:?}");
    assert!(faults[2].contains("neither") && faults[3].contains("truncated"), "{faults:?}");
    assert_eq!((tree.series[0].n_files(), tree.n_files), (6, 10));
    assert!(dicom::load_series(&tree.series[0]).is_ok());
    let missing = scan(&folder.path().join("nowhere"));
    assert!(matches!(missing.problems[0].fault, FileFault::Read(_)));
}

#[test]
fn files_without_preamble_or_meta_group_are_read() {
    let (folder, paths) = written(6);
    let whole = load(folder.path()).unwrap();
    let bytes = fs::read(&paths[0]).unwrap();
    fs::write(&paths[0], &bytes[128..]).unwrap();
    let bytes = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &bytes[132..]).unwrap();
    // The data set starts with ImageType, element (0008,0008).
    for path in &paths[2..4] {
        let bytes = fs::read(path).unwrap();
        let start = bytes.windows(6).position(|window| window == [8, 0, 8, 0, b'C', b'S']).unwrap();
        fs::write(path, &bytes[start..]).unwrap();
    }
    assert_eq!(load(folder.path()).unwrap(), whole);
}

#[test]
fn gaps_copies_and_doubles_are_told_apart() {
    let (folder, paths) = written(8);
    let whole = load(folder.path()).unwrap();
    let copy = folder.path().join("copy.dcm");
    fs::copy(&paths[2], &copy).unwrap();
    let loaded = load(folder.path()).unwrap();
    assert_eq!(loaded.warnings, [SeriesWarning::CopiesDropped { n_dropped: 1 }]);
    assert_eq!(loaded.volume, whole.volume);
    edit(&copy, |object| put(object, tags::SOP_INSTANCE_UID, VR::UI, "2.25.7"));
    assert!(matches!(load(folder.path()), Err(SeriesError::Duplicate { .. })));
    fs::remove_file(copy).unwrap();
    fs::remove_file(&paths[4]).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, SeriesError::UnequalIncrement { .. }), "{error}");
    assert!(error.to_string().contains("2.4000 mm"), "{error}");
}

/// Two images with one UID: it is unknown which one is right.
#[test]
fn copies_that_differ_are_refused() {
    let (folder, paths) = written(8);
    let copy = folder.path().join("copy.dcm");
    let mut bytes = fs::read(&paths[2]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&copy, bytes).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, SeriesError::ConflictingCopies { differ: "pixels", .. }), "{error}");
    fs::copy(&paths[2], &copy).unwrap();
    edit(&copy, |object| put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, r"1\2\3"));
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, SeriesError::ConflictingCopies { differ: "place", .. }), "{error}");
}

/// Moves a slice along its normal (the x axis, nearly).
fn shift(path: &Path, by: f64) {
    edit(path, |object| {
        let position = object.element(tags::IMAGE_POSITION_PATIENT).unwrap().to_multi_float64().unwrap();
        let text = format!("{:.6}\\{:.6}\\{:.6}", position[0] + by, position[1], position[2]);
        put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &text);
    });
}

#[test]
fn small_unevenness_is_a_warning() {
    let (folder, paths) = written(8);
    shift(&paths[3], 0.002);
    assert_eq!(load(folder.path()).unwrap().warnings, []);
    shift(&paths[3], 0.016);
    assert!(matches!(load(folder.path()).unwrap().warnings[..], [SeriesWarning::UnevenIncrement { .. }]));
    shift(&paths[3], 0.01);
    let error = load(folder.path()).unwrap_err();
    // 0.028 mm of 1.2 mm are beyond 2 %, which are 0.024 mm.
    assert!(matches!(error, SeriesError::UnequalIncrement { .. }), "{error}");
    assert!(error.to_string().contains("(within 0.0240)"), "{error}");
    let generous = dicom::LoadOptions { position_tolerance: 0.05 };
    assert!(dicom::load_series_with(&scan(folder.path()).series[0], generous).is_ok());
}

/// Every gap is within 2 % of the median, but the stack is not straight.
#[test]
fn gaps_that_add_up_are_refused() {
    let (folder, paths) = written(11);
    for (k, path) in paths.iter().enumerate() {
        let steps = k.min(5) as f64 - k.saturating_sub(5) as f64;
        shift(path, steps * 0.007);
    }
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, SeriesError::UnevenPosition { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn links_that_lead_back_are_a_problem_and_no_trap() {
    let (folder, _) = written(5);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("back")).unwrap();
    let tree = scan(folder.path());
    assert_eq!((tree.series.len(), tree.series[0].n_files(), tree.problems.len()), (1, 5, 1));
}

#[cfg(unix)]
#[test]
fn links_out_of_the_tree_are_reported_and_not_followed() {
    let ((folder, paths), (other, others)) = (written(5), written(6));
    std::os::unix::fs::symlink(other.path(), folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(&others[5], folder.path().join("slice.dcm")).unwrap();
    std::os::unix::fs::symlink(&paths[1], folder.path().join("within.dcm")).unwrap();
    let tree = scan(folder.path());
    let out: Vec<bool> =
        tree.problems.iter().map(|problem| matches!(problem.fault, FileFault::LinkOut)).collect();
    assert_eq!(out, [true, true]);
    assert_eq!(tree.series[0].n_files(), 6);
    let loaded = dicom::load_series(&tree.series[0]).unwrap();
    assert_eq!(loaded.warnings, [SeriesWarning::CopiesDropped { n_dropped: 1 }]);
}

/// Two echoes with one series number are two volumes if the files number them.
#[test]
fn echoes_are_taken_apart_by_their_number() {
    let (folder, paths) = written(5);
    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    for (idx, path) in paths.iter().enumerate() {
        let copy = second.join(format!("{idx}.dcm"));
        fs::copy(path, &copy).unwrap();
        edit(&copy, |object| {
            put(object, tags::ECHO_NUMBERS, VR::IS, "2");
            put(object, tags::SOP_INSTANCE_UID, VR::UI, &format!("2.25.{}", idx + 1));
        });
    }
    let tree = scan(folder.path());
    assert_eq!(tree.series.len(), 2);
    for series in &tree.series {
        assert_eq!(dicom::load_series(series).unwrap().volume.grid().dims(), [7, 5, 5]);
    }
}

/// If the files do not number the echoes, their echo times distinguish them.
#[test]
fn echoes_are_taken_apart_by_their_time() {
    let (folder, paths) = written(5);
    for (idx, path) in paths.iter().enumerate() {
        let copy = folder.path().join(format!("second_{idx}.dcm"));
        fs::copy(path, &copy).unwrap();
        edit(&copy, |object| {
            put(object, tags::ECHO_TIME, VR::DS, "5.5");
            put(object, tags::SOP_INSTANCE_UID, VR::UI, &format!("2.25.{}", idx + 1));
        });
    }
    let tree = scan(folder.path());
    let echoes: Vec<Option<f64>> = tree.series.iter().map(|series| series.sidecar.echo_time).collect();
    assert_eq!(echoes.len(), 2);
    assert!(echoes.contains(&Some(0.0055)) && echoes.contains(&Some(0.00298)), "{echoes:?}");
    for series in &tree.series {
        assert_eq!(dicom::load_series(series).unwrap().volume.grid().dims(), [7, 5, 5]);
    }
}

/// Changes one file of a new series and returns the resulting error.
fn error_after(change: impl FnOnce(&mut InMemDicomObject)) -> SeriesError {
    let (folder, paths) = written(6);
    edit(&paths[2], change);
    load(folder.path()).expect_err("a damaged series")
}

#[test]
fn odd_slices_are_named() {
    let error = error_after(|object| {
        put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, r"1\0\0\0\1\0");
    });
    assert!(matches!(error, SeriesError::MixedOrientation { .. }), "{error}");
    let error = error_after(|object| {
        object.put(DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(4_u16)));
    });
    assert!(error.to_string().contains("7x4 pixels"), "{error}");
    for tag in [tags::IMAGE_ORIENTATION_PATIENT, tags::IMAGE_POSITION_PATIENT] {
        let error = error_after(|object| {
            object.remove_element(tag);
        });
        assert!(matches!(error, SeriesError::MissingGeometry { .. }), "{error}");
    }
    let error = error_after(|object| put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, r"nan\0\0"));
    assert!(matches!(error, SeriesError::MissingGeometry { .. }), "{error}");
    let error = error_after(|object| put(object, tags::NUMBER_OF_FRAMES, VR::IS, "20"));
    assert!(matches!(error, SeriesError::Truncated { .. }), "{error}");
    let error = error_after(|object| put(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"));
    assert!(error.to_string().contains("colour"), "{error}");
    let error = error_after(|object| {
        object.put(DataElement::new(tags::COLUMNS, VR::US, PrimitiveValue::from(65_535_u16)));
    });
    assert!(matches!(error, SeriesError::Truncated { .. }), "{error}");
}

#[test]
fn a_slice_that_breaks_off_is_named() {
    let (folder, paths) = written(6);
    let bytes = fs::read(&paths[2]).unwrap();
    fs::write(&paths[2], &bytes[..bytes.len() - 9]).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, SeriesError::Truncated { found: 61, expected: 70, .. }), "{error}");
    assert!(error.to_string().contains(paths[2].to_str().unwrap()));
}

/// An element that claims 4 GiB, and sequences nested a hundred thousand deep.
#[test]
fn hostile_structures_are_refused_cheaply() {
    let (folder, paths) = written(1);
    let whole = fs::read(&paths[0]).unwrap();
    let start = whole.windows(6).position(|window| window == [8, 0, 8, 0, b'C', b'S']).unwrap();
    let spliced = |insert: &[u8]| [&whole[..start], insert, &whole[start..]].concat();
    let huge = [8, 0, 1, 0, b'O', b'B', 0, 0, 0xfe, 0xff, 0xff, 0xff];
    fs::write(&paths[0], spliced(&huge)).unwrap();
    assert!(matches!(scan(folder.path()).problems[0].fault, FileFault::Truncated { .. }));
    let level =
        [8, 0, 5, 0, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff];
    fs::write(&paths[0], spliced(&level.repeat(100_000))).unwrap();
    let tree = scan(folder.path());
    assert!(tree.problems[0].fault.to_string().contains("nested"), "{}", tree.problems[0].fault);
}

#[test]
fn no_truncation_panics() {
    let (folder, paths) = written(4);
    let whole = fs::read(&paths[1]).unwrap();
    for length in 0..whole.len() {
        fs::write(&paths[1], &whole[..length]).unwrap();
        for series in scan(folder.path()).series {
            assert!(dicom::load_series(&series).is_err(), "{length}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_damage_never_panics(edits in prop::collection::vec((0..1800_usize, any::<u8>()), 1..6)) {
        let (folder, paths) = written(4);
        let mut bytes = fs::read(&paths[1]).unwrap();
        for (offset, value) in edits {
            let length = bytes.len();
            bytes[offset % length] = value;
        }
        fs::write(&paths[1], bytes).unwrap();
        for series in scan(folder.path()).series {
            let _ = dicom::load_series(&series);
        }
    }
}
