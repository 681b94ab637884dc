//! Names in the download: folders, files, image ids and the rows of its tables.

use std::path::{Path, PathBuf};

use brainreel_artifact::derive_seed;
use serde::{Deserialize, Serialize};

use crate::acquisition::Scanner;
use crate::random::Random;
use crate::render::TissueVolumes;
use crate::subject::{Subject, Visit};
use crate::{Plane, SimulateConfig};

/// One scan of a cohort and everything that its names are made of.
#[derive(Debug, Clone)]
pub(crate) struct ScanPlan<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) visit: &'a Visit,
    pub(crate) scanner: Scanner,
    image_number: usize,
    series_number: usize,
    /// Hour, minute, second.
    clock: [usize; 3],
    upload: usize,
}

impl<'a> ScanPlan<'a> {
    /// `ordinal` counts the scans of the whole cohort.
    pub(crate) fn new(
        config: &SimulateConfig,
        subject: &'a Subject,
        visit: &'a Visit,
        ordinal: usize,
    ) -> Self {
        let mut random = Random::new(derive_seed(
            config.seed,
            "simulate-clock",
            &[&subject.ptid, &visit.index.to_string()],
        ));
        Self {
            subject,
            visit,
            scanner: Scanner::of_site(config, subject.site),
            image_number: 13_893 + 7 * ordinal,
            series_number: 13_408 + 3 * ordinal,
            clock: [7 + random.below(11), random.below(60), random.below(60)],
            upload: random.below(86_400_000),
        }
    }

    /// Image id, for instance `I13893`.
    pub(crate) fn image_id(&self) -> String {
        format!("I{}", self.image_number)
    }

    /// Time of the scan as `HHMMSS`.
    pub(crate) fn time(&self) -> String {
        let [hour, minute, second] = self.clock;
        format!("{hour:02}{minute:02}{second:02}")
    }

    /// Folder of the slices.
    pub(crate) fn dicom_folder(&self, out: &Path) -> PathBuf {
        let [hour, minute, second] = self.clock;
        out.join("ADNI")
            .join(&self.subject.ptid)
            .join(self.scanner.description.replace(' ', "_"))
            .join(format!("{}_{hour:02}_{minute:02}_{second:02}.0", self.visit.date))
            .join(self.image_id())
    }

    /// File name of slice `k`, counted from 0.
    pub(crate) fn slice_name(&self, k: usize) -> String {
        let (ms, s) = (self.upload % 1000, self.upload / 1000);
        format!(
            "ADNI_{}_MR_{}_br_raw_{}{:02}{:02}{:02}{ms:03}_{}_S{}_{}.dcm",
            self.subject.ptid,
            self.scanner.description.replace(' ', "_"),
            self.visit.date.compact(),
            s / 3600,
            s / 60 % 60,
            s % 60,
            k + 1,
            self.series_number,
            self.image_id()
        )
    }

    /// Folder of the truth of this scan.
    pub(crate) fn truth_folder(&self, out: &Path) -> PathBuf {
        out.join("truth").join(self.image_id())
    }

    /// Row of the IDA collection table, see [`IDA_COLUMNS`].
    pub(crate) fn ida_row(&self) -> [String; 12] {
        let age = self.subject.age_at(self.visit).floor();
        [
            self.image_id(),
            self.subject.ptid.clone(),
            self.subject.diagnosis.code().to_owned(),
            self.subject.sex.code().to_owned(),
            format!("{age:.0}"),
            self.visit.code.to_owned(),
            "MRI".to_owned(),
            self.scanner.description.to_owned(),
            "Original".to_owned(),
            self.visit.date.month_day_year(),
            "DCM".to_owned(),
            "1/01/2026".to_owned(),
        ]
    }

    /// Row of `truth.tsv`.
    pub(crate) fn truth_row(&self, volumes: TissueVolumes) -> TruthRow {
        let targets = self.subject.targets(self.visit);
        // Rounded so that a row read back from JSON is the same to the last bit.
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        TruthRow {
            image_id: self.image_id(),
            subject: self.subject.ptid.clone(),
            visit: self.visit.code.to_owned(),
            years: round(self.visit.years),
            diagnosis: self.subject.diagnosis.code().to_owned(),
            sex: self.subject.sex.code().to_owned(),
            age: round(self.subject.age_at(self.visit)),
            severity: round(self.subject.severity),
            site: self.scanner.site_number,
            manufacturer: self.scanner.manufacturer.to_owned(),
            model: self.scanner.model.to_owned(),
            field_tesla: self.scanner.field_tesla,
            plane: self.scanner.plane,
            hippocampus_left_mm3: round(volumes.hippocampus_left_mm3),
            hippocampus_right_mm3: round(volumes.hippocampus_right_mm3),
            lateral_ventricles_mm3: round(volumes.lateral_ventricles_mm3),
            grey_mm3: round(volumes.grey_mm3),
            white_mm3: round(volumes.white_mm3),
            csf_mm3: round(volumes.csf_mm3),
            brain_mm3: round(volumes.brain_mm3),
            intracranial_mm3: round(volumes.intracranial_mm3),
            cortex_mm: round(targets.cortex_mm),
            sulcus_mm: round(targets.sulcus_mm),
        }
    }
}

/// Columns of the IDA collection table.
pub(crate) const IDA_COLUMNS: [&str; 12] = [
    "Image Data ID",
    "Subject",
    "Group",
    "Sex",
    "Age",
    "Visit",
    "Modality",
    "Description",
    "Type",
    "Acq Date",
    "Format",
    "Downloaded",
];

/// What is known about a scan: one row of `truth/truth.tsv`. Volumes are measured from the tissue
/// shares of the rendered voxels; thickness and sulcal width are what the head was built with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthRow {
    /// Image id as in the IDA table.
    pub image_id: String,
    /// PTID.
    pub subject: String,
    /// Visit code.
    pub visit: String,
    /// Years since the first visit.
    pub years: f64,
    /// `AD` or `CN`.
    pub diagnosis: String,
    /// `F` or `M`.
    pub sex: String,
    /// Age at the scan, in years.
    pub age: f64,
    /// Latent severity at the first visit, in SD of the controls.
    pub severity: f64,
    /// Number of the site.
    pub site: usize,
    /// Manufacturer of the scanner.
    pub manufacturer: String,
    /// Model of the scanner.
    pub model: String,
    /// Field strength in tesla.
    pub field_tesla: f64,
    /// Slice orientation.
    pub plane: Plane,
    /// Left hippocampus, mm3.
    pub hippocampus_left_mm3: f64,
    /// Right hippocampus, mm3.
    pub hippocampus_right_mm3: f64,
    /// Both lateral ventricles, mm3.
    pub lateral_ventricles_mm3: f64,
    /// Grey matter, mm3.
    pub grey_mm3: f64,
    /// White matter, mm3.
    pub white_mm3: f64,
    /// Fluid inside the skull, mm3.
    pub csf_mm3: f64,
    /// Grey and white matter, mm3.
    pub brain_mm3: f64,
    /// Everything inside the skull above the foramen magnum, mm3.
    pub intracranial_mm3: f64,
    /// Mean thickness of the cortex, mm.
    pub cortex_mm: f64,
    /// Width of an average sulcus, mm.
    pub sulcus_mm: f64,
}
