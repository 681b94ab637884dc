//! Images between the steps that can be written too.

use brainreel_named::named;
use brainreel_preprocess::Intermediates;
use brainreel_preprocess::steps::StepSummaries;
use brainreel_volume::Volume;

named! {
    /// An image between the steps that can be written too. Writing, guarding and removal of these files follow
    /// from [`Keep::ALL`].
    pub enum Keep {
        /// The brain before bias correction.
        Brain = "brain",
        /// The bias field.
        Field = "field",
        /// The image just before the crop.
        Corrected = "corrected",
    }
}

impl Keep {
    /// The BIDS entity `desc` of the file.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Brain => "brain",
            Self::Field => "biasfield",
            Self::Corrected => "corrected",
        }
    }

    /// Whether the steps that ran make this image.
    pub(super) fn is_made(self, summaries: &StepSummaries) -> bool {
        match self {
            Self::Brain | Self::Corrected => true,
            Self::Field => summaries.bias.is_some(),
        }
    }

    /// The image, if the steps that ran made it.
    pub(super) fn image(self, stages: &Intermediates) -> Option<&Volume<f32>> {
        match self {
            Self::Brain => Some(stages.bias.as_ref().map_or(&stages.uncropped, |bias| &bias.before)),
            Self::Field => stages.bias.as_ref().map(|bias| &bias.field),
            Self::Corrected => Some(&stages.uncropped),
        }
    }
}
