//! One scan: from the image on the disk to its derivatives on the disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use brainreel_artifact::{ContentHash, HashBuilder, Provenance, hash_file, write_atomic, write_json};
use brainreel_formats::bids::{BidsImage, BidsName};
use brainreel_formats::nifti;
use brainreel_preprocess::{
    Intermediates, NetworkTransform, Preprocessed, QcRecord, QcWarning, REVISION, preprocess,
    preprocess_with_brain,
};
use brainreel_volume::reorient::from_closest_canonical;
use brainreel_volume::{Grid, Volume};
use serde::{Deserialize, Serialize};

use super::extractor::{Extractors, ForScan};
use super::{Keep, Request, picture};

/// The JSON beside each network input.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sidecar {
    description: String,
    sources: Vec<String>,
    skull_stripped: bool,
    /// Who found the brain.
    pub(super) brain_extractor: Option<String>,
    transform: NetworkTransform,
    pub(super) quality: QcRecord,
    pub(super) image_sha256: ContentHash,
    /// The files beside the network input, by their path in the dataset.
    #[serde(default)]
    files_sha256: BTreeMap<String, ContentHash>,
    pub(super) provenance: Provenance,
}

/// The JSON beside a brain mask.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MaskSidecar<'a> {
    description: &'static str,
    r#type: &'static str,
    sources: &'a [String],
    brain_extractor: &'a str,
    volume_ml: Option<f64>,
}

/// A network input that is on the disk.
pub(super) struct Done {
    pub(super) image: String,
    pub(super) sha256: ContentHash,
    pub(super) up_to_date: bool,
    pub(super) quality: QcRecord,
}

/// The files of one scan.
struct Files<'a> {
    root: &'a Path,
    name: &'a BidsName,
    keep: &'a [Keep],
    pictures: bool,
}

impl Files<'_> {
    fn network(&self) -> BidsName {
        self.name.derivative("network", "preproc")
    }

    fn mask(&self) -> BidsName {
        self.name.brain_mask()
    }

    fn kept(&self, keep: Keep) -> String {
        self.name.derivative("native", keep.description()).relative_path_text()
    }

    fn picture(&self) -> String {
        picture::path(self.name)
    }

    /// Removes what earlier settings left beside the network input and these do not make. Only names that
    /// brainreel gives are touched.
    fn remove_stale(
        &self,
        earlier: Option<&BTreeMap<String, ContentHash>>,
        now: &BTreeMap<String, ContentHash>,
    ) -> anyhow::Result<()> {
        let mask = self.mask();
        let own = Keep::ALL.map(|keep| self.kept(keep)).into_iter();
        for path in own.chain([mask.relative_path_text(), self.picture()]) {
            let was_ours = earlier.is_some_and(|earlier| earlier.contains_key(&path));
            if !was_ours || now.contains_key(&path) {
                continue;
            }
            let about =
                (path == mask.relative_path_text()).then(|| self.root.join(mask.with_extension_json()));
            for file in about.into_iter().chain([self.root.join(&path)]).filter(|file| file.exists()) {
                std::fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Paths of everything that has to be there beside the network input.
    fn wanted(&self, with_brain: bool, with_bias: bool) -> Vec<String> {
        let mut paths: Vec<String> = self
            .keep
            .iter()
            .filter(|&&keep| with_bias || keep != Keep::Field)
            .map(|&keep| self.kept(keep))
            .collect();
        if with_brain {
            paths.push(self.mask().relative_path_text());
        }
        if self.pictures {
            paths.push(self.picture());
        }
        paths
    }
}

/// Preprocesses a scan unless that was done before.
pub(super) fn preprocess_scan(
    image: &BidsImage,
    request: &Request<'_>,
    extractors: &Extractors,
) -> anyhow::Result<Done> {
    let folder = request.derivatives;
    let files = Files { root: folder, name: &image.name, keep: request.keep, pictures: request.pictures };
    let sidecar_path = folder.join(files.network().with_extension_json());
    let extractor = extractors.of(image)?;
    let inputs = match extractor.identity() {
        identity if identity.is_empty() => hash_file(&image.path)?,
        identity => HashBuilder::new().part(hash_file(&image.path)?.as_str()).part(identity).finish(),
    };
    let provenance = Provenance::new("preprocess", REVISION, request.config, inputs);
    let relative = files.network().relative_path_text();
    if let Some(earlier) = finished_before(&sidecar_path, &files, &provenance) {
        let (sha256, quality) = (earlier.image_sha256, earlier.quality);
        return Ok(Done { image: relative, sha256, up_to_date: true, quality });
    }
    let scan = nifti::read_f32(&image.path)?;
    let mut done = compute(&scan, request, &extractor).with_context(|| image.path.display().to_string())?;
    if !nifti::read_header(&image.path)?.has_orientation() {
        done.qc.warnings.push(QcWarning::NoOrientation);
    }
    let image_path = folder.join(&relative);
    nifti::write(&image_path, &done.network_input)?;
    let sources = vec![format!("bids:raw:{}", image.name.relative_path_text())];
    let mut sidecar = Sidecar {
        description: "Network input of brainreel; for research use only".to_owned(),
        sources,
        skull_stripped: done.stages.brain_mask.is_some(),
        brain_extractor: done.qc.foreground.extractor.clone(),
        transform: done.transform,
        image_sha256: hash_file(&image_path)?,
        files_sha256: BTreeMap::new(),
        provenance,
        quality: done.qc.clone(),
    };
    let earlier = read_sidecar(&sidecar_path);
    let earlier = earlier.as_ref().map(|earlier| &earlier.files_sha256);
    write_stages(&files, &done, scan.grid(), (&mut sidecar, earlier))?;
    write_json(&sidecar_path, &sidecar)?;
    files.remove_stale(earlier, &sidecar.files_sha256)?;
    Ok(Done { image: relative, sha256: sidecar.image_sha256, up_to_date: false, quality: sidecar.quality })
}

fn compute(
    scan: &Volume<f32>,
    request: &Request<'_>,
    extractor: &ForScan<'_>,
) -> anyhow::Result<Preprocessed> {
    Ok(match extractor {
        ForScan::None => preprocess(scan, request.config)?,
        ForScan::Shared(extractor) => preprocess_with_brain(scan, request.config, *extractor)?,
        ForScan::File(file) => preprocess_with_brain(scan, request.config, &file.read(scan)?)?,
    })
}

/// Writes the mask, the images that are kept and the picture, and notes their hashes.
fn write_stages(
    files: &Files<'_>,
    done: &Preprocessed,
    native: &Grid,
    (sidecar, earlier): (&mut Sidecar, Option<&BTreeMap<String, ContentHash>>),
) -> anyhow::Result<()> {
    let stages = &done.stages;
    if let Some(mask) = &stages.brain_mask {
        let relative = files.mask().relative_path_text();
        let path = files.root.join(&relative);
        let mask = from_closest_canonical(mask, native).map(|&inside| u8::from(inside));
        refuse_foreign_mask(&path, &mask, earlier.and_then(|files| files.get(&relative)))?;
        nifti::write(&path, &mask)?;
        let about = MaskSidecar {
            description: "Brain mask on the scan's own voxels; for research use only",
            r#type: "Brain",
            sources: &sidecar.sources,
            brain_extractor: done.qc.foreground.extractor.as_deref().unwrap_or_default(),
            volume_ml: done.qc.summaries.brain.as_ref().map(|brain| brain.volume_ml),
        };
        write_json(&files.root.join(files.mask().with_extension_json()), &about)?;
    }
    for &keep in files.keep {
        if let Some(volume) = kept(stages, keep) {
            nifti::write(&files.root.join(files.kept(keep)), volume)?;
        }
    }
    if files.pictures {
        let svg = picture::draw(&files.name.scan_id(), done);
        write_atomic(&files.root.join(files.picture()), svg.as_bytes())?;
    }
    for path in files.wanted(stages.brain_mask.is_some(), stages.bias.is_some()) {
        let hash = hash_file(&files.root.join(&path))?;
        sidecar.files_sha256.insert(path, hash);
    }
    Ok(())
}

/// Refuses to replace a mask that is neither what an earlier run recorded nor what this one makes: somebody
/// made it, or corrected it by hand.
fn refuse_foreign_mask(path: &Path, mask: &Volume<u8>, recorded: Option<&ContentHash>) -> anyhow::Result<()> {
    if !path.exists() || recorded.is_some_and(|recorded| hash_file(path).is_ok_and(|now| now == *recorded)) {
        return Ok(());
    }
    // A run that was killed before it wrote its record left the same mask.
    let same = nifti::read_f32(path).is_ok_and(|there| {
        there.dims() == mask.dims()
            && there.as_slice().iter().zip(mask.as_slice()).all(|(a, &b)| (*a > 0.5) == (b == 1))
    });
    anyhow::ensure!(
        same,
        "{} was not written by `brainreel preprocess`, or was changed since, and would be replaced; move it away, and \
         to use it, give its folder with --extractor mask --masks",
        path.display()
    );
    Ok(())
}

fn kept(stages: &Intermediates, keep: Keep) -> Option<&Volume<f32>> {
    match keep {
        Keep::Brain => Some(stages.bias.as_ref().map_or(&stages.uncropped, |bias| &bias.before)),
        Keep::Field => stages.bias.as_ref().map(|bias| &bias.field),
        Keep::Corrected => Some(&stages.uncropped),
    }
}

/// The sidecar, if it says that it was made from the same input in the same way, and all files are
/// still those that were written.
fn finished_before(sidecar: &Path, files: &Files<'_>, provenance: &Provenance) -> Option<Sidecar> {
    let sidecar = read_sidecar(sidecar)?;
    if sidecar.provenance != *provenance {
        return None;
    }
    let intact =
        |path: &str, hash: &ContentHash| hash_file(&files.root.join(path)).is_ok_and(|now| now == *hash);
    let quality = &sidecar.quality.summaries;
    let beside = files.wanted(quality.brain.is_some(), quality.bias.is_some());
    let all_intact = intact(&files.network().relative_path_text(), &sidecar.image_sha256)
        && beside.iter().all(|path| sidecar.files_sha256.get(path).is_some_and(|hash| intact(path, hash)));
    all_intact.then_some(sidecar)
}

pub(super) fn read_sidecar(path: &Path) -> Option<Sidecar> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
