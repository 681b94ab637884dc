//! The extractor of a request.

use std::path::Path;

use brainreel_preprocess::bet::{Bet, BetConfig};
use brainreel_preprocess::{BrainExtractor, ExtractorChoice};
use brainreel_synthstrip::{Extracted, SynthStrip, SynthStripConfig, SynthStripWeights};
use brainreel_volume::reorient::{from_closest_canonical, to_closest_canonical};
use brainreel_volume::{Mask, Volume};
use brainreel_weights::Cache;

use super::{StripOutputs, StripRequest};
use crate::StageError;
use crate::catalogue::catalogue;
use crate::weights::{LocatedWeights, locate};

/// The extractor of a request.
pub(super) enum Extractor {
    /// The network.
    SynthStrip(Box<SynthStrip>),
    /// The classical one.
    Bet(Bet),
}

/// What was found in a head, on its own voxels.
pub(super) struct Found {
    pub(super) mask: Mask,
    /// Distance from the brain's surface, if the extractor computes it.
    pub(super) distance_mm: Option<Volume<f32>>,
}

impl Extractor {
    pub(super) fn open(request: &StripRequest) -> Result<Self, StageError> {
        let weights = request.weights.as_deref();
        match request.extractor {
            ExtractorChoice::SynthStrip => {
                let extractor = open_synthstrip(weights, request.border_mm)?;
                Ok(Self::SynthStrip(Box::new(extractor)))
            }
            ExtractorChoice::Bet => {
                let wrong = |given| {
                    let expected = format!("\"synthstrip\", since {given} needs it");
                    Err(StageError::setting("extractor", "is \"bet\"", expected))
                };
                if matches!(&request.outputs, StripOutputs::Files { distance: Some(_), .. }) {
                    return wrong("the distance from the surface");
                }
                if weights.is_some() {
                    return wrong("a file of weights");
                }
                Ok(Self::Bet(Bet::new(BetConfig::default())?))
            }
            other => {
                let found = format!("is \"{}\"", other.name());
                Err(StageError::setting("extractor", found, "\"synthstrip\" or \"bet\""))
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::SynthStrip(extractor) => extractor.name(),
            Self::Bet(extractor) => extractor.name(),
        }
    }

    /// Finds the brain. `layer` is called after each layer of a network with their number and total.
    pub(super) fn extract(
        &self,
        head: &Volume<f32>,
        layer: &dyn Fn(usize, usize),
    ) -> Result<Found, StageError> {
        match self {
            Self::SynthStrip(extractor) => {
                let Extracted { mask, distance_mm } = extractor.extract_all(head, layer)?;
                Ok(Found { mask, distance_mm: Some(distance_mm) })
            }
            Self::Bet(extractor) => {
                let mask = extractor.extract(&to_closest_canonical(head))?;
                Ok(Found { mask: from_closest_canonical(&mask, head.grid()), distance_mm: None })
            }
        }
    }
}

/// Opens SynthStrip with the weights of a file, or those in the cache.
///
/// # Errors
/// [`StageError`]: the weights are not there, are damaged or are those of another network, or the border is out
/// of range.
pub fn open_synthstrip(weights: Option<&Path>, border_mm: f64) -> Result<SynthStrip, StageError> {
    let model = catalogue().find(brainreel_synthstrip::PUBLISHED.name)?;
    let LocatedWeights { path, cached } = locate(model, weights)?;
    let weights = SynthStripWeights::read(&path)?;
    if let Some(cached) = cached {
        Cache::check_digest(model, &cached, weights.sha256().as_str())?;
    }
    Ok(SynthStrip::new(&weights, SynthStripConfig { border_mm })?)
}
