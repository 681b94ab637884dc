//! Convolutions written from their definition, in double precision.

use brainreel_kernels::ConvShape;

/// Size of the output, from the definition.
pub(crate) fn output_dims(shape: &ConvShape, dims: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|axis| {
        let starts = 0..=dims[axis] + 2 * shape.padding[axis] - shape.kernel[axis];
        starts.step_by(shape.stride[axis]).count()
    })
}

/// Every place of a box, the last axis fastest.
pub(crate) fn places(dims: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..dims.iter().product()).map(move |i: usize| place(i, dims))
}

/// Place of voxel `i`.
pub(crate) const fn place(i: usize, dims: [usize; 3]) -> [usize; 3] {
    [i / (dims[1] * dims[2]), i / dims[2] % dims[1], i % dims[2]]
}

/// Number of a voxel.
pub(crate) const fn index(place: [usize; 3], dims: [usize; 3]) -> usize {
    (place[0] * dims[1] + place[1]) * dims[2] + place[2]
}

/// The voxel of an input of `dims` under `tap` of the output at `place`, unless it is padding.
fn voxel_under(
    shape: &ConvShape,
    dims: [usize; 3],
    place: [usize; 3],
    tap: [usize; 3],
) -> Option<[usize; 3]> {
    let mut voxel = [0; 3];
    for axis in 0..3 {
        let padded = place[axis] * shape.stride[axis] + tap[axis];
        voxel[axis] = padded.checked_sub(shape.padding[axis]).filter(|at| *at < dims[axis])?;
    }
    Some(voxel)
}

/// Calls `visit` with the numbers of output, input and weight of every product of a convolution.
fn each_product(
    shape: &ConvShape,
    n_images: usize,
    dims: [usize; 3],
    mut visit: impl FnMut(usize, usize, usize),
) {
    let out = output_dims(shape, dims);
    let (n_in, n_out): (usize, usize) = (dims.iter().product(), out.iter().product());
    for o in places(out) {
        for (tap, t) in places(shape.kernel).enumerate() {
            let Some(voxel) = voxel_under(shape, dims, o, t) else { continue };
            let (from, to) = (index(voxel, dims), index(o, out));
            for image in 0..n_images {
                for k in 0..shape.channels_out {
                    for c in 0..shape.channels_in {
                        visit(
                            (image * shape.channels_out + k) * n_out + to,
                            (image * shape.channels_in + c) * n_in + from,
                            (k * shape.channels_in + c) * shape.n_taps() + tap,
                        );
                    }
                }
            }
        }
    }
}

/// Convolves `[image][channel][depth][height][width]`.
pub(crate) fn conv(
    shape: &ConvShape,
    n_images: usize,
    (x, dims): (&[f32], [usize; 3]),
    weights: &[f32],
) -> Vec<f64> {
    let n_out: usize = output_dims(shape, dims).iter().product();
    let mut y = vec![0.0; n_images * shape.channels_out * n_out];
    each_product(shape, n_images, dims, |o, i, w| y[o] += f64::from(x[i]) * f64::from(weights[w]));
    y
}

/// Gradient of the input of `dims`.
pub(crate) fn grad_input(
    shape: &ConvShape,
    n_images: usize,
    (dy, dims): (&[f32], [usize; 3]),
    weights: &[f32],
) -> Vec<f64> {
    let mut dx = vec![0.0; n_images * shape.channels_in * dims.iter().product::<usize>()];
    each_product(shape, n_images, dims, |o, i, w| dx[i] += f64::from(dy[o]) * f64::from(weights[w]));
    dx
}

/// Gradient of the weights.
pub(crate) fn grad_weight(
    shape: &ConvShape,
    n_images: usize,
    (x, dims): (&[f32], [usize; 3]),
    dy: &[f32],
) -> Vec<f64> {
    let mut dw = vec![0.0; shape.n_weights()];
    each_product(shape, n_images, dims, |o, i, w| dw[w] += f64::from(dy[o]) * f64::from(x[i]));
    dw
}
