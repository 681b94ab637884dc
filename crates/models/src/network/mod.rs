//! A video network, cut into a frozen trunk and a trained head.

mod head;
mod policy;
mod trunk;
mod visitor;

use brainreel_checkpoint::StateDict;
use burn::tensor::{Device, Tensor};

use crate::ParameterCounts;
use crate::backbone::Layer;
use crate::device::EngineKind;
use crate::math::{Math, Precision};
use crate::networks::{Architecture, NetworkConfig};
use crate::norm::NormStatistics;
use crate::parameters::Found;
use crate::parameters::{Gradients, ParameterVisitor};
use crate::weights::NetworkWeights;

pub use head::Head;
pub use policy::FreezePolicy;
pub use trunk::Trunk;

/// Result of a pass forward and backward.
#[derive(Debug, Clone)]
pub struct TrainingPass {
    /// Outputs of the network before any step, one row per scan.
    pub logits: Vec<Vec<f32>>,
    /// The loss of the batch.
    pub loss: f64,
    /// Gradients of the loss.
    pub gradients: Gradients,
}

impl TrainingPass {
    fn new(logits: Tensor<2>, loss: Tensor<1>, gradients: Gradients) -> Self {
        let [_, n_classes] = logits.dims();
        let rows = logits.without_autodiff().into_data();
        let rows = rows.as_slice::<f32>().expect("logits are single precision");
        let loss = f64::from(loss.into_scalar::<f32>());
        Self { logits: rows.chunks_exact(n_classes).map(<[f32]>::to_vec).collect(), loss, gradients }
    }
}

/// Trunk and head of one network.
#[derive(Debug, Clone)]
pub struct Network {
    /// The frozen layers.
    pub trunk: Trunk,
    /// The trained rest.
    pub head: Head,
    config: NetworkConfig,
    policy: FreezePolicy,
    math: Math,
}

impl Network {
    /// Loads the weights onto `device` and cuts the network as `policy` says. On the CPU our own engine
    /// computes, see [`Network::with_engine`].
    #[must_use]
    pub fn new(weights: &NetworkWeights, policy: FreezePolicy, device: &Device) -> Self {
        let (plain, autodiff) = (device.clone().without_autodiff(), device.clone().autodiff());
        let config = weights.config();
        let layers = config.architecture.backbone().layers(config.dims, config.n_classes);
        let (frozen, trained) = layers.split_at(policy.n_frozen(config.architecture));
        let network = Self {
            trunk: Trunk::load(frozen, weights.state(), plain),
            head: Head::load(trained, weights.state(), &autodiff),
            config,
            policy,
            math: Math::default(),
        };
        network.with_engine(EngineKind::default())
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
        self.trunk.set_math(math);
        self.head.set_math(math);
        self
    }

    /// The network, its input size and its classes.
    #[must_use]
    pub const fn config(&self) -> NetworkConfig {
        self.config
    }

    /// The registered network.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.config.architecture
    }

    /// The only size of input `[D, H, W]` that it takes; `None` if it takes any.
    #[must_use]
    pub fn dims(&self) -> Option<[usize; 3]> {
        self.architecture().has_positions().then_some(self.config.dims)
    }

    /// Where the network was cut.
    #[must_use]
    pub const fn policy(&self) -> FreezePolicy {
        self.policy
    }

    /// Counts of parameters, buffers left out.
    #[must_use]
    pub fn n_parameters(&self) -> ParameterCounts {
        let NetworkConfig { architecture, dims, n_classes } = self.config;
        let tensors = architecture.tensors(dims, n_classes);
        let total = tensors.iter().filter(|t| t.is_parameter()).map(|t| t.n_elements()).sum();
        let mut count = visitor::Count(0);
        self.head.clone().visit_parameters(&mut count);
        ParameterCounts { total, trainable: count.0, frozen: total - count.0 }
    }

    /// Forward in train mode, loss, and backward. Running statistics of trained batch norms move; nothing else
    /// changes. A transformer computes its blocks twice, keeping only their inputs in between. No network has
    /// dropout or stochastic depth.
    ///
    /// `features` is what the trunk returns; `loss` makes one number of the logits `[N, classes]`.
    ///
    /// # Determinism
    /// On the CPU the same bits for any number of threads.
    pub fn training_pass(
        &mut self,
        features: Tensor<5>,
        loss: &dyn Fn(Tensor<2>) -> Tensor<1>,
    ) -> TrainingPass {
        self.head.training_pass(features, loss)
    }

    /// Shows every trainable tensor to `visitor`, always in the same order.
    pub fn visit_trainable(&mut self, visitor: &mut impl ParameterVisitor) {
        self.head.visit_parameters(visitor);
    }

    /// Copies all weights to host memory.
    #[must_use]
    pub fn to_weights(&self) -> NetworkWeights {
        let mut tensors = Found::new();
        self.trunk.export(&mut tensors);
        self.head.export(&mut tensors);
        NetworkWeights::from_network(self.config, StateDict::from_network(tensors))
    }
}

/// Moves the running statistics towards those of a batch.
fn update_norms(layers: &mut [Box<dyn Layer>], statistics: &[NormStatistics]) {
    for (norm, statistics) in layers.iter_mut().flat_map(|layer| layer.norms_mut()).zip(statistics) {
        norm.update(statistics);
    }
}
