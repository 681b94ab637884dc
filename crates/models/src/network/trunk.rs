//! The frozen layers.

use brainreel_artifact::{ContentHash, HashBuilder};
use brainreel_checkpoint::StateDict;
use brainreel_engine::{NormMode, Policy};
use burn::tensor::{Device, Tensor};

use super::visitor::Export;
use crate::backbone::{Layer, LayerSpec};
use crate::convnet::ConvLayer;
use crate::device::EngineKind;
use crate::math::Math;
use crate::native::{self, NativeTrunk};
use crate::norm::{NormStatistics, NormTally, Pass};
use crate::parameters::Found;

/// The frozen layers: computed without autodiff, so that their output can be cached.
#[derive(Debug, Clone)]
pub struct Trunk {
    device: Device,
    layers: Vec<Box<dyn Layer>>,
    /// The layers for the CPU engine, if it can compute all of them.
    for_engine: Option<Vec<ConvLayer>>,
    engine: Option<NativeTrunk>,
    math: Math,
}

impl Trunk {
    pub(super) fn load(specs: &[Box<dyn LayerSpec>], weights: &StateDict, device: Device) -> Self {
        let for_engine = specs.iter().map(|spec| spec.for_engine().cloned()).collect::<Option<Vec<_>>>();
        Self {
            layers: specs.iter().map(|spec| spec.load(weights, &device)).collect(),
            for_engine: for_engine.filter(|layers| !layers.is_empty()),
            engine: None,
            math: Math::default(),
            device,
        }
    }

    pub(super) fn set_math(&mut self, math: Math) {
        let is_native = math.engine == EngineKind::Native && NativeTrunk::takes(&self.device);
        self.engine = (is_native && self.for_engine.is_some()).then(|| NativeTrunk::new(Policy::Fast));
        self.math = math;
    }

    /// The device the trunk computes on (without autodiff).
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Whether nothing is frozen, so that the trunk returns its input.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Features by the running statistics.
    ///
    /// # Shapes
    /// `[N, 1, D, H, W]` to `[N, 256, ceil(D/4), ceil(H/8), ceil(W/8)]` for R3D-18 under `last-stage`.
    /// Tokens of a transformer travel as `[N, 1, 1, tokens, channels]`, the class token first.
    ///
    /// # Determinism
    /// The same bits for any number of threads; each scan of a batch is independent of the others.
    ///
    /// # Panics
    /// If the input is too small for the network, or not the one that positional tensors are laid out for.
    #[must_use]
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match &self.engine {
            Some(engine) => engine.forward(x, NormMode::Running, || self.engine_network()).0,
            None => self.layers.iter().fold(x, |x, layer| layer.forward(x, &mut Pass::Folded, self.math)),
        }
    }

    /// Features by the batch's own statistics, which also move the running ones. Without batch norms this is
    /// [`Trunk::forward`].
    #[must_use]
    pub fn forward_batch(&mut self, x: Tensor<5>) -> Tensor<5> {
        if !self.has_statistics() {
            return self.forward(x);
        }
        let (y, statistics) = self.normalise_by_batch(x);
        super::update_norms(&mut self.layers, &statistics);
        y
    }

    /// Whether the trunk has batch norms, whose statistics can be estimated.
    #[must_use]
    pub fn has_statistics(&self) -> bool {
        let mut buffers = Found::new();
        self.layers.iter().any(|layer| {
            layer.export_buffers(&mut buffers);
            !buffers.is_empty()
        })
    }

    /// Adds the statistics of `x`, normalised by themselves all the way, to `tally`. Does nothing where there
    /// are none ([`Trunk::has_statistics`]).
    pub fn observe(&self, x: Tensor<5>, tally: &mut NormTally) {
        if self.has_statistics() {
            tally.add(&self.normalise_by_batch(x).1);
        }
    }

    fn normalise_by_batch(&self, x: Tensor<5>) -> (Tensor<5>, Vec<NormStatistics>) {
        if let Some(engine) = &self.engine {
            return engine.forward(x, NormMode::Batch, || self.engine_network());
        }
        let mut gathered = Vec::new();
        let y = self
            .layers
            .iter()
            .fold(x, |x, layer| layer.forward(x, &mut Pass::Batch(&mut gathered), self.math));
        (y, gathered)
    }

    /// Replaces the running statistics by the gathered ones.
    pub fn calibrate(&mut self, tally: &NormTally) {
        tally.store(self.layers.iter_mut().flat_map(|layer| layer.norms_mut()).collect());
        self.engine.iter_mut().for_each(NativeTrunk::forget);
    }

    /// A digest of everything that decides the output of [`Trunk::forward`].
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let tag = match &self.engine {
            Some(engine) => engine.tag(),
            None => self.layers.first().map_or_else(|| "input".to_owned(), |layer| layer.tag(self.math)),
        };
        let mut tensors = Found::new();
        self.export(&mut tensors);
        let weights = StateDict::from_network(tensors).hash(|_| true);
        HashBuilder::new().part(tag).part(weights.as_str()).finish()
    }

    pub(super) fn export(&self, into: &mut Found) {
        for layer in &self.layers {
            layer.clone().visit(&mut Export(into));
            layer.export_buffers(into);
        }
    }

    fn engine_network(&self) -> native::Built {
        let mut tensors = Found::new();
        self.export(&mut tensors);
        let layers = self.for_engine.as_deref().unwrap_or_default();
        native::network(layers, &StateDict::from_network(tensors))
    }
}
