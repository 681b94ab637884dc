//! Tissues, their label numbers and mixtures of them.

/// What a voxel is made of. Every variant is one column of a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Tissue {
    /// Air around the head and in the airways.
    Air,
    /// Cerebrospinal fluid outside the ventricles.
    Csf,
    /// Cortical grey matter of the cerebrum.
    Cortex,
    /// White matter of the cerebrum.
    White,
    /// Thalamus.
    Thalamus,
    /// Caudate nucleus.
    Caudate,
    /// Putamen.
    Putamen,
    /// Globus pallidus.
    Pallidum,
    /// Hippocampus.
    Hippocampus,
    /// Amygdala.
    Amygdala,
    /// Lateral ventricle, temporal horn included.
    LateralVentricle,
    /// Third ventricle.
    ThirdVentricle,
    /// Fourth ventricle and aqueduct.
    FourthVentricle,
    /// Cortex of the cerebellum.
    CerebellarCortex,
    /// White matter of the cerebellum.
    CerebellarWhite,
    /// Midbrain, pons and medulla.
    Brainstem,
    /// Spinal cord.
    SpinalCord,
    /// Cortical bone.
    Bone,
    /// Bone marrow and diploe.
    Marrow,
    /// Fat.
    Fat,
    /// Muscle and other soft tissue.
    Muscle,
    /// Skin.
    Skin,
    /// Vitreous body of the eye.
    Globe,
}

/// Number of tissues.
pub(crate) const N_TISSUES: usize = Tissue::Globe as usize + 1;

const ALL: [Tissue; N_TISSUES] = [
    Tissue::Air,
    Tissue::Csf,
    Tissue::Cortex,
    Tissue::White,
    Tissue::Thalamus,
    Tissue::Caudate,
    Tissue::Putamen,
    Tissue::Pallidum,
    Tissue::Hippocampus,
    Tissue::Amygdala,
    Tissue::LateralVentricle,
    Tissue::ThirdVentricle,
    Tissue::FourthVentricle,
    Tissue::CerebellarCortex,
    Tissue::CerebellarWhite,
    Tissue::Brainstem,
    Tissue::SpinalCord,
    Tissue::Bone,
    Tissue::Marrow,
    Tissue::Fat,
    Tissue::Muscle,
    Tissue::Skin,
    Tissue::Globe,
];

impl Tissue {
    /// Every tissue, in the order of the columns.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        &ALL
    }

    /// Number in the label volume: those of FreeSurfer's colour table; 0 for air.
    #[must_use]
    pub const fn label(self, right: bool) -> u8 {
        let (left_label, right_label) = match self {
            Self::Air => (0, 0),
            Self::Csf => (24, 24),
            Self::Cortex => (3, 42),
            Self::White => (2, 41),
            Self::Thalamus => (10, 49),
            Self::Caudate => (11, 50),
            Self::Putamen => (12, 51),
            Self::Pallidum => (13, 52),
            Self::Hippocampus => (17, 53),
            Self::Amygdala => (18, 54),
            Self::LateralVentricle => (4, 43),
            Self::ThirdVentricle => (14, 14),
            Self::FourthVentricle => (15, 15),
            Self::CerebellarCortex => (8, 47),
            Self::CerebellarWhite => (7, 46),
            Self::Brainstem => (16, 16),
            Self::SpinalCord => (126, 126),
            Self::Bone => (121, 121),
            Self::Marrow => (129, 129),
            Self::Fat => (125, 125),
            Self::Muscle => (123, 123),
            Self::Skin => (118, 118),
            Self::Globe => (134, 134),
        };
        if right { right_label } else { left_label }
    }
}

/// Shares of the tissues in a voxel; they sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mixture(pub(crate) [f32; N_TISSUES]);

impl Mixture {
    pub(crate) fn pure(tissue: Tissue) -> Self {
        let mut shares = [0.0; N_TISSUES];
        shares[tissue as usize] = 1.0;
        Self(shares)
    }

    /// Puts `tissue` over what is there, covering `share` of the voxel.
    #[inline]
    pub(crate) fn over(&mut self, tissue: Tissue, share: f32) {
        if share > 0.0 {
            let keep = 1.0 - share;
            self.0.iter_mut().for_each(|s| *s *= keep);
            self.0[tissue as usize] += share;
        }
    }

    /// `share` of `other`, the rest of `self`.
    pub(crate) fn blend(&mut self, other: &Self, share: f32) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += share * (theirs - *mine);
        }
    }

    pub(crate) fn get(&self, tissue: Tissue) -> f32 {
        self.0[tissue as usize]
    }

    /// The tissue with the largest share.
    pub(crate) fn dominant(&self) -> Tissue {
        let mut best = 0;
        for (at, share) in self.0.iter().enumerate() {
            if *share > self.0[best] {
                best = at;
            }
        }
        ALL[best]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_variants_agree() {
        for (at, tissue) in Tissue::all().iter().enumerate() {
            assert_eq!(*tissue as usize, at);
        }
    }

    #[test]
    fn shares_keep_summing_to_one() {
        let mut mixture = Mixture::pure(Tissue::Csf);
        mixture.over(Tissue::Cortex, 0.7);
        mixture.over(Tissue::White, 0.25);
        mixture.blend(&Mixture::pure(Tissue::Bone), 0.4);
        assert!((mixture.0.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(mixture.dominant(), Tissue::Bone);
    }
}
