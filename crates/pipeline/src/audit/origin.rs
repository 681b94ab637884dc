//! Where the weights of a network come from.

use brainreel_artifact::ContentHash;
use brainreel_audit::WeightsOrigin;

use crate::catalogue::catalogue;

/// Where weights of this digest come from; `None` stands for random numbers.
#[must_use]
pub fn weights_origin(weights: Option<&ContentHash>) -> WeightsOrigin {
    let Some(sha256) = weights else { return WeightsOrigin::Random };
    let published = catalogue().name_of_digest(sha256.as_str());
    published.map_or(WeightsOrigin::Unknown, |name| WeightsOrigin::Published(name.to_owned()))
}
