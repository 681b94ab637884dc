//! Settings of augmentation.

use std::ops::RangeInclusive;

use brainreel_named::named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AugmentError;
use crate::bias::MAX_ORDER;

named! {
    /// Which transforms training scans go through, and in which order.
    #[derive(Default)]
    pub enum AugmentationPreset {
        /// Only z-normalisation. All other settings are ignored.
        None = "none",
        /// Gamma on raw intensities, z-normalisation, then noise in units of the standard deviation of the image.
        /// The other transforms come before gamma.
        #[default]
        Default = "default",
        /// The order of the thesis: noise and gamma on raw intensities, then z-normalisation. Noise of 0.1 on
        /// intensities in the thousands has almost no effect. The other transforms come before noise.
        Thesis = "thesis",
    }
}

named! {
    /// The transforms.
    pub enum TransformName {
        /// Flip along axes.
        Flip = "flip",
        /// Rotation by 90 degrees.
        Rotate90 = "rotate90",
        /// Rotation by small angles and scaling.
        Affine = "affine",
        /// Smooth multiplicative field.
        BiasField = "bias-field",
        /// Gaussian blur.
        Blur = "blur",
        /// Ghosting, as periodic motion causes it.
        Ghosting = "ghosting",
        /// Additive normal noise.
        Noise = "noise",
        /// Power of the intensities.
        Gamma = "gamma",
        /// Mean 0 and standard deviation 1.
        ZNormalization = "z-normalization",
    }
}

impl TransformName {
    /// The name in a sentence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Flip => "flip",
            Self::Rotate90 => "quarter turn",
            Self::Affine => "affine transform",
            Self::BiasField => "bias field",
            Self::Blur => "blur",
            Self::Ghosting => "ghosting",
            Self::Noise => "noise",
            Self::Gamma => "gamma",
            Self::ZNormalization => "z-normalisation",
        }
    }
}

named! {
    /// An axis of a RAS volume.
    pub enum Axis {
        /// From left to right.
        X = "x",
        /// From back to front.
        Y = "y",
        /// From down to up.
        Z = "z",
    }
}

impl Axis {
    /// 0, 1 or 2.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The next two axes, right-handed.
    pub(crate) const fn others(self) -> (usize, usize) {
        ((self.index() + 1) % 3, (self.index() + 2) % 3)
    }
}

/// Augmentation of the training partition. Validation and test scans are only z-normalised.
///
/// Probabilities are per scan and draw. All but noise and gamma are off by default; the thesis tried
/// flips, quarter turns and scaling and dropped them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationConfig {
    /// Which transforms, in which order.
    pub preset: AugmentationPreset,
    /// Number of augmented variants per training scan. Variants are drawn once and their trunk features cached. 0
    /// draws a new variant every epoch, as the thesis did, and caches nothing.
    pub pool: usize,
    /// Order of the transforms, instead of the preset's. Empty uses that of the preset.
    pub order: Vec<TransformName>,
    /// The mean of the noise is uniform between minus and plus this value.
    pub noise_mean: f64,
    /// The standard deviation of the noise is uniform from 0 to this value.
    pub noise_std: f64,
    /// Probability of noise. Probabilities apply to each scan and draw.
    pub noise_probability: f64,
    /// The logarithm of gamma is uniform between minus and plus this value.
    pub log_gamma: f64,
    /// Probability of a gamma transform.
    pub gamma_probability: f64,
    /// Axes that may be flipped. `x` swaps left and right.
    pub flip_axes: Vec<Axis>,
    /// Probability of a flip, for each of these axes.
    pub flip_probability: f64,
    /// Probability of a rotation by 90 degrees, in either direction, about one of the three axes.
    pub rotate90_probability: f64,
    /// Probability of a rotation and scaling.
    pub affine_probability: f64,
    /// Rotation angles about the three axes are uniform between minus and plus this value, in degrees.
    pub rotation_degrees: f64,
    /// Smallest and largest scale factor. Above 1 enlarges.
    pub scale_range: [f64; 2],
    /// Whether the three axes share one scale factor.
    pub scale_isotropic: bool,
    /// Probability of a bias field.
    pub bias_field_probability: f64,
    /// Coefficients of the logarithm of the bias field are uniform between minus and plus this value.
    pub bias_field_coefficients: f64,
    /// Order of the polynomial of the bias field.
    pub bias_field_order: usize,
    /// Probability of a Gaussian blur.
    pub blur_probability: f64,
    /// The standard deviation of the blur is uniform from 0 to this value for each axis, in mm.
    pub blur_std_mm: f64,
    /// Probability of ghosting along one of the three axes.
    pub ghosting_probability: f64,
    /// Smallest and largest number of ghosts.
    pub ghosting_number: [usize; 2],
    /// Smallest and largest strength of the ghosts. 1 removes planes of k-space.
    pub ghosting_intensity: [f64; 2],
    /// The central share of k-space that is restored is uniform from 0 to this value. Default: only the central
    /// plane.
    #[schemars(example = 0.02)]
    pub ghosting_restore: Option<f64>,
}

impl Default for AugmentationConfig {
    /// The thesis's sizes and probabilities, and TorchIO's sizes for transforms that the thesis does not use.
    /// With a pool of 4, about half the variants are unaugmented, so a scan has about three distinct
    /// variants.
    fn default() -> Self {
        Self {
            preset: AugmentationPreset::Default,
            pool: 4,
            order: Vec::new(),
            noise_mean: 0.0,
            noise_std: 0.1,
            noise_probability: 0.3,
            log_gamma: 0.2,
            gamma_probability: 0.3,
            flip_axes: vec![Axis::X],
            flip_probability: 0.0,
            rotate90_probability: 0.0,
            affine_probability: 0.0,
            rotation_degrees: 10.0,
            scale_range: [0.9, 1.1],
            scale_isotropic: false,
            bias_field_probability: 0.0,
            bias_field_coefficients: 0.5,
            bias_field_order: 3,
            blur_probability: 0.0,
            blur_std_mm: 2.0,
            ghosting_probability: 0.0,
            ghosting_number: [4, 10],
            ghosting_intensity: [0.5, 1.0],
            ghosting_restore: None,
        }
    }
}

/// Transforms before noise, gamma and z-normalisation in the default order.
const ABLATION: [TransformName; 6] = [
    TransformName::Flip,
    TransformName::Rotate90,
    TransformName::Affine,
    TransformName::BiasField,
    TransformName::Blur,
    TransformName::Ghosting,
];

impl AugmentationConfig {
    /// No augmentation.
    #[must_use]
    pub fn none() -> Self {
        Self { preset: AugmentationPreset::None, ..Self::default() }
    }

    /// Number of distinct draws per scan. `None` if each epoch has new draws.
    #[must_use]
    pub fn n_variants(&self) -> Option<usize> {
        match (self.preset, self.pool) {
            (AugmentationPreset::None, _) => Some(1),
            (_, 0) => None,
            (_, pool) => Some(pool),
        }
    }

    /// Names of all transforms that may be drawn, first to last.
    #[must_use]
    pub fn order(&self) -> Vec<TransformName> {
        use TransformName::{Gamma, Noise, ZNormalization};
        let last = match self.preset {
            AugmentationPreset::None => return vec![ZNormalization],
            _ if !self.order.is_empty() => return self.order.clone(),
            AugmentationPreset::Default => [Gamma, ZNormalization, Noise],
            AugmentationPreset::Thesis => [Noise, Gamma, ZNormalization],
        };
        ABLATION.into_iter().chain(last).collect()
    }

    /// The probability that a transform is drawn.
    #[must_use]
    pub const fn probability(&self, name: TransformName) -> f64 {
        match name {
            TransformName::Flip => self.flip_probability,
            TransformName::Rotate90 => self.rotate90_probability,
            TransformName::Affine => self.affine_probability,
            TransformName::BiasField => self.bias_field_probability,
            TransformName::Blur => self.blur_probability,
            TransformName::Ghosting => self.ghosting_probability,
            TransformName::Noise => self.noise_probability,
            TransformName::Gamma => self.gamma_probability,
            TransformName::ZNormalization => 1.0,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`AugmentError::Config`] names the setting, its value and the allowed values.
    pub fn validate(&self) -> Result<(), AugmentError> {
        let probability = |field, value: f64| in_range(field, value, 0.0..=1.0, "a probability");
        probability("augmentation.noise_probability", self.noise_probability)?;
        probability("augmentation.gamma_probability", self.gamma_probability)?;
        probability("augmentation.flip_probability", self.flip_probability)?;
        probability("augmentation.rotate90_probability", self.rotate90_probability)?;
        probability("augmentation.affine_probability", self.affine_probability)?;
        probability("augmentation.bias_field_probability", self.bias_field_probability)?;
        probability("augmentation.blur_probability", self.blur_probability)?;
        probability("augmentation.ghosting_probability", self.ghosting_probability)?;
        self.validate_sizes()?;
        self.validate_ghosting()?;
        self.validate_order()
    }

    fn validate_sizes(&self) -> Result<(), AugmentError> {
        let number = |field, value: f64, most, expected| in_range(field, value, 0.0..=most, expected);
        number("augmentation.noise_mean", self.noise_mean, 1e6, "a number from 0 to 1e6")?;
        number("augmentation.noise_std", self.noise_std, 1e6, "a number from 0 to 1e6")?;
        number("augmentation.log_gamma", self.log_gamma, 3.0, "a number from 0 to 3")?;
        number("augmentation.rotation_degrees", self.rotation_degrees, 180.0, "a number from 0 to 180")?;
        let coefficients = self.bias_field_coefficients;
        number("augmentation.bias_field_coefficients", coefficients, 10.0, "a number from 0 to 10")?;
        number("augmentation.blur_std_mm", self.blur_std_mm, 100.0, "a number from 0 to 100")?;
        let rising = |[least, most]: [f64; 2]| least <= most;
        if !(rising(self.scale_range) && self.scale_range.iter().all(|scale| (0.1..=10.0).contains(scale))) {
            let got = format!("{:?}", self.scale_range);
            return config("augmentation.scale_range", got, "two rising numbers from 0.1 to 10");
        }
        if self.bias_field_order > MAX_ORDER {
            let got = self.bias_field_order.to_string();
            return config("augmentation.bias_field_order", got, "a number from 0 to 8");
        }
        let repeated = self.flip_axes.iter().enumerate().any(|(i, axis)| self.flip_axes[..i].contains(axis));
        if repeated || (self.flip_axes.is_empty() && self.flip_probability > 0.0) {
            let got = format!("{:?}", self.flip_axes);
            return config("augmentation.flip_axes", got, "some of \"x\", \"y\" and \"z\", once each");
        }
        Ok(())
    }

    fn validate_ghosting(&self) -> Result<(), AugmentError> {
        let [fewest, most] = self.ghosting_number;
        if !(1 <= fewest && fewest <= most && most <= 1000) {
            let got = format!("{:?}", self.ghosting_number);
            return config("augmentation.ghosting_number", got, "two rising numbers from 1 to 1000");
        }
        let [least, largest] = self.ghosting_intensity;
        if !(0.0 <= least && least <= largest && largest <= 1.0) {
            let got = format!("{:?}", self.ghosting_intensity);
            return config("augmentation.ghosting_intensity", got, "two rising numbers from 0 to 1");
        }
        let restore = self.ghosting_restore.unwrap_or(0.0);
        in_range("augmentation.ghosting_restore", restore, 0.0..=1.0, "a number from 0 to 1")
    }

    fn validate_order(&self) -> Result<(), AugmentError> {
        let order = self.order();
        let wrong = |expected| config("augmentation.order", format!("{:?}", self.order), expected);
        if order.iter().enumerate().any(|(i, name)| order[..i].contains(name)) {
            return wrong("each transform at most once");
        }
        if !order.contains(&TransformName::ZNormalization) {
            return wrong("z-normalization among the transforms");
        }
        let missing = |name| self.probability(name) > 0.0 && !order.contains(&name);
        if self.preset != AugmentationPreset::None && TransformName::ALL.into_iter().any(missing) {
            return wrong("every transform that has a probability above 0");
        }
        Ok(())
    }
}

fn config<T>(field: &'static str, got: String, expected: &'static str) -> Result<T, AugmentError> {
    Err(AugmentError::Config { field, got, expected })
}

fn in_range(
    field: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
    expected: &'static str,
) -> Result<(), AugmentError> {
    if range.contains(&value) { Ok(()) } else { config(field, value.to_string(), expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let config: AugmentationConfig = serde_json::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_is_odd_is_named() {
        AugmentationConfig::default().validate().unwrap();
        AugmentationConfig::none().validate().unwrap();
        assert_eq!(
            refused(r#"{"blur_probability": 1.5}"#),
            "augmentation.blur_probability is 1.5, expected a probability"
        );
        for (text, field) in [
            (r#"{"scale_range": [1.1, 0.9]}"#, "scale_range is [1.1, 0.9]"),
            (r#"{"scale_range": [0.0, 1.0]}"#, "scale_range"),
            (r#"{"flip_axes": ["x", "x"]}"#, "flip_axes is [X, X]"),
            (r#"{"ghosting_number": [0, 3]}"#, "ghosting_number is [0, 3]"),
            (r#"{"ghosting_intensity": [0.5, 1.5]}"#, "ghosting_intensity"),
            (r#"{"ghosting_restore": 2.0}"#, "ghosting_restore is 2"),
            (r#"{"bias_field_order": 9}"#, "bias_field_order is 9"),
            (r#"{"log_gamma": -0.1}"#, "log_gamma is -0.1"),
        ] {
            assert!(refused(text).contains(field), "{}", refused(text));
        }
        assert!(serde_json::from_str::<AugmentationConfig>(r#"{"blur": 1.0}"#).is_err());
    }

    #[test]
    fn orders_are_checked() {
        let of = |order: &str| refused(&format!(r#"{{"order": {order}}}"#));
        assert!(of(r#"["noise", "gamma"]"#).contains("expected z-normalization"));
        assert!(of(r#"["z-normalization", "noise", "noise", "gamma"]"#).contains("at most once"));
        assert!(of(r#"["gamma", "z-normalization"]"#).contains("probability above 0"));
        let config: AugmentationConfig =
            serde_json::from_str(r#"{"order": ["gamma", "noise", "z-normalization"]}"#).unwrap();
        config.validate().unwrap();
        let none = AugmentationConfig { preset: AugmentationPreset::None, ..config };
        none.validate().unwrap();
        assert_eq!(none.order(), [TransformName::ZNormalization]);
    }
}
