use brainreel_volume::{Affine, Grid, Orientation};

use super::*;
use crate::numbers::as_f64;
use crate::{BiasCorrection, BiasGrid, ExtractionError, ForegroundRule, PreprocessConfig};

fn preprocess(volume: &Volume<f32>, config: &PreprocessConfig) -> Result<Preprocessed, PreprocessError> {
    super::preprocess(volume, &config.clone().validated().unwrap())
}

fn preprocess_with_brain(
    volume: &Volume<f32>,
    config: &PreprocessConfig,
    extractor: &dyn BrainExtractor,
) -> Result<Preprocessed, PreprocessError> {
    super::preprocess_with_brain(volume, &config.clone().validated().unwrap(), extractor)
}

/// A noisy head-like thing: an L of tissue (no mirror image of it is the same) in Rician-like air.
fn phantom(grid: Grid, landmark_mm: [f64; 3], radius_mm: f64) -> Volume<f32> {
    let center = grid.affine().apply(grid.dims().map(|n| as_f64(n) / 2.0));
    let mut state = 12345_u32;
    Volume::from_fn(grid, |index| {
        let world = grid.affine().apply(index.map(as_f64));
        let from = [0, 1, 2].map(|axis| world[axis] - center[axis]);
        let (x, y, z) = (from[0], from[1], from[2]);
        let tissue = z.abs() < 45.0
            && ((-60.0..0.0).contains(&x) && y.abs() < 70.0
                || (0.0..50.0).contains(&x) && y > 30.0 && y < 70.0);
        let distance_2: f64 = (0..3).map(|axis| (world[axis] - landmark_mm[axis]).powi(2)).sum();
        let blob = 900.0 * (-0.5 * distance_2 / radius_mm.powi(2)).exp();
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(state >> 16) / 65_536.0 * 40.0;
        (if tissue { 300.0 + noise } else { noise } + blob) as f32
    })
}

/// Sagittal, oblique, anisotropic and left-handed.
fn inconvenient_grid() -> Grid {
    let (c, s) = (0.12_f64.cos(), 0.12_f64.sin());
    let affine = Affine::new([
        [0.0, 0.0, 1.7, -81.0],
        [-1.3 * c, 1.1 * s, 0.0, 95.0],
        [-1.3 * s, -1.1 * c, 0.0, 88.0],
        [0.0; 4],
    ]);
    let grid = Grid::new([151, 137, 99], affine.unwrap()).unwrap();
    assert!(grid.affine().determinant() > 0.0 && Orientation::of(grid.affine()).codes() == "PIR");
    grid
}

fn config() -> PreprocessConfig {
    PreprocessConfig { spacing_mm: 2.0, size_voxels: 64, ..PreprocessConfig::whole_head() }
}

/// Intensity-weighted centre of the landmark, in voxels; the tissue is far dimmer than its core.
fn landmark(volume: &Volume<f32>) -> [f64; 3] {
    let [nx, ny, _] = volume.dims();
    let (mut sum, mut weight) = ([0.0; 3], 0.0);
    for (at, &value) in volume.as_slice().iter().enumerate().filter(|(_, value)| **value > 600.0) {
        let excess = f64::from(value) - 600.0;
        for (total, i) in sum.iter_mut().zip([at % nx, at / nx % ny, at / nx / ny]) {
            *total += excess * as_f64(i);
        }
        weight += excess;
    }
    sum.map(|total| total / weight)
}

#[test]
fn landmark_is_found_at_its_millimetre_through_the_whole_chain() {
    let at_mm = [-32.0, 21.5, 7.25];
    let flip = Affine::from_diagonal([-1.0, 1.0, 1.0]).compose(&Affine::translation_by([-150.0, 0.0, 0.0]));
    let mirrored = Grid::new([151, 137, 99], inconvenient_grid().affine().compose(&flip)).unwrap();
    for grid in [inconvenient_grid(), mirrored] {
        let scan = phantom(grid, at_mm, 6.0);
        let done = preprocess(&scan, &config()).unwrap();
        assert_eq!(done.qc.input.orientation, Orientation::of(grid.affine()).codes());
        assert_eq!(done.qc.resampled.orientation, "RAS");
        let voxel = landmark(&done.network_input);
        let found = done.transform.network_voxel_to_native_mm.apply(voxel);
        let native = done.transform.network_to_native_voxel().unwrap().apply(voxel);
        let native_mm = grid.affine().apply(native);
        for axis in 0..3 {
            assert!((found[axis] - at_mm[axis]).abs() < 0.2, "{found:?} != {at_mm:?}");
            assert!((native_mm[axis] - found[axis]).abs() < 1e-9);
        }
        let in_1mm = done.stages.uncropped.grid().affine().apply(landmark(&done.stages.uncropped));
        assert!((0..3).all(|axis| (in_1mm[axis] - at_mm[axis]).abs() < 0.2), "{in_1mm:?} != {at_mm:?}");
    }
}

#[test]
fn air_is_cropped_despite_its_noise() {
    let done = preprocess(&phantom(inconvenient_grid(), [-32.0, 21.5, 7.0], 6.0), &config()).unwrap();
    let qc = &done.qc;
    assert_eq!(qc.steps, ["reorient", "resample", "crop", "zoom"]);
    let threshold = qc.foreground.threshold.unwrap();
    assert!((60.0..280.0).contains(&threshold), "{threshold}");
    // 110 x 140 x 90 mm of tissue at 2 mm; the grid is turned by 7 degrees about the first axis.
    for (n, (low, high)) in qc.foreground_box.dims().into_iter().zip([(54, 57), (70, 77), (45, 54)]) {
        assert!((low..=high).contains(&n), "{:?}", qc.foreground_box);
    }
    for axis in 0..3 {
        assert_eq!(qc.crop_box.dims()[axis], qc.foreground_box.dims()[axis] + 6);
        let spacing = done.network_input.grid().spacing_mm()[axis];
        assert!((qc.resolution.network_spacing_mm[axis] - spacing).abs() < 1e-9);
        assert!(qc.resolution.gain_by_axis[axis] > 0.1);
    }
    assert!(qc.foreground_intensity.p50 > 300.0 && qc.foreground_intensity.p50 < 340.0);
    let text = serde_json::to_string(qc).unwrap();
    assert_eq!(serde_json::from_str::<QcRecord>(&text).unwrap().steps, qc.steps);
}

#[test]
fn stripped_image_gives_the_same_box_above_zero_and_by_otsu() {
    let grid = Grid::new([50, 60, 55], Affine::from_diagonal([2.0, 2.0, 2.0])).unwrap();
    let brain = Volume::from_fn(grid, |[i, j, k]| {
        if i > 9 && j > 11 && k > 7 && i < 38 && j < 50 && k < 41 && (i < 25 || j < 30) {
            90.0 + i as f32
        } else {
            0.0
        }
    });
    let by_otsu = preprocess(&brain, &config()).unwrap();
    let above = PreprocessConfig { foreground: ForegroundRule::Above(0.0), ..config() };
    let above_zero = preprocess(&brain, &above).unwrap();
    assert_eq!(by_otsu.qc.crop_box, above_zero.qc.crop_box);
    assert_eq!(by_otsu.network_input, above_zero.network_input);
    assert_eq!((by_otsu.qc.crop_box.start(), by_otsu.qc.crop_box.end()), ([7, 9, 5], [41, 53, 44]));
}

/// Treats everything brighter than a value as brain.
struct Brighter(f32);

impl BrainExtractor for Brighter {
    fn name(&self) -> &str {
        "brighter"
    }

    fn extract(&self, head: &Volume<f32>) -> Result<Mask, ExtractionError> {
        Ok(head.map(|&value| value > self.0))
    }
}

#[test]
fn brain_mask_decides_when_there_is_one() {
    let scan = phantom(inconvenient_grid(), [-32.0, 21.5, 7.0], 6.0);
    let done = preprocess_with_brain(&scan, &config(), &Brighter(450.0)).unwrap();
    assert_eq!(done.qc.steps[1], "extract_brain");
    assert_eq!(done.qc.foreground.extractor.as_deref(), Some("brighter"));
    assert_eq!(done.qc.foreground.threshold, None);
    assert!(done.qc.foreground_box.dims().iter().all(|&n| n < 16), "{:?}", done.qc.foreground_box);
    let outside = done.stages.uncropped.as_slice().iter().filter(|value| value.to_bits() == 0).count();
    assert_eq!(outside + done.qc.foreground.n_voxels, done.stages.uncropped.grid().n_voxels());
    let none = preprocess_with_brain(&scan, &config(), &Brighter(f32::MAX)).unwrap_err();
    assert!(matches!(none, PreprocessError::Extraction(ExtractionError::Empty { .. })));
}

#[test]
fn bad_images_are_refused_with_the_reason() {
    let grid = Grid::new([20, 21, 22], Affine::from_diagonal([2.0, 2.0, 2.0])).unwrap();
    let image = Volume::from_fn(grid, |[i, j, _]| (i * j) as f32);
    let constant = image.map(|_| 7.0);
    assert_eq!(preprocess(&constant, &config()), Err(PreprocessError::Constant { value: 7.0 }));
    let mut broken = image.clone();
    broken.as_mut_slice()[20 * 21 * 3 + 20 * 2 + 5] = f32::NAN;
    broken.as_mut_slice()[20 * 21 * 4] = f32::INFINITY;
    assert_eq!(
        preprocess(&broken, &config()),
        Err(PreprocessError::NonFinite { n_voxels: 2, first: [5, 2, 3] })
    );
    let dark = PreprocessConfig { foreground: ForegroundRule::Above(1e6), ..config() };
    assert!(matches!(preprocess(&image, &dark), Err(PreprocessError::EmptyForeground { .. })));
    let metres =
        Volume::from_fn(Grid::new([20, 21, 22], Affine::from_diagonal([900.0; 3])).unwrap(), |i| i[0] as f32);
    assert!(matches!(preprocess(&metres, &config()), Err(PreprocessError::FieldOfView { .. })));
    let slice =
        Volume::from_fn(Grid::new([20, 21, 1], Affine::from_diagonal([2.0; 3])).unwrap(), |i| i[0] as f32);
    assert!(matches!(preprocess(&slice, &config()), Err(PreprocessError::Zoom(_))));
}

/// A brain (an L of two tissues with a gradient of shading) in a bright skull.
fn shaded_head() -> (Volume<f32>, Mask) {
    let grid = Grid::new([46, 52, 48], Affine::from_diagonal([3.7, 3.4, 3.6])).unwrap();
    let brain = Volume::from_fn(grid, |[x, y, z]| {
        (8..38).contains(&x) && (8..44).contains(&y) && (8..40).contains(&z) && (x < 24 || y < 28)
    });
    let head = Volume::from_fn(grid, |[x, y, z]| {
        let tissue = [60.0, 100.0, 140.0][(x / 3 + y / 4 + z / 5) % 3];
        let ripple = ((x * 7 + y * 13 + z * 29) % 11) as f32 * 0.4;
        let shading = 1.0 + 0.012 * (x + y) as f32;
        if *brain.at([x, y, z]) {
            (tissue + ripple) * shading
        } else if (4..42).contains(&x) && (4..48).contains(&y) && (4..44).contains(&z) {
            400.0
        } else {
            ripple
        }
    });
    (head, brain)
}

/// An extractor that returns the known brain.
struct Known(Mask);

impl BrainExtractor for Known {
    fn name(&self) -> &str {
        "known"
    }

    fn extract(&self, _: &Volume<f32>) -> Result<Mask, ExtractionError> {
        Ok(self.0.clone())
    }
}

#[test]
fn bias_is_corrected_inside_the_brain_before_or_after_resampling() {
    let (head, brain) = shaded_head();
    let asked = PreprocessConfig {
        brain_extractor: ExtractorChoice::Mask,
        spacing_mm: 3.0,
        ..PreprocessConfig::default()
    };
    let asked = PreprocessConfig { size_voxels: 48, ..asked };
    for grid in [BiasGrid::Resampled, BiasGrid::Native] {
        let config = PreprocessConfig { bias_grid: grid, ..asked.clone() };
        let done = preprocess_with_brain(&head, &config, &Known(brain.clone())).unwrap();
        let order = match grid {
            BiasGrid::Resampled => ["resample", "correct_bias"],
            BiasGrid::Native => ["correct_bias", "resample"],
        };
        assert_eq!(done.qc.steps[2..4], order);
        let bias = done.stages.bias.unwrap();
        assert_eq!(bias.before.dims() == head.dims(), grid == BiasGrid::Native);
        let found = done.qc.summaries.bias.unwrap();
        // The shading goes from 1.2 to 1.8 in the brain.
        assert!(
            found.minimum < 0.85 && found.maximum > 1.15 && found.maximum / found.minimum < 2.0,
            "{found:?}"
        );
        let outside = done.stages.uncropped.as_slice().iter().zip(done.stages.foreground.as_slice());
        assert!(outside.filter(|(_, inside)| !**inside).all(|(value, _)| value.to_bits() == 0));
        assert!(done.qc.tissue.unwrap().cjv < 0.6, "{:?}", done.qc.tissue);
        let volume_ml = done.qc.summaries.brain.unwrap().volume_ml;
        let expected = brain.as_slice().iter().filter(|v| **v).count() as f64 * 3.7 * 3.4 * 3.6 / 1000.0;
        assert!((volume_ml - expected).abs() < 1e-6);
    }
}

#[test]
fn steps_can_be_left_out() {
    let (head, brain) = shaded_head();
    let config = PreprocessConfig {
        resample: false,
        crop: false,
        bias_correction: BiasCorrection::None,
        brain_extractor: ExtractorChoice::Mask,
        size_voxels: 32,
        ..PreprocessConfig::default()
    };
    let done = preprocess_with_brain(&head, &config, &Known(brain)).unwrap();
    assert_eq!(done.qc.steps, ["reorient", "extract_brain", "zoom"]);
    assert_eq!(done.stages.uncropped.dims(), head.dims());
    assert_eq!(done.qc.crop_box.dims(), head.dims());
    assert!(done.stages.bias.is_none() && done.qc.summaries.bias.is_none());
    let stripped = PreprocessConfig {
        bias_correction: BiasCorrection::N4,
        bias_region: crate::BiasRegion::Foreground,
        brain_extractor: ExtractorChoice::None,
        ..config
    };
    let done = preprocess(&done.stages.uncropped, &stripped).unwrap();
    assert!(done.qc.summaries.bias.is_some() && done.qc.summaries.brain.is_none());
}

#[test]
fn extractors_of_other_crates_have_to_be_given() {
    let (head, _) = shaded_head();
    let error = preprocess(&head, &PreprocessConfig::default()).unwrap_err();
    assert!(error.to_string().contains("synthstrip"), "{error}");
}
