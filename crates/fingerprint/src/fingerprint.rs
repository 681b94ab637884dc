//! The fingerprint of an image and the similarity of two.

use brainreel_artifact::ContentHash;
use brainreel_volume::Volume;

use crate::coarse::Coarse;
use crate::code::Code;
use crate::voxel_hash;

/// A digest of the voxels of an image and two codes of 1 KiB each.
///
/// Fingerprints find pairs of images of the same head in the same pose, regardless of scale, contrast, noise
/// and blur. [`confirm`](crate::confirm) then decides whether they are one acquisition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    voxels: ContentHash,
    world: Code,
    centred: Code,
}

/// Similarity of two fingerprints.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// 1 for the same head in the same pose, around 0 for unrelated images.
    pub value: f64,
    /// The images are left-right mirrored.
    pub mirrored: bool,
    /// Dimensions and voxels are bit-identical.
    pub identical: bool,
}

impl Fingerprint {
    /// Computes the fingerprint of an image on any grid. Voxels that are not finite count as zero.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads.
    #[must_use]
    pub fn of(volume: &Volume<f32>) -> Self {
        let (world, centred) = match Coarse::of(volume) {
            Some(coarse) => (Code::in_world(&coarse), Code::around_centre(&coarse)),
            None => (Code::EMPTY, Code::EMPTY),
        };
        Self { voxels: voxel_hash(volume), world, centred }
    }

    /// The largest similarity in scanner coordinates, around the centre of the head, and around the centre
    /// with one image mirrored. 0 if too little can be compared, as with constant or tiny images; 1 if the
    /// voxels are identical.
    #[must_use]
    pub fn similarity(&self, other: &Self) -> Similarity {
        self.similarity_to(other, &other.centred.mirrored())
    }

    /// [`Self::similarity`] with a precomputed mirrored code.
    pub(crate) fn similarity_to(&self, other: &Self, other_mirrored: &Code) -> Similarity {
        let identical = self.voxels == other.voxels;
        let straight = [(&self.world, &other.world), (&self.centred, &other.centred)]
            .into_iter()
            .filter_map(|(mine, theirs)| mine.agreement(theirs))
            .fold(0.0, f64::max);
        let mirrored = self.centred.agreement(other_mirrored).unwrap_or(0.0);
        match (identical, mirrored > straight) {
            (true, _) => Similarity { value: 1.0, mirrored: false, identical },
            (false, true) => Similarity { value: mirrored, mirrored: true, identical },
            (false, false) => Similarity { value: straight, mirrored: false, identical },
        }
    }

    pub(crate) fn mirrored_code(&self) -> Code {
        self.centred.mirrored()
    }
}
