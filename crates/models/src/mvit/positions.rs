//! Positional tensors of transformers, stretched to another input.

use brainreel_checkpoint::Role;

use super::layers::layers;
use super::spec::{HEAD_CHANNELS, PATCH, Version, token_grid};
use crate::backbone::Positions;
use crate::parameters::Found;

impl Positions for Version {
    /// Height and width are equal.
    fn input_of(&self, found: &Found) -> Result<[usize; 3], &'static str> {
        let rows = |name: &'static str| {
            found.get(name).map(|tensor| tensor.shape.first().copied().unwrap_or(0)).ok_or(name)
        };
        let (depth, edge) = match self {
            Self::V1 => (rows("pos_encoding.temporal_pos")?, rows("pos_encoding.spatial_pos")?.isqrt()),
            Self::V2 => {
                (rows("blocks.0.attn.rel_pos_t")?.div_ceil(2), rows("blocks.0.attn.rel_pos_h")?.div_ceil(2))
            }
        };
        let [_, stride, _] = PATCH;
        let dims = [depth, edge, edge];
        Ok([0, 1, 2].map(|axis| dims[axis].saturating_mul(stride[axis])))
    }

    /// Linear along each axis between token centres, without corner alignment, edges repeated: PyTorch's
    /// `interpolate(mode="linear")` for relative and temporal positions and `"bilinear"` for spatial ones.
    fn stretch(&self, tensors: &mut Found, from: [usize; 3], to: [usize; 3]) {
        let [_, height, width] = token_grid(from);
        let specs = layers(*self, to, 1).into_iter().flat_map(|layer| layer.tensors());
        for spec in specs.filter(|spec| spec.role == Role::Position) {
            let Some(tensor) = tensors.get_mut(&spec.name) else { continue };
            if tensor.shape == spec.shape {
                continue;
            }
            if spec.name == "pos_encoding.spatial_pos" {
                let [_, new_height, new_width] = token_grid(to);
                let rows = stretch_axis(&tensor.values, [height, width * HEAD_CHANNELS], new_height);
                let columns = rows.chunks_exact(width * HEAD_CHANNELS);
                tensor.values =
                    columns.flat_map(|row| stretch_axis(row, [width, HEAD_CHANNELS], new_width)).collect();
            } else {
                tensor.values = stretch_axis(&tensor.values, [tensor.shape[0], HEAD_CHANNELS], spec.shape[0]);
            }
            tensor.shape = spec.shape;
        }
    }
}

/// Stretches the first axis of `values`, of shape `[n, inner]`, to `n_new`.
#[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn stretch_axis(values: &[f32], [n, inner]: [usize; 2], n_new: usize) -> Vec<f32> {
    let scale = n as f64 / n_new as f64;
    let mut stretched = Vec::with_capacity(n_new * inner);
    for row in 0..n_new {
        let place = ((row as f64 + 0.5) * scale - 0.5).max(0.0);
        let low = (place as usize).min(n - 1);
        let high = (low + 1).min(n - 1);
        let share = place - low as f64;
        let (low, high) = (&values[low * inner..][..inner], &values[high * inner..][..inner]);
        stretched.extend(
            low.iter().zip(high).map(|(&a, &b)| (f64::from(a) * (1.0 - share) + f64::from(b) * share) as f32),
        );
    }
    stretched
}

#[cfg(test)]
mod tests {
    use brainreel_testkit::{Tolerance, assert_close};

    use super::*;

    /// Values of `torch.nn.functional.interpolate(..., mode="linear")`.
    #[test]
    fn one_axis_is_pytorchs() {
        let got = stretch_axis(&[1.0, 3.0, 9.0], [3, 1], 5);
        assert_close(&got, &[1.0, 1.8, 3.0, 6.6, 9.0], Tolerance::absolute(1e-6));
        assert_close(&stretch_axis(&got, [5, 1], 2), &[1.6, 7.2], Tolerance::absolute(1e-5));
        assert_close(&stretch_axis(&[2.0, 5.0], [1, 2], 2), &[2.0, 5.0, 2.0, 5.0], Tolerance::absolute(0.0));
    }
}
