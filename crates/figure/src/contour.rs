//! Contour of a mask slice along pixel edges.

use std::fmt::Write as _;

/// SVG path commands, in pixels from the upper left corner. Consecutive edges on one line are merged into one
/// stroke.
pub(crate) fn path(mask: &[bool], [width, height]: [usize; 2]) -> String {
    let inside = |x: usize, y: usize| x < width && y < height && mask[x + width * y];
    let mut text = String::new();
    for y in 0..=height {
        let edge = |x: usize| inside(x, y) != (y > 0 && inside(x, y - 1));
        for (start, end) in runs(width, edge) {
            let _ = write!(text, "M{start} {y}H{end}");
        }
    }
    for x in 0..=width {
        let edge = |y: usize| inside(x, y) != (x > 0 && inside(x - 1, y));
        for (start, end) in runs(height, edge) {
            let _ = write!(text, "M{x} {start}V{end}");
        }
    }
    text
}

/// Runs of consecutive numbers below `n` that satisfy a condition.
fn runs(n: usize, holds: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for at in 0..=n {
        match (start, at < n && holds(at)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_l_has_six_edges() {
        let mask = [true, false, true, true].map(|inside| inside);
        assert_eq!(path(&mask, [2, 2]), "M0 0H1M1 1H2M0 2H2M0 0V2M1 0V1M2 1V2");
    }

    #[test]
    fn empty_masks_have_no_contour_and_full_ones_a_frame() {
        assert_eq!(path(&[false; 6], [3, 2]), "");
        assert_eq!(path(&[true; 6], [3, 2]), "M0 0H3M0 2H3M0 0V2M3 0V2");
    }
}
