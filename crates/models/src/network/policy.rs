//! What is frozen.

use brainreel_named::named;

use crate::architecture::{Architecture, N_BLOCKS};

named! {
    /// Which part of the network is trained.
    #[derive(Default)]
    pub enum FreezePolicy {
        /// Only the last stage is trained: layer4 and fc, or a transformer's last two blocks, its final norm and
        /// its head.
        #[default]
        Thesis = "thesis",
        /// Nothing frozen.
        None = "none",
        /// Everything frozen but the final linear layer.
        FcOnly = "fc-only",
        /// Nothing frozen; the learning rate decays from layer to layer
        /// ([`crate::Architecture::layer_depth`]).
        Discriminative = "discriminative",
    }
}

impl FreezePolicy {
    /// How many of a residual network's five stages (stem, layer1..4) are frozen.
    pub(crate) const fn n_frozen_stages(self) -> usize {
        match self {
            Self::Thesis => 4,
            Self::None | Self::Discriminative => 0,
            Self::FcOnly => 5,
        }
    }

    /// How many of a transformer's layers (embedding, blocks, final norm, final layer) are frozen.
    pub(crate) const fn n_frozen_layers(self) -> usize {
        match self {
            Self::Thesis => 1 + N_BLOCKS - 2,
            Self::None | Self::Discriminative => 0,
            Self::FcOnly => 1 + N_BLOCKS + 1,
        }
    }

    /// [`Architecture::layer_depth`] of the layer nearest to the input that is trained.
    pub(crate) const fn deepest_trained(self, architecture: Architecture) -> usize {
        match (self, architecture.is_transformer()) {
            (Self::FcOnly, _) => 0,
            (Self::Thesis, false) => 1,
            (Self::Thesis, true) => 2,
            (Self::None | Self::Discriminative, _) => usize::MAX,
        }
    }
}
