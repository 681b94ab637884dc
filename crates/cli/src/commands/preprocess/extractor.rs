//! Who finds the brain, for each scan.

use std::path::{Path, PathBuf};

use anyhow::Context;
use brainreel_artifact::{ContentHash, hash_file};
use brainreel_formats::bids::BidsImage;
use brainreel_formats::nifti;
use brainreel_preprocess::bet::Bet;
use brainreel_preprocess::{BrainExtractor, ExtractionError, ExtractorChoice, PreprocessConfig};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::{Affine, Mask, Volume};

use crate::commands::strip::synthstrip;

/// How far a corner of a mask may lie from that of its scan, in mm.
const SAME_PLACE_MM: f64 = 0.01;

/// Who finds the brain in the scans of a dataset.
pub(crate) enum Extractors {
    /// Nobody.
    None,
    /// One for all.
    One(Box<dyn BrainExtractor>),
    /// A file for each, in a folder that is laid out like the dataset.
    Masks(PathBuf),
}

/// Who finds the brain in one scan.
pub(crate) enum ForScan<'a> {
    /// Nobody.
    None,
    /// An extractor that others share.
    Shared(&'a dyn BrainExtractor),
    /// A mask of its own.
    File(MaskFile),
}

/// Files that extractors need beside the settings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sources<'a> {
    /// Folder of brain masks, for `mask`.
    pub(crate) masks: Option<&'a Path>,
    /// Weights of the network, for `synthstrip`; by default those in the cache.
    pub(crate) weights: Option<&'a Path>,
}

impl Extractors {
    /// Opens what the settings name.
    pub(crate) fn open(config: &PreprocessConfig, sources: Sources<'_>) -> anyhow::Result<Self> {
        let Sources { masks, weights } = sources;
        let choice = config.brain_extractor;
        anyhow::ensure!(
            weights.is_none() || choice == ExtractorChoice::SynthStrip,
            "weights of SynthStrip are given, but brain_extractor is \"{}\", expected \"synthstrip\"",
            choice.name()
        );
        anyhow::ensure!(
            masks.is_none() || choice == ExtractorChoice::Mask,
            "a folder of masks is given, but brain_extractor is \"{}\", expected \"mask\"",
            choice.name()
        );
        Ok(match choice {
            ExtractorChoice::None => Self::None,
            ExtractorChoice::Bet => Self::One(Box::new(Bet::new(config.bet)?)),
            ExtractorChoice::Mask => {
                let folder = masks.context(
                    "brain_extractor = \"mask\" needs the folder with the masks: --masks DIR, or masks = \"DIR\" in \
                     [input]",
                )?;
                crate::folders::check_input(folder, "brain masks")?;
                Self::Masks(folder.to_owned())
            }
            ExtractorChoice::SynthStrip => {
                let extractor = synthstrip(weights, config.synthstrip.border_mm).context(
                    "brain_extractor = \"synthstrip\" (\"bet\" does without weights: --extractor bet)",
                )?;
                Self::One(Box::new(extractor))
            }
            _ => anyhow::bail!("brain_extractor = \"{}\" is not known to this command", choice.name()),
        })
    }

    /// The extractor of one scan, and what of it goes into the provenance.
    pub(crate) fn of(&self, image: &BidsImage) -> anyhow::Result<ForScan<'_>> {
        Ok(match self {
            Self::None => ForScan::None,
            Self::One(extractor) => ForScan::Shared(extractor.as_ref()),
            Self::Masks(folder) => ForScan::File(MaskFile::find(folder, image)?),
        })
    }
}

impl ForScan<'_> {
    /// What has to be the same for the same result, beside image and settings.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Shared(extractor) => extractor.name().to_owned(),
            Self::File(file) => file.name.clone(),
        }
    }
}

/// A mask from a file.
pub(crate) struct MaskFile {
    path: PathBuf,
    name: String,
}

impl MaskFile {
    fn find(folder: &Path, image: &BidsImage) -> anyhow::Result<Self> {
        let name = image.name.brain_mask();
        let relative = name.relative_path_text();
        let path = [relative.clone(), relative.replace(".nii.gz", ".nii")]
            .iter()
            .map(|relative| folder.join(relative))
            .find(|path| path.is_file())
            .with_context(|| format!("its brain mask {} does not exist", folder.join(&relative).display()))?;
        let hash: ContentHash = hash_file(&path)?;
        Ok(Self { path, name: format!("mask file (sha256 {})", hash.as_str()) })
    }

    /// Reads the mask and looks whether it lies on the scan.
    pub(crate) fn read(&self, scan: &Volume<f32>) -> anyhow::Result<KnownMask> {
        let path = self.path.display();
        let values = to_closest_canonical(&nifti::read_f32(&self.path)?);
        let scan = &to_closest_canonical(scan);
        anyhow::ensure!(
            values.dims() == scan.dims(),
            "{path} has {:?} voxels, expected those of its scan, {:?}",
            values.dims(),
            scan.dims()
        );
        let apart = farthest_corner_mm(values.grid().affine(), scan.grid().affine(), scan.dims());
        anyhow::ensure!(
            apart <= SAME_PLACE_MM,
            "{path} lies up to {apart:.2} mm from its scan, expected the same affine (within {SAME_PLACE_MM} mm)"
        );
        self.check_binary(&values)?;
        let mask = values.map(|&value| value.abs() > 0.0);
        anyhow::ensure!(mask.as_slice().contains(&true), "{path} is empty, expected a brain mask");
        Ok(KnownMask { name: self.name.clone(), mask })
    }

    /// A mask has zero and one other number: an image or a distance map given by mistake shall not pass.
    fn check_binary(&self, values: &Volume<f32>) -> anyhow::Result<()> {
        let mut inside = None;
        for &value in values.as_slice().iter().filter(|value| value.abs() > 0.0 || value.is_nan()) {
            let first: f32 = *inside.get_or_insert(value);
            anyhow::ensure!(
                value.to_bits() == first.to_bits() && value.is_finite(),
                "{} is no mask: it holds {first} and {value}, expected zero and one other number",
                self.path.display()
            );
        }
        Ok(())
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

/// The brain is where a file says.
pub(crate) struct KnownMask {
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
