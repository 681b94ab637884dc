//! The registry of networks: one line per network, one file each.

mod kinetics;
mod mc3_18;
mod mvit_v1_b;
mod mvit_v2_s;
mod r2plus1d_18;
mod r3d_18;
mod s3d;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use brainreel_checkpoint::{Published, TensorSpec};
use brainreel_named::private::schema_of;
use brainreel_named::private::schemars::{JsonSchema, Schema, SchemaGenerator};
use brainreel_named::{Named, UnknownName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ModelError;
use crate::backbone::Backbone;

/// All networks. The first is the default.
#[rustfmt::skip] // one network per line
const NETWORKS: &[Architecture] = &[
    Architecture(&r3d_18::R3d18),
    Architecture(&mc3_18::Mc318),
    Architecture(&r2plus1d_18::R2plus1d18),
    Architecture(&mvit_v1_b::MvitV1B),
    Architecture(&mvit_v2_s::MvitV2S),
    Architecture(&s3d::S3d),
];

/// A registered network. It is written as torchvision's name.
#[derive(Clone, Copy)]
pub struct Architecture(&'static dyn Backbone);

impl Architecture {
    /// All networks, in the order of the registry.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        NETWORKS.iter().copied()
    }

    /// The names of all networks.
    pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
        Self::all().map(Self::name)
    }

    /// The published weights of all networks.
    pub fn published_weights() -> impl ExactSizeIterator<Item = Published> {
        Self::all().map(Self::published)
    }

    pub(crate) fn backbone(self) -> &'static dyn Backbone {
        self.0
    }

    /// torchvision's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The published weights.
    #[must_use]
    pub fn published(self) -> Published {
        self.0.published()
    }

    /// Input `[D, H, W]` of the published weights.
    #[must_use]
    pub fn native_dims(self) -> [usize; 3] {
        self.0.native_dims()
    }

    /// Whether it has batch norms, whose statistics can be estimated.
    #[must_use]
    pub fn has_batch_norm(self) -> bool {
        self.0.has_batch_norm()
    }

    /// Whether it has positional tensors, which are laid out for one size of input.
    #[must_use]
    pub fn has_positions(self) -> bool {
        self.0.positions().is_some()
    }

    /// Factor between the learning rates of a layer and the one above it, with discriminative rates.
    #[must_use]
    pub fn default_layer_decay(self) -> f64 {
        self.0.default_layer_decay()
    }

    /// Checks that an input of `dims` voxels suits the network.
    ///
    /// # Errors
    /// [`ModelError::InputSize`] says what would suit.
    pub fn check_dims(self, dims: [usize; 3]) -> Result<(), ModelError> {
        self.0.check_dims(dims).map_err(|expected| ModelError::InputSize {
            architecture: self,
            dims,
            expected,
        })
    }

    /// Every tensor of the network for inputs of `dims` voxels and `n_classes` outputs, in the order of
    /// torchvision's state dict (without the `num_batches_tracked` counters). Only positional tensors depend on
    /// `dims`. The kernel of the input layer is the first, the classifier's weight and bias are the last two.
    ///
    /// # Panics
    /// If [`Architecture::check_dims`] refuses the input.
    #[must_use]
    pub fn tensors(self, dims: [usize; 3], n_classes: usize) -> Vec<TensorSpec> {
        assert!(self.check_dims(dims).is_ok(), "{self} does not take inputs of {dims:?} voxels");
        self.0.layers(dims, n_classes).iter().flat_map(|layer| layer.tensors()).collect()
    }

    /// Number of layers, from the input layer to the classifier.
    #[must_use]
    pub fn n_layers(self) -> usize {
        self.0.layers(self.native_dims(), NetworkConfig::DEFAULT_CLASSES).len()
    }

    /// Distance of each tensor's layer from the output, by name: 0 is the classifier.
    #[must_use]
    pub fn layer_depths(self) -> std::collections::BTreeMap<String, usize> {
        let layers = self.0.layers(self.native_dims(), NetworkConfig::DEFAULT_CLASSES);
        let by_depth = layers.iter().rev().enumerate();
        by_depth
            .flat_map(|(depth, layer)| layer.tensors().into_iter().map(move |t| (t.name, depth)))
            .collect()
    }

    /// Python lines that give torchvision's network `model` the input channel, size and final pool of ours.
    #[must_use]
    pub fn torchvision_changes(self, dims: [usize; 3]) -> String {
        self.0.torchvision_changes(dims)
    }
}

impl Default for Architecture {
    fn default() -> Self {
        NETWORKS[0]
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Architecture {}

impl PartialOrd for Architecture {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Architecture {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name().cmp(other.name())
    }
}

impl Hash for Architecture {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Named for Architecture {
    const VALUES: &'static [Self] = NETWORKS;
    const DOC: &'static str = "A video network, as torchvision builds it.";

    fn name(self) -> &'static str {
        self.0.name()
    }

    fn aliases(self) -> &'static [&'static str] {
        &[]
    }

    fn doc(self) -> &'static str {
        self.0.doc()
    }
}

impl FromStr for Architecture {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name)
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        brainreel_named::private::serialize(*self, serializer)
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        brainreel_named::private::deserialize(deserializer)
    }
}

impl JsonSchema for Architecture {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Architecture".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of::<Self>()
    }
}

/// A network for inputs of one size and a number of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The network.
    pub architecture: Architecture,
    /// Size of the input `[D, H, W]`, in voxels.
    pub dims: [usize; 3],
    /// Outputs: the labels of the cohort.
    pub n_classes: usize,
}

impl NetworkConfig {
    /// Classes of a cohort unless it says otherwise: cognitively normal (0) and Alzheimer's disease (1).
    pub const DEFAULT_CLASSES: usize = 2;

    /// The network for inputs of the published weights' size and two classes.
    #[must_use]
    pub fn new(architecture: Architecture) -> Self {
        Self { architecture, dims: architecture.native_dims(), n_classes: Self::DEFAULT_CLASSES }
    }

    /// The same for inputs of `dims` voxels.
    #[must_use]
    pub const fn with_dims(self, dims: [usize; 3]) -> Self {
        Self { dims, ..self }
    }

    /// The same with `n_classes` outputs.
    #[must_use]
    pub const fn with_classes(self, n_classes: usize) -> Self {
        Self { n_classes, ..self }
    }

    /// Its tensors, see [`Architecture::tensors`].
    ///
    /// # Errors
    /// [`ModelError::InputSize`] if such inputs do not suit the network.
    pub fn tensors(&self) -> Result<Vec<TensorSpec>, ModelError> {
        self.architecture.check_dims(self.dims)?;
        Ok(self.architecture.tensors(self.dims, self.n_classes))
    }
}

impl From<Architecture> for NetworkConfig {
    fn from(architecture: Architecture) -> Self {
        Self::new(architecture)
    }
}
