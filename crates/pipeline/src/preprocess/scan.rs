//! One scan: from the image on the disk to its derivatives on the disk.

use brainreel_artifact::{ContentHash, HashBuilder, Provenance, hash_file, write_json};
use brainreel_formats::bids::{BidsImage, read_sidecar, write_sidecar};
use brainreel_formats::nifti;
use brainreel_models::InstructionSet;
use brainreel_preprocess::{
    ExtractorChoice, Preprocessed, QcRecord, QcWarning, REVISION, ValidPreprocessConfig, preprocess,
    preprocess_with_brain,
};
use brainreel_volume::reorient::from_closest_canonical;
use brainreel_volume::{Grid, Volume};

use super::extractor::{Extractors, ForScan};
use super::files::{Companion, Files, Hashes, NewImage, NewImages, network_input};
use super::sidecar::{MaskSidecar, NetworkInputFields, Sidecar};
use super::{PreprocessRequest, picture};
use crate::{ResultExt, StageError};

/// A network input that is on the disk.
pub(super) struct Done {
    /// Its path in the dataset.
    pub(super) image: String,
    pub(super) sha256: ContentHash,
    pub(super) up_to_date: bool,
    pub(super) quality: QcRecord,
}

/// Preprocesses a scan unless that was done before.
pub(super) fn preprocess_scan(
    image: &BidsImage,
    request: &PreprocessRequest,
    config: &ValidPreprocessConfig,
    extractors: &Extractors,
) -> Result<Done, StageError> {
    let files = Files::new(&image.name, request);
    let extractor = extractors.for_scan(image)?;
    let inputs = match extractor.identity() {
        identity if identity.is_empty() => hash_file(&image.path)?,
        identity => HashBuilder::new().part(hash_file(&image.path)?.as_str()).part(identity).finish(),
    };
    let mut provenance = Provenance::new("preprocess", REVISION, config, inputs);
    if config.brain_extractor == ExtractorChoice::SynthStrip {
        // The network's mask depends on it in the last digits; it is recorded, not compared.
        provenance = provenance.with_instruction_set(InstructionSet::detect().to_string());
    }
    let earlier: Option<Sidecar> = read_sidecar(&files.sidecar());
    let relative = network_input(&image.name).relative_path_text();
    let up_to_date = earlier.as_ref().filter(|earlier| is_up_to_date(earlier, &files, &provenance));
    if let Some(Sidecar { image_sha256, extra, .. }) = up_to_date {
        let (sha256, quality) = (image_sha256.clone(), extra.quality.clone());
        return Ok(Done { image: relative, sha256, up_to_date: true, quality });
    }
    let scan = nifti::read_f32(&image.path)?;
    let mut done = compute(&scan, config, &extractor).with_context(|| image.path.display())?;
    if !nifti::read_header(&image.path)?.has_orientation() {
        done.qc.warnings.push(QcWarning::NoOrientation);
    }
    let new = new_images(&files, &done, scan.grid());
    files.check_replaceable(&new, earlier.as_ref())?;
    let sidecar = write(&files, image, &done, &new, provenance)?;
    if let Some(earlier) = &earlier {
        files.remove_stale(&earlier.files_sha256, &sidecar.files_sha256)?;
    }
    Ok(Done {
        image: relative,
        sha256: sidecar.image_sha256,
        up_to_date: false,
        quality: sidecar.extra.quality,
    })
}

fn compute(
    scan: &Volume<f32>,
    config: &ValidPreprocessConfig,
    extractor: &ForScan<'_>,
) -> Result<Preprocessed, StageError> {
    Ok(match extractor {
        ForScan::None => preprocess(scan, config)?,
        ForScan::Shared(extractor) => preprocess_with_brain(scan, config, *extractor)?,
        ForScan::File(file) => preprocess_with_brain(scan, config, &file.read(scan)?)?,
    })
}

/// Everything that is about to be written.
fn new_images<'a>(files: &Files<'_>, done: &'a Preprocessed, native: &Grid) -> NewImages<'a> {
    let stages = &done.stages;
    let image = |companion: Companion| match companion {
        Companion::BrainMask => {
            let mask = stages.brain_mask.as_ref()?;
            Some(NewImage::Mask(from_closest_canonical(mask, native).map(|&inside| u8::from(inside))))
        }
        Companion::Kept(keep) => keep.image(stages).map(NewImage::Image),
        Companion::Picture => Some(NewImage::Picture(picture::draw(&files.scan.scan_id(), done))),
    };
    let wanted = files.wanted(&done.qc.summaries).into_iter();
    let companions = wanted.filter_map(|companion| Some((companion, image(companion)?))).collect();
    NewImages { network_input: &done.network_input, companions }
}

/// Writes all files of a scan, the sidecar last.
fn write(
    files: &Files<'_>,
    image: &BidsImage,
    done: &Preprocessed,
    new: &NewImages<'_>,
    provenance: Provenance,
) -> Result<Sidecar, StageError> {
    let sources = vec![format!("bids:raw:{}", image.name.relative_path_text())];
    let extractor = done.qc.foreground.extractor.clone();
    let mut files_sha256 = Hashes::new();
    for (companion, content) in &new.companions {
        let relative = companion.path(files.scan);
        let path = files.root.join(&relative);
        content.write(&path)?;
        if let Some(json) = companion.json(files.scan) {
            let about = MaskSidecar {
                description: "Brain mask on the scan's own voxels; for research use only",
                r#type: "Brain",
                sources: &sources,
                brain_extractor: extractor.as_deref().unwrap_or_default(),
                volume_ml: done.qc.summaries.brain.as_ref().map(|brain| brain.volume_ml),
            };
            write_json(&files.root.join(json), &about)?;
        }
        files_sha256.insert(relative, hash_file(&path)?);
    }
    let path = files.root.join(network_input(files.scan).relative_path());
    nifti::write(&path, new.network_input)?;
    let sidecar = Sidecar {
        description: "Network input of brainreel; for research use only".to_owned(),
        sources,
        skull_stripped: done.stages.brain_mask.is_some(),
        brain_extractor: extractor,
        extra: NetworkInputFields { transform: done.transform, quality: done.qc.clone() },
        image_sha256: hash_file(&path)?,
        files_sha256,
        provenance,
    };
    write_sidecar(&files.sidecar(), &sidecar)?;
    Ok(sidecar)
}

/// Whether a network input was made from the same input in the same way, and all files are still those that
/// were written.
fn is_up_to_date(earlier: &Sidecar, files: &Files<'_>, provenance: &Provenance) -> bool {
    let is_intact =
        |path: &str, hash: &ContentHash| hash_file(&files.root.join(path)).is_ok_and(|now| now == *hash);
    let has_companion = |companion: Companion| {
        let path = companion.path(files.scan);
        earlier.files_sha256.get(&path).is_some_and(|hash| is_intact(&path, hash))
    };
    earlier.provenance.is_same_work(provenance)
        && is_intact(&network_input(files.scan).relative_path_text(), &earlier.image_sha256)
        && files.wanted(&earlier.extra.quality.summaries).into_iter().all(has_companion)
}
