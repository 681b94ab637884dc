//! From a head and an acquisition to voxels.

use brainreel_artifact::derive_seed;
use brainreel_volume::{Affine, Grid, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::SimulateError;
use crate::acquisition::{Acquisition, BiasField};
use crate::anatomy::{Anatomy, Pattern, Sample};
use crate::random::normal_pair;
use crate::subject::{Subject, Visit};
use crate::tissue::{N_TISSUES, Tissue};

/// A scan with everything that is known about it.
#[derive(Debug, Clone)]
pub struct RenderedHead {
    /// Magnitude image: tissue signals times gain, with Rician noise.
    pub image: Volume<f32>,
    /// Dominant tissue of each voxel, see [`Tissue::label`].
    pub labels: Volume<u8>,
    /// 1 inside the envelope of cerebrum, cerebellum and brainstem, sulci and ventricles included.
    pub mask: Volume<u8>,
    /// Multiplicative gain that the image was multiplied by.
    pub bias: Volume<f32>,
    /// Volumes measured from the tissue shares of the voxels.
    pub volumes: TissueVolumes,
}

/// Volumes in mm3, measured from tissue shares (not from labels).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TissueVolumes {
    /// Left hippocampus.
    pub hippocampus_left_mm3: f64,
    /// Right hippocampus.
    pub hippocampus_right_mm3: f64,
    /// Both lateral ventricles, temporal horns included.
    pub lateral_ventricles_mm3: f64,
    /// Grey matter: cortex of cerebrum and cerebellum, deep nuclei, hippocampi, amygdalae.
    pub grey_mm3: f64,
    /// White matter of cerebrum and cerebellum, brainstem included.
    pub white_mm3: f64,
    /// Cerebrospinal fluid inside the skull, ventricles included.
    pub csf_mm3: f64,
    /// Grey and white matter together.
    pub brain_mm3: f64,
    /// Everything inside the skull above the foramen magnum.
    pub intracranial_mm3: f64,
}

const GREY: [Tissue; 8] = [
    Tissue::Cortex,
    Tissue::Thalamus,
    Tissue::Caudate,
    Tissue::Putamen,
    Tissue::Pallidum,
    Tissue::Hippocampus,
    Tissue::Amygdala,
    Tissue::CerebellarCortex,
];
const WHITE: [Tissue; 3] = [Tissue::White, Tissue::CerebellarWhite, Tissue::Brainstem];
const FLUID: [Tissue; 4] =
    [Tissue::Csf, Tissue::LateralVentricle, Tissue::ThirdVentricle, Tissue::FourthVentricle];

/// Sums of shares over a slice, right of the midline and left of it.
#[derive(Debug, Clone, Copy)]
struct Tally {
    shares: [[f64; N_TISSUES]; 2],
}

impl Tally {
    const EMPTY: Self = Self { shares: [[0.0; N_TISSUES]; 2] };

    fn add(&mut self, sample: &Sample) {
        let side = &mut self.shares[usize::from(sample.right)];
        for (sum, share) in side.iter_mut().zip(&sample.mixture.0) {
            *sum += f64::from(*share);
        }
        // Fluid around the cord is not intracranial.
        side[Tissue::Csf as usize] -= f64::from(sample.spinal_fluid);
    }

    fn merge(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.shares.iter_mut().flatten().zip(other.shares.iter().flatten()) {
            *mine += theirs;
        }
        self
    }

    fn volumes(&self, voxel_mm3: f64) -> TissueVolumes {
        let side = |tissue: Tissue, right: bool| self.shares[usize::from(right)][tissue as usize] * voxel_mm3;
        let total = |tissues: &[Tissue]| -> f64 {
            tissues.iter().map(|&tissue| side(tissue, false) + side(tissue, true)).sum()
        };
        let (grey, white, csf) = (total(&GREY), total(&WHITE), total(&FLUID));
        TissueVolumes {
            hippocampus_left_mm3: side(Tissue::Hippocampus, false),
            hippocampus_right_mm3: side(Tissue::Hippocampus, true),
            lateral_ventricles_mm3: total(&[Tissue::LateralVentricle]),
            grey_mm3: grey,
            white_mm3: white,
            csf_mm3: csf,
            brain_mm3: grey + white,
            intracranial_mm3: grey + white + csf,
        }
    }
}

/// The affine part of a rendering: voxel to scanner space and to the subject's space.
struct Frames {
    world: Affine,
    head: Affine,
}

impl Frames {
    fn new(grid: &Grid, acquisition: &Acquisition) -> Result<Self, SimulateError> {
        let origin = acquisition.world_to_head([0.0; 3]);
        let mut rows = [[0.0; 4]; 4];
        for axis in 0..3 {
            let mut unit = [0.0; 3];
            unit[axis] = 1.0;
            let image = acquisition.world_to_head(unit);
            for row in 0..3 {
                rows[row][axis] = image[row] - origin[row];
                rows[row][3] = origin[row];
            }
        }
        let pose =
            Affine::new(rows).map_err(|_| SimulateError::Grid { spacing_mm: acquisition.spacing_mm })?;
        Ok(Self { world: *grid.affine(), head: pose.compose(grid.affine()) })
    }
}

/// Renders a subject's head at a visit.
///
/// # Determinism
/// The same bytes for any number of threads.
///
/// # Errors
/// [`SimulateError::Grid`] if the acquisition has no usable grid.
pub fn render(
    subject: &Subject,
    visit: &Visit,
    acquisition: &Acquisition,
) -> Result<RenderedHead, SimulateError> {
    let grid = acquisition.grid()?;
    let frames = Frames::new(&grid, acquisition)?;
    let pattern = Pattern::new(subject.anatomy_seed);
    let atrophy = subject.atrophy(visit);
    let anatomy = Anatomy::new(&pattern, &atrophy, subject.scale);
    let painter = Painter::new(&anatomy, &frames, acquisition, grid.dims());
    let slice = grid.dims()[0] * grid.dims()[1];
    let n = grid.n_voxels();
    let (mut image, mut bias) = (vec![0.0_f32; n], vec![0.0_f32; n]);
    let (mut labels, mut mask) = (vec![0_u8; n], vec![0_u8; n]);
    let tallies: Vec<Tally> = image
        .par_chunks_mut(slice)
        .zip(bias.par_chunks_mut(slice))
        .zip(labels.par_chunks_mut(slice).zip(mask.par_chunks_mut(slice)))
        .enumerate()
        .map(|(k, ((image, bias), (labels, mask)))| painter.slice(k, Slice { image, bias, labels, mask }))
        .collect();
    let tally = tallies.iter().fold(Tally::EMPTY, Tally::merge);
    let voxel_mm3: f64 = grid.spacing_mm().iter().product();
    Ok(RenderedHead {
        image: on_grid(grid, image),
        labels: on_grid(grid, labels),
        mask: on_grid(grid, mask),
        bias: on_grid(grid, bias),
        volumes: tally.volumes(voxel_mm3),
    })
}

fn on_grid<T>(grid: Grid, voxels: Vec<T>) -> Volume<T> {
    Volume::new(grid, voxels).expect("allocated with one value a voxel")
}

/// Mutable views of one slice of the output.
struct Slice<'a> {
    image: &'a mut [f32],
    bias: &'a mut [f32],
    labels: &'a mut [u8],
    mask: &'a mut [u8],
}

struct Painter<'a> {
    anatomy: &'a Anatomy<'a>,
    frames: &'a Frames,
    bias: BiasField,
    contrast: [f32; N_TISSUES],
    white_signal: f32,
    noise: f32,
    noise_seed: u64,
    dims: [usize; 3],
    voxel_mm: f32,
}

impl<'a> Painter<'a> {
    fn new(
        anatomy: &'a Anatomy<'a>,
        frames: &'a Frames,
        acquisition: &Acquisition,
        dims: [usize; 3],
    ) -> Self {
        Self {
            anatomy,
            frames,
            bias: BiasField::new(acquisition),
            contrast: acquisition.contrast,
            white_signal: acquisition.white_signal as f32,
            noise: (acquisition.noise * acquisition.white_signal) as f32,
            noise_seed: derive_seed(acquisition.seed, "noise", &[]),
            dims,
            voxel_mm: acquisition.spacing_mm.iter().product::<f64>().cbrt() as f32,
        }
    }

    fn slice(&self, k: usize, out: Slice<'_>) -> Tally {
        let mut tally = Tally::EMPTY;
        let [ni, nj, _] = self.dims;
        for j in 0..nj {
            for i in 0..ni {
                let at = i + ni * j;
                let index = [i as f64, j as f64, k as f64];
                let gain = self.bias.gain(self.frames.world.apply(index).map(|v| v as f32));
                let point = self.frames.head.apply(index).map(|v| v as f32);
                let mut signal = 0.0;
                if let Some(sample) = self.anatomy.sample(point, self.voxel_mm) {
                    tally.add(&sample);
                    signal = self.signal(&sample) * gain;
                    out.labels[at] = sample.mixture.dominant().label(sample.right);
                    out.mask[at] = u8::from(sample.brain > 0.5);
                }
                out.bias[at] = gain;
                out.image[at] = self.rician(signal, (at + ni * nj * k) as u64);
            }
        }
        tally
    }

    fn signal(&self, sample: &Sample) -> f32 {
        let relative: f32 = sample.mixture.0.iter().zip(&self.contrast).map(|(s, c)| s * c).sum();
        relative * sample.texture * self.white_signal
    }

    /// Magnitude of the signal plus complex normal noise.
    fn rician(&self, signal: f32, voxel: u64) -> f32 {
        if self.noise > 0.0 {
            let [real, imaginary] = normal_pair(self.noise_seed, voxel);
            (signal + self.noise * real).hypot(self.noise * imaginary)
        } else {
            signal
        }
    }
}
