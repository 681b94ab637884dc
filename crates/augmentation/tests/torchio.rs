//! Images that TorchIO transformed (`reference/augmentation.py`).

use brainreel_augmentation::Draw;
use brainreel_testkit::{Golden, Tolerance, assert_close};
use brainreel_volume::{Affine, Grid, Volume};

#[test]
fn images_are_torchios() {
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "torchio");
    let draws: Vec<Draw> = serde_json::from_value(golden.parameters["draws"].clone()).unwrap();
    assert_eq!(draws.len(), 20);
    for (idx, draw) in draws.iter().enumerate() {
        let kind = if idx < 14 { "odd" } else { "cube" };
        let affine: Affine = serde_json::from_value(golden.parameters["affines"][kind].clone()).unwrap();
        let (dims, voxels) = golden.array(&format!("{kind}/image")).first_axis_fastest();
        let voxels = voxels.into_iter().map(|value| value as f32).collect();
        let mut volume = Volume::new(Grid::new(dims, affine).unwrap(), voxels).unwrap();
        draw.apply(&mut volume).unwrap();
        let (_, expected) = golden.array(&format!("{kind}/{idx}")).first_axis_fastest();
        // TorchIO computes in single precision, the issue asks for 1e-5.
        assert_close(volume.as_slice(), &expected, Tolerance::relative(1e-5));
    }
}
