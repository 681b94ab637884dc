//! The brain extractor of each scan.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, hash_file};
use brainreel_formats::bids::BidsImage;
use brainreel_formats::nifti;
use brainreel_preprocess::{BrainExtractor, ExtractionError, ExtractorChoice, ValidPreprocessConfig};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::{Affine, Mask, Volume};

use crate::strip::open_synthstrip;
use crate::{Remedy, ResultExt, StageError, folders};

/// How far a corner of a mask may lie from that of its scan, in mm.
const SAME_PLACE_MM: f64 = 0.01;

/// The brain extractor of a dataset.
pub(super) enum Extractors {
    /// No extraction.
    None,
    /// One for all scans.
    One(Box<dyn BrainExtractor>),
    /// A file for each, in a folder that is laid out like the dataset.
    Masks(PathBuf),
}

/// The brain extractor of one scan.
pub(super) enum ForScan<'a> {
    /// No extraction.
    None,
    /// An extractor that others share.
    Shared(&'a dyn BrainExtractor),
    /// A mask of its own.
    File(MaskFile),
}

impl Extractors {
    /// Opens what the settings name.
    pub(super) fn open(
        config: &ValidPreprocessConfig,
        masks: Option<&Path>,
        weights: Option<&Path>,
    ) -> Result<Self, StageError> {
        let choice = config.brain_extractor;
        let found = || format!("is \"{}\"", choice.name());
        if weights.is_some() && choice != ExtractorChoice::SynthStrip {
            let expected = "\"synthstrip\", since weights of SynthStrip are given";
            return Err(StageError::setting(SETTING, found(), expected));
        }
        if masks.is_some() && choice != ExtractorChoice::Mask {
            let expected = "\"mask\", since a folder of masks is given";
            return Err(StageError::setting(SETTING, found(), expected));
        }
        Ok(match choice {
            ExtractorChoice::None => Self::None,
            ExtractorChoice::Bet => Self::One(Box::new(config.bet().clone())),
            ExtractorChoice::Mask => {
                let folder = masks.ok_or_else(|| StageError::Missing {
                    what: "brain_extractor = \"mask\" needs the folder with the masks".to_owned(),
                    remedy: Remedy::NameMasks,
                })?;
                folders::check_input(folder, "brain masks")?;
                Self::Masks(folder.to_owned())
            }
            ExtractorChoice::SynthStrip => {
                let extractor = open_synthstrip(weights, config.synthstrip.border_mm)
                    .context("brain_extractor = \"synthstrip\"")?;
                Self::One(Box::new(extractor))
            }
            _ => return Err(StageError::setting(SETTING, found(), "one that this stage knows")),
        })
    }

    /// The extractor of one scan.
    pub(super) fn for_scan(&self, image: &BidsImage) -> Result<ForScan<'_>, StageError> {
        Ok(match self {
            Self::None => ForScan::None,
            Self::One(extractor) => ForScan::Shared(extractor.as_ref()),
            Self::Masks(folder) => ForScan::File(MaskFile::find(folder, image)?),
        })
    }
}

/// Checks that the extractor that the settings name can be opened, without any scan.
///
/// # Errors
/// [`StageError`]: settings, masks and weights do not fit each other, or the weights are not there.
pub fn check_extractor(
    config: &ValidPreprocessConfig,
    masks: Option<&Path>,
    weights: Option<&Path>,
) -> Result<(), StageError> {
    Extractors::open(config, masks, weights).map(|_| ())
}

/// The setting that names the extractor.
const SETTING: &str = "preprocess.brain_extractor";

impl ForScan<'_> {
    /// What has to be the same for the same result, beside image and settings.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Shared(extractor) => extractor.name().to_owned(),
            Self::File(file) => file.name.clone(),
        }
    }
}

/// A mask from a file.
pub(super) struct MaskFile {
    path: PathBuf,
    name: String,
}

impl MaskFile {
    fn find(folder: &Path, image: &BidsImage) -> Result<Self, StageError> {
        let name = image.name.brain_mask();
        let relative = name.relative_path_text();
        let path = [relative.clone(), relative.replace(".nii.gz", ".nii")]
            .iter()
            .map(|relative| folder.join(relative))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                StageError::input(folder.join(&relative), "does not exist", "the brain mask of the scan")
            })?;
        let hash: ContentHash = hash_file(&path)?;
        Ok(Self { path, name: format!("mask file (sha256 {})", hash.as_str()) })
    }

    /// Reads the mask and checks that it lies on the scan.
    pub(super) fn read(&self, scan: &Volume<f32>) -> Result<KnownMask, StageError> {
        let values = to_closest_canonical(&nifti::read_f32(&self.path)?);
        let scan = &to_closest_canonical(scan);
        if values.dims() != scan.dims() {
            let found = format!("has {:?} voxels", values.dims());
            return Err(self.wrong(found, format!("those of its scan, {:?}", scan.dims())));
        }
        let apart = farthest_corner_mm(values.grid().affine(), scan.grid().affine(), scan.dims());
        if apart > SAME_PLACE_MM {
            let found = format!("lies up to {apart:.2} mm from its scan");
            return Err(self.wrong(found, format!("the same affine (within {SAME_PLACE_MM} mm)")));
        }
        self.check_binary(&values)?;
        let mask = values.map(|&value| value.abs() > 0.0);
        if !mask.as_slice().contains(&true) {
            return Err(self.wrong("is empty", "a brain mask"));
        }
        Ok(KnownMask { name: self.name.clone(), mask })
    }

    /// A mask has zero and one other number. An image or a distance map given by mistake must not pass.
    fn check_binary(&self, values: &Volume<f32>) -> Result<(), StageError> {
        let mut inside = None;
        for &value in values.as_slice().iter().filter(|value| value.abs() > 0.0 || value.is_nan()) {
            let first: f32 = *inside.get_or_insert(value);
            if value.to_bits() != first.to_bits() || !value.is_finite() {
                let found = format!("is no mask: it holds {first} and {value}");
                return Err(self.wrong(found, "zero and one other number"));
            }
        }
        Ok(())
    }

    fn wrong(&self, found: impl Display, expected: impl Display) -> StageError {
        StageError::input(&self.path, found, expected)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an index along an axis")]
fn farthest_corner_mm(a: &Affine, b: &Affine, dims: [usize; 3]) -> f64 {
    (0..8)
        .map(|corner| {
            [0, 1, 2].map(|axis| if corner >> axis & 1 == 1 { (dims[axis] - 1) as f64 } else { 0.0 })
        })
        .map(|corner| {
            let (a, b) = (a.apply(corner), b.apply(corner));
            (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
        })
        .fold(0.0, f64::max)
}

/// The brain mask of a file.
pub(super) struct KnownMask {
    name: String,
    mask: Mask,
}

impl BrainExtractor for KnownMask {
    fn name(&self) -> &str {
        &self.name
    }

    fn extract(&self, _: &Volume<f32>) -> Result<Mask, ExtractionError> {
        Ok(self.mask.clone())
    }
}
