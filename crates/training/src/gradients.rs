//! Gradients in host memory: averaging over batches, norm and clipping.

use brainreel_models::Gradients;
use rayon::prelude::*;

/// Number of elements whose squares one thread sums.
const CHUNK: usize = 1 << 16;
/// The epsilon that PyTorch's `clip_grad_norm_` adds to the norm before dividing.
const CLIP_EPSILON: f64 = 1e-6;

/// Adds `other` to `sum`, element by element.
pub(crate) fn add(sum: &mut Gradients, other: &Gradients) {
    for (name, values) in sum.iter_mut() {
        let other = other.get(name).expect("all batches train the same parameters");
        values.par_iter_mut().zip(other).for_each(|(value, &other)| *value += other);
    }
}

/// Multiplies every element.
#[expect(clippy::cast_possible_truncation, reason = "gradients are single precision")]
pub(crate) fn scale(gradients: &mut Gradients, factor: f64) {
    let factor = factor as f32;
    for values in gradients.values_mut() {
        values.par_iter_mut().for_each(|value| *value *= factor);
    }
}

/// Euclidean norm over all parameters. It is not finite if any element is not finite.
///
/// # Determinism
/// Sums fixed chunks in double precision, so the result is bit-identical for any number of threads.
pub(crate) fn norm(gradients: &Gradients) -> f64 {
    gradients.values().map(|values| sum_of_squares(values)).sum::<f64>().sqrt()
}

fn sum_of_squares(values: &[f32]) -> f64 {
    let chunks: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            let (blocks, tail) = chunk.as_chunks::<8>();
            let mut lanes = [0.0_f64; 8];
            for block in blocks {
                for (lane, &value) in lanes.iter_mut().zip(block) {
                    *lane += f64::from(value) * f64::from(value);
                }
            }
            let tail: f64 = tail.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
            lanes.iter().sum::<f64>() + tail
        })
        .collect();
    chunks.iter().sum()
}

/// Name of the first parameter whose gradient is not finite.
pub(crate) fn first_broken(gradients: &Gradients) -> Option<&str> {
    let broken = |values: &[f32]| !sum_of_squares(values).is_finite();
    gradients.iter().find(|(_, values)| broken(values)).map(|(name, _)| name.as_str())
}

/// Scales gradients of norm `norm` down to `most`, as `torch.nn.utils.clip_grad_norm_` does.
pub(crate) fn clip(gradients: &mut Gradients, norm: f64, most: f64) {
    let factor = most / (norm + CLIP_EPSILON);
    if factor < 1.0 {
        scale(gradients, factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Gradients {
        [("a".to_owned(), vec![3.0_f32; 4]), ("b".to_owned(), vec![0.0, 8.0])].into_iter().collect()
    }

    #[test]
    fn the_norm_is_over_all_parameters_and_clipping_keeps_directions() {
        let mut gradients = example();
        assert!((norm(&gradients) - 10.0).abs() < 1e-12);
        clip(&mut gradients, 10.0, 20.0);
        assert_eq!(gradients, example());
        clip(&mut gradients, 10.0, 1.0);
        assert!((norm(&gradients) - 1.0).abs() < 1e-6);
        assert!((gradients["a"][0] - 0.3).abs() < 1e-6);
    }

    #[test]
    fn batches_are_averaged() {
        let mut sum = example();
        add(&mut sum, &example());
        scale(&mut sum, 0.5);
        assert_eq!(sum, example());
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let mut gradients = example();
        assert_eq!(first_broken(&gradients), None);
        gradients.get_mut("b").unwrap()[0] = f32::NAN;
        assert_eq!(first_broken(&gradients), Some("b"));
        assert!(!norm(&gradients).is_finite());
    }
}
