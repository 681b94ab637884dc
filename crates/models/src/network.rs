//! A video network, cut into a frozen trunk and a trained head.

use std::collections::BTreeMap;

use brainreel_artifact::{ContentHash, HashBuilder};
use brainreel_engine::{NormMode, Policy};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, N_FEATURES, ParameterCounts, StageSpec};
use crate::block::{Pass, Stage};
use crate::device::EngineKind;
use crate::native::{self, NativeTrunk};
use crate::norm::{NormStatistics, NormTally, to_host};
use crate::state::{HostTensor, StateDict};
use crate::{ModelError, N_CLASSES};

/// Which part of the network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FreezePolicy {
    /// stem, layer1, layer2, layer3 frozen; layer4 and fc trained.
    #[default]
    Thesis,
    /// Nothing frozen.
    None,
    /// Everything frozen but fc.
    FcOnly,
}

impl FreezePolicy {
    /// How many of the five stages (stem, layer1..4) are frozen.
    const fn n_frozen_stages(self) -> usize {
        match self {
            Self::Thesis => 4,
            Self::None => 0,
            Self::FcOnly => 5,
        }
    }
}

/// Is shown every trainable tensor and may replace it.
pub trait ParameterVisitor {
    /// Called once a parameter, always in the same order, with torchvision's name.
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>);
}

/// The frozen stages: computed without autodiff, so that their output can be kept.
#[derive(Debug, Clone)]
pub struct Trunk {
    specs: Vec<StageSpec>,
    stages: Vec<Stage>,
    device: Device,
    /// Our own engine, unless Burn computes.
    native: Option<NativeTrunk>,
}

/// The trained stages, the average pool and the final layer, on an autodiff device.
#[derive(Debug, Clone)]
pub struct Head {
    stages: Vec<Stage>,
    fc_weight: Tensor<2>,
    fc_bias: Tensor<1>,
}

/// Trunk and head of one network.
#[derive(Debug, Clone)]
pub struct Network {
    /// The frozen stages.
    pub trunk: Trunk,
    /// The trained rest.
    pub head: Head,
    architecture: Architecture,
    policy: FreezePolicy,
}

impl Network {
    /// Loads the weights onto `device` and cuts the network as `policy` says. On the CPU our own engine
    /// computes, see [`Network::with_engine`].
    ///
    /// # Errors
    /// None today; a device may come to refuse.
    pub fn new(weights: &StateDict, policy: FreezePolicy, device: &Device) -> Result<Self, ModelError> {
        let (plain, autodiff) = (device.clone().without_autodiff(), device.clone().autodiff());
        let architecture = weights.architecture();
        let specs = architecture.stages();
        let (frozen, trained) = specs.split_at(policy.n_frozen_stages());
        let load = |specs: &[StageSpec], device: &Device| -> Vec<Stage> {
            specs.iter().map(|spec| Stage::load(spec, weights, device)).collect()
        };
        let fc_weight = TensorData::new(weights.tensor("fc.weight").values.clone(), [N_CLASSES, N_FEATURES]);
        let fc_bias = weights.tensor("fc.bias").values.as_slice();
        let head = Head {
            stages: load(trained, &autodiff).into_iter().map(Stage::require_grad).collect(),
            fc_weight: Tensor::from_data(fc_weight, &autodiff).require_grad(),
            fc_bias: Tensor::from_data(fc_bias, &autodiff).require_grad(),
        };
        let trunk =
            Trunk { specs: frozen.to_vec(), stages: load(frozen, &plain), device: plain, native: None };
        Ok(Self { trunk, head, architecture, policy }.with_engine(EngineKind::default()))
    }

    /// The same network with its convolutions computed by `engine`; devices other than the CPU compute
    /// with Burn in any case.
    #[must_use]
    pub fn with_engine(mut self, engine: EngineKind) -> Self {
        let native = engine == EngineKind::Native && NativeTrunk::takes(&self.trunk.device);
        self.trunk.native = native.then(|| NativeTrunk::new(Policy::Fast));
        self.head.stages.iter_mut().for_each(|stage| stage.set_engine(engine));
        self
    }

    /// What kind of network it is.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Where the network was cut.
    #[must_use]
    pub const fn policy(&self) -> FreezePolicy {
        self.policy
    }

    /// Counts of parameters, buffers left out.
    #[must_use]
    pub fn n_parameters(&self) -> ParameterCounts {
        let total =
            self.architecture.tensors().iter().filter(|t| t.is_parameter()).map(|t| t.n_elements()).sum();
        let mut count = Count(0);
        self.head.clone().visit_parameters(&mut count);
        ParameterCounts { total, trainable: count.0, frozen: total - count.0 }
    }

    /// Copies all weights to host memory.
    #[must_use]
    pub fn to_state_dict(&self) -> StateDict {
        let mut tensors = BTreeMap::new();
        self.trunk.stages.iter().chain(&self.head.stages).for_each(|stage| stage.export(&mut tensors));
        tensors.insert("fc.weight".to_owned(), to_host(self.head.fc_weight.clone()));
        tensors.insert("fc.bias".to_owned(), to_host(self.head.fc_bias.clone()));
        StateDict::unchecked(self.architecture, tensors)
    }
}

struct Count(usize);

impl ParameterVisitor for Count {
    fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
        self.0 += parameter.dims().iter().product::<usize>();
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
    pub const fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Features by the running statistics.
    ///
    /// # Shapes
    /// `[N, 1, D, H, W]` to `[N, 256, ceil(D/4), ceil(H/8), ceil(W/8)]` under the thesis's policy.
    ///
    /// # Determinism
    /// The same bits for any number of threads; each scan of a batch is independent of the others.
    ///
    /// # Panics
    /// If the input is too small for the network.
    #[must_use]
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match &self.native {
            Some(native) if !self.is_empty() => {
                native.forward(x, NormMode::Running, || self.native_network()).0
            }
            _ => self.stages.iter().fold(x, |x, stage| stage.forward(x, &mut Pass::Folded)),
        }
    }

    /// Features by the batch's own statistics, which also move the running ones.
    #[must_use]
    pub fn forward_batch(&mut self, x: Tensor<5>) -> Tensor<5> {
        let (y, statistics) = self.normalised_by_batch(x);
        update(&mut self.stages, &statistics);
        y
    }

    /// Adds the statistics of `x`, normalised by themselves all the way, to `tally`.
    pub fn observe(&self, x: Tensor<5>, tally: &mut NormTally) {
        tally.add(&self.normalised_by_batch(x).1);
    }

    fn normalised_by_batch(&self, x: Tensor<5>) -> (Tensor<5>, Vec<NormStatistics>) {
        match &self.native {
            Some(native) if !self.is_empty() => native.forward(x, NormMode::Batch, || self.native_network()),
            _ => {
                let mut gathered = Vec::new();
                let stages = self.stages.iter();
                let y = stages.fold(x, |x, stage| stage.forward(x, &mut Pass::Batch(&mut gathered)));
                (y, gathered)
            }
        }
    }

    /// Takes the gathered statistics as the running ones.
    pub fn calibrate(&mut self, tally: &NormTally) {
        tally.store(self.stages.iter_mut().flat_map(Stage::norms_mut).collect());
        self.native.iter_mut().for_each(NativeTrunk::forget);
    }

    /// A digest of everything that decides the output of [`Trunk::forward`].
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let tag = self.native.as_ref().map_or_else(|| "burn".to_owned(), NativeTrunk::tag);
        let weights = self.state().hash(|_| true);
        HashBuilder::new().part(tag).part(weights.as_str()).finish()
    }

    fn state(&self) -> StateDict {
        let mut tensors = BTreeMap::new();
        self.stages.iter().for_each(|stage| stage.export(&mut tensors));
        StateDict::unchecked(Architecture::default(), tensors)
    }

    fn native_network(&self) -> native::Built {
        native::network(&self.specs, &self.state())
    }
}

impl Head {
    /// Logits with every batch norm in train mode (batch statistics, running ones updated).
    ///
    /// # Shapes
    /// Trunk output `[N, C, d, h, w]` to `[N, 2]`.
    #[must_use]
    pub fn forward_train(&mut self, features: Tensor<5>) -> Tensor<2> {
        let x = forward_and_update(&mut self.stages, features);
        self.classify(x)
    }

    /// Logits by the running statistics.
    #[must_use]
    pub fn forward(&self, features: Tensor<5>) -> Tensor<2> {
        let x = self.stages.iter().fold(features, |x, stage| stage.forward(x, &mut Pass::Running));
        self.classify(x)
    }

    /// The same head outside autodiff, for evaluation; shares memory with this one.
    #[must_use]
    pub fn without_autodiff(&self) -> Self {
        Self {
            stages: self.stages.iter().map(Stage::without_autodiff).collect(),
            fc_weight: self.fc_weight.clone().without_autodiff(),
            fc_bias: self.fc_bias.clone().without_autodiff(),
        }
    }

    /// Shows every trainable tensor to `visitor`.
    pub fn visit_parameters(&mut self, visitor: &mut impl ParameterVisitor) {
        for stage in &mut self.stages {
            stage.visit_parameters(visitor);
        }
        visitor.visit("fc.weight", &mut self.fc_weight);
        visitor.visit("fc.bias", &mut self.fc_bias);
    }

    /// Average pool and final layer.
    fn classify(&self, x: Tensor<5>) -> Tensor<2> {
        let [n, channels, d, h, w] = x.dims();
        let pooled = x.reshape([n, channels, d * h * w]).mean_dim(2).reshape([n, channels]);
        pooled.matmul(self.fc_weight.clone().transpose()) + self.fc_bias.clone().unsqueeze()
    }
}

fn forward_and_update(stages: &mut [Stage], x: Tensor<5>) -> Tensor<5> {
    let mut gathered = Vec::new();
    let y = stages.iter().fold(x, |x, stage| stage.forward(x, &mut Pass::Batch(&mut gathered)));
    update(stages, &gathered);
    y
}

/// Moves the running statistics towards those of a batch.
fn update(stages: &mut [Stage], statistics: &[NormStatistics]) {
    for (norm, statistics) in stages.iter_mut().flat_map(Stage::norms_mut).zip(statistics) {
        norm.update(statistics);
    }
}

impl StateDict {
    /// Tensors that come out of a network and therefore need no check.
    fn unchecked(architecture: Architecture, tensors: BTreeMap<String, HostTensor>) -> Self {
        Self { architecture, tensors }
    }
}
