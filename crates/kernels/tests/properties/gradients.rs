//! Gradients of convolutions against the plain ones, on every instruction set of the machine.

use brainreel_kernels::{Activation, ConvShape, InstructionSet};
use proptest::prelude::*;

use crate::case::Case;
use crate::support::{EDGES, assert_threads_do_not_matter};

fn check(shape: ConvShape, n_images: usize, dims: [usize; 3]) {
    Case::new(shape, n_images, dims, Activation::None).check_gradients();
}

#[test]
fn every_axis_at_the_edges_of_blocks() {
    for n in EDGES {
        for dims in [[n, 2, 3], [2, n, 1], [1, 3, n]] {
            check(ConvShape::same(16, 17, [3, 3, 3]), 1, dims);
            check(ConvShape { stride: [1, 2, 2], ..ConvShape::same(2, 3, [1, 3, 3]) }, 1, dims);
        }
    }
}

#[test]
fn channels_at_the_edges_of_blocks() {
    for n in EDGES {
        for kernel in [[3, 3, 3], [1, 1, 1]] {
            check(ConvShape::same(n, 16, kernel), 1, [2, 3, 4]);
            check(ConvShape::same(16, n, kernel), 2, [1, 4, 3]);
            check(ConvShape { stride: [2; 3], ..ConvShape::same(n, 17, kernel) }, 1, [3, 2, 5]);
        }
    }
}

/// More voxels than the sums of one chunk, and more tiles than one round.
#[test]
fn many_voxels() {
    check(ConvShape::same(3, 5, [3, 3, 3]), 1, [3, 17, 65]);
    check(ConvShape::same(16, 32, [3, 3, 3]), 2, [9, 17, 18]);
    check(ConvShape { stride: [2; 3], ..ConvShape::same(17, 16, [3, 3, 3]) }, 1, [16, 19, 34]);
}

/// Strides longer than the kernel: some inputs are seen by no output, and their gradient is zero.
#[test]
fn inputs_that_no_output_sees() {
    for (kernel, stride, padding) in [
        ([1, 1, 1], [2, 2, 2], [0, 0, 0]),
        ([2, 1, 3], [3, 4, 5], [0, 0, 1]),
        ([1, 2, 2], [1, 3, 2], [0, 1, 0]),
    ] {
        let shape = ConvShape { channels_in: 17, channels_out: 5, kernel, stride, padding };
        let case = Case::new(shape, 2, [5, 7, 11], Activation::None);
        case.check_gradients();
        let seen = |i: usize| {
            let place = crate::plain::place(i % (5 * 7 * 11), case.dims);
            (0..3).all(|axis| {
                let out = case.out()[axis];
                (0..out).any(|o| {
                    let first = (o * stride[axis]) as isize - padding[axis] as isize;
                    (first..first + kernel[axis] as isize).contains(&(place[axis] as isize))
                })
            })
        };
        for isa in InstructionSet::available() {
            let grad = case.grad_input(isa);
            let unseen = (0..grad.len()).filter(|i| !seen(*i)).collect::<Vec<_>>();
            assert!(!unseen.is_empty());
            assert!(unseen.iter().all(|&i| grad[i].abs().to_bits() == 0), "{shape:?} on {isa}");
        }
    }
}

/// The gradient of the weights is summed over the images in order, whatever the threads.
#[test]
fn threads_do_not_matter() {
    let isa = InstructionSet::detect();
    for (channels, stride) in [(3, 1), (32, 1), (32, 2), (5, 3)] {
        let shape = ConvShape { stride: [stride; 3], ..ConvShape::same(channels, channels, [3, 3, 3]) };
        let case = Case::new(shape, 3, [7, 6, 9], Activation::None);
        assert_threads_do_not_matter(&case.name("gradients"), || {
            let mut both = case.grad_input(isa);
            both.extend(case.grad_weight(isa));
            both
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn gradients_of_any_convolution(
        channels_in in 1_usize..36,
        channels_out in 1_usize..36,
        n_images in 1_usize..3,
        dims in prop::array::uniform3(1_usize..10),
        kernel in prop::array::uniform3(1_usize..5),
        stride in prop::array::uniform3(1_usize..5),
        padding in prop::array::uniform3(0_usize..3),
    ) {
        let shape = ConvShape { channels_in, channels_out, kernel, stride, padding };
        prop_assume!((0..3).all(|axis| dims[axis] + 2 * padding[axis] >= kernel[axis]));
        check(shape, n_images, dims);
    }
}
