//! Volumes against nibabel and scipy; golden arrays by `reference/volume.py`.

use brainreel_testkit::{Golden, Tolerance, assert_close};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::{resample_onto, resample_to_spacing};
use brainreel_volume::zoom::zoom;
use brainreel_volume::{Affine, Grid, Orientation, Volume};

/// scipy's coefficients are `f64`, ours are rounded to `f32` after each axis.
const TOLERANCE: Tolerance = Tolerance::relative(1e-6);

fn load(name: &str) -> Golden {
    Golden::load(env!("CARGO_MANIFEST_DIR"), name)
}

fn affine(values: &[f64]) -> Affine {
    let rows: Vec<[f64; 4]> = values.as_chunks::<4>().0.to_vec();
    Affine::new(rows.try_into().expect("four rows")).expect("an invertible affine")
}

fn volume(golden: &Golden, name: &str, affine: Affine) -> Volume<f32> {
    let (dims, data) = golden.array(name).first_axis_fastest();
    let data = data.iter().map(|&value| value as f32).collect();
    Volume::new(Grid::new(dims, affine).expect("a grid"), data).expect("a volume")
}

fn assert_affine(got: &Affine, expected: &[f64]) {
    assert_close(&got.rows().concat(), expected, Tolerance::absolute(1e-10));
}

fn cases(golden: &Golden) -> Vec<String> {
    serde_json::from_value(golden.parameters["cases"].clone()).expect("names of cases")
}

#[test]
fn zoom_equals_scipy() {
    let golden = load("zoom");
    for case in cases(&golden) {
        let (target, expected) = golden.array(&format!("out_{case}")).first_axis_fastest();
        let got = zoom(&volume(&golden, &format!("in_{case}"), Affine::IDENTITY), target).unwrap();
        assert_close(got.as_slice(), &expected, TOLERANCE);
    }
}

#[test]
fn resampling_to_a_spacing_equals_nibabel() {
    let golden = load("resample");
    for case in cases(&golden) {
        let array = |what: &str| &golden.array(&format!("{what}_{case}")).data;
        let source = volume(&golden, &format!("in_{case}"), affine(array("in_affine")));
        let target: [f64; 3] = array("target").clone().try_into().unwrap();
        let got = resample_to_spacing(&source, target).unwrap();
        let (dims, expected) = golden.array(&format!("out_{case}")).first_axis_fastest();
        assert_eq!(got.dims(), dims, "{case}");
        assert_close(got.as_slice(), &expected, TOLERANCE);
        assert_affine(got.grid().affine(), array("out_affine"));
    }
}

#[test]
fn resampling_onto_a_rotated_grid_equals_nibabel() {
    let golden = load("resample");
    let source = volume(&golden, "onto_in", affine(&golden.array("onto_in_affine").data));
    let (dims, expected) = golden.array("onto_out").first_axis_fastest();
    let grid = Grid::new(dims, affine(&golden.array("onto_out_affine").data)).unwrap();
    assert_close(resample_onto(&source, &grid).unwrap().as_slice(), &expected, TOLERANCE);
}

#[test]
fn closest_canonical_equals_nibabel_on_sheared_oblique_affines_of_either_hand() {
    let golden = load("orientation");
    let codes: Vec<String> = serde_json::from_value(golden.parameters["codes"].clone()).unwrap();
    let numbered = volume(&golden, "in", Affine::IDENTITY);
    let affines = golden.array("affines").data.chunks_exact(16);
    let out_affines = golden.array("out_affines").data.chunks_exact(16);
    let out = golden.array("out").data.chunks_exact(60);
    assert_eq!(codes.len(), affines.len());
    for (((codes, rows), out_rows), out) in codes.iter().zip(affines).zip(out_affines).zip(out) {
        let affine = affine(rows);
        assert_eq!(Orientation::of(&affine).codes(), *codes, "{affine:?}");
        let grid = Grid::new(numbered.dims(), affine).unwrap();
        let image = Volume::new(grid, numbered.as_slice().to_vec()).unwrap();
        let canonical = to_closest_canonical(&image);
        assert_close(canonical.as_slice(), out, Tolerance::absolute(0.0));
        assert_affine(canonical.grid().affine(), out_rows);
    }
}
