//! One series, from its files to the image and its sidecar.

use std::fmt::Display;
use std::path::Path;

use brainreel_artifact::{ContentHash, HashBuilder, Provenance, hash_file};
use brainreel_formats::bids::{RawSidecar, read_sidecar, write_sidecar};
use brainreel_formats::dicom::load_series_with;
use serde::Serialize;

use super::plan::{self, Planned, Rules};
use super::{ConvertRequest, STAGE_REVISION};
use crate::{Reporter, StageError};

/// A series that is in the dataset.
pub(super) struct Converted {
    /// Whether an earlier run had already converted it.
    pub(super) up_to_date: bool,
    /// What was odd about it.
    pub(super) warnings: Vec<String>,
}

/// What the voxels of a series depend on beside its files.
#[derive(Serialize)]
struct Parameters {
    position_tolerance: f64,
}

/// Converts a series unless that was done before.
pub(super) fn convert(
    planned: &Planned<'_>,
    request: &ConvertRequest,
    rules: &Rules<'_>,
    reporter: &Reporter<'_>,
) -> Result<Converted, StageError> {
    let name = planned.bids_name()?;
    let image = request.bids.join(name.relative_path());
    let sidecar = request.bids.join(name.with_extension_json());
    let options = request.config.load_options();
    let parameters = Parameters { position_tolerance: options.position_tolerance };
    let provenance = Provenance::new("convert", STAGE_REVISION, &parameters, hash_files(planned)?);
    let warn = |warnings: &[String]| {
        for warning in warnings {
            reporter.warn(format!("{}: {warning}", planned.scan_id));
        }
    };
    if let Some(RawSidecar { warnings, .. }) = read_finished(&sidecar, &image, &provenance) {
        warn(&warnings);
        return Ok(Converted { up_to_date: true, warnings });
    }
    let loaded = load_series_with(planned.series, options)?;
    let portable =
        |warning: &dyn Display| plan::portable(&warning.to_string(), planned.series.paths(), rules);
    let warnings: Vec<String> = loaded.warnings.iter().map(|warning| portable(warning)).collect();
    warn(&warnings);
    loaded.volume.write_nifti(&image)?;
    let content = RawSidecar {
        acquisition: RawSidecar::acquisition_fields(&loaded.sidecar),
        warnings,
        image_sha256: hash_file(&image)?,
        provenance,
    };
    write_sidecar(&sidecar, &content)?;
    Ok(Converted { up_to_date: false, warnings: content.warnings })
}

/// Hash of all files of a series; pixels may be corrected in place.
pub(super) fn hash_files(planned: &Planned<'_>) -> Result<ContentHash, StageError> {
    let mut files = planned.series.paths().map(hash_file).collect::<Result<Vec<_>, _>>()?;
    files.sort_unstable();
    Ok(files.iter().fold(HashBuilder::new(), |builder, hash| builder.part(hash.as_str())).finish())
}

/// The sidecar of an image that was converted in just this way and not touched since.
fn read_finished(sidecar: &Path, image: &Path, provenance: &Provenance) -> Option<RawSidecar> {
    read_sidecar(sidecar).filter(|sidecar: &RawSidecar| {
        sidecar.provenance.is_same_work(provenance)
            && hash_file(image).is_ok_and(|hash| hash == sidecar.image_sha256)
    })
}
