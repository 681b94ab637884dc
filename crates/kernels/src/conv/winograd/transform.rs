//! One-dimensional transforms.
//!
//! For a tile of `m` outputs of a kernel with three taps, Winograd's algorithm needs `a = m + 2`
//! products instead of `3 m`: `y = A^T [(G g) . (B^T d)]` with input `d`, kernel `g`. The matrices follow
//! from `a - 1` points, at which the polynomials behind input and kernel are evaluated, and infinity
//! (Toom and Cook).

use crate::simd::Lanes16;

/// Most inputs of a tile along one axis.
pub(crate) const MOST_IN: usize = 6;

/// The axes that there are, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AxisKind {
    /// [`Keep`].
    Keep,
    /// [`Two`].
    Two,
    /// [`Four`].
    Four,
    /// [`Half`].
    Half,
}

impl AxisKind {
    /// [`Axis::OUT`].
    pub(crate) const fn outputs(self) -> usize {
        match self {
            Self::Keep => Keep::OUT,
            Self::Two => Two::OUT,
            Self::Four => Four::OUT,
            Self::Half => Half::OUT,
        }
    }

    /// [`Axis::IN`].
    pub(crate) const fn inputs(self) -> usize {
        match self {
            Self::Keep => Keep::IN,
            Self::Two => Two::IN,
            Self::Four => Four::IN,
            Self::Half => Half::IN,
        }
    }

    /// Transformed taps: the rows of [`kernel_matrix`].
    pub(crate) const fn n_taps(self) -> usize {
        match self {
            Self::Half => 4,
            other => other.inputs(),
        }
    }

    /// The transformed tap that a product takes.
    pub(crate) const fn tap_of(self, product: usize) -> usize {
        match self {
            Self::Half if product == 4 => 3,
            _ => product,
        }
    }

    /// [`Axis::STEP`].
    pub(crate) const fn step(self) -> usize {
        match self {
            Self::Keep => Keep::STEP,
            Self::Two => Two::STEP,
            Self::Four => Four::STEP,
            Self::Half => Half::STEP,
        }
    }
}

/// How one axis of a tile is transformed.
pub(crate) trait Axis {
    /// Outputs of a tile.
    const OUT: usize;
    /// Inputs and products of a tile.
    const IN: usize;
    /// Inputs from one tile to the next.
    const STEP: usize = Self::OUT;

    /// `B^T d`.
    fn input<V: Lanes16>(d: [V; MOST_IN], constants: &Constants<V>) -> [V; MOST_IN];
    /// `A^T m`; the first [`Axis::OUT`] entries count.
    fn output<V: Lanes16>(m: [V; MOST_IN], constants: &Constants<V>) -> [V; MOST_IN];
}

/// An axis without kernel: every voxel for itself.
pub(crate) struct Keep;
/// Two outputs of a kernel of three: points 0, 1, -1, infinity.
pub(crate) struct Two;
/// Four outputs of a kernel of three: points 0, `+-sqrt(1/2)`, `+-sqrt(2)`, infinity.
///
/// With these points errors are a quarter of those with the usual 0, +-1, +-2: the matrices'
/// entries are closer to each other in size.
pub(crate) struct Four;
/// Two outputs of a kernel of three with stride 2.
///
/// Even inputs meet the outer taps alone, an ordinary convolution with two taps, for which points 0, 1 and
/// infinity suffice; odd inputs meet the middle tap alone. Five products instead of six, without a fraction.
pub(crate) struct Half;

/// Numbers that the transforms multiply with.
pub(crate) struct Constants<V> {
    root_half: V,
    root_two: V,
    half: V,
    two: V,
    minus_two_and_half: V,
    root_eighth: V,
    root_eight: V,
}

impl<V: Lanes16> Constants<V> {
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            Self {
                root_half: V::splat(FRAC_1_SQRT_2),
                root_two: V::splat(SQRT_2),
                half: V::splat(0.5),
                two: V::splat(2.0),
                minus_two_and_half: V::splat(-2.5),
                root_eighth: V::splat(0.5 * FRAC_1_SQRT_2),
                root_eight: V::splat(2.0 * SQRT_2),
            }
        }
    }
}

impl Axis for Keep {
    const OUT: usize = 1;
    const IN: usize = 1;

    #[inline(always)]
    fn input<V: Lanes16>(d: [V; MOST_IN], _: &Constants<V>) -> [V; MOST_IN] {
        d
    }

    #[inline(always)]
    fn output<V: Lanes16>(m: [V; MOST_IN], _: &Constants<V>) -> [V; MOST_IN] {
        m
    }
}

impl Axis for Two {
    const OUT: usize = 2;
    const IN: usize = 4;

    #[inline(always)]
    fn input<V: Lanes16>(d: [V; MOST_IN], _: &Constants<V>) -> [V; MOST_IN] {
        [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3]), d[0], d[0]]
    }

    #[inline(always)]
    fn output<V: Lanes16>(m: [V; MOST_IN], _: &Constants<V>) -> [V; MOST_IN] {
        [m[0].add(m[1].add(m[2])), m[1].sub(m[2]).sub(m[3]), m[0], m[0], m[0], m[0]]
    }
}

impl Axis for Half {
    const OUT: usize = 2;
    const IN: usize = 5;
    const STEP: usize = 4;

    #[inline(always)]
    fn input<V: Lanes16>(d: [V; MOST_IN], _: &Constants<V>) -> [V; MOST_IN] {
        [d[0].sub(d[2]), d[2], d[2].sub(d[4]), d[1], d[3], d[0]]
    }

    #[inline(always)]
    fn output<V: Lanes16>(m: [V; MOST_IN], _: &Constants<V>) -> [V; MOST_IN] {
        [m[0].add(m[1]).add(m[3]), m[1].sub(m[2]).add(m[4]), m[0], m[0], m[0], m[0]]
    }
}

impl Axis for Four {
    const OUT: usize = 4;
    const IN: usize = 6;

    #[inline(always)]
    fn input<V: Lanes16>(d: [V; MOST_IN], c: &Constants<V>) -> [V; MOST_IN] {
        // Of each pair of points +-p the even part is shared and the odd part changes its sign.
        let even_half = d[4].sub(c.two.mul(d[2]));
        let odd_half = c.root_half.mul(d[3].sub(c.two.mul(d[1])));
        let even_two = d[4].sub(c.half.mul(d[2]));
        let odd_two = c.root_two.mul(d[3].sub(c.half.mul(d[1])));
        [
            c.minus_two_and_half.mul_add(d[2], d[0].add(d[4])),
            even_half.add(odd_half),
            even_half.sub(odd_half),
            even_two.add(odd_two),
            even_two.sub(odd_two),
            c.minus_two_and_half.mul_add(d[3], d[1].add(d[5])),
        ]
    }

    #[inline(always)]
    fn output<V: Lanes16>(m: [V; MOST_IN], c: &Constants<V>) -> [V; MOST_IN] {
        let (even_half, odd_half) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (even_two, odd_two) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(even_half.add(even_two)),
            c.root_half.mul_add(odd_half, c.root_two.mul(odd_two)),
            c.half.mul_add(even_half, c.two.mul(even_two)),
            c.root_eighth.mul_add(odd_half, c.root_eight.mul_add(odd_two, m[5])),
            m[0],
            m[0],
        ]
    }
}

/// `G` of an axis: a row of a kernel's taps for each transformed tap. With stride 2 the last two products
/// take the same.
pub(crate) fn kernel_matrix(axis: AxisKind) -> Vec<Vec<f64>> {
    let root = |square: f64| square.sqrt();
    let points = match axis {
        AxisKind::Keep => return vec![vec![1.0]],
        AxisKind::Two => vec![0.0, 1.0, -1.0],
        AxisKind::Four => vec![0.0, root(0.5), -root(0.5), root(2.0), -root(2.0)],
        AxisKind::Half => {
            let rows = [[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 0]];
            return rows.map(|row| row.map(f64::from).to_vec()).to_vec();
        }
    };
    let mut rows: Vec<Vec<f64>> = points
        .iter()
        .enumerate()
        .map(|(i, &p)| {
            let others = points.iter().enumerate().filter(|(j, _)| *j != i);
            let scale: f64 = others.map(|(_, &q)| p - q).product();
            [1.0, p, p * p].map(|power| power / scale).to_vec()
        })
        .collect();
    rows.push(vec![0.0, 0.0, 1.0]);
    if axis == AxisKind::Two {
        // B^T as written above has the row of point 0 with its sign changed.
        rows[0].iter_mut().for_each(|g| *g = -*g);
    }
    rows
}
