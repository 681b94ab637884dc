//! Drawn transforms and their application.

use std::fmt;

use brainreel_volume::Volume;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bias::{MAX_ORDER, n_coefficients};
use crate::config::{Axis, TransformName};
use crate::filter::{MAX_RADIUS, gaussian_radius};
use crate::intensity::{add_noise, apply_gamma, z_normalize};
use crate::{AugmentError, affine, bias, filter, turn};

/// One transform with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "transform", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transform {
    /// Mirrors along axes.
    Flip {
        /// The axes.
        axes: Vec<Axis>,
    },
    /// Rotates a cube by quarter turns.
    Rotate90 {
        /// The rotation axis.
        axis: Axis,
        /// Number of quarter turns, counter-clockwise.
        quarters: u8,
    },
    /// Rotates and scales about the centre.
    Affine {
        /// Scale along each axis. Above 1 enlarges.
        scales: [f64; 3],
        /// Angle about each axis, in degrees.
        degrees: [f64; 3],
    },
    /// Multiplies by the exponential of a polynomial.
    BiasField {
        /// Order of the polynomial.
        order: usize,
        /// Its coefficients, ordered by powers of x, then y, then z.
        coefficients: Vec<f64>,
    },
    /// Gaussian blur.
    Blur {
        /// Standard deviation along each axis, in mm.
        std_mm: [f64; 3],
    },
    /// Ghosting, as from periodic motion.
    Ghosting {
        /// Number of ghosts. Every k-space plane at a multiple of this number is weakened.
        number: usize,
        /// The axis.
        axis: Axis,
        /// Attenuation of these planes, from 0 to 1.
        intensity: f64,
        /// Central fraction of k-space that is restored. Without it only the central plane.
        restore: Option<f64>,
    },
    /// Adds normal noise.
    Noise {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
        /// Seed of the noise, below 2^53.
        seed: u64,
    },
    /// Raises voxels to a power.
    Gamma {
        /// The exponent.
        gamma: f64,
    },
    /// Subtracts the mean and divides by the sample standard deviation.
    ZNormalization,
}

/// The transforms of a scan, in order. The default is only z-normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Draw {
    transforms: Vec<Transform>,
}

impl Default for Draw {
    fn default() -> Self {
        Self { transforms: vec![Transform::ZNormalization] }
    }
}

impl Draw {
    /// Creates a draw of these transforms, in order.
    #[must_use]
    pub const fn new(transforms: Vec<Transform>) -> Self {
        Self { transforms }
    }

    /// The transforms, in order.
    #[must_use]
    pub fn transforms(&self) -> &[Transform] {
        &self.transforms
    }

    /// Whether the scan is only z-normalised.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.transforms == [Transform::ZNormalization]
    }

    /// Applies the transforms in place.
    ///
    /// # Errors
    /// [`AugmentError`] for voxels that are not finite, before or after a transform; an image without
    /// contrast; a parameter out of range; a quarter turn of an image that is not a cube. The image may
    /// already be modified.
    ///
    /// # Determinism
    /// The same bits for any number of threads.
    pub fn apply(&self, volume: &mut Volume<f32>) -> Result<(), AugmentError> {
        require_finite(volume, None)?;
        let mut last = None;
        for transform in &self.transforms {
            transform.check()?;
            transform.apply(volume, last)?;
            last = Some(transform.name());
        }
        if last == Some(TransformName::ZNormalization) { Ok(()) } else { require_finite(volume, last) }
    }
}

impl Transform {
    /// The kind of transform.
    #[must_use]
    pub const fn name(&self) -> TransformName {
        match self {
            Self::Flip { .. } => TransformName::Flip,
            Self::Rotate90 { .. } => TransformName::Rotate90,
            Self::Affine { .. } => TransformName::Affine,
            Self::BiasField { .. } => TransformName::BiasField,
            Self::Blur { .. } => TransformName::Blur,
            Self::Ghosting { .. } => TransformName::Ghosting,
            Self::Noise { .. } => TransformName::Noise,
            Self::Gamma { .. } => TransformName::Gamma,
            Self::ZNormalization => TransformName::ZNormalization,
        }
    }

    fn apply(&self, volume: &mut Volume<f32>, last: Option<TransformName>) -> Result<(), AugmentError> {
        match self {
            Self::Flip { axes } => axes.iter().for_each(|&axis| turn::flip(volume, axis)),
            Self::Rotate90 { axis, quarters } => turn::rotate90(volume, *axis, *quarters)?,
            Self::Affine { scales, degrees } => affine::transform(volume, *scales, *degrees)?,
            Self::BiasField { order, coefficients } => bias::multiply(volume, *order, coefficients),
            Self::Blur { std_mm } => {
                let spacing_mm = volume.grid().spacing_mm();
                let std_voxels = [0, 1, 2].map(|axis| std_mm[axis] / spacing_mm[axis]);
                if !std_voxels.iter().all(|&std| gaussian_radius(std) <= MAX_RADIUS) {
                    let got = format!("a standard deviation of {std_voxels:?} voxels");
                    return Err(self.parameter(got, "less than 1024 voxels"));
                }
                filter::blur(volume, std_voxels);
            }
            Self::Ghosting { number, axis, intensity, restore } => {
                filter::ghosts(volume, axis.index(), *number, *intensity, *restore);
            }
            Self::Noise { mean, std, seed } => add_noise(volume.as_mut_slice(), *mean, *std, *seed),
            Self::Gamma { gamma } => apply_gamma(volume.as_mut_slice(), *gamma),
            Self::ZNormalization => {
                if !z_normalize(volume.as_mut_slice()) {
                    require_finite(volume, last)?;
                    let voxels = volume.as_slice();
                    return Err(AugmentError::Flat { value: voxels[0], n_voxels: voxels.len() });
                }
            }
        }
        Ok(())
    }

    /// Checks that the parameters are plausible, because a draw may come from a file.
    fn check(&self) -> Result<(), AugmentError> {
        let number = |value: f64, least: f64, most: f64, expected| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(self.parameter(value.to_string(), expected))
            }
        };
        match self {
            Self::Flip { .. } | Self::Rotate90 { .. } | Self::ZNormalization => Ok(()),
            Self::Affine { scales, degrees } => {
                scales.iter().try_for_each(|&v| number(v, 0.01, 100.0, "scales from 0.01 to 100"))?;
                degrees.iter().try_for_each(|&v| number(v, -360.0, 360.0, "angles from -360 to 360 degrees"))
            }
            Self::BiasField { order, coefficients } => {
                if *order > MAX_ORDER || coefficients.len() != n_coefficients(*order) {
                    let got = format!("order {order} and {} coefficients", coefficients.len());
                    let expected = "an order from 0 to 8 with (n + 1) (n + 2) (n + 3) / 6 coefficients";
                    return Err(self.parameter(got, expected));
                }
                coefficients
                    .iter()
                    .try_for_each(|&v| number(v, -100.0, 100.0, "coefficients from -100 to 100"))
            }
            Self::Blur { std_mm } => std_mm
                .iter()
                .try_for_each(|&v| number(v, 0.0, 1000.0, "standard deviations from 0 to 1000 mm")),
            Self::Ghosting { intensity, restore, .. } => {
                number(*intensity, 0.0, 1.0, "an intensity from 0 to 1")?;
                number(restore.unwrap_or(0.0), 0.0, 1.0, "a share from 0 to 1")
            }
            Self::Noise { mean, std, .. } => {
                number(*mean, -1e9, 1e9, "a mean from -1e9 to 1e9")?;
                number(*std, 0.0, 1e9, "a standard deviation from 0 to 1e9")
            }
            Self::Gamma { gamma } => number(*gamma, 0.01, 100.0, "an exponent from 0.01 to 100"),
        }
    }

    const fn parameter(&self, got: String, expected: &'static str) -> AugmentError {
        AugmentError::Parameter { transform: self.name(), got, expected }
    }
}

fn require_finite(volume: &Volume<f32>, after: Option<TransformName>) -> Result<(), AugmentError> {
    let voxels = volume.as_slice();
    let broken = voxels.par_chunks(1 << 16).enumerate().find_map_first(|(idx, block)| {
        // One pass without a branch; only a block that is not clean is searched.
        let zero: f32 = block.iter().map(|value| value * 0.0).sum();
        let place = || block.iter().position(|value| !value.is_finite());
        if zero.is_finite() { None } else { place().map(|i| (idx << 16) + i) }
    });
    let Some(idx) = broken else { return Ok(()) };
    let [nx, ny, _] = volume.dims();
    let voxel = [idx % nx, idx / nx % ny, idx / (nx * ny)];
    Err(AugmentError::NotFinite { value: voxels[idx], voxel, after })
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, transform) in self.transforms.iter().enumerate() {
            write!(f, "{}{transform}", if idx == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// For messages. Serialise a draw to replay it.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name().title())?;
        let triplet = |v: &[f64; 3]| format!("{:.3} {:.3} {:.3}", v[0], v[1], v[2]);
        match self {
            Self::ZNormalization => Ok(()),
            Self::Flip { axes } => write!(f, " {axes:?}"),
            Self::Rotate90 { axis, quarters } => {
                write!(f, " {} degrees about {axis:?}", 90 * u32::from(*quarters))
            }
            Self::Affine { scales, degrees } => {
                write!(f, " (scales {}, degrees {})", triplet(scales), triplet(degrees))
            }
            Self::BiasField { order, .. } => write!(f, " (order {order})"),
            Self::Blur { std_mm } => write!(f, " (std {} mm)", triplet(std_mm)),
            Self::Ghosting { number, axis, intensity, .. } => {
                write!(f, " ({number} along {axis:?}, intensity {intensity:.3})")
            }
            Self::Noise { mean, std, seed } => write!(f, " (mean {mean:.4}, std {std:.4}, seed {seed})"),
            Self::Gamma { gamma } => write!(f, " {gamma:.4}"),
        }
    }
}
