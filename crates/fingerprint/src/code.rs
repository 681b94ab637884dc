//! Signs of the band-passed head at the nodes of a lattice.

use crate::coarse::Coarse;

/// Nodes along each axis of a lattice.
const EDGE: usize = 16;
/// Distance between nodes, mm: the lattice spans 176 mm.
const STEP_MM: f64 = 11.0;
const N_WORDS: usize = EDGE * EDGE * EDGE / 64;
/// A node counts if the head extends this far to all sides, mm. The band at the surface says little about a
/// subject, and changes with brain extraction.
const INSIDE_MM: f64 = 8.0;
/// Its band also has to be stronger than this share of the 90th percentile over the nodes.
const WEAKEST: f32 = 0.15;
/// Smallest number of common nodes for a similarity.
const FEWEST_IN_COMMON: u32 = 128;

/// One sign bit and one validity bit per node. The first axis runs fastest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    sign: [u64; N_WORDS],
    valid: [u64; N_WORDS],
}

impl Code {
    pub(crate) const EMPTY: Self = Self { sign: [0; N_WORDS], valid: [0; N_WORDS] };

    /// Nodes at integer multiples of the step in scanner millimetres. Each bit represents a position modulo
    /// 176 mm; it is read at the position nearest to the centre of the head.
    pub(crate) fn in_world(coarse: &Coarse) -> Self {
        let Ok(to_voxel) = coarse.affine().inverse() else { return Self::EMPTY };
        let centre = coarse.affine().apply(coarse.centre);
        let first = centre.map(|mm| (mm / STEP_MM).floor() - (EDGE / 2 - 1) as f64);
        Self::read(coarse, |node| {
            let mm = [0, 1, 2].map(|axis| {
                let turn = (node[axis] as f64 - first[axis]).rem_euclid(EDGE as f64);
                STEP_MM * (first[axis] + turn)
            });
            to_voxel.apply(mm)
        })
    }

    /// Nodes around the centre of the head, along the axes of the closest-canonical grid.
    pub(crate) fn around_centre(coarse: &Coarse) -> Self {
        let spacing = coarse.image.grid().spacing_mm();
        let middle = 0.5 * (EDGE - 1) as f64;
        Self::read(coarse, |node| {
            [0, 1, 2].map(|axis| coarse.centre[axis] + STEP_MM * (node[axis] as f64 - middle) / spacing[axis])
        })
    }

    fn read(coarse: &Coarse, voxel_of: impl Fn([usize; 3]) -> [f64; 3]) -> Self {
        let node = |at: usize| [at % EDGE, at / EDGE % EDGE, at / (EDGE * EDGE)];
        let values: Vec<Option<f32>> =
            (0..EDGE * EDGE * EDGE).map(|at| inside(coarse, voxel_of(node(at)))).collect();
        let mut strengths: Vec<f32> = values.iter().flatten().map(|v| v.abs()).collect();
        strengths.sort_by(f32::total_cmp);
        let Some(&strong) = strengths.get(strengths.len() * 9 / 10) else { return Self::EMPTY };
        let mut code = Self::EMPTY;
        for (at, value) in values.into_iter().enumerate() {
            let Some(value) = value.filter(|value| value.abs() > WEAKEST * strong) else { continue };
            code.valid[at / 64] |= 1 << (at % 64);
            code.sign[at / 64] |= u64::from(value > 0.0) << (at % 64);
        }
        code
    }

    /// The code of the left-right mirrored head.
    pub(crate) fn mirrored(&self) -> Self {
        Self { sign: self.sign.map(reverse_rows), valid: self.valid.map(reverse_rows) }
    }

    /// Agreement of the signs where both codes are valid: 1 for all, 0 for chance, minus two standard errors
    /// of chance. `None` if too few nodes are valid in both.
    pub(crate) fn agreement(&self, other: &Self) -> Option<f64> {
        let (mut both, mut differ) = (0, 0);
        for at in 0..N_WORDS {
            let valid = self.valid[at] & other.valid[at];
            both += valid.count_ones();
            differ += ((self.sign[at] ^ other.sign[at]) & valid).count_ones();
        }
        if both < FEWEST_IN_COMMON {
            return None;
        }
        let n = f64::from(both);
        Some(1.0 - 2.0 * f64::from(differ) / n - 2.0 / n.sqrt())
    }
}

/// The band-passed value at a position inside the head.
fn inside(coarse: &Coarse, voxel: [f64; 3]) -> Option<f32> {
    let spacing = coarse.image.grid().spacing_mm();
    for axis in 0..3 {
        for reach in [-INSIDE_MM, INSIDE_MM] {
            let mut beside = voxel;
            beside[axis] += reach / spacing[axis];
            coarse.sample(beside).filter(|[_, value]| *value > coarse.threshold)?;
        }
    }
    coarse.sample(voxel).map(|[band, _]| band)
}

/// Reverses each row of 16 bits of a word.
const fn reverse_rows(word: u64) -> u64 {
    let reversed = word.reverse_bits(); // also the order of the rows: turned back
    let swapped = reversed.rotate_left(32);
    ((swapped & 0x0000_FFFF_0000_FFFF) << 16) | ((swapped >> 16) & 0x0000_FFFF_0000_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_reversed_in_place() {
        assert_eq!(reverse_rows(0x0001_8000_1234_00FF), 0x8000_0001_2C48_FF00);
        for word in [0, u64::MAX, 0x0123_4567_89AB_CDEF] {
            assert_eq!(reverse_rows(reverse_rows(word)), word);
        }
    }

    #[test]
    fn agreement_is_one_with_itself_and_needs_enough_nodes() {
        let mut code = Code { sign: [0x5555_0F0F_1234_8001; N_WORDS], valid: [u64::MAX; N_WORDS] };
        let chance = 2.0 / (64.0 * N_WORDS as f64).sqrt();
        assert!((code.agreement(&code).unwrap() - (1.0 - chance)).abs() < 1e-12);
        let opposite = Code { sign: code.sign.map(|word| !word), ..code.clone() };
        assert!(code.agreement(&opposite).unwrap() < -0.99);
        code.valid = [1; N_WORDS];
        assert_eq!(code.agreement(&code), None);
    }
}
