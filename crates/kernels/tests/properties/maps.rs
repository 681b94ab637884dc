//! Maps in the blocked layout: there and back, halos, slabs, moments, scaling, pooling.

use brainreel_kernels::{
    Activation, Buffer, Epilogue, LANES, Layout, Map, MapMut, average, channel_moments, clear_halo,
    from_blocked, max_pool, scale_in_place, to_blocked, upsample,
};
use proptest::prelude::*;

use crate::case::{blocked, planar};
use crate::plain::{index, place, places};
use crate::support::{
    EDGES, Guarded, assert_near, assert_threads_do_not_matter, bits, on_every_set, random, widen,
};

/// Where the number of a channel and voxel lies, from the definition of the layout.
fn address(layout: &Layout, image: usize, channel: usize, voxel: [usize; 3]) -> usize {
    let sizes = [0, 1, 2].map(|axis| layout.low[axis] + layout.dims[axis] + layout.high[axis]);
    let padded = [0, 1, 2].map(|axis| layout.low[axis] + voxel[axis]);
    let blocks = layout.channels.div_ceil(LANES);
    let block = (image * blocks + channel / LANES) * sizes.iter().product::<usize>();
    (block + index(padded, sizes)) * LANES + channel % LANES
}

fn check_layout(layout: Layout, n_images: usize) {
    let n_voxels = layout.n_voxels();
    let values = random(n_images * layout.channels * n_voxels, 1);
    let map = blocked(&values, layout);
    map.assert_intact("to_blocked");
    assert_eq!(map.get().len(), n_images * layout.image());
    let mut expected = vec![0.0; map.get().len()];
    for (i, &value) in values.iter().enumerate() {
        let (channel, voxel) = (i / n_voxels, place(i % n_voxels, layout.dims));
        expected[address(&layout, channel / layout.channels, channel % layout.channels, voxel)] = value;
    }
    assert_eq!(bits(map.get()), bits(&expected), "{layout:?}");
    assert_eq!(bits(&planar(&Map::new(map.get(), layout))), bits(&values), "there and back: {layout:?}");

    // The halo alone is cleared.
    let mut ones = Guarded::new(&vec![1.0; expected.len()]);
    clear_halo(&mut MapMut::new(ones.get_mut(), layout));
    ones.assert_intact("clear_halo");
    let inside = (0..n_images * layout.channels.next_multiple_of(LANES) * n_voxels).filter(|i| {
        let (channel, voxel) = (i / n_voxels, place(i % n_voxels, layout.dims));
        let padded = layout.channels.next_multiple_of(LANES);
        ones.get()[address(&layout, channel / padded, channel % padded, voxel)].to_bits() == 1.0_f32.to_bits()
    });
    let n_inside = inside.count();
    assert_eq!(n_inside, n_images * layout.blocks() * LANES * n_voxels, "voxels of {layout:?}");
    assert_eq!(ones.get().iter().filter(|x| **x > 0.0).count(), n_inside, "halo of {layout:?}");
}

#[test]
fn layouts_at_the_edges_of_blocks() {
    for n in EDGES {
        check_layout(Layout::new(n, [2, 1, 3]), 2);
        for dims in [[n, 1, 2], [1, n, 2], [2, 1, n]] {
            check_layout(Layout::new(3, dims).with_halo([1, 2, 3], [3, 0, 1]), 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_layout(
        channels in 1_usize..50,
        n_images in 1_usize..4,
        dims in prop::array::uniform3(1_usize..9),
        low in prop::array::uniform3(0_usize..4),
        high in prop::array::uniform3(0_usize..4),
    ) {
        check_layout(Layout::new(channels, dims).with_halo(low, high), n_images);
    }
}

#[test]
fn a_slab_is_some_planes_of_the_same_memory() {
    let layout = Layout::new(18, [5, 3, 2]).with_halo([1, 1, 0], [2, 0, 1]);
    let values = random(18 * 30, 2);
    let map = blocked(&values, layout);
    for (first, n) in [(0, 5), (0, 1), (2, 2), (4, 1), (5, 0)] {
        let slab = layout.slab(first, n);
        assert_eq!((slab.image(), slab.block(), slab.dims), (layout.image(), layout.block(), [n, 3, 2]));
        assert!(slab.has_halo([1 + first, 1, 0], [2 + 5 - first - n, 0, 1]));
        assert!(!slab.has_halo([2 + first, 0, 0], [0; 3]));
        let got = planar(&Map::new(map.get(), slab));
        let expected: Vec<f32> = values
            .chunks_exact(30)
            .flat_map(|channel| &channel[first * 6..(first + n) * 6])
            .copied()
            .collect();
        assert_eq!(bits(&got), bits(&expected), "{n} planes from {first} on");
    }
    assert!(std::panic::catch_unwind(|| layout.slab(4, 2)).is_err(), "planes that there are not");
}

/// Sizes that do not fit are refused before anything is read or written.
#[test]
fn sizes_that_do_not_fit_are_refused() {
    let layout = Layout::new(3, [2, 2, 2]);
    let refused = |work: &(dyn Fn() + std::panic::RefUnwindSafe)| std::panic::catch_unwind(work).is_err();
    assert!(refused(&|| assert!(Map::new(&[0.0; 5], layout).n_images() > 9)));
    assert!(refused(&|| assert!(MapMut::new(&mut [0.0; 5], layout).n_images() > 9)));
    assert!(refused(&|| to_blocked(&[0.0; 23], &mut MapMut::new(&mut vec![0.0; layout.image()], layout))));
    assert!(refused(&|| from_blocked(&Map::new(&vec![0.0; layout.image()], layout), &mut [0.0; 25])));
    on_every_set(|isa| {
        let (x, mut y) = (vec![0.0; layout.image()], vec![0.0; layout.image()]);
        assert!(refused(&|| {
            max_pool(isa, &Map::new(&x, layout), [2; 3], &mut MapMut::new(&mut y.clone(), layout));
        }));
        assert!(refused(&|| {
            scale_in_place(isa, &mut MapMut::new(&mut y.clone(), layout), &[1.0; 2], &Epilogue::default());
        }));
        y.fill(1.0);
    });
}

#[test]
fn moments_at_the_edges_of_blocks() {
    let cases =
        EDGES.into_iter().flat_map(|n| [(n, [2, 3, 5]), (5, [n, 2, 1]), (5, [1, n, 2]), (5, [2, 1, n])]);
    for (channels, dims) in cases {
        let n_voxels: usize = dims.iter().product();
        // A mean far from zero, around which the variance must not cancel.
        let values: Vec<f32> = random(3 * channels * n_voxels, 3)
            .iter()
            .enumerate()
            .map(|(i, x)| x + (i % 7) as f32 + 300.0)
            .collect();
        let layout = Layout::new(channels, dims).with_halo([1; 3], [2, 0, 1]);
        let map = blocked(&values, layout);
        on_every_set(|isa| {
            let got = channel_moments(isa, &Map::new(map.get(), layout));
            assert_eq!(got.len(), channels);
            for (channel, (mean, variance)) in got.into_iter().enumerate() {
                let images =
                    (0..3).map(|image| &values[(image * channels + channel) * n_voxels..][..n_voxels]);
                let all: Vec<f64> = widen(&images.flatten().copied().collect::<Vec<f32>>());
                let n = all.len() as f64;
                let expected = all.iter().sum::<f64>() / n;
                let expected_variance = all.iter().map(|x| (x - expected).powi(2)).sum::<f64>() / n;
                assert!((mean - expected).abs() < 1e-5, "{isa}, {channels} of {dims:?}: {mean} {expected}");
                let error = (variance - expected_variance).abs();
                assert!(
                    error < 1e-5 * expected_variance.max(1.0),
                    "{isa}, {channels} of {dims:?}: {error:e}"
                );
            }
        });
    }
}

#[test]
fn scaling_in_place() {
    for (channels, dims) in
        [(1, [1, 1, 1]), (17, [3, 2, 5]), (16, [1, 1, 65]), (33, [2, 9, 7]), (15, [5, 1, 1])]
    {
        let n_voxels: usize = dims.iter().product();
        let values = random(2 * channels * n_voxels, 4);
        let (scale, bias, residual) = (random(channels, 5), random(channels, 6), random(values.len(), 7));
        let layout = Layout::new(channels, dims).with_halo([0, 1, 2], [1, 1, 0]);
        let residual_layout = Layout::new(channels, dims).with_halo([1, 0, 0], [0, 0, 3]);
        let residual_map = blocked(&residual, residual_layout);
        for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.2)] {
            let expected: Vec<f64> = (0..values.len())
                .map(|i| {
                    let channel = i / n_voxels % channels;
                    let x = f64::from(values[i]) * f64::from(scale[channel]) + f64::from(bias[channel]);
                    let x = x + f64::from(residual[i]);
                    match activation {
                        Activation::Relu => x.max(0.0),
                        Activation::LeakyRelu(slope) if x < 0.0 => x * f64::from(slope),
                        _ => x,
                    }
                })
                .collect();
            on_every_set(|isa| {
                let mut map = blocked(&values, layout);
                let residual = Some(Map::new(residual_map.get(), residual_layout));
                let epilogue = Epilogue { bias: &bias, residual, activation };
                scale_in_place(isa, &mut MapMut::new(map.get_mut(), layout), &scale, &epilogue);
                map.assert_intact("scaling");
                let got = planar(&Map::new(map.get(), layout));
                assert_near(
                    &format!("{activation:?} of {channels} x {dims:?} on {isa}"),
                    &got,
                    &expected,
                    1e-6,
                );
            });
        }
    }
    assert_eq!(Activation::LeakyRelu(0.5).apply(-3.0).to_bits(), (-1.5_f32).to_bits());
    assert_eq!(Activation::Relu.apply(2.0).to_bits(), 2.0_f32.to_bits());
}

fn check_pooling(channels: usize, dims: [usize; 3], size: [usize; 3]) {
    let n_voxels: usize = dims.iter().product();
    let out = [0, 1, 2].map(|axis| dims[axis] / size[axis]);
    let n_out: usize = out.iter().product();
    let values = random(2 * channels * n_voxels, 9);
    let layout = Layout::new(channels, dims).with_halo([1; 3], [0, 2, 1]);
    let to = Layout::new(channels, out).with_halo([0, 0, 1], [1, 0, 0]);
    let map = blocked(&values, layout);
    let expected: Vec<f32> = (0..2 * channels * n_out)
        .map(|i| {
            let (channel, at) = (i / n_out, place(i % n_out, out));
            let window = places(size).map(|offset| {
                let voxel = [0, 1, 2].map(|axis| at[axis] * size[axis] + offset[axis]);
                values[channel * n_voxels + index(voxel, dims)]
            });
            window.fold(f32::NEG_INFINITY, f32::max)
        })
        .collect();
    on_every_set(|isa| {
        let mut pooled = Guarded::poisoned(2 * to.image());
        max_pool(isa, &Map::new(map.get(), layout), size, &mut MapMut::new(pooled.get_mut(), to));
        pooled.assert_intact("max_pool");
        assert_eq!(
            bits(&planar(&Map::new(pooled.get(), to))),
            bits(&expected),
            "{isa}: {dims:?} by {size:?}"
        );
    });
}

#[test]
fn pooling_at_the_edges_of_blocks() {
    for n in EDGES {
        check_pooling(n, [2, 4, 6], [2, 2, 2]);
        check_pooling(3, [2, 3, n], [1, 3, 1]);
        check_pooling(3, [n, 5, 4], [1, 2, 4]);
    }
    check_pooling(20, [5, 7, 11], [2, 2, 2]);
    check_pooling(17, [7, 6, 5], [3, 2, 1]);
}

#[test]
fn upsampling_repeats_every_voxel() {
    for (channels, dims, factor) in
        [(1, [1, 1, 1], 3), (17, [2, 3, 5], 2), (16, [1, 9, 8], 1), (33, [3, 1, 7], 4)]
    {
        let out = dims.map(|n: usize| n * factor);
        let (n_in, n_out): (usize, usize) = (dims.iter().product(), out.iter().product());
        let values = random(2 * channels * n_in, 8);
        let layout = Layout::new(channels, dims).with_halo([1, 0, 1], [0, 1, 2]);
        let to = Layout::new(channels, out).with_halo([0, 2, 1], [1; 3]);
        let (map, mut repeated) = (blocked(&values, layout), Guarded::poisoned(2 * to.image()));
        upsample(&Map::new(map.get(), layout), factor, &mut MapMut::new(repeated.get_mut(), to));
        repeated.assert_intact("upsample");
        let expected: Vec<f32> = (0..2 * channels * n_out)
            .map(|i| values[i / n_out * n_in + index(place(i % n_out, out).map(|at| at / factor), dims)])
            .collect();
        assert_eq!(bits(&planar(&Map::new(repeated.get(), to))), bits(&expected), "{dims:?} times {factor}");
    }
}

#[test]
fn averages_of_channels() {
    for (channels, dims) in
        [(1, [1, 1, 1]), (15, [3, 5, 7]), (16, [1, 1, 65]), (33, [9, 2, 1]), (64, [4, 4, 4])]
    {
        let n_voxels: usize = dims.iter().product();
        let values = random(3 * channels * n_voxels, 10);
        let layout = Layout::new(channels, dims).with_halo([1; 3], [1; 3]);
        let map = blocked(&values, layout);
        let expected: Vec<f64> =
            values.chunks_exact(n_voxels).map(|x| widen(x).iter().sum::<f64>() / n_voxels as f64).collect();
        assert_near("average", &average(&Map::new(map.get(), layout)), &expected, 1e-6);
    }
}

#[test]
fn threads_do_not_matter_to_maps() {
    let layout = Layout::new(40, [7, 9, 33]).with_halo([1; 3], [1; 3]);
    let values = random(2 * 40 * layout.n_voxels(), 11);
    let isa = brainreel_kernels::InstructionSet::detect();
    assert_threads_do_not_matter("moments, averages and scaling", || {
        let mut map = blocked(&values, layout);
        scale_in_place(isa, &mut MapMut::new(map.get_mut(), layout), &random(40, 12), &Epilogue::default());
        let map = Map::new(map.get(), layout);
        let moments = channel_moments(isa, &map);
        let halves = |x: f64| [x as f32, (x - f64::from(x as f32)) as f32];
        let moments =
            moments.into_iter().flat_map(|(mean, variance)| [halves(mean), halves(variance)]).flatten();
        moments.chain(average(&map)).chain(planar(&map)).collect()
    });
}

#[test]
fn buffers_hold_what_was_put_in() {
    for n in EDGES.into_iter().chain([0, 1023, 1024, 1025, (1 << 20) + 1]) {
        let zeros = Buffer::zeroed(n);
        assert_eq!((zeros.len(), zeros.is_empty(), zeros.as_slice().len()), (n, n == 0, n));
        assert!(zeros.as_slice().iter().all(|x| x.to_bits() == 0));
        let values = random(n, 13);
        let mut buffer = Buffer::from(values.as_slice());
        let copy = buffer.clone();
        assert_eq!(bits(buffer.as_slice()), bits(&values));
        buffer.as_mut_slice().fill(2.0);
        assert_eq!(bits(copy.as_slice()), bits(&values), "a copy has memory of its own");
        buffer.grow(n / 2);
        assert_eq!(buffer.len(), n, "growing never shrinks");
        buffer.grow(n + 5);
        assert_eq!(buffer.len(), n + 5);
        assert!(buffer.as_slice().iter().all(|x| x.to_bits() == 0), "new memory is zeroed");
        assert_eq!(Buffer::unspecified(n).as_mut_slice().len(), n);
    }
}
