//! What the instruction sets have in common, bit by bit, and by how much the scalar one differs.
//!
//! ARCHITECTURE.md ("Determinism") states what this test measures: its bounds are about twice the differences found.

use std::process::Command;

use brainreel_kernels::{
    Activation, AttentionShape, ConvShape, Epilogue, GridPool, ISA_VARIABLE, InstructionSet, Layout, Map,
    MapMut, RelativePositions, TileSize, WinogradConv, attention, attention_gradients, channel_moments, gelu,
    gelu_gradient, layer_norm, layer_norm_gradients, max_pool, scale_in_place,
};

use crate::case::{Case, blocked, planar};
use crate::support::{bits, random, rms, widen};

/// Kernels that follow the same rule.
struct Family {
    name: &'static str,
    /// Results on an instruction set, several cases in a row.
    results: fn(InstructionSet) -> Vec<Vec<f32>>,
    /// How far the scalar set may be from the others, in units of the result's root mean square; `None`: the same
    /// bits. The reason for a difference is always the same: it has no fused multiply-add.
    scalar: Option<f64>,
}

const FAMILIES: [Family; 12] = [
    Family { name: "direct convolution", results: direct, scalar: Some(3e-6) },
    Family { name: "planar convolution", results: planar_conv, scalar: Some(5e-6) },
    Family { name: "narrow convolution", results: narrow, scalar: Some(2e-6) },
    Family { name: "Winograd convolution", results: winograd, scalar: Some(3e-5) },
    Family { name: "Winograd convolution, weights in bf16", results: winograd_half, scalar: Some(3e-5) },
    Family { name: "gradient of the input", results: grad_input, scalar: Some(4e-6) },
    Family { name: "gradient of the weights", results: grad_weight, scalar: Some(4e-6) },
    Family { name: "moments of channels", results: moments, scalar: Some(5e-7) },
    Family { name: "scaling and pooling of maps", results: maps, scalar: None },
    Family { name: "attention", results: attention_results, scalar: Some(3e-6) },
    Family { name: "gradients of attention", results: attention_gradient_results, scalar: Some(8e-6) },
    Family { name: "layer norm, GELU, pooling of tokens", results: tokens, scalar: None },
];

/// Convolutions of every kind of kernel, stride and width, and of enough channels for several sums.
fn cases() -> Vec<Case> {
    let strided = |stride| ConvShape { stride, ..ConvShape::same(17, 33, [3, 3, 3]) };
    let case = |shape, dims| Case::new(shape, 2, dims, Activation::LeakyRelu(0.2));
    vec![
        case(ConvShape::same(16, 16, [3, 3, 3]), [3, 5, 17]),
        case(ConvShape::same(65, 48, [3, 3, 3]), [4, 6, 9]),
        case(ConvShape::same(33, 17, [3, 1, 1]), [5, 3, 7]),
        case(ConvShape::same(3, 20, [1, 3, 3]), [2, 7, 33]),
        case(ConvShape::same(256, 32, [1, 1, 1]), [2, 3, 15]),
        case(strided([2, 2, 2]), [5, 6, 13]),
        case(strided([1, 2, 2]), [3, 8, 9]),
    ]
}

fn over_cases(compute: impl Fn(&Case) -> Vec<f32>) -> Vec<Vec<f32>> {
    cases().iter().map(compute).collect()
}

fn direct(isa: InstructionSet) -> Vec<Vec<f32>> {
    over_cases(|case| case.direct(isa))
}

fn planar_conv(isa: InstructionSet) -> Vec<Vec<f32>> {
    over_cases(|case| case.planar_conv(isa))
}

fn narrow(isa: InstructionSet) -> Vec<Vec<f32>> {
    [[3, 3, 3], [1, 1, 1], [1, 3, 5]]
        .map(|kernel| Case::new(ConvShape::same(40, 2, kernel), 2, [3, 5, 37], Activation::None).narrow(isa))
        .to_vec()
}

fn winograd_cases(compute: impl Fn(&Case, TileSize) -> Vec<f32>) -> Vec<Vec<f32>> {
    let suited: Vec<Case> =
        cases().into_iter().filter(|case| brainreel_kernels::suits_winograd(&case.shape)).collect();
    assert!(suited.len() >= 4, "Winograd's algorithm suits most of these convolutions");
    let sizes = [TileSize::Two, TileSize::TwoFour, TileSize::Four];
    suited.iter().flat_map(|case| sizes.map(|size| compute(case, size))).collect()
}

fn winograd(isa: InstructionSet) -> Vec<Vec<f32>> {
    winograd_cases(|case, size| case.winograd(isa, size))
}

fn winograd_half(isa: InstructionSet) -> Vec<Vec<f32>> {
    winograd_cases(|case, size| {
        case.winograd_with(isa, &WinogradConv::new(case.shape, size, &case.weights).in_bf16())
    })
}

fn grad_input(isa: InstructionSet) -> Vec<Vec<f32>> {
    over_cases(|case| case.grad_input(isa))
}

fn grad_weight(isa: InstructionSet) -> Vec<Vec<f32>> {
    over_cases(|case| case.grad_weight(isa))
}

fn moments(isa: InstructionSet) -> Vec<Vec<f32>> {
    let layout = Layout::new(37, [5, 7, 9]);
    let map = blocked(&random(2 * 37 * layout.n_voxels(), 1), layout);
    let (means, variances) = channel_moments(isa, &Map::new(map.get(), layout))
        .into_iter()
        .map(|(m, v)| (m as f32, v as f32))
        .unzip();
    vec![means, variances]
}

fn maps(isa: InstructionSet) -> Vec<Vec<f32>> {
    let layout = Layout::new(21, [4, 6, 11]);
    let mut map = blocked(&random(2 * 21 * layout.n_voxels(), 2), layout);
    let (scale, bias) = (random(21, 3), random(21, 4));
    let epilogue = Epilogue { bias: &bias, residual: None, activation: Activation::LeakyRelu(0.01) };
    scale_in_place(isa, &mut MapMut::new(map.get_mut(), layout), &scale, &epilogue);
    let half = Layout::new(21, [2, 3, 5]);
    let mut pooled = vec![0.0; 2 * half.image()];
    max_pool(isa, &Map::new(map.get(), layout), [2; 3], &mut MapMut::new(&mut pooled, half));
    vec![planar(&Map::new(map.get(), layout)), pooled]
}

/// Calls `compute` with operands, positions and the gradient of the result.
fn with_attention<R>(
    compute: impl FnOnce(&AttentionShape, [&[f32]; 3], &RelativePositions<'_>, &[f32]) -> R,
) -> R {
    let shape = AttentionShape { n_images: 2, heads: 2, channels: 96, grid_q: [2, 5, 7], grid_k: [2, 4, 5] };
    let n_q = 2 * shape.n_queries() * shape.width();
    let n_k = 2 * shape.n_keys() * shape.width();
    let (q, k, v, dy) = (random(n_q, 5), random(n_k, 6), random(n_k, 7), random(n_q, 8));
    let tables = [4, 9, 12].map(|rows| random(rows * 96, rows as u64));
    let rows = [0, 1, 2].map(|axis| {
        let n_k = shape.grid_k[axis];
        (0..shape.grid_q[axis] * n_k).map(|i| i / n_k + n_k - 1 - i % n_k).collect::<Vec<usize>>()
    });
    let positions = RelativePositions {
        tables: tables.each_ref().map(Vec::as_slice),
        rows: rows.each_ref().map(Vec::as_slice),
    };
    compute(&shape, [&q, &k, &v], &positions, &dy)
}

fn attention_results(isa: InstructionSet) -> Vec<Vec<f32>> {
    with_attention(|shape, operands, positions, _| vec![attention(isa, shape, operands, Some(positions))])
}

fn attention_gradient_results(isa: InstructionSet) -> Vec<Vec<f32>> {
    with_attention(|shape, operands, positions, dy| {
        let got = attention_gradients(isa, shape, operands, Some(positions), dy);
        [vec![got.q, got.k, got.v], got.tables.to_vec()].concat()
    })
}

fn tokens(isa: InstructionSet) -> Vec<Vec<f32>> {
    let pool = GridPool { n_images: 2, heads: 2, channels: 32, grid: [3, 5, 9], stride: [1, 2, 2] };
    let n = |grid: [usize; 3]| 2 * (1 + grid.iter().product::<usize>()) * 64;
    let (x, kernel, dy) = (random(n(pool.grid), 9), random(32 * 27, 10), random(n(pool.grid_out()), 11));
    let (d_tokens, d_kernel) = pool.gradients(isa, &x, &kernel, &dy);
    let (gamma, beta) = (random(64, 12), random(64, 13));
    let norms = layer_norm_gradients(isa, &x, &gamma, &beta.repeat(x.len() / 64), 1e-6);
    vec![
        pool.forward(isa, &x, &kernel),
        d_tokens,
        d_kernel,
        layer_norm(isa, &x, &gamma, &beta, 1e-6),
        norms.x,
        norms.gamma,
        norms.beta,
        gelu(isa, &x),
        gelu_gradient(isa, &x, &x),
    ]
}

/// The largest difference, in units of the root mean square of `a`.
fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    let most = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max);
    most / rms(&widen(a))
}

/// All sets with fused multiply-adds give the same bits; the scalar one differs only where [`FAMILIES`] says so,
/// and by no more than it says. `--nocapture` shows the differences.
#[test]
fn sets_differ_only_where_stated() {
    for family in FAMILIES {
        let scalar = (family.results)(InstructionSet::Scalar);
        let mut first: Option<(InstructionSet, Vec<Vec<f32>>)> = None;
        for isa in InstructionSet::available().into_iter().filter(|isa| *isa != InstructionSet::Scalar) {
            let results = (family.results)(isa);
            let worst =
                results.iter().zip(&scalar).map(|(a, b)| largest_difference(a, b)).fold(0.0_f64, f64::max);
            println!("{}: {isa} and scalar differ by {worst:.1e}", family.name);
            match family.scalar {
                None => {
                    let same = results.iter().zip(&scalar).all(|(a, b)| bits(a) == bits(b));
                    assert!(same, "{}: {isa} and scalar differ by {worst:e}", family.name);
                }
                Some(bound) => assert!(worst <= bound, "{}: {isa} differs by {worst:e}", family.name),
            }
            if let Some((other, expected)) = &first {
                let same = results.iter().zip(expected).all(|(a, b)| bits(a) == bits(b));
                assert!(same, "{}: {isa} and {other} differ", family.name);
            } else {
                first = Some((isa, results));
            }
        }
    }
}

/// Zeros with a sign, infinities and what is not a number pass activation and pooling alike on every set.
#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "NEON's maximum takes +0 over -0 and any NaN over a number")]
fn special_numbers_are_the_same_on_every_set() {
    let special =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE / 4.0, -1e-40, 1.0];
    let layout = Layout::new(3, [2, 8, 8]);
    let values: Vec<f32> = (0..3 * 128).map(|i| special[(i / 8 + i * 5) % 8]).collect();
    let results = |isa: InstructionSet, activation: Activation| {
        let mut map = blocked(&values, layout);
        let to = Layout::new(3, [1, 4, 4]);
        let mut pooled = vec![0.0; to.image()];
        max_pool(isa, &Map::new(map.get(), layout), [2; 3], &mut MapMut::new(&mut pooled, to));
        let epilogue = Epilogue { activation, ..Epilogue::default() };
        scale_in_place(isa, &mut MapMut::new(map.get_mut(), layout), &[1.0, -1.0, 0.5], &epilogue);
        pooled.extend(planar(&Map::new(map.get(), layout)));
        // The bits of a NaN depend on the order of an addition's operands, which no language promises.
        pooled.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect::<Vec<u32>>()
    };
    for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.1)] {
        let scalar = results(InstructionSet::Scalar, activation);
        assert!(scalar.contains(&f32::NAN.to_bits()), "what is not a number is seen downstream");
        for isa in InstructionSet::available() {
            assert_eq!(results(isa, activation), scalar, "{activation:?} on {isa}");
        }
    }
}

#[test]
fn names_of_sets_are_read_and_written() {
    let all = [InstructionSet::Scalar, InstructionSet::Avx2, InstructionSet::Avx512, InstructionSet::Neon];
    for set in all {
        assert_eq!(set.to_string().parse(), Ok(set));
    }
    for name in ["", "AVX2", "avx", "sse2", "avx512 "] {
        let error = name.parse::<InstructionSet>().unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("scalar"), "{error}");
    }
}

/// A set that the machine lacks is refused, not run.
#[test]
fn a_set_of_another_processor_is_refused() {
    let lacking = [InstructionSet::Avx2, InstructionSet::Avx512, InstructionSet::Neon]
        .into_iter()
        .find(|set| !InstructionSet::available().contains(set))
        .expect("no processor has both AVX and NEON");
    assert!(std::panic::catch_unwind(|| gelu(lacking, &[1.0])).is_err(), "{lacking} was run");
}

/// What [`the_variable_chooses_the_set`] runs in a process of its own.
#[test]
fn the_chosen_set_is_the_one_asked_for() {
    let Ok(name) = std::env::var(ISA_VARIABLE) else { return };
    match name.parse::<InstructionSet>() {
        Ok(set) if InstructionSet::available().contains(&set) => {
            assert_eq!(InstructionSet::detect(), set);
            assert_eq!(InstructionSet::from_environment(), Ok(set));
        }
        _ => {
            let error = InstructionSet::from_environment().unwrap_err().to_string();
            assert!(error.contains(&format!("{ISA_VARIABLE}={name}")) && error.contains("scalar"), "{error}");
            assert!(std::panic::catch_unwind(InstructionSet::detect).is_err());
        }
    }
}

/// The environment variable forces every set of the machine, and a name that is no set's is an error.
#[test]
fn the_variable_chooses_the_set() {
    let names = InstructionSet::available().into_iter().map(|set| set.to_string());
    for name in names.chain(["avx1024".to_owned(), "neon".to_owned(), "avx2".to_owned()]) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "instruction_sets::the_chosen_set_is_the_one_asked_for"])
            .env(ISA_VARIABLE, &name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{name}: {text}");
    }
}
