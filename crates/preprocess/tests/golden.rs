//! The whole chain against nibabel and scipy; golden arrays by `reference/preprocess.py --golden`.

use brainreel_preprocess::{PreprocessConfig, preprocess};
use brainreel_testkit::{Golden, Tolerance, assert_close};
use brainreel_volume::{Affine, Grid, Volume};
use serde_json::Value;

fn index(value: &Value) -> [usize; 3] {
    serde_json::from_value(value.clone()).expect("three indices")
}

/// Sagittal, oblique, left-handed, anisotropic. The reference keeps `f64` between the axes, we `f32`.
#[test]
fn chain_equals_nibabel_and_scipy() {
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "chain");
    let expected = &golden.parameters;
    let (dims, data) = golden.array("in").first_axis_fastest();
    let rows: [[f64; 4]; 4] = golden.array("in_affine").data.as_chunks::<4>().0.try_into().unwrap();
    let grid = Grid::new(dims, Affine::new(rows).unwrap()).unwrap();
    let scan = Volume::new(grid, data.iter().map(|&value| value as f32).collect()).unwrap();
    let settings = ["spacing_mm", "padding_voxels", "size_voxels"];
    let settings = settings.iter().map(|&key| (key.to_owned(), expected[key].clone())).collect();
    let mut settings: serde_json::Map<String, Value> = settings;
    settings.extend(
        [("brain_extractor", "none"), ("bias_correction", "none")].map(|(k, v)| (k.to_owned(), v.into())),
    );
    let config: PreprocessConfig = serde_json::from_value(Value::Object(settings)).unwrap();

    let done = preprocess(&scan, &config.validated().unwrap()).unwrap();

    let assert_affine = |got: &Affine, name: &str| {
        assert_close(&got.rows().concat(), &golden.array(name).data, Tolerance::absolute(1e-9));
    };
    assert_eq!(done.stages.uncropped.dims(), index(&expected["native_dims"]));
    assert_affine(done.stages.uncropped.grid().affine(), "native_affine");
    let threshold = done.qc.foreground.threshold.unwrap();
    assert_close(&[threshold], &[expected["threshold"].as_f64().unwrap()], Tolerance::relative(1e-6));
    assert_eq!(done.qc.crop_box.start(), index(&expected["start"]));
    assert_eq!(done.qc.crop_box.end(), index(&expected["end"]));
    let (_, network) = golden.array("out").first_axis_fastest();
    assert_close(done.network_input.as_slice(), &network, Tolerance::relative(1e-6));
    assert_affine(&done.transform.network_voxel_to_native_mm, "out_affine");
    assert_affine(&done.transform.native_voxel_to_native_mm, "in_affine");
}
