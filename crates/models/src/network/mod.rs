//! A video network, cut into a frozen trunk and a trained head.

mod policy;
mod residual;

use std::collections::BTreeMap;

use brainreel_artifact::{ContentHash, HashBuilder};
use brainreel_checkpoint::{HostTensor, StateDict};
use burn::tensor::{Device, Gradients as TensorGradients, Tensor};

use crate::architecture::{Architecture, ParameterCounts};
use crate::device::EngineKind;
use crate::math::{Math, Precision};
use crate::mvit::Layers;
use crate::norm::NormTally;
use crate::weights::NetworkWeights;
use crate::{ModelError, N_CLASSES};

pub use policy::FreezePolicy;
use residual::{ResidualHead, ResidualTrunk};

/// Gradients of the trainable tensors in host memory, by torchvision's names.
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// Is shown every trainable tensor and may replace it.
pub trait ParameterVisitor {
    /// Called once a parameter, always in the same order, with torchvision's name.
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>);
}

/// What a pass forward and backward came to.
#[derive(Debug, Clone)]
pub struct TrainingPass {
    /// Outputs of the network before any step, one row a scan.
    pub logits: Vec<[f32; N_CLASSES]>,
    /// The loss of the batch.
    pub loss: f64,
    /// Gradients of the loss.
    pub gradients: Gradients,
}

/// The frozen stages: computed without autodiff, so that their output can be kept.
#[derive(Debug, Clone)]
pub struct Trunk {
    device: Device,
    kind: TrunkKind,
}

#[derive(Debug, Clone)]
enum TrunkKind {
    Residual(Box<ResidualTrunk>),
    Tokens(Layers),
}

/// The trained rest of the network, the final layer at least, on an autodiff device.
#[derive(Debug, Clone)]
pub struct Head(HeadKind);

#[derive(Debug, Clone)]
enum HeadKind {
    Residual(Box<ResidualHead>),
    Tokens(Layers),
}

/// Trunk and head of one network.
#[derive(Debug, Clone)]
pub struct Network {
    /// The frozen stages.
    pub trunk: Trunk,
    /// The trained rest.
    pub head: Head,
    architecture: Architecture,
    dims: Option<[usize; 3]>,
    policy: FreezePolicy,
    math: Math,
}

impl Network {
    /// Loads the weights onto `device` and cuts the network as `policy` says. On the CPU our own engine
    /// computes, see [`Network::with_engine`].
    ///
    /// # Errors
    /// None today; a device may come to refuse.
    pub fn new(weights: &NetworkWeights, policy: FreezePolicy, device: &Device) -> Result<Self, ModelError> {
        let (plain, autodiff) = (device.clone().without_autodiff(), device.clone().autodiff());
        let architecture = weights.architecture();
        let (trunk, head) = if architecture.is_transformer() {
            let (frozen, trained) = Layers::load(weights, policy.n_frozen_layers(), [&plain, &autodiff]);
            (TrunkKind::Tokens(frozen), HeadKind::Tokens(trained))
        } else {
            let stages = architecture.stages();
            let (frozen, trained) = stages.split_at(policy.n_frozen_stages());
            let trunk = ResidualTrunk::load(frozen, weights.state(), &plain);
            let head = ResidualHead::load(trained, weights.state(), &autodiff);
            (TrunkKind::Residual(Box::new(trunk)), HeadKind::Residual(Box::new(head)))
        };
        let network = Self {
            trunk: Trunk { device: plain, kind: trunk },
            head: Head(head),
            architecture,
            dims: weights.dims(),
            policy,
            math: Math::default(),
        };
        Ok(network.with_engine(EngineKind::default()))
    }

    /// The same network with convolutions and attention computed by `engine`; devices other than the CPU
    /// compute with Burn in any case.
    #[must_use]
    pub fn with_engine(self, engine: EngineKind) -> Self {
        let math = Math { engine, ..self.math };
        self.with_math(math)
    }

    /// The same network with convolutions and matrix products in `precision` where Burn computes; our own
    /// engine computes in single precision in any case.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        let math = Math { precision, ..self.math };
        self.with_math(math)
    }

    fn with_math(mut self, math: Math) -> Self {
        self.math = math;
        match &mut self.trunk.kind {
            TrunkKind::Residual(trunk) => trunk.set_math(math, &self.trunk.device),
            TrunkKind::Tokens(layers) => layers.set_math(math),
        }
        match &mut self.head.0 {
            HeadKind::Residual(head) => head.set_math(math),
            HeadKind::Tokens(layers) => layers.set_math(math),
        }
        self
    }

    /// What kind of network it is.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The only size of input `[D, H, W]` that it takes; `None` if it takes any.
    #[must_use]
    pub const fn dims(&self) -> Option<[usize; 3]> {
        self.dims
    }

    /// Where the network was cut.
    #[must_use]
    pub const fn policy(&self) -> FreezePolicy {
        self.policy
    }

    /// Counts of parameters, buffers left out.
    #[must_use]
    pub fn n_parameters(&self) -> ParameterCounts {
        let tensors = self.architecture.tensors(self.dims.unwrap_or(self.architecture.native_dims()));
        let total = tensors.iter().filter(|t| t.is_parameter()).map(|t| t.n_elements()).sum();
        let mut count = Count(0);
        self.head.clone().visit_parameters(&mut count);
        ParameterCounts { total, trainable: count.0, frozen: total - count.0 }
    }

    /// Forward in train mode, loss, and backward. Running statistics of trained batch norms move; nothing else
    /// changes. A transformer computes its blocks twice, keeping only their inputs in between, and has
    /// neither dropout nor stochastic depth.
    ///
    /// `features` is what the trunk returns; `loss` makes one number of the logits `[N, 2]`.
    ///
    /// # Determinism
    /// On the CPU the same bits for any number of threads.
    pub fn training_pass(
        &mut self,
        features: Tensor<5>,
        loss: &dyn Fn(Tensor<2>) -> Tensor<1>,
    ) -> TrainingPass {
        match &mut self.head.0 {
            HeadKind::Tokens(layers) => layers.training_pass(features, loss),
            HeadKind::Residual(head) => {
                let logits = head.forward_train(features.autodiff());
                let value = loss(logits.clone());
                let scale = self.math.precision.loss_scale();
                let mut collected = Collect::of((value.clone() * scale).backward(), scale);
                head.visit_parameters(&mut collected);
                TrainingPass::new(logits, value, collected.found)
            }
        }
    }

    /// Shows every trainable tensor to `visitor`, always in the same order.
    pub fn visit_trainable(&mut self, visitor: &mut impl ParameterVisitor) {
        self.head.visit_parameters(visitor);
    }

    /// Copies all weights to host memory.
    #[must_use]
    pub fn to_weights(&self) -> NetworkWeights {
        let mut tensors = BTreeMap::new();
        self.trunk.export(&mut tensors);
        match &self.head.0 {
            HeadKind::Residual(head) => head.export(&mut tensors),
            HeadKind::Tokens(layers) => layers.export(&mut tensors),
        }
        NetworkWeights::from_network(self.architecture, self.dims, StateDict::from_network(tensors))
    }
}

struct Count(usize);

impl ParameterVisitor for Count {
    fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
        self.0 += parameter.dims().iter().product::<usize>();
    }
}

/// Moves gradients to host memory.
pub(crate) struct Collect {
    gradients: TensorGradients,
    scale: f32,
    pub(crate) found: Gradients,
}

impl Collect {
    /// Gradients of the loss times `scale`, a power of two.
    pub(crate) const fn of(gradients: TensorGradients, scale: f32) -> Self {
        Self { gradients, scale, found: BTreeMap::new() }
    }

    /// The gradient of a tensor that is no parameter.
    pub(crate) fn take<const D: usize>(&mut self, tensor: &Tensor<D>) -> Option<Tensor<D>> {
        tensor.grad_remove(&mut self.gradients)
    }
}

impl ParameterVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        let gradient = self.take(parameter).unwrap_or_else(|| parameter.zeros_like().without_autodiff());
        let mut values = gradient.into_data().try_into_vec::<f32>().expect("gradients are single precision");
        let factor = self.scale.recip();
        values.iter_mut().for_each(|value| *value *= factor);
        self.found.insert(name.to_owned(), values);
    }
}

impl TrainingPass {
    pub(crate) fn new(logits: Tensor<2>, loss: Tensor<1>, gradients: Gradients) -> Self {
        let rows = logits.without_autodiff().into_data();
        let rows = rows.as_slice::<f32>().expect("logits are single precision");
        let loss = f64::from(loss.into_scalar::<f32>());
        Self { logits: rows.as_chunks::<N_CLASSES>().0.to_vec(), loss, gradients }
    }
}

impl Trunk {
    /// The device the trunk computes on (without autodiff).
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Whether nothing is frozen, so that the trunk returns its input.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            TrunkKind::Residual(trunk) => trunk.is_empty(),
            TrunkKind::Tokens(layers) => layers.is_empty(),
        }
    }

    /// Features by the running statistics.
    ///
    /// # Shapes
    /// `[N, 1, D, H, W]` to `[N, 256, ceil(D/4), ceil(H/8), ceil(W/8)]` for R3D-18 under the thesis's policy.
    /// Tokens of a transformer travel as `[N, 1, 1, tokens, channels]`, the class token first.
    ///
    /// # Determinism
    /// The same bits for any number of threads; each scan of a batch is independent of the others.
    ///
    /// # Panics
    /// If the input is too small for the network, or not the one that a transformer's positions are laid out
    /// for.
    #[must_use]
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match &self.kind {
            TrunkKind::Residual(trunk) => trunk.forward(x),
            TrunkKind::Tokens(layers) => layers.forward(x),
        }
    }

    /// Features by the batch's own statistics, which also move the running ones. Transformers have no
    /// statistics: as [`Trunk::forward`].
    #[must_use]
    pub fn forward_batch(&mut self, x: Tensor<5>) -> Tensor<5> {
        match &mut self.kind {
            TrunkKind::Residual(trunk) => trunk.forward_batch(x),
            TrunkKind::Tokens(layers) => layers.forward(x),
        }
    }

    /// Whether the trunk has batch norms, whose statistics can be estimated.
    #[must_use]
    pub fn has_statistics(&self) -> bool {
        matches!(&self.kind, TrunkKind::Residual(trunk) if !trunk.is_empty())
    }

    /// Adds the statistics of `x`, normalised by themselves all the way, to `tally`. Does nothing where there
    /// are none ([`Trunk::has_statistics`]).
    pub fn observe(&self, x: Tensor<5>, tally: &mut NormTally) {
        if let TrunkKind::Residual(trunk) = &self.kind {
            trunk.observe(x, tally);
        }
    }

    /// Takes the gathered statistics as the running ones.
    pub fn calibrate(&mut self, tally: &NormTally) {
        if let TrunkKind::Residual(trunk) = &mut self.kind {
            trunk.calibrate(tally);
        }
    }

    /// A digest of everything that decides the output of [`Trunk::forward`].
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let tag = match &self.kind {
            TrunkKind::Residual(trunk) => trunk.tag(),
            TrunkKind::Tokens(layers) => layers.tag(),
        };
        let mut tensors = BTreeMap::new();
        self.export(&mut tensors);
        let weights = StateDict::from_network(tensors).hash(|_| true);
        HashBuilder::new().part(tag).part(weights.as_str()).finish()
    }

    fn export(&self, into: &mut BTreeMap<String, HostTensor>) {
        match &self.kind {
            TrunkKind::Residual(trunk) => trunk.export(into),
            TrunkKind::Tokens(layers) => layers.export(into),
        }
    }
}

impl Head {
    /// Logits with every batch norm in train mode (batch statistics, running ones updated).
    ///
    /// # Shapes
    /// Trunk output to `[N, 2]`.
    #[must_use]
    pub fn forward_train(&mut self, features: Tensor<5>) -> Tensor<2> {
        match &mut self.0 {
            HeadKind::Residual(head) => head.forward_train(features),
            HeadKind::Tokens(layers) => layers.logits(features),
        }
    }

    /// Logits by the running statistics.
    #[must_use]
    pub fn forward(&self, features: Tensor<5>) -> Tensor<2> {
        match &self.0 {
            HeadKind::Residual(head) => head.forward(features),
            HeadKind::Tokens(layers) => layers.logits(features),
        }
    }

    /// The same head outside autodiff, for evaluation; shares memory with this one.
    #[must_use]
    pub fn without_autodiff(&self) -> Self {
        Self(match &self.0 {
            HeadKind::Residual(head) => HeadKind::Residual(Box::new(head.without_autodiff())),
            HeadKind::Tokens(layers) => HeadKind::Tokens(layers.without_autodiff()),
        })
    }

    /// Shows every trainable tensor to `visitor`.
    pub fn visit_parameters(&mut self, visitor: &mut impl ParameterVisitor) {
        match &mut self.0 {
            HeadKind::Residual(head) => head.visit_parameters(visitor),
            HeadKind::Tokens(layers) => layers.visit_parameters(visitor),
        }
    }
}
