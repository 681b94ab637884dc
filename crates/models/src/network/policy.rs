//! What is frozen.

use brainreel_named::named;

use crate::networks::Architecture;

named! {
    /// Which part of the network is trained.
    #[derive(Default)]
    pub enum FreezePolicy {
        /// Only the last stage is trained: layer4 and fc of a residual network, a transformer's last two blocks,
        /// its final norm and its head, the blocks behind the last pooling of S3D.
        #[default]
        LastStage = "last-stage" | "thesis",
        /// Nothing frozen.
        None = "none",
        /// Everything frozen but the classifier.
        FcOnly = "fc-only",
        /// Nothing frozen; the learning rate decays from layer to layer
        /// ([`crate::Architecture::layer_depths`]).
        Discriminative = "discriminative",
    }
}

impl FreezePolicy {
    /// How many of the network's layers are frozen, counted from the input.
    #[must_use]
    pub fn n_frozen(self, architecture: Architecture) -> usize {
        let n_layers = architecture.n_layers();
        match self {
            Self::LastStage => n_layers - architecture.backbone().n_last_stage(),
            Self::FcOnly => n_layers - 1,
            Self::None | Self::Discriminative => 0,
        }
    }
}
