//! The whole extraction on phantoms with a known brain.

use brainreel_volume::{Affine, Grid};
use rayon::ThreadPoolBuilder;

use super::vector::{Point, length, minus};
use super::*;

const CENTRE: Point = [6.0, -20.0, 10.0];

/// Axes turned, stretched and (with `flip` -1) mirrored; the middle of the grid is [`CENTRE`].
fn oblique_grid(flip: f64) -> Grid {
    let (s, c) = 0.35_f64.sin_cos();
    let dims = [90, 100, 70];
    let columns = [[2.2 * c * flip, 2.2 * s * flip, 0.0], [-2.0 * s, 2.0 * c, 0.1], [0.0, -0.1, 2.9]];
    let mut rows = [[0.0; 4]; 4];
    for (row, values) in rows.iter_mut().enumerate().take(3) {
        values[3] = CENTRE[row];
        for (axis, column) in columns.iter().enumerate() {
            values[axis] = column[row];
            values[3] -= 0.5 * (as_f64(dims[axis]) - 1.0) * column[row];
        }
    }
    Grid::new(dims, Affine::new(rows).unwrap()).unwrap()
}

/// A bright ball in a dark shell in a scalp, in world space, with a grain on it.
fn phantom(grid: Grid, radius_mm: f64) -> Volume<f32> {
    Volume::from_fn(grid, |at| {
        let distance = length(minus(grid.affine().apply(at.map(as_f64)), CENTRE));
        let grain = ((at[0] * 7 + at[1] * 13 + at[2] * 5) % 11) as f32;
        let value = match distance - radius_mm {
            outside if outside < 0.0 => 100.0,
            outside if outside < 8.0 => 10.0,
            outside if outside < 15.0 => 130.0,
            _ => 0.0,
        };
        value + 0.5 * grain
    })
}

fn ball_ml(radius_mm: f64) -> f64 {
    4.0 / 3.0 * std::f64::consts::PI * radius_mm.powi(3) / 1000.0
}

fn bet() -> Bet {
    Bet::new(BetConfig::default()).unwrap()
}

#[test]
fn a_ball_in_a_shell_is_found_on_any_grid() {
    for flip in [1.0, -1.0] {
        for radius_mm in [55.0, 65.0] {
            let head = phantom(oblique_grid(flip), radius_mm);
            let brain = bet().extract(&head).unwrap();
            let ratio = volume_ml(&brain) / ball_ml(radius_mm);
            // Edges of 2562 vertices, and voxels of up to 2.9 mm.
            assert!((0.97..1.06).contains(&ratio), "{ratio} of a ball of {radius_mm} mm");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_mask() {
    let head = phantom(oblique_grid(1.0), 60.0);
    let run = |n: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| bet().extract(&head).unwrap())
    };
    let one = run(1);
    assert!(run(2) == one && run(5) == one);
}

#[test]
fn a_larger_fraction_gives_a_smaller_brain() {
    // An edge as blurred as that: half way between is the border at 0.5.
    let grid = oblique_grid(1.0);
    let head = Volume::from_fn(grid, |at| {
        let distance = length(minus(grid.affine().apply(at.map(as_f64)), CENTRE));
        let brain = 100.0 / (1.0 + ((distance - 60.0) / 3.0).exp());
        (brain + if (78.0..86.0).contains(&distance) { 120.0 } else { 0.0 }) as f32
    });
    let ml = |fractional_intensity| {
        let config = BetConfig { fractional_intensity, ..BetConfig::default() };
        volume_ml(&Bet::new(config).unwrap().extract(&head).unwrap())
    };
    let [small, middle, large] = [ml(0.8), ml(0.5), ml(0.25)];
    assert!(small * 1.02 < middle && middle * 1.02 < large, "{small} {middle} {large}");
}

#[test]
fn a_stripped_brain_is_kept() {
    let grid = oblique_grid(1.0);
    let full = phantom(grid, 60.0);
    let stripped = Volume::from_fn(grid, |at| {
        let distance = length(minus(grid.affine().apply(at.map(as_f64)), CENTRE));
        if distance < 60.0 { *full.at(at) } else { 0.0 }
    });
    let kept = bet().extract(&stripped).unwrap();
    let n_bright = stripped.as_slice().iter().filter(|value| **value > 0.0).count();
    let lost =
        stripped.as_slice().iter().zip(kept.as_slice()).filter(|(v, kept)| **v > 0.0 && !**kept).count();
    assert!(lost * 200 < n_bright, "{lost} of {n_bright} voxels lost");
    assert!((volume_ml(&kept) / ball_ml(60.0) - 1.0).abs() < 0.02);
}

#[test]
fn what_is_no_head_is_refused_by_name() {
    let grid = |n: usize, mm: f64| Grid::new([n; 3], Affine::from_diagonal([mm; 3])).unwrap();
    let error = |volume: &Volume<f32>| bet().extract(volume).unwrap_err();
    let constant = Volume::from_fn(grid(50, 4.0), |_| 7.0);
    assert!(matches!(error(&constant), ExtractionError::NoContrast { .. }));
    let one = Volume::from_fn(grid(50, 4.0), |at| if at == [20; 3] { 1.0 } else { 0.0 });
    assert!(matches!(error(&one), ExtractionError::NoContrast { .. } | ExtractionError::Volume { .. }));
    let nan = Volume::from_fn(grid(50, 4.0), |at| if at == [1, 2, 3] { f32::NAN } else { 0.0 });
    assert!(matches!(error(&nan), ExtractionError::NonFinite { first: [1, 2, 3], .. }));
    let tiny = Volume::from_fn(grid(2, 1.0), |at| at[0] as f32);
    assert!(matches!(error(&tiny), ExtractionError::TooSmall { .. }));
    let few = Volume::from_fn(grid(2, 100.0), |at| (at[0] + 2 * at[1] + 4 * at[2]) as f32);
    assert!(matches!(error(&few), ExtractionError::Volume { .. }));
    assert!(error(&few).to_string().contains("expected 100 to 2200 ml"));
    let full = Volume::from_fn(grid(60, 4.0), |[i, j, k]| 900.0 + ((i * 7 + j * 5 + k * 3) % 10) as f32);
    assert!(bet().extract(&full).is_err());
    let vast = Volume::from_fn(grid(50, 4.0), |[i, j, k]| f32::MAX * ((i * j + k) % 3) as f32 / 2.0);
    assert!(bet().extract(&vast).is_err());
}

#[test]
fn settings_out_of_range_are_named() {
    for (field, bad) in [
        ("fractional_intensity", BetConfig { fractional_intensity: 0.0, ..BetConfig::default() }),
        ("gradient", BetConfig { gradient: f64::NAN, ..BetConfig::default() }),
        ("radius_mm", BetConfig { radius_mm: Some(-1.0), ..BetConfig::default() }),
    ] {
        let message = Bet::new(bad).unwrap_err().to_string();
        assert!(message.contains(&format!("bet.{field}")), "{message}");
    }
    assert!(serde_json::from_str::<BetConfig>(r#"{"fraction": 0.5}"#).is_err());
    assert_eq!(serde_json::from_str::<BetConfig>("{}").unwrap(), BetConfig::default());
}
