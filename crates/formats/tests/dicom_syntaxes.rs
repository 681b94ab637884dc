//! Files of every transfer syntax and of the layouts of vendors, made by `reference/dicom.py`.

#![expect(clippy::unwrap_used, reason = "a test's helper functions may panic like the test itself")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use brainreel_cohort::FieldStrength;
use brainreel_formats::dicom::{self, LoadedSeries, SeriesError, SeriesIndex};
use brainreel_testkit::{Golden, Tolerance, assert_close};

fn files(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dicom").join(kind)
}

fn golden() -> Golden {
    Golden::load(env!("CARGO_MANIFEST_DIR"), "dicom")
}

/// The series of a folder by the name of their first file.
fn series(folder: &Path) -> Vec<(String, SeriesIndex)> {
    let tree = dicom::scan_tree(folder, &|_, _| {});
    assert!(tree.problems.is_empty(), "{:?}", tree.problems);
    let name =
        |index: &SeriesIndex| index.paths().next().unwrap().file_stem().unwrap().to_str().unwrap().to_owned();
    tree.series.into_iter().map(|index| (name(&index), index)).collect()
}

fn values(loaded: &LoadedSeries) -> Vec<f64> {
    loaded.volume.to_f64().as_slice().to_vec()
}

#[test]
fn every_transfer_syntax_gives_the_stored_numbers() {
    let golden = golden();
    let affine = &golden.array("affine").data;
    let all = series(&files("syntaxes"));
    assert_eq!(all.len(), 40);
    for (name, index) in all {
        let loaded = dicom::load_series(&index).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.volume.grid().dims(), [37, 33, 4], "{name}");
        let found = loaded.volume.grid().affine().rows();
        assert_close(found.as_flattened(), affine, Tolerance::absolute(1e-5));
        let kind = name.rsplit('_').next().unwrap();
        // Output of another decoder, or the phantom itself.
        let is_lossy = ["near", "lossy", "baseline"].iter().any(|word| name.contains(word));
        let expected = match kind {
            _ if is_lossy => name.as_str(),
            "table" => "u12",
            kind => kind,
        };
        let rounding = match name.as_str() {
            // Decoders of lossy streams may round differently.
            "jpeg_baseline_u8" | "jpeg_2000_lossy_u12" => 1.0,
            // Double precision becomes single precision.
            "explicit_f8" => 1e-7,
            _ => 0.0,
        };
        assert_close(&values(&loaded), &golden.array(expected).data, Tolerance::absolute(rounding));
        let stored_as = match kind {
            "u8" => "u8",
            "i16" | "i12" | "u12" | "table" => "i16",
            "u16" => "u16",
            "i32" | "u32" => kind,
            _ => "f32",
        };
        assert_eq!(loaded.volume.type_name(), stored_as, "{name}");
    }
}

/// The volumes of a vendor's file, ordered by component.
fn volumes(vendor: &str) -> Vec<(SeriesIndex, LoadedSeries)> {
    let all = series(&files("vendors")).into_iter().filter(|(name, _)| name == vendor);
    all.map(|(_, index)| {
        let loaded = dicom::load_series(&index).unwrap_or_else(|error| panic!("{vendor}: {error}"));
        (index, loaded)
    })
    .collect()
}

#[test]
fn multi_frame_files_of_vendors_come_apart_into_their_volumes() {
    let golden = golden();
    let cases: [(&str, &[&str]); 5] = [
        ("siemens", &["siemens"]),
        ("philips", &["philips_magnitude", "philips_phase"]),
        ("ge", &["ge_echo_1", "ge_echo_2"]),
        ("hitachi", &["hitachi_stack_1", "hitachi_stack_2"]),
        ("hyperfine", &["hyperfine"]),
    ];
    let affine = &golden.array("affine").data;
    for (vendor, names) in cases {
        let found = volumes(vendor);
        assert_eq!(found.len(), names.len(), "{vendor}");
        for (index, (series, loaded)) in found.iter().enumerate() {
            let expected = &golden.array(names[index]).data;
            assert_close(&values(loaded), expected, Tolerance::absolute(0.0));
            assert_eq!((series.n_files(), series.n_slices()), (1, 4));
            if names[index] != "hitachi_stack_2" {
                let rows = loaded.volume.grid().affine().rows();
                assert_close(rows.as_flattened(), affine, Tolerance::absolute(1e-5));
            }
        }
    }
}

#[test]
fn sidecars_of_multi_frame_files_know_their_frames() {
    let all: BTreeMap<&str, Vec<(SeriesIndex, LoadedSeries)>> = ["siemens", "philips", "ge", "hyperfine"]
        .into_iter()
        .map(|vendor| (vendor, volumes(vendor)))
        .collect();
    let sidecar = |vendor: &str, idx: usize| &all[vendor][idx].1.sidecar;
    let siemens = sidecar("siemens", 0);
    assert_eq!((siemens.repetition_time, siemens.echo_time), (Some(2.3), Some(0.00298)));
    assert_eq!((siemens.inversion_time, siemens.flip_angle), (Some(0.9), Some(9.0)));
    assert_eq!((siemens.pixel_bandwidth, siemens.imaging_frequency), (Some(240.0), Some(123.25)));
    assert_eq!(siemens.software_versions.as_deref(), Some("syngo MR XA50"));
    assert_eq!(siemens.image_type, ["ORIGINAL", "PRIMARY", "M", "ND"]);
    assert_eq!((sidecar("ge", 0).echo_time, sidecar("ge", 1).echo_time), (Some(0.0031), Some(0.0094)));
    assert_eq!(sidecar("philips", 0).percent_phase_fov, Some(78.5));
    assert_eq!(all["philips"][1].0.image_type, r"ORIGINAL\PRIMARY\PHASE MAP\M\PHASE");
    assert_eq!(sidecar("hyperfine", 0).magnetic_field_strength, FieldStrength::new(0.064));
    for sidecar in all.values().flatten().map(|(_, loaded)| &loaded.sidecar) {
        let json = serde_json::to_string(sidecar).unwrap();
        assert!(!json.contains("Doe") && !json.contains("eyes"), "{json}");
    }
}

#[test]
fn several_time_points_are_refused_with_their_number() {
    let all = series(&files("vendors"));
    let (_, index) = all.iter().find(|(name, _)| name == "time_points").unwrap();
    let error = dicom::load_series(index).unwrap_err();
    assert!(matches!(error, SeriesError::TimePoints { n_times: 3, .. }), "{error}");
}

/// Files truncated or modified anywhere give an error or other numbers, never a panic.
#[test]
fn damaged_files_never_panic() {
    for kind in ["syntaxes", "vendors"] {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(files(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let whole = fs::read(&path).unwrap();
            let scratch = tempfile::tempdir().unwrap();
            let target = scratch.path().join("x.dcm");
            let try_with = |bytes: &[u8]| {
                fs::write(&target, bytes).unwrap();
                let tree = dicom::scan_tree(scratch.path(), &|_, _| {});
                tree.series.iter().map(dicom::load_series).all(|loaded| loaded.is_ok())
                    && !tree.series.is_empty()
            };
            assert!(try_with(&whole) || kind == "vendors");
            for step in 0..12 {
                let length = whole.len() * step / 12;
                assert!(!try_with(&whole[..length]), "{} cut at {length}", path.display());
            }
            for round in 0..25_usize {
                let mut bytes = whole.clone();
                for edit in 0..=round % 4 {
                    let position = (round * 7_919 + edit * 104_729) % whole.len();
                    bytes[position] ^= (round as u8).wrapping_mul(37).max(1);
                }
                try_with(&bytes);
            }
        }
    }
}

/// Sets Rows and Columns, (0028,0010) and (0028,0011), to 65535.
fn enlarge(bytes: &mut [u8]) {
    for element in [0x10, 0x11] {
        let tag = [0x28, 0, element, 0, b'U', b'S'];
        let start = bytes.windows(6).position(|window| window == tag).unwrap();
        bytes[start + 8..start + 10].copy_from_slice(&[0xff, 0xff]);
    }
}

/// A deflated file with its data set changed.
fn redeflated(whole: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    // The length of the meta group follows its first element's header.
    let length = u32::from_le_bytes(whole[140..144].try_into().unwrap()) as usize;
    let (meta, deflated) = whole.split_at(144 + length);
    let mut data_set = Vec::new();
    flate2::read::DeflateDecoder::new(deflated).read_to_end(&mut data_set).unwrap();
    change(&mut data_set);
    let mut packed = Vec::new();
    flate2::read::DeflateEncoder::new(data_set.as_slice(), flate2::Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    [meta, &packed].concat()
}

/// Headers that claim more than the file contains are rejected before memory is allocated.
#[test]
fn absurd_sizes_are_refused() {
    let read = |name: &str| fs::read(files("syntaxes").join(name)).unwrap();
    let (mut native, mut packed) = (read("explicit_i16.dcm"), read("jpeg_ls_u12.dcm"));
    enlarge(&mut native);
    enlarge(&mut packed);
    let deflated = redeflated(&read("deflated_u16.dcm"), enlarge);
    for (bytes, words) in [(native, "truncated"), (packed, "65535x65535"), (deflated, "65535x65535")] {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("x.dcm"), bytes).unwrap();
        let tree = dicom::scan_tree(scratch.path(), &|_, _| {});
        let error = dicom::load_series(&tree.series[0]).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
