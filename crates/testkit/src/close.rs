//! Comparing arrays so that a failure says where and by how much.

/// How far two arrays may differ.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    absolute: f64,
    relative_to_range: f64,
}

impl Tolerance {
    /// At most `tolerance` in the arrays' own unit.
    #[must_use]
    pub const fn absolute(tolerance: f64) -> Self {
        Self { absolute: tolerance, relative_to_range: 0.0 }
    }

    /// At most `tolerance` times the largest magnitude in the expected array.
    #[must_use]
    pub const fn relative(tolerance: f64) -> Self {
        Self { absolute: 0.0, relative_to_range: tolerance }
    }
}

/// Asserts that `got` equals `expected` within `tolerance`, in every element.
///
/// # Panics
/// If the lengths differ, an element is not finite, or one is too far off: the message gives the
/// worst element, both values and the bound.
#[track_caller]
pub fn assert_close<T: Copy + Into<f64>>(got: &[T], expected: &[f64], tolerance: Tolerance) {
    assert_eq!(got.len(), expected.len(), "lengths differ");
    let largest = expected.iter().fold(0.0_f64, |max, value| max.max(value.abs()));
    let bound = tolerance.absolute + tolerance.relative_to_range * largest;
    let mut worst = (0, 0.0_f64);
    for (idx, (&value, &want)) in got.iter().zip(expected).enumerate() {
        let value: f64 = value.into();
        assert!(value.is_finite(), "element {idx} is {value}, expected {want}");
        let difference = (value - want).abs();
        if difference > worst.1 {
            worst = (idx, difference);
        }
    }
    let (idx, difference) = worst;
    assert!(
        difference <= bound,
        "element {idx} is {}, expected {}: off by {difference:.3e}, allowed {bound:.3e} (largest expected {largest:.4e})",
        got[idx].into(),
        expected[idx],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_and_beyond() {
        assert_close(&[1.0_f32, 2.0], &[1.0, 2.01], Tolerance::relative(0.01));
        let beyond = std::panic::catch_unwind(|| assert_close(&[1.0_f32], &[1.1], Tolerance::absolute(0.01)));
        assert!(beyond.is_err());
        let nan = std::panic::catch_unwind(|| assert_close(&[f64::NAN], &[1.1], Tolerance::absolute(9.0)));
        assert!(nan.is_err());
    }
}
