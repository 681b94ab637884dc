//! What is drawn; draws that are logged, replayed and made on other numbers of threads; images that are refused.

use brainreel_augmentation::{
    AugmentError, AugmentationConfig, AugmentationPreset, Axis, Draw, Transform, TransformName,
};
use brainreel_volume::{Affine, Grid, Volume};

fn image(dims: [usize; 3]) -> Volume<f32> {
    let grid = Grid::new(dims, Affine::from_diagonal([1.0, 1.3, 0.8])).expect("a small grid");
    Volume::from_fn(grid, |[i, j, k]| ((i * 37 + j * 101 + k * 53) % 997) as f32)
}

fn everything() -> AugmentationConfig {
    AugmentationConfig {
        pool: 0,
        noise_probability: 1.0,
        gamma_probability: 1.0,
        flip_probability: 1.0,
        rotate90_probability: 1.0,
        affine_probability: 1.0,
        bias_field_probability: 1.0,
        blur_probability: 1.0,
        ghosting_probability: 1.0,
        ..AugmentationConfig::default()
    }
}

fn bits(volume: &Volume<f32>) -> Vec<u32> {
    volume.as_slice().iter().map(|value| value.to_bits()).collect()
}

fn applied(draw: &Draw, dims: [usize; 3]) -> Volume<f32> {
    let mut volume = image(dims);
    draw.apply(&mut volume).expect("an image with contrast");
    volume
}

#[test]
fn a_logged_draw_gives_the_same_bits() {
    for epoch in 0..5 {
        let draw = everything().draw(7, "sub-01_ses-m12", epoch);
        let text = serde_json::to_string(&draw).unwrap();
        let read: Draw = serde_json::from_str(&text).unwrap();
        assert_eq!(read, draw);
        assert_eq!(bits(&applied(&read, [21; 3])), bits(&applied(&draw, [21; 3])));
    }
    let text = serde_json::to_string(&Draw::default()).unwrap();
    assert_eq!(text, r#"[{"transform":"z-normalization"}]"#);
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let draw = everything().draw(1, "scan", 0);
    // More than one block of everything that is shared out.
    let on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| bits(&applied(&draw, [67; 3])))
    };
    let alone = on(1);
    assert_eq!(alone, on(2));
    assert_eq!(alone, on(5));
}

#[test]
fn the_order_decides_whether_noise_is_seen() {
    let worst_change = |order: &str| {
        let config: AugmentationConfig = serde_json::from_str(&format!(
            r#"{{"order": {order}, "noise_probability": 1.0, "gamma_probability": 0.0}}"#
        ))
        .unwrap();
        let noisy = applied(&config.draw(1, "scan", 0), [16; 3]);
        let plain = applied(&Draw::default(), [16; 3]);
        let changes = noisy.as_slice().iter().zip(plain.as_slice()).map(|(a, b)| (a - b).abs());
        changes.fold(0.0, f32::max)
    };
    assert!(worst_change(r#"["noise", "gamma", "z-normalization"]"#) < 1e-2);
    assert!(worst_change(r#"["gamma", "z-normalization", "noise"]"#) > 5e-2);
}

#[test]
fn a_draw_can_be_read_by_people() {
    let draw = everything().draw(7, "scan", 0);
    let text = draw.to_string();
    let names = TransformName::ALL.map(TransformName::title);
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
    assert_eq!(Draw::default().to_string(), "z-normalisation");
}

#[test]
fn broken_images_are_named() {
    let plain = Draw::default();
    let mut with_nan = image([4; 3]);
    with_nan.as_mut_slice()[4 + 16] = f32::NAN;
    assert_eq!(
        plain.apply(&mut with_nan).unwrap_err().to_string(),
        "NaN at voxel [0, 1, 1], expected finite voxels"
    );
    let mut flat = image([4; 3]).map(|_| 3.0);
    assert_eq!(plain.apply(&mut flat), Err(AugmentError::Flat { value: 3.0, n_voxels: 64 }));
    let gamma = Draw::new(vec![Transform::Gamma { gamma: 20.0 }, Transform::ZNormalization]);
    let message = gamma.apply(&mut image([8; 3])).unwrap_err().to_string();
    assert!(message.starts_with("inf at voxel") && message.contains("after the gamma"), "{message}");
    let turn = Draw::new(vec![Transform::Rotate90 { axis: Axis::X, quarters: 1 }]);
    assert_eq!(turn.apply(&mut image([4, 4, 5])), Err(AugmentError::NotACube { dims: [4, 4, 5] }));
}

#[test]
fn draws_from_elsewhere_are_checked() {
    for (text, what) in [
        (r#"[{"transform": "blur", "std_mm": [1e300, 0, 0]}]"#, "blur"),
        (r#"[{"transform": "blur", "std_mm": [-1, 0, 0]}]"#, "blur"),
        (
            r#"[{"transform": "bias-field", "order": 1000000000000, "coefficients": []}]"#,
            "order 1000000000000",
        ),
        (r#"[{"transform": "bias-field", "order": 1, "coefficients": [1, 2]}]"#, "2 coefficients"),
        (r#"[{"transform": "affine", "scales": [0, 1, 1], "degrees": [0, 0, 0]}]"#, "affine transform"),
        (
            r#"[{"transform": "ghosting", "number": 2, "axis": "x", "intensity": 7, "restore": null}]"#,
            "ghosting",
        ),
        (r#"[{"transform": "gamma", "gamma": -1}]"#, "gamma has -1"),
        (r#"[{"transform": "noise", "mean": 0, "std": -1, "seed": 1}]"#, "noise has -1"),
    ] {
        let draw: Draw = serde_json::from_str(text).unwrap();
        let message = draw.apply(&mut image([6; 3])).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
    // Odd but harmless.
    for text in [
        r#"[{"transform": "ghosting", "number": 0, "axis": "x", "intensity": 1, "restore": 1.0}]"#,
        r#"[{"transform": "ghosting", "number": 18446744073709551615, "axis": "z", "intensity": 1, "restore": 1.0}]"#,
        r#"[{"transform": "rotate90", "axis": "y", "quarters": 255}]"#,
        r#"[{"transform": "blur", "std_mm": [300, 0, 0]}]"#,
        r#"[]"#,
    ] {
        serde_json::from_str::<Draw>(text).unwrap().apply(&mut image([6; 3])).unwrap();
    }
    assert!(serde_json::from_str::<Draw>(r#"[{"transform": "gamma", "gamma": 1, "file": "x"}]"#).is_err());
}

#[test]
fn frequencies_and_ranges_are_the_thesiss() {
    let config = AugmentationConfig { pool: 0, ..AugmentationConfig::default() };
    let draws: Vec<Draw> = (0..4000).map(|epoch| config.draw(1, "sub-1_ses-1", epoch)).collect();
    let share = |n: usize| n as f64 / 4000.0;
    let transforms = || draws.iter().flat_map(|draw| draw.transforms());
    let stds: Vec<f64> = transforms()
        .filter_map(|t| if let Transform::Noise { std, .. } = t { Some(*std) } else { None })
        .collect();
    let gammas: Vec<f64> = transforms()
        .filter_map(|t| if let Transform::Gamma { gamma } = t { Some(*gamma) } else { None })
        .collect();
    let plain = share(draws.iter().filter(|d| d.is_plain()).count());
    // Four standard errors of a proportion of 0.3 in 4000 draws: 0.029.
    assert!((share(stds.len()) - 0.3).abs() < 0.03 && (share(gammas.len()) - 0.3).abs() < 0.03);
    assert!((plain - 0.49).abs() < 0.035, "{plain}");
    assert!(stds.iter().all(|std| (0.0..0.1).contains(std)));
    let bound = 0.2_f64.exp();
    assert!(gammas.iter().all(|&g| g <= bound && g >= 1.0 / bound));
}

#[test]
fn a_pool_repeats_and_fresh_draws_do_not() {
    let pooled = AugmentationConfig { pool: 3, ..everything() };
    assert_eq!(pooled.draw(1, "a", 0), pooled.draw(1, "a", 3));
    assert_ne!(pooled.draw(1, "a", 0), pooled.draw(1, "a", 1));
    assert_ne!(pooled.draw(1, "a", 0), pooled.draw(1, "b", 0));
    assert_ne!(pooled.draw(1, "a", 0), pooled.draw(2, "a", 0));
    let fresh = AugmentationConfig { pool: 0, ..pooled };
    assert_ne!(fresh.draw(1, "a", 0), fresh.draw(1, "a", 3));
}

#[test]
fn transforms_come_in_order_and_do_not_disturb_each_other() {
    let all = everything();
    let names = |config: &AugmentationConfig| -> Vec<TransformName> {
        config.draw(3, "scan", 5).transforms().iter().map(Transform::name).collect()
    };
    assert_eq!(names(&all), all.order());
    let thesis = AugmentationConfig { preset: AugmentationPreset::Thesis, ..everything() };
    assert_eq!(names(&thesis), thesis.order());
    let without_blur = AugmentationConfig { blur_probability: 0.0, ..everything() };
    let kept: Vec<Transform> = all
        .draw(3, "scan", 5)
        .transforms()
        .iter()
        .filter(|t| t.name() != TransformName::Blur)
        .cloned()
        .collect();
    assert_eq!(without_blur.draw(3, "scan", 5).transforms(), kept);
}

#[test]
fn without_noise_both_presets_draw_the_same() {
    let quiet = AugmentationConfig { noise_probability: 0.0, ..AugmentationConfig::default() };
    let thesis = AugmentationConfig { preset: AugmentationPreset::Thesis, ..quiet.clone() };
    assert!((0..20).all(|epoch| quiet.draw(1, "scan", epoch) == thesis.draw(1, "scan", epoch)));
    assert!(AugmentationConfig::none().draw(1, "scan", 0).is_plain());
}

#[test]
fn sizes_keep_to_their_ranges() {
    let config = AugmentationConfig { noise_mean: 0.5, ghosting_restore: Some(0.2), ..everything() };
    for transform in (0..300).flat_map(|epoch| config.draw(9, "scan", epoch).transforms().to_vec()) {
        let within = match transform {
            Transform::Noise { mean, .. } => mean.abs() <= 0.5,
            Transform::Affine { scales, degrees } => {
                scales.iter().all(|s| (0.9..1.1).contains(s)) && degrees.iter().all(|d| d.abs() <= 10.0)
            }
            Transform::BiasField { order, coefficients } => {
                order == 3 && coefficients.len() == 20 && coefficients.iter().all(|c| c.abs() <= 0.5)
            }
            Transform::Blur { std_mm } => std_mm.iter().all(|s| (0.0..2.0).contains(s)),
            Transform::Ghosting { number, intensity, restore, .. } => {
                (4..=10).contains(&number)
                    && (0.5..1.0).contains(&intensity)
                    && restore.is_some_and(|share| (0.0..0.2).contains(&share))
            }
            Transform::Flip { axes } => axes == [Axis::X],
            _ => true,
        };
        assert!(within);
    }
}
