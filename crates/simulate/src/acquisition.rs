//! How a head is scanned: site, scanner, geometry, pose, contrast, bias field and noise.

use brainreel_artifact::derive_seed;
use brainreel_named::named;
use brainreel_volume::{Affine, Grid};

use crate::random::Random;
use crate::subject::{Subject, Visit, site_number};
use crate::tissue::{N_TISSUES, Tissue};
use crate::{SimulateConfig, SimulateError};

named! {
    /// Plane in which slices are stored.
    pub enum Plane {
        /// Slices from right to left; rows run to the back, columns to the feet.
        Sagittal = "sagittal",
        /// Slices from feet to head; rows run to the left, columns to the back.
        Axial = "axial",
    }
}

/// The scanner of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanner {
    /// Number of the site, the first part of a PTID.
    pub site_number: usize,
    /// Manufacturer as written into DICOM.
    pub manufacturer: &'static str,
    /// Model name as written into DICOM.
    pub model: &'static str,
    /// Field strength in tesla.
    pub field_tesla: f64,
    /// Name of the series as the site's technologists type it.
    pub description: &'static str,
    /// Slice orientation.
    pub plane: Plane,
    /// Voxel size over the nominal one: along a row, along a column, between slices.
    pub spacing_factors: [f64; 3],
    /// Stored value of white matter without bias.
    pub white_signal: f64,
    seed: u64,
}

/// Timing of the sequence, for the DICOM header.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Repetition time, ms.
    pub repetition_ms: f64,
    /// Echo time, ms.
    pub echo_ms: f64,
    /// Inversion time, ms.
    pub inversion_ms: f64,
    /// Flip angle, degrees.
    pub flip_deg: f64,
}

struct Model {
    manufacturer: &'static str,
    name: &'static str,
    field_tesla: f64,
    description: &'static str,
    plane: Plane,
    spacing_factors: [f64; 3],
    white_signal: f64,
}

const fn model(
    vendor: (&'static str, &'static str, f64),
    series: (&'static str, Plane),
    spacing_factors: [f64; 3],
    white_signal: f64,
) -> Model {
    Model {
        manufacturer: vendor.0,
        name: vendor.1,
        field_tesla: vendor.2,
        description: series.0,
        plane: series.1,
        spacing_factors,
        white_signal,
    }
}

const SIEMENS: &str = "SIEMENS";
const GE: &str = "GE MEDICAL SYSTEMS";
const PHILIPS: &str = "Philips Medical Systems";

/// Scanners in the order in which sites get them; further sites start again from the top.
const MODELS: [Model; 8] = [
    model((SIEMENS, "Sonata", 1.5), ("MPRAGE", Plane::Sagittal), [1.0, 1.0, 1.2], 420.0),
    model((GE, "SIGNA EXCITE", 1.5), ("MP-RAGE", Plane::Sagittal), [0.94, 0.94, 1.2], 1900.0),
    model((PHILIPS, "Intera", 3.0), ("MPRAGE SENSE", Plane::Sagittal), [1.0, 1.0, 1.2], 1100.0),
    model((SIEMENS, "TrioTim", 3.0), ("MPRAGE", Plane::Sagittal), [1.0, 1.0, 1.2], 350.0),
    model((GE, "DISCOVERY MR750", 3.0), ("IR-SPGR", Plane::Axial), [1.0, 1.0, 1.0], 2600.0),
    model((PHILIPS, "Achieva", 1.5), ("MPRAGE", Plane::Sagittal), [0.94, 0.94, 1.2], 1500.0),
    model((SIEMENS, "Prisma", 3.0), ("Accelerated Sagittal MPRAGE", Plane::Sagittal), [1.0, 1.0, 1.0], 480.0),
    model((GE, "Signa HDxt", 1.5), ("MP-RAGE REPEAT", Plane::Sagittal), [1.0, 1.0, 1.2], 1700.0),
];

/// One scan's settings. Public fields can be changed to render the same head in another way.
#[derive(Debug, Clone, PartialEq)]
pub struct Acquisition {
    /// Voxel size: along a row, along a column, between slices (mm).
    pub spacing_mm: [f64; 3],
    /// Field of view along the same axes (mm).
    pub extent_mm: [f64; 3],
    /// Slice orientation.
    pub plane: Plane,
    /// Rotation of the slice package about the x, y and z axis (degrees).
    pub oblique_deg: [f64; 3],
    /// Middle of the field of view in the scanner (RAS+ mm).
    pub centre_mm: [f64; 3],
    /// Rotation of the head about the x, y and z axis (degrees).
    pub pose_deg: [f64; 3],
    /// Position of the anterior commissure in the scanner (RAS+ mm).
    pub pose_mm: [f64; 3],
    /// Stored value of white matter without bias.
    pub white_signal: f64,
    /// Signal of each tissue relative to white matter, in the order of [`Tissue::all`].
    pub contrast: [f32; N_TISSUES],
    /// Standard deviation of each channel of the complex noise, relative to white matter.
    pub noise: f64,
    /// Largest deviation of the log bias field within the field of view.
    pub bias: f64,
    /// Seed of noise and bias field.
    pub seed: u64,
}

impl Scanner {
    /// The scanner of site `site` (from 0) of a cohort.
    #[must_use]
    pub fn of_site(config: &SimulateConfig, site: usize) -> Self {
        let model = &MODELS[site % MODELS.len()];
        Self {
            site_number: site_number(site),
            manufacturer: model.manufacturer,
            model: model.name,
            field_tesla: model.field_tesla,
            description: model.description,
            plane: model.plane,
            spacing_factors: model.spacing_factors,
            white_signal: model.white_signal,
            seed: derive_seed(config.seed, "simulate-site", &[&site.to_string()]),
        }
    }

    /// Timing that the vendor's protocol uses.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let (repetition_ms, echo_ms, inversion_ms, flip_deg) =
            match (self.manufacturer, self.field_tesla > 2.0) {
                (GE, true) => (7.34, 3.04, 400.0, 11.0),
                (GE, false) => (8.59, 3.8, 1000.0, 8.0),
                (PHILIPS, true) => (6.8, 3.16, 900.0, 9.0),
                (PHILIPS, false) => (8.55, 4.0, 1000.0, 8.0),
                (_, true) => (2300.0, 2.98, 900.0, 9.0),
                (_, false) => (2400.0, 3.54, 1000.0, 8.0),
            };
        Timing { repetition_ms, echo_ms, inversion_ms, flip_deg }
    }

    /// Signals relative to white matter at this site, before any difference between scans.
    fn contrast(&self) -> [f32; N_TISSUES] {
        let mut random = Random::new(self.seed);
        let high_field = self.field_tesla > 2.0;
        let grey = 0.655 + if high_field { -0.02 } else { 0.02 } + 0.012 * random.bounded_normal(2.0);
        let (grey, fat) = match self.manufacturer {
            GE => (grey + 0.012, 1.12),
            PHILIPS => (grey - 0.008, 1.32),
            _ => (grey, 1.22),
        };
        let fluid = if high_field { 0.19 } else { 0.24 } + 0.012 * random.bounded_normal(2.0);
        let fat = fat + 0.04 * random.bounded_normal(2.0);
        let mut contrast = [0.0; N_TISSUES];
        for &tissue in Tissue::all() {
            contrast[tissue as usize] = relative_signal(tissue, grey, fluid, fat) as f32;
        }
        contrast
    }
}

/// Signal on a T1-weighted gradient echo, relative to white matter.
fn relative_signal(tissue: Tissue, grey: f64, fluid: f64, fat: f64) -> f64 {
    let between = |share: f64| grey + share * (1.0 - grey);
    match tissue {
        Tissue::Air => 0.0,
        Tissue::Csf | Tissue::LateralVentricle | Tissue::ThirdVentricle | Tissue::FourthVentricle => fluid,
        Tissue::Cortex | Tissue::Hippocampus | Tissue::Amygdala => grey,
        Tissue::CerebellarCortex => grey - 0.01,
        Tissue::White => 1.0,
        Tissue::Caudate => between(0.12),
        Tissue::Putamen => between(0.3),
        Tissue::Thalamus => between(0.52),
        Tissue::Pallidum => between(0.78),
        Tissue::CerebellarWhite => 0.97,
        Tissue::Brainstem => 0.88,
        Tissue::SpinalCord => 0.86,
        Tissue::Bone => 0.07,
        Tissue::Marrow => 0.62 * fat,
        Tissue::Fat => fat,
        Tissue::Muscle => 0.46,
        Tissue::Skin => 0.6,
        Tissue::Globe => fluid - 0.03,
    }
}

impl Acquisition {
    /// A straight sagittal scan of an unrotated head, 3 T contrast, no noise and no bias field.
    #[must_use]
    pub fn plain(spacing_mm: [f64; 3], plane: Plane) -> Self {
        let scanner = Scanner::of_site(&SimulateConfig::default(), 3);
        Self {
            spacing_mm,
            extent_mm: extent(plane),
            plane,
            oblique_deg: [0.0; 3],
            centre_mm: centre(plane),
            pose_deg: [0.0; 3],
            pose_mm: [0.0; 3],
            white_signal: 1000.0,
            contrast: scanner.contrast(),
            noise: 0.0,
            bias: 0.0,
            seed: 0,
        }
    }

    /// Draws the settings of one scan: the site's habits and the day's accidents.
    #[must_use]
    pub fn draw(config: &SimulateConfig, subject: &Subject, visit: &Visit) -> Self {
        let scanner = Scanner::of_site(config, subject.site);
        let seed = derive_seed(
            config.seed,
            "simulate-scan",
            &[&subject.index.to_string(), &visit.index.to_string()],
        );
        let mut random = Random::new(seed);
        let plane = scanner.plane;
        let mut spread = |sd: [f64; 3]| sd.map(|sd| sd * random.bounded_normal(2.0));
        let pose_deg = spread([4.0, 1.5, 2.0]);
        let pose_mm = spread([2.0, 3.0, 3.0]);
        let oblique_deg = spread([1.5, 1.0, 1.0]);
        let off_centre = spread([2.0, 4.0, 4.0]);
        let centre = centre(plane);
        let field = (scanner.field_tesla - 2.25) / 0.75;
        let mut contrast = scanner.contrast();
        for signal in &mut contrast {
            *signal *= 1.0 + 0.008 * random.bounded_normal(2.0) as f32;
        }
        Self {
            spacing_mm: scanner.spacing_factors.map(|factor| factor * config.spacing_mm),
            extent_mm: extent(plane),
            plane,
            oblique_deg,
            centre_mm: [0, 1, 2].map(|axis| centre[axis] + off_centre[axis]),
            pose_deg,
            pose_mm,
            white_signal: scanner.white_signal * (0.08 * random.bounded_normal(2.0)).exp(),
            contrast,
            noise: config.noise * (1.0 - 0.2 * field) * (0.15 * random.bounded_normal(2.0)).exp(),
            bias: config.bias * (1.0 + 0.25 * field) * (0.2 * random.bounded_normal(2.0)).exp(),
            seed: random.next(),
        }
    }

    /// The voxels of the scan in scanner space.
    ///
    /// # Errors
    /// [`SimulateError::Grid`] if the spacing is not between 0.4 and 10 mm.
    pub fn grid(&self) -> Result<Grid, SimulateError> {
        let error = || SimulateError::Grid { spacing_mm: self.spacing_mm };
        if !self.spacing_mm.iter().all(|s| (0.4..=10.0).contains(s)) {
            return Err(error());
        }
        let directions = match self.plane {
            Plane::Sagittal => [[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]],
            Plane::Axial => [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]],
        };
        let rotation = rotation(self.oblique_deg);
        let dims =
            [0, 1, 2].map(|axis| 2 * (0.5 * self.extent_mm[axis] / self.spacing_mm[axis]).round() as usize);
        let mut rows = [[0.0; 4]; 4];
        for row in 0..3 {
            rows[row][3] = self.centre_mm[row];
            for axis in 0..3 {
                let direction: f64 = (0..3).map(|k| rotation[row][k] * directions[axis][k]).sum();
                rows[row][axis] = direction * self.spacing_mm[axis];
                rows[row][3] -= 0.5 * (dims[axis] as f64 - 1.0) * rows[row][axis];
            }
        }
        let affine = Affine::new(rows).map_err(|_| error())?;
        Grid::new(dims, affine).map_err(|_| error())
    }

    /// Maps scanner space to the subject's own space (origin at the anterior commissure).
    pub(crate) fn world_to_head(&self, world: [f64; 3]) -> [f64; 3] {
        let rotation = rotation(self.pose_deg);
        let v = [0, 1, 2].map(|axis| world[axis] - self.pose_mm[axis]);
        // The inverse of a rotation is its transpose.
        [0, 1, 2].map(|axis| (0..3).map(|row| rotation[row][axis] * v[row]).sum())
    }
}

/// Field of view along row, column and slice direction, in mm.
const fn extent(plane: Plane) -> [f64; 3] {
    match plane {
        Plane::Sagittal => [240.0, 256.0, 176.0],
        Plane::Axial => [184.0, 240.0, 212.0],
    }
}

/// Middle of the field of view: sagittal scans reach the neck, axial ones end below the cerebellum.
const fn centre(plane: Plane) -> [f64; 3] {
    match plane {
        Plane::Sagittal => [0.0, -10.0, -26.0],
        Plane::Axial => [0.0, -10.0, -4.0],
    }
}

/// Rotation about x, then y, then z.
fn rotation(degrees: [f64; 3]) -> [[f64; 3]; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] = degrees.map(|d| d.to_radians().sin_cos());
    [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
}

/// A smooth multiplicative field: the exponential of a random cubic polynomial.
#[derive(Debug, Clone)]
pub(crate) struct BiasField {
    coefficients: [f32; 13],
    centre: [f32; 3],
}

impl BiasField {
    pub(crate) fn new(acquisition: &Acquisition) -> Self {
        let mut random = Random::new(derive_seed(acquisition.seed, "bias", &[]));
        let spread = [1.0, 1.0, 1.0, 0.8, 0.8, 0.8, 0.5, 0.5, 0.5, 0.35, 0.35, 0.35, 0.35];
        let coefficients = spread.map(|sd| (sd * random.bounded_normal(2.0)) as f32);
        let mut field = Self { coefficients, centre: acquisition.centre_mm.map(|c| c as f32) };
        let corners = (0..125).map(|i| [i % 5, i / 5 % 5, i / 25].map(|a| (a as f32 - 2.0) * 0.35));
        let largest = corners.map(|u| field.polynomial(u).abs()).fold(1e-3, f32::max);
        let scale = acquisition.bias as f32 / largest;
        field.coefficients.iter_mut().for_each(|c| *c *= scale);
        field
    }

    /// Gain at a point of the scanner, in mm.
    pub(crate) fn gain(&self, world: [f32; 3]) -> f32 {
        self.polynomial([0, 1, 2].map(|axis| (world[axis] - self.centre[axis]) / 120.0)).exp()
    }

    fn polynomial(&self, [x, y, z]: [f32; 3]) -> f32 {
        let terms = [
            x,
            y,
            z,
            x * x - 0.2,
            y * y - 0.2,
            z * z - 0.2,
            x * y,
            y * z,
            x * z,
            x * x * x,
            y * y * y,
            z * z * z,
            x * y * z,
        ];
        terms.iter().zip(&self.coefficients).map(|(t, c)| t * c).sum()
    }
}
