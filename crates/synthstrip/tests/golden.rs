//! Grids, network inputs and distances against nipreps-synthstrip, with weights by formula.

#![expect(clippy::unwrap_used, reason = "a test's helper functions may panic like the test itself")]

use std::collections::HashMap;
use std::path::Path;

use brainreel_preprocess::BrainExtractor;
use brainreel_synthstrip::{
    SynthStrip, SynthStripConfig, SynthStripWeights, conform, conformed_grid, scale_intensities,
    synthstrip_convs,
};
use brainreel_testkit::{Golden, Tolerance, assert_close};
use brainreel_volume::{Affine, Grid, Volume};
use safetensors::tensor::{Dtype, TensorView};

fn golden() -> Golden {
    Golden::load(env!("CARGO_MANIFEST_DIR"), "synthstrip")
}

/// The Rust side of `uniform` in `reference/formula.py`, from -1 to 1.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (0..count as u64).map(move |i| {
        let mut z = start.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        2.0 * ((z >> 11) as f64 / (1_u64 << 53) as f64) - 1.0
    })
}

/// The weights of `reference/synthstrip.py`.
fn weights(golden: &Golden) -> SynthStripWeights {
    let parameter = |name: &str| golden.parameters[name].as_f64().unwrap();
    let (last_gain, last_bias) = (parameter("last_gain"), parameter("last_bias"));
    let mut tensors = Vec::new();
    for conv in synthstrip_convs() {
        let (is_last, shape) = (conv.name == "remaining.2", conv.shape);
        let limit = (6.0 / (1.04 * (shape.channels_in * 27) as f64)).sqrt();
        let gain = if is_last { last_gain * limit } else { limit };
        let name = format!("{}.conv.weight", conv.name);
        let values: Vec<u8> =
            uniform(&name, shape.n_weights()).flat_map(|u| ((gain * u) as f32).to_le_bytes()).collect();
        tensors.push((name, vec![shape.channels_out, shape.channels_in, 3, 3, 3], values));
        let name = format!("{}.conv.bias", conv.name);
        let bias = |u: f64| if is_last { last_bias } else { 0.1 * u };
        let values =
            uniform(&name, shape.channels_out).flat_map(|u| (bias(u) as f32).to_le_bytes()).collect();
        tensors.push((name, vec![shape.channels_out], values));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views, None::<HashMap<String, String>>).unwrap();
    SynthStripWeights::decode(&file, Path::new("formula")).unwrap()
}

fn head(golden: &Golden, name: &str) -> Volume<f32> {
    let rows = golden.array(&format!("{name}.affine"));
    let rows: Vec<[f64; 4]> = rows.data.as_chunks::<4>().0.to_vec();
    let affine = Affine::new([rows[0], rows[1], rows[2], rows[3]]).unwrap();
    let (dims, values) = golden.array(&format!("{name}.head")).first_axis_fastest();
    Volume::new(Grid::new(dims, affine).unwrap(), values.iter().map(|&value| value as f32).collect()).unwrap()
}

/// Every so many voxels along each axis, last axis fastest, as NumPy's slices are written.
fn thinned(dims: [usize; 3], every: usize, value: impl Fn([usize; 3]) -> f32) -> Vec<f32> {
    let line = |n: usize| (every / 2..n).step_by(every);
    let mut values = Vec::new();
    for i in line(dims[0]) {
        for j in line(dims[1]) {
            values.extend(line(dims[2]).map(|k| value([i, j, k])));
        }
    }
    values
}

#[test]
fn grids_and_network_inputs_are_those_of_the_published_tool() {
    let golden = golden();
    let every = golden.parameters["every"].as_u64().unwrap() as usize;
    for name in ["oblique", "permuted", "long"] {
        let head = head(&golden, name);
        let grid = conformed_grid(head.grid()).unwrap();
        let dims: Vec<usize> =
            golden.array(&format!("{name}.conformed_dims")).data.iter().map(|&n| n as usize).collect();
        assert_eq!(grid.dims().to_vec(), dims, "{name}");
        let affine = &golden.array(&format!("{name}.conformed_affine")).data;
        assert_close(grid.affine().rows().as_flattened(), affine, Tolerance::absolute(1e-9));
        let mut conformed = conform(&head).unwrap();
        assert_eq!(conformed.grid(), &grid);
        scale_intensities(conformed.as_mut_slice()).unwrap();
        let got = thinned(grid.dims(), every, |index| *conformed.at(index));
        // Spline coefficients in single precision, on a scale of one.
        let expected = &golden.array(&format!("{name}.conformed")).data;
        assert_close(&got, expected, Tolerance::absolute(1e-5));
    }
}

#[test]
fn distances_are_those_of_the_published_network() {
    let golden = golden();
    let every = golden.parameters["every"].as_u64().unwrap() as usize;
    let extractor = SynthStrip::new(&weights(&golden), SynthStripConfig::default()).unwrap();
    // Two grids, one after the other: the compiled network is replaced.
    for name in ["oblique", "permuted"] {
        let head = head(&golden, name);
        let distance = extractor.network_distance(&head, |_, _| {}).unwrap();
        let [ni, nj, nk] = distance.dims();
        let got = thinned([nk, nj, ni], every, |[i, j, k]| *distance.at([k, j, i]));
        let expected = &golden.array(&format!("{name}.distance")).data;
        assert_close(&got, expected, Tolerance::absolute(1e-3));
    }
}

#[test]
fn masks_are_one_piece_within_the_border_and_the_same_from_several_threads() {
    let golden = golden();
    let weights = weights(&golden);
    let extractor = SynthStrip::new(&weights, SynthStripConfig { border_mm: 3.0 }).unwrap();
    let head = head(&golden, "permuted");
    let found = extractor.extract_all(&head, |_, _| {}).unwrap();
    assert_eq!(found.mask.grid(), head.grid());
    let count = |mask: &Volume<bool>| mask.as_slice().iter().filter(|inside| **inside).count();
    let within = found.distance_mm.map(|&distance| distance < 3.0);
    assert!(count(&found.mask) > 10 && count(&found.mask) < head.as_slice().len());
    let piece = brainreel_volume::morphology::largest_component(&within);
    assert!(piece.as_slice().iter().zip(found.mask.as_slice()).all(|(a, b)| !a || *b));
    let masks: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| extractor.extract(&head).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(masks.iter().all(|mask| *mask == found.mask));
    assert!(extractor.name().starts_with("synthstrip "));
    assert!(SynthStrip::new(&weights, SynthStripConfig { border_mm: f64::NAN }).is_err());
    assert!(SynthStrip::new(&weights, SynthStripConfig { border_mm: 100.0 }).is_err());
    let far = SynthStrip::new(&weights, SynthStripConfig { border_mm: -99.0 }).unwrap();
    assert!(far.extract(&head).unwrap_err().to_string().contains("no voxel"));
}
