//! Settings of bias correction.

use brainreel_named::named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::numbers::{as_f64, check};

/// Settings of N4. The defaults are those of ANTs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct N4Config {
    /// N4 uses every n-th voxel along each axis. The field is smooth, so few voxels are enough.
    pub shrink_factor: usize,
    /// Largest number of iterations at each level. The mesh is twice as fine from one level to the next.
    pub n_iterations: Vec<usize>,
    /// A level ends when the coefficient of variation of the field's change is not above this value.
    pub convergence_threshold: f64,
    /// Mesh of the first level.
    pub mesh: N4Mesh,
    /// Bins of the histogram of log intensities.
    pub n_histogram_bins: usize,
    /// Noise of the Wiener filter that sharpens the histogram, relative to the Gaussian's power.
    pub wiener_noise: f64,
    /// Full width at half maximum of the Gaussian that blurs the histogram, in natural log of intensity.
    pub bias_fwhm: f64,
    /// What happens to voxels that are not positive and have no logarithm.
    #[schemars(example = &"left_out")]
    #[serde(skip_serializing_if = "NonPositive::is_left_out")]
    pub non_positive: NonPositive,
}

impl Default for N4Config {
    fn default() -> Self {
        Self {
            shrink_factor: 4,
            n_iterations: vec![50; 4],
            convergence_threshold: 1e-7,
            mesh: N4Mesh::Elements([1; 3]),
            n_histogram_bins: 200,
            wiener_noise: 0.01,
            bias_fwhm: 0.15,
            non_positive: NonPositive::LeftOut,
        }
    }
}

named! {
    /// Treatment of mask voxels that are not positive.
    #[derive(Default)]
    #[non_exhaustive]
    pub enum NonPositive {
        /// They are excluded.
        #[default]
        LeftOut = "left_out",
        /// They are included with their intensity instead of its logarithm, as in ITK, for comparisons on
        /// whole images whose air has zeros.
        AsLogarithm = "as_logarithm",
    }
}

impl NonPositive {
    /// Whether it is the default. The default is not serialised, so that files from before this setting stay
    /// unchanged.
    fn is_left_out(&self) -> bool {
        matches!(self, Self::LeftOut)
    }
}

/// Resolution of the first level's B-spline mesh.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum N4Mesh {
    /// Mesh elements along each axis of the image.
    Elements([usize; 3]),
    /// Edge of a mesh element in mm. As in ANTs, the mesh then extends beyond the image by whole voxels, so
    /// that elements have this size along every axis.
    SplineDistanceMm(f64),
}

/// Finest allowed mesh of the first level.
const MAX_ELEMENTS: usize = 64;

impl N4Config {
    /// Checks every number.
    ///
    /// # Errors
    /// [`ConfigError::Range`] names the first field that is out of range.
    pub fn validated(self) -> Result<ValidN4Config, ConfigError> {
        check("n4.shrink_factor", as_f64(self.shrink_factor), 1.0, 32.0, "1 to 32")?;
        check("n4.n_iterations", as_f64(self.n_iterations.len()), 1.0, 8.0, "1 to 8 levels")?;
        for &n in &self.n_iterations {
            check("n4.n_iterations", as_f64(n), 0.0, 10_000.0, "0 to 10000 iterations a level")?;
        }
        check("n4.convergence_threshold", self.convergence_threshold, 0.0, 1.0, "0 to 1")?;
        match self.mesh {
            N4Mesh::Elements(elements) => {
                for n in elements {
                    check("n4.mesh", as_f64(n), 1.0, as_f64(MAX_ELEMENTS), "1 to 64 elements an axis")?;
                }
            }
            N4Mesh::SplineDistanceMm(mm) => check("n4.mesh", mm, 5.0, 2000.0, "5 to 2000 mm")?,
        }
        check("n4.n_histogram_bins", as_f64(self.n_histogram_bins), 10.0, 10_000.0, "10 to 10000 bins")?;
        check("n4.wiener_noise", self.wiener_noise, 1e-9, 100.0, "1e-9 to 100")?;
        check("n4.bias_fwhm", self.bias_fwhm, 1e-4, 10.0, "0.0001 to 10 in log intensity")?;
        Ok(ValidN4Config(self))
    }
}

/// Validated settings, created by [`N4Config::validated`]. Dereferences to [`N4Config`].
#[derive(Debug, Clone, PartialEq)]
pub struct ValidN4Config(N4Config);

impl std::ops::Deref for ValidN4Config {
    type Target = N4Config;

    fn deref(&self) -> &N4Config {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_ants() {
        let config: N4Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config, N4Config::default());
        assert_eq!(*config.clone().validated().unwrap(), config);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            text,
            r#"{"shrink_factor":4,"n_iterations":[50,50,50,50],"convergence_threshold":1e-7,"mesh":{"elements":[1,1,1]},"n_histogram_bins":200,"wiener_noise":0.01,"bias_fwhm":0.15}"#
        );
        let distance: N4Config = serde_json::from_str(r#"{"mesh": {"spline_distance_mm": 200}}"#).unwrap();
        assert_eq!(distance.mesh, N4Mesh::SplineDistanceMm(200.0));
        assert!(serde_json::from_str::<N4Config>(r#"{"shrink": 4}"#).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let ok = N4Config::default();
        for (field, bad) in [
            ("shrink_factor", N4Config { shrink_factor: 0, ..ok.clone() }),
            ("n_iterations", N4Config { n_iterations: vec![], ..ok.clone() }),
            ("n_iterations", N4Config { n_iterations: vec![5, usize::MAX], ..ok.clone() }),
            ("convergence_threshold", N4Config { convergence_threshold: f64::NAN, ..ok.clone() }),
            ("mesh", N4Config { mesh: N4Mesh::Elements([1, 0, 1]), ..ok.clone() }),
            ("mesh", N4Config { mesh: N4Mesh::SplineDistanceMm(f64::INFINITY), ..ok.clone() }),
            ("n_histogram_bins", N4Config { n_histogram_bins: 1, ..ok.clone() }),
            ("wiener_noise", N4Config { wiener_noise: 0.0, ..ok.clone() }),
            ("bias_fwhm", N4Config { bias_fwhm: -0.15, ..ok }),
        ] {
            let message = bad.validated().unwrap_err().to_string();
            assert!(message.contains(&format!("n4.{field}")), "{message}");
        }
    }
}
