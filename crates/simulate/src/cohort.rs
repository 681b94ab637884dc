//! A whole cohort on disk: DICOM tree, IDA table and truth.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use brainreel_artifact::{HashBuilder, Provenance, write_atomic, write_json};
use brainreel_formats::dicom::{SeriesTags, uid_from, write_series};
use brainreel_formats::nifti;
use brainreel_volume::Volume;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::acquisition::Acquisition;
use crate::layout::{IDA_COLUMNS, ScanPlan, TruthRow};
use crate::render::{RenderedHead, render};
use crate::subject::{Diagnosis, Subject};
use crate::{SimulateConfig, SimulateError};

/// Raised whenever the simulated voxels, names or tables change.
const REVISION: u32 = 1;
/// Voxels held at a time by scans that are rendered side by side.
const VOXELS_IN_FLIGHT: usize = 12_000_000;

/// What a simulation made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CohortSummary {
    /// Subjects with Alzheimer's disease.
    pub n_subjects_ad: usize,
    /// Cognitively normal subjects.
    pub n_subjects_cn: usize,
    /// Scans of all subjects.
    pub n_scans: usize,
    /// Scans that an earlier run had already finished.
    pub n_scans_kept: usize,
    /// Root of the DICOM tree.
    pub dicom: PathBuf,
    /// IDA collection table.
    pub csv: PathBuf,
    /// Table of the truth.
    pub truth: PathBuf,
    /// Means over the scans of subjects with Alzheimer's disease; `None` without such scans.
    pub mean_ad: Option<MeanVolumes>,
    /// Means over the scans of cognitively normal subjects; `None` without such scans.
    pub mean_cn: Option<MeanVolumes>,
}

/// Mean volumes over a group's scans, in mm3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanVolumes {
    /// Left and right hippocampus together.
    pub hippocampi_mm3: f64,
    /// Both lateral ventricles.
    pub lateral_ventricles_mm3: f64,
    /// Grey and white matter.
    pub brain_mm3: f64,
}

impl MeanVolumes {
    fn of(rows: &[TruthRow], diagnosis: Diagnosis) -> Option<Self> {
        let group: Vec<&TruthRow> = rows.iter().filter(|row| row.diagnosis == diagnosis.code()).collect();
        let mean = |value: fn(&TruthRow) -> f64| {
            group.iter().map(|row| value(row)).sum::<f64>() / group.len() as f64
        };
        (!group.is_empty()).then(|| Self {
            hippocampi_mm3: mean(|row| row.hippocampus_left_mm3 + row.hippocampus_right_mm3),
            lateral_ventricles_mm3: mean(|row| row.lateral_ventricles_mm3),
            brain_mm3: mean(|row| row.brain_mm3),
        })
    }
}

/// Writes a cohort under `out`: `ADNI/<PTID>/<description>/<date>/<image id>/*.dcm`, the IDA table
/// `ADNI_simulated.csv`, and in `truth/` the table `truth.tsv` and, if asked for, `<image id>/`
/// `labels.nii.gz`, `mask.nii.gz` and `bias.nii.gz`.
///
/// Calls `progress(done, total)` after every scan, from any thread. A scan that an earlier call with
/// the same options finished is kept.
///
/// # Determinism
/// The same bytes for any number of threads and whether or not the work was interrupted.
///
/// # Errors
/// [`SimulateError`]: an option out of range, a folder that holds another cohort, or a file that cannot
/// be written.
pub fn simulate_cohort(
    out: &Path,
    config: &SimulateConfig,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<CohortSummary, SimulateError> {
    config.validate()?;
    claim(out, config)?;
    let subjects = Subject::draw_cohort(config);
    let pairs = subjects.iter().flat_map(|subject| subject.visits.iter().map(move |visit| (subject, visit)));
    let plans: Vec<ScanPlan<'_>> =
        pairs.enumerate().map(|(at, (subject, visit))| ScanPlan::new(config, subject, visit, at)).collect();
    let (done, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut rows = Vec::with_capacity(plans.len());
    for group in plans.chunks(scans_in_flight(config)) {
        let finished: Vec<TruthRow> = group
            .par_iter()
            .map(|plan| {
                let row = match finished_row(out, config, plan) {
                    Some(row) => {
                        kept.fetch_add(1, Ordering::Relaxed);
                        row
                    }
                    None => make_scan(out, config, plan)?,
                };
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, plans.len());
                Ok(row)
            })
            .collect::<Result<_, SimulateError>>()?;
        rows.extend(finished);
    }
    let csv = out.join("ADNI_simulated.csv");
    write_ida(&csv, &plans)?;
    let truth = out.join("truth").join("truth.tsv");
    write_truth(&truth, &rows)?;
    Ok(CohortSummary {
        n_subjects_ad: config.n_ad(),
        n_subjects_cn: config.n_subjects - config.n_ad(),
        n_scans: plans.len(),
        n_scans_kept: kept.into_inner(),
        dicom: out.join("ADNI"),
        csv,
        truth,
        mean_ad: MeanVolumes::of(&rows, Diagnosis::Alzheimer),
        mean_cn: MeanVolumes::of(&rows, Diagnosis::Normal),
    })
}

/// Stamps the folder with the options, or checks that it carries the same stamp.
fn claim(out: &Path, config: &SimulateConfig) -> Result<(), SimulateError> {
    let path = out.join("truth").join("provenance.json");
    let stamp = Provenance::new("simulate", REVISION, config, HashBuilder::new().finish());
    if !path.exists() {
        return Ok(stamp.write(&path)?);
    }
    if Provenance::read(&path).as_ref() == Some(&stamp) {
        Ok(())
    } else {
        Err(SimulateError::OtherCohort { path })
    }
}

/// How many scans to render side by side, so that memory stays bounded.
fn scans_in_flight(config: &SimulateConfig) -> usize {
    let voxels = 240.0 * 256.0 * 176.0 / config.spacing_mm.powi(3);
    ((VOXELS_IN_FLIGHT as f64 / voxels) as usize).clamp(1, 64)
}

/// The row that an earlier run left as its last file of a scan.
fn finished_row(out: &Path, config: &SimulateConfig, plan: &ScanPlan<'_>) -> Option<TruthRow> {
    let row: TruthRow = serde_json::from_slice(&fs::read(marker(out, plan)).ok()?).ok()?;
    let folder = plan.dicom_folder(out);
    let n_slices = Acquisition::draw(config, plan.subject, plan.visit).grid().ok()?.dims()[2];
    let complete =
        row.image_id == plan.image_id() && (0..n_slices).all(|k| folder.join(plan.slice_name(k)).is_file());
    complete.then_some(row)
}

fn marker(out: &Path, plan: &ScanPlan<'_>) -> PathBuf {
    plan.truth_folder(out).join("truth.json")
}

fn make_scan(out: &Path, config: &SimulateConfig, plan: &ScanPlan<'_>) -> Result<TruthRow, SimulateError> {
    let acquisition = Acquisition::draw(config, plan.subject, plan.visit);
    let head = render(plan.subject, plan.visit, &acquisition)?;
    write_slices(out, config, plan, &head.image)?;
    if config.truth_images {
        write_truth_images(&plan.truth_folder(out), &head)?;
    }
    let row = plan.truth_row(head.volumes);
    write_json(&marker(out, plan), &row)?;
    Ok(row)
}

fn write_slices(
    out: &Path,
    config: &SimulateConfig,
    plan: &ScanPlan<'_>,
    image: &Volume<f32>,
) -> Result<(), SimulateError> {
    let seed = config.seed.to_string();
    let timing = plan.scanner.timing();
    let tags = SeriesTags {
        patient_id: plan.subject.ptid.clone(),
        patient_sex: plan.subject.sex.code().to_owned(),
        patient_age_years: Some(plan.subject.age_at(plan.visit) as u32),
        study_uid: uid_from(&["simulated study", &seed, &plan.image_id()]),
        series_uid: uid_from(&["simulated series", &seed, &plan.image_id()]),
        date: plan.visit.date.compact(),
        time: plan.time(),
        description: plan.scanner.description.to_owned(),
        series_number: 2,
        manufacturer: plan.scanner.manufacturer.to_owned(),
        model: plan.scanner.model.to_owned(),
        field_strength_t: plan.scanner.field_tesla,
        repetition_time_ms: timing.repetition_ms,
        echo_time_ms: timing.echo_ms,
        inversion_time_ms: Some(timing.inversion_ms),
        flip_angle_deg: timing.flip_deg,
    };
    let stored = image.map(|&value| value.round().clamp(0.0, 32_767.0) as u16);
    let folder = plan.dicom_folder(out);
    write_series(&folder, &stored, &tags, &|k| plan.slice_name(k))
        .map_err(|source| SimulateError::Image { path: folder.clone(), source: Box::new(source) })?;
    Ok(())
}

fn write_truth_images(folder: &Path, head: &RenderedHead) -> Result<(), SimulateError> {
    let failed = |name: &str, source: nifti::NiftiError| SimulateError::Image {
        path: folder.join(name),
        source: Box::new(source),
    };
    nifti::write(&folder.join("labels.nii.gz"), &head.labels).map_err(|e| failed("labels.nii.gz", e))?;
    nifti::write(&folder.join("mask.nii.gz"), &head.mask).map_err(|e| failed("mask.nii.gz", e))?;
    // Ten bits of a smooth field are plenty, and compress well.
    let bias = head.bias.map(|&gain| (gain * 1024.0).round() / 1024.0);
    nifti::write(&folder.join("bias.nii.gz"), &bias).map_err(|e| failed("bias.nii.gz", e))
}

fn write_ida(path: &Path, plans: &[ScanPlan<'_>]) -> Result<(), SimulateError> {
    let mut table = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    let failed = |source| SimulateError::Table { path: path.to_owned(), source };
    table.write_record(IDA_COLUMNS).map_err(failed)?;
    for plan in plans {
        table.write_record(plan.ida_row()).map_err(failed)?;
    }
    finish(path, table)
}

fn write_truth(path: &Path, rows: &[TruthRow]) -> Result<(), SimulateError> {
    let mut table = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    for row in rows {
        table.serialize(row).map_err(|source| SimulateError::Table { path: path.to_owned(), source })?;
    }
    finish(path, table)
}

fn finish(path: &Path, table: csv::Writer<Vec<u8>>) -> Result<(), SimulateError> {
    let bytes = table
        .into_inner()
        .map_err(|error| SimulateError::Table { path: path.to_owned(), source: error.into_error().into() })?;
    Ok(write_atomic(path, &bytes)?)
}
