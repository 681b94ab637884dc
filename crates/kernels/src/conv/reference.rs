//! Scalar references in double precision: slow, plain, for tests and error figures.

use super::ConvShape;

/// Every product of a convolution: calls `visit(output, input, weight)` with the indices of each.
fn for_each_product(
    shape: &ConvShape,
    n_images: usize,
    dims: [usize; 3],
    mut visit: impl FnMut(usize, usize, usize),
) {
    let out = shape.output_dims(dims);
    let [kd, kh, kw] = shape.kernel;
    // Input coordinate under output `o` and tap `t`, if it is not padding.
    let at = |axis: usize, o: usize, t: usize| {
        (o * shape.stride[axis] + t).checked_sub(shape.padding[axis]).filter(|i| *i < dims[axis])
    };
    for image in 0..n_images {
        for k in 0..shape.channels_out {
            for c in 0..shape.channels_in {
                for (tap, [td, th, tw]) in coordinates([kd, kh, kw]).enumerate() {
                    for (o, [od, oh, ow]) in coordinates(out).enumerate() {
                        let (Some(d), Some(h), Some(w)) = (at(0, od, td), at(1, oh, th), at(2, ow, tw))
                        else {
                            continue;
                        };
                        let output = (image * shape.channels_out + k) * out.iter().product::<usize>() + o;
                        let channel = image * shape.channels_in + c;
                        let input = ((channel * dims[0] + d) * dims[1] + h) * dims[2] + w;
                        visit(output, input, (k * shape.channels_in + c) * shape.n_taps() + tap);
                    }
                }
            }
        }
    }
}

fn coordinates(dims: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let [depth, height, width] = dims;
    (0..depth).flat_map(move |d| (0..height).flat_map(move |h| (0..width).map(move |w| [d, h, w])))
}

/// The convolution of images `[image][channel][depth][height][width]` of `dims`.
#[must_use]
pub fn conv_reference(shape: &ConvShape, input: &[f32], dims: [usize; 3], weights: &[f32]) -> Vec<f64> {
    let n_images = n_images(input, shape.channels_in, dims);
    let n_out: usize = shape.output_dims(dims).iter().product();
    let mut output = vec![0.0; n_images * shape.channels_out * n_out];
    for_each_product(shape, n_images, dims, |o, i, w| {
        output[o] += f64::from(input[i]) * f64::from(weights[w]);
    });
    output
}

/// Gradient of the convolution with respect to its input of `dims`, given that of its output.
#[must_use]
pub fn grad_input_reference(
    shape: &ConvShape,
    grad_output: &[f32],
    dims: [usize; 3],
    weights: &[f32],
) -> Vec<f64> {
    let n_images = n_images(grad_output, shape.channels_out, shape.output_dims(dims));
    let mut grad = vec![0.0; n_images * shape.channels_in * dims.iter().product::<usize>()];
    for_each_product(shape, n_images, dims, |o, i, w| {
        grad[i] += f64::from(grad_output[o]) * f64::from(weights[w]);
    });
    grad
}

/// Gradient of the convolution with respect to its weights, given that of its output.
#[must_use]
pub fn grad_weight_reference(
    shape: &ConvShape,
    input: &[f32],
    dims: [usize; 3],
    grad_output: &[f32],
) -> Vec<f64> {
    let n_images = n_images(input, shape.channels_in, dims);
    let mut grad = vec![0.0; shape.n_weights()];
    for_each_product(shape, n_images, dims, |o, i, w| {
        grad[w] += f64::from(grad_output[o]) * f64::from(input[i]);
    });
    grad
}

fn n_images(data: &[f32], channels: usize, dims: [usize; 3]) -> usize {
    data.len() / (channels * dims.iter().product::<usize>())
}
