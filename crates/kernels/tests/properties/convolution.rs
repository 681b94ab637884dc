//! Every fast convolution against the plain one, on every instruction set of the machine.

use brainreel_kernels::{
    Activation, ConvShape, DirectConv, Epilogue, Input, InstructionSet, Layout, Map, MapMut, NarrowConv,
    PlanarConv, TileSize, WinogradConv, conv_reference, grad_input_reference, grad_weight_reference,
    suits_winograd, winograd_halo, winograd_scratch_len,
};
use proptest::prelude::*;

use crate::case::{Case, blocked, planar};
use crate::plain;
use crate::support::{
    EDGES, Guarded, assert_near, assert_threads_do_not_matter, bits, on_every_set, random, rms, widen,
};

const SIZES: [TileSize; 3] = [TileSize::Two, TileSize::TwoFour, TileSize::Four];

#[test]
fn odd_sizes_and_channels() {
    for dims in [[1, 1, 1], [3, 5, 7], [2, 4, 4], [5, 17, 19]] {
        for (channels_in, channels_out) in [(1, 16), (3, 5), (45, 64), (16, 1), (64, 33)] {
            for kernel in [[3, 3, 3], [1, 3, 3], [3, 1, 1], [1, 1, 1]] {
                Case::new(ConvShape::same(channels_in, channels_out, kernel), 2, dims, Activation::Relu)
                    .check_all();
            }
        }
    }
}

#[test]
fn wide_layers() {
    for (channels_in, channels_out, dims) in
        [(230, 64, [3, 5, 7]), (64, 230, [3, 4, 5]), (512, 512, [2, 3, 3])]
    {
        Case::new(ConvShape::same(channels_in, channels_out, [3, 3, 3]), 3, dims, Activation::LeakyRelu(0.2))
            .check_all();
    }
}

#[test]
fn long_rows() {
    for (channels_in, dims) in [(1, [2, 3, 65]), (16, [17, 5, 65]), (3, [3, 33, 34])] {
        Case::new(ConvShape::same(channels_in, 16, [3, 3, 3]), 1, dims, Activation::None).check_all();
    }
}

#[test]
fn strides_of_the_networks() {
    let strided = |channels_in, channels_out, kernel: [usize; 3], stride| ConvShape {
        stride,
        ..ConvShape::same(channels_in, channels_out, kernel)
    };
    for shape in [
        strided(1, 64, [3, 7, 7], [1, 2, 2]),
        strided(3, 45, [1, 7, 7], [1, 2, 2]),
        strided(1, 96, [3, 7, 7], [2, 4, 4]),
        strided(64, 128, [3, 3, 3], [2, 2, 2]),
        strided(64, 128, [1, 1, 1], [2, 2, 2]),
        strided(64, 230, [1, 3, 3], [1, 2, 2]),
        strided(230, 64, [3, 1, 1], [2, 1, 1]),
    ] {
        Case::new(shape, 2, [5, 9, 19], Activation::Relu).check_all();
    }
}

/// Each axis and both numbers of channels in turn run over the edges of blocks.
#[test]
fn every_axis_at_the_edges_of_blocks() {
    for n in EDGES {
        for dims in [[n, 2, 3], [3, n, 2], [2, 3, n]] {
            Case::new(ConvShape::same(3, 17, [3, 3, 3]), 1, dims, Activation::Relu).check_forward();
            Case::new(ConvShape::same(16, 7, [3, 1, 1]), 1, dims, Activation::None).check_forward();
        }
    }
}

#[test]
fn channels_at_the_edges_of_blocks() {
    for n in EDGES {
        for shape in [ConvShape::same(n, 9, [3, 3, 3]), ConvShape::same(9, n, [1, 3, 3])] {
            Case::new(shape, 2, [2, 3, 5], Activation::LeakyRelu(0.01)).check_forward();
        }
    }
}

/// The references that the library offers for error figures are the definition too.
#[test]
fn references_of_the_library_are_the_definition() {
    let shape = ConvShape {
        channels_in: 3,
        channels_out: 2,
        kernel: [2, 3, 1],
        stride: [1, 2, 3],
        padding: [1, 0, 2],
    };
    let case = Case::new(shape, 2, [3, 5, 7], Activation::None);
    let (x, w, dy, dims) = (&case.input, &case.weights, &case.grad_output, case.dims);
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
    let check = |got: Vec<f64>, expected: Vec<f64>| assert_near("reference", &narrow(got), &expected, 1e-6);
    check(conv_reference(&shape, x, dims, w), plain::conv(&shape, 2, (x, dims), w));
    check(grad_input_reference(&shape, dy, dims, w), plain::grad_input(&shape, 2, (dy, dims), w));
    check(grad_weight_reference(&shape, x, dims, dy), plain::grad_weight(&shape, 2, (x, dims), dy));
    assert_eq!(shape.n_flops(case.out()), 2 * w.len() * case.out().iter().product::<usize>());
}

/// A map whose channels lie in several inputs, for [`DirectConv`] and [`WinogradConv`].
#[test]
fn concatenated_inputs_are_one_map() {
    let dims = [3, 5, 9];
    let n_voxels: usize = dims.iter().product();
    for (first, second) in [(16, 1), (16, 16), (32, 17)] {
        let case = Case::new(ConvShape::same(first + second, 20, [3, 3, 3]), 1, dims, Activation::None);
        let parts = case.input.split_at(first * n_voxels);
        on_every_set(|isa| {
            let direct = DirectConv::new(case.shape, &case.weights);
            let layouts = |(low, high)| [first, second].map(|n| Layout::new(n, dims).with_halo(low, high));
            let [la, lb] = layouts(direct.halo(dims));
            let (a, b) = (blocked(parts.0, la), blocked(parts.1, lb));
            let maps = [Map::new(a.get(), la), Map::new(b.get(), lb)];
            let got = case.run(|output, epilogue| direct.forward(isa, &maps, output, epilogue));
            // Passes over the taps end elsewhere, so that sums are rounded elsewhere.
            let expected: Vec<f64> = case.direct(isa).into_iter().map(f64::from).collect();
            assert_near(&case.name(&format!("direct of two inputs on {isa}")), &got, &expected, 2e-6);

            let winograd = WinogradConv::new(case.shape, TileSize::Two, &case.weights);
            let [la, lb] = layouts(winograd.halo(dims));
            let (a, b) = (blocked(parts.0, la), blocked(parts.1, lb));
            let inputs = [(a.get(), la), (b.get(), lb)]
                .map(|(data, layout)| Input { map: Map::new(data, layout), upsampled: false });
            let mut scratch = Guarded::poisoned(winograd.scratch_len(isa, dims, 1));
            let got = case.run(|output, epilogue| {
                winograd.forward(isa, &inputs, output, epilogue, scratch.get_mut());
            });
            assert_eq!(
                bits(&got),
                bits(&case.winograd(isa, TileSize::Two)),
                "{isa}: {first} + {second} channels"
            );
        });
    }
}

/// An input at half the size, as the convolution of the map that it stands for.
#[test]
fn upsampled_inputs_are_the_larger_map() {
    for half in [[1, 1, 1], [2, 3, 5], [1, 4, 8], [3, 2, 9]] {
        let dims = half.map(|n: usize| 2 * n);
        let (n_half, n_whole): (usize, usize) = (half.iter().product(), dims.iter().product());
        let (small, skip) = (random(32 * n_half, 7), random(16 * n_whole, 8));
        let mut case = Case::new(ConvShape::same(48, 20, [3, 3, 3]), 1, dims, Activation::None);
        case.input = (0..32 * n_whole)
            .map(|i| {
                let place = plain::place(i % n_whole, dims).map(|at| at / 2);
                small[i / n_whole * n_half + plain::index(place, half)]
            })
            .chain(skip.iter().copied())
            .collect();
        on_every_set(|isa| {
            for size in SIZES {
                let conv = WinogradConv::new(case.shape, size, &case.weights);
                let (low, high) = conv.halo(dims);
                let halves = Layout::new(32, half).with_halo(low, high);
                let wholes = Layout::new(16, dims).with_halo(low, high);
                let (a, b) = (blocked(&small, halves), blocked(&skip, wholes));
                let inputs = [
                    Input { map: Map::new(a.get(), halves), upsampled: true },
                    Input { map: Map::new(b.get(), wholes), upsampled: false },
                ];
                let mut scratch = Guarded::poisoned(conv.scratch_len(isa, dims, 1));
                let got = case
                    .run(|output, epilogue| conv.forward(isa, &inputs, output, epilogue, scratch.get_mut()));
                assert_eq!(bits(&got), bits(&case.winograd(isa, size)), "{size:?} of {half:?} on {isa}");
            }
        });
    }
}

/// Planes of the output one after the other are the whole.
#[test]
fn slabs_of_planes_are_the_whole() {
    let shape = ConvShape { stride: [2, 1, 2], ..ConvShape::same(3, 17, [3, 3, 5]) };
    let case = Case::new(shape, 1, [9, 4, 11], Activation::Relu);
    let conv = PlanarConv::new(shape, &case.weights);
    let whole = Layout::new(17, case.out()).with_halo([1; 3], [1; 3]);
    let residual = blocked(&case.residual, whole);
    on_every_set(|isa| {
        let expected = case.planar_conv(isa);
        for n in 1..=case.out()[0] {
            let mut output = Guarded::poisoned(whole.image());
            // One plane too few in front, so that slabs of `n` planes overlap and end in the last plane.
            for first in (0..=whole.dims[0] - n).step_by(n).chain([whole.dims[0] - n]) {
                let slab = whole.slab(first, n);
                let epilogue = Epilogue {
                    bias: &case.bias,
                    residual: Some(Map::new(residual.get(), slab)),
                    activation: case.activation,
                };
                let mut scratch = Guarded::poisoned(conv.scratch_len(case.dims));
                let map = &mut MapMut::new(output.get_mut(), slab);
                conv.forward_slab(isa, (&case.input, case.dims), (map, first), &epilogue, scratch.get_mut());
                scratch.assert_intact("a slab");
            }
            output.assert_intact("a slab");
            let got = planar(&Map::new(output.get(), whole));
            assert_eq!(bits(&got), bits(&expected), "slabs of {n} planes on {isa}");
        }
    });
}

/// Convolutions to few channels: widths around the eight voxels held in registers.
#[test]
fn narrow_convolutions() {
    for (channels_in, channels_out, kernel) in
        [(1, 1, [3, 3, 3]), (16, 2, [3, 3, 3]), (17, 1, [1, 1, 1]), (33, 2, [1, 3, 5]), (15, 1, [5, 1, 3])]
    {
        for width in EDGES {
            let shape = ConvShape::same(channels_in, channels_out, kernel);
            let case = Case::new(shape, 2, [2, 3, width], Activation::None);
            let n_out: usize = case.out().iter().product();
            let bias = |i: usize| f64::from(case.bias[i / n_out % channels_out]);
            let expected: Vec<f64> = case.sums().iter().enumerate().map(|(i, sum)| sum + bias(i)).collect();
            on_every_set(|isa| {
                assert_near(&case.name(&format!("narrow on {isa}")), &case.narrow(isa), &expected, 2e-5);
            });
        }
    }
}

#[test]
fn slabs_of_a_narrow_convolution_are_the_whole() {
    let (dims, shape) = ([7, 4, 19], ConvShape::same(20, 2, [3, 3, 3]));
    let case = Case::new(shape, 1, dims, Activation::None);
    let conv = NarrowConv::new(shape, &case.weights);
    on_every_set(|isa| {
        let (input, layout) = case.blocked_input(conv.halo(dims));
        let mut y = Guarded::poisoned(2 * dims.iter().product::<usize>());
        for (first, n) in [(0, 3), (3, 1), (4, 3)] {
            // The planes around a slab are its halo.
            let slab = Map::new(input.get(), layout.slab(first, n));
            conv.forward_slab(isa, &slab, (y.get_mut(), dims[0]), first, &case.bias);
        }
        y.assert_intact("slabs");
        assert_eq!(bits(y.get()), bits(&case.narrow(isa)), "{isa}");
    });
}

/// Weights in bf16 have eight bits. The transforms of larger tiles make more of their rounding.
#[test]
fn winograd_with_half_precision_weights() {
    for (channels_in, dims) in [(16, [2, 3, 5]), (65, [4, 4, 8]), (256, [1, 5, 3])] {
        let case = Case::new(ConvShape::same(channels_in, 33, [3, 3, 3]), 1, dims, Activation::None);
        on_every_set(|isa| {
            for (size, bound) in SIZES.into_iter().zip([8e-3, 2.5e-2, 5e-2]) {
                let single = WinogradConv::new(case.shape, size, &case.weights);
                let half = single.clone().in_bf16();
                let expected = case.winograd_with(isa, &single);
                let got = case.winograd_with(isa, &half);
                let difference: Vec<f64> =
                    got.iter().zip(&expected).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
                let share = rms(&difference) / rms(&widen(&expected));
                assert!(
                    share > 1e-4 && share < bound,
                    "{}: {share:e}",
                    case.name(&format!("{size:?} in bf16 on {isa}"))
                );
                let twice = half.in_bf16();
                assert_eq!(bits(&case.winograd_with(isa, &twice)), bits(&got), "rounded once more");
            }
        });
    }
}

/// The free functions that plan memory agree with the convolution that uses it.
#[test]
fn plans_of_memory_agree() {
    for shape in
        [ConvShape::same(5, 40, [3, 3, 3]), ConvShape { stride: [2; 3], ..ConvShape::same(16, 16, [3; 3]) }]
    {
        assert!(suits_winograd(&shape));
        for size in SIZES {
            let conv = WinogradConv::new(shape, size, &random(shape.n_weights(), 2));
            for dims in [[1, 1, 1], [5, 6, 7], [16, 17, 33]] {
                assert_eq!(conv.halo(dims), winograd_halo(&shape, size, dims));
                on_every_set(|isa| {
                    let n = winograd_scratch_len(&shape, size, isa, dims, 2);
                    assert_eq!(conv.scratch_len(isa, dims, 2), n);
                    assert!(n >= 2 * size.n_products(&shape) * 16, "{n} numbers of scratch memory");
                });
            }
            let outputs = size.outputs(&shape);
            assert!(outputs.iter().all(|n| [1, 2, 4].contains(n)), "{outputs:?}");
        }
    }
    for (kernel, stride, padding) in
        [([5, 3, 3], [1; 3], [2, 1, 1]), ([3; 3], [1, 2, 2], [1; 3]), ([3; 3], [1; 3], [0; 3])]
    {
        let shape = ConvShape { channels_in: 16, channels_out: 16, kernel, stride, padding };
        assert!(!suits_winograd(&shape), "{shape:?}");
    }
}

/// One, two and three threads give the same bits, and an image alone the same as in a batch.
#[test]
fn threads_and_batches_do_not_matter() {
    for channels in [32, 256] {
        let case = Case::new(ConvShape::same(channels, channels, [3, 3, 3]), 2, [5, 6, 9], Activation::Relu);
        let mut alone = Case::new(case.shape, 1, case.dims, Activation::Relu);
        alone.input = case.input[case.input.len() / 2..].to_vec();
        alone.residual = case.residual[case.residual.len() / 2..].to_vec();
        for isa in InstructionSet::available() {
            let all = |case: &Case| {
                let winograd = SIZES.into_iter().map(|size| case.winograd(isa, size));
                winograd.chain([case.direct(isa)]).collect::<Vec<_>>()
            };
            for (batch, alone) in all(&case).iter().zip(all(&alone)) {
                assert_eq!(bits(&batch[batch.len() / 2..]), bits(&alone), "{isa}: {channels} channels");
            }
        }
        let isa = InstructionSet::detect();
        assert_threads_do_not_matter(&format!("{channels} channels"), || {
            SIZES.into_iter().flat_map(|size| case.winograd(isa, size)).chain(case.direct(isa)).collect()
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_convolution(
        channels_in in 1_usize..40,
        channels_out in 1_usize..40,
        n_images in 1_usize..3,
        dims in prop::array::uniform3(1_usize..12),
        kernel in prop::array::uniform3(1_usize..5),
        stride in prop::array::uniform3(1_usize..4),
        padding in prop::array::uniform3(0_usize..3),
        slope in 0.0_f32..0.5,
    ) {
        let shape = ConvShape { channels_in, channels_out, kernel, stride, padding };
        prop_assume!((0..3).all(|axis| dims[axis] + 2 * padding[axis] >= kernel[axis]));
        Case::new(shape, n_images, dims, Activation::LeakyRelu(slope)).check_all();
    }
}
