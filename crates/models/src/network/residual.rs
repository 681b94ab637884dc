//! Trunk and head of a residual network.

use std::collections::BTreeMap;

use brainreel_engine::{NormMode, Policy};
use burn::tensor::{Device, Tensor, TensorData};

use super::ParameterVisitor;
use crate::N_CLASSES;
use crate::architecture::{N_FEATURES, StageSpec};
use crate::block::{Pass, Stage};
use crate::device::EngineKind;
use crate::math::{Math, Precision};
use crate::native::{self, NativeTrunk};
use crate::norm::{NormStatistics, NormTally, to_host};
use brainreel_checkpoint::{HostTensor, StateDict};

/// The frozen stages.
#[derive(Debug, Clone)]
pub(super) struct ResidualTrunk {
    specs: Vec<StageSpec>,
    stages: Vec<Stage>,
    /// Our own engine, unless Burn computes.
    native: Option<NativeTrunk>,
    math: Math,
}

impl ResidualTrunk {
    pub(super) fn load(specs: &[StageSpec], weights: &StateDict, device: &Device) -> Self {
        let stages = specs.iter().map(|spec| Stage::load(spec, weights, device)).collect();
        Self { specs: specs.to_vec(), stages, native: None, math: Math::default() }
    }

    pub(super) fn set_math(&mut self, math: Math, device: &Device) {
        let native = math.engine == EngineKind::Native && NativeTrunk::takes(device);
        self.native = native.then(|| NativeTrunk::new(Policy::Fast));
        self.math = math;
        self.stages.iter_mut().for_each(|stage| stage.set_math(math));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    pub(super) fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match &self.native {
            Some(native) if !self.is_empty() => {
                native.forward(x, NormMode::Running, || self.native_network()).0
            }
            _ => self.stages.iter().fold(x, |x, stage| stage.forward(x, &mut Pass::Folded)),
        }
    }

    pub(super) fn forward_batch(&mut self, x: Tensor<5>) -> Tensor<5> {
        let (y, statistics) = self.normalised_by_batch(x);
        update(&mut self.stages, &statistics);
        y
    }

    pub(super) fn observe(&self, x: Tensor<5>, tally: &mut NormTally) {
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

    pub(super) fn calibrate(&mut self, tally: &NormTally) {
        tally.store(self.stages.iter_mut().flat_map(Stage::norms_mut).collect());
        self.native.iter_mut().for_each(NativeTrunk::forget);
    }

    /// What decides the bits of the output beside the weights.
    pub(super) fn tag(&self) -> String {
        match (&self.native, self.math.precision) {
            (Some(native), _) => native.tag(),
            (None, Precision::Float32) => "burn".to_owned(),
            (None, precision) => format!("burn {precision}"),
        }
    }

    pub(super) fn export(&self, into: &mut BTreeMap<String, HostTensor>) {
        self.stages.iter().for_each(|stage| stage.export(into));
    }

    fn native_network(&self) -> native::Built {
        let mut tensors = BTreeMap::new();
        self.export(&mut tensors);
        native::network(&self.specs, &StateDict::from_network(tensors))
    }
}

/// The trained stages, the average pool and the final layer.
#[derive(Debug, Clone)]
pub(super) struct ResidualHead {
    stages: Vec<Stage>,
    fc_weight: Tensor<2>,
    fc_bias: Tensor<1>,
}

impl ResidualHead {
    pub(super) fn load(specs: &[StageSpec], weights: &StateDict, device: &Device) -> Self {
        let stages = specs.iter().map(|spec| Stage::load(spec, weights, device).require_grad());
        let fc_weight = TensorData::new(weights.tensor("fc.weight").values.clone(), [N_CLASSES, N_FEATURES]);
        let fc_bias = weights.tensor("fc.bias").values.as_slice();
        Self {
            stages: stages.collect(),
            fc_weight: Tensor::from_data(fc_weight, device).require_grad(),
            fc_bias: Tensor::from_data(fc_bias, device).require_grad(),
        }
    }

    pub(super) fn set_math(&mut self, math: Math) {
        self.stages.iter_mut().for_each(|stage| stage.set_math(math));
    }

    pub(super) fn forward_train(&mut self, features: Tensor<5>) -> Tensor<2> {
        let mut gathered = Vec::new();
        let stages = self.stages.iter();
        let x = stages.fold(features, |x, stage| stage.forward(x, &mut Pass::Batch(&mut gathered)));
        update(&mut self.stages, &gathered);
        self.classify(x)
    }

    pub(super) fn forward(&self, features: Tensor<5>) -> Tensor<2> {
        let x = self.stages.iter().fold(features, |x, stage| stage.forward(x, &mut Pass::Running));
        self.classify(x)
    }

    pub(super) fn without_autodiff(&self) -> Self {
        Self {
            stages: self.stages.iter().map(Stage::without_autodiff).collect(),
            fc_weight: self.fc_weight.clone().without_autodiff(),
            fc_bias: self.fc_bias.clone().without_autodiff(),
        }
    }

    pub(super) fn visit_parameters(&mut self, visitor: &mut impl ParameterVisitor) {
        for stage in &mut self.stages {
            stage.visit_parameters(visitor);
        }
        visitor.visit("fc.weight", &mut self.fc_weight);
        visitor.visit("fc.bias", &mut self.fc_bias);
    }

    pub(super) fn export(&self, into: &mut BTreeMap<String, HostTensor>) {
        self.stages.iter().for_each(|stage| stage.export(into));
        into.insert("fc.weight".to_owned(), to_host(self.fc_weight.clone()));
        into.insert("fc.bias".to_owned(), to_host(self.fc_bias.clone()));
    }

    /// Average pool and final layer.
    fn classify(&self, x: Tensor<5>) -> Tensor<2> {
        let [n, channels, d, h, w] = x.dims();
        let pooled = x.reshape([n, channels, d * h * w]).mean_dim(2).reshape([n, channels]);
        pooled.matmul(self.fc_weight.clone().transpose()) + self.fc_bias.clone().unsqueeze()
    }
}

/// Moves the running statistics towards those of a batch.
fn update(stages: &mut [Stage], statistics: &[NormStatistics]) {
    for (norm, statistics) in stages.iter_mut().flat_map(Stage::norms_mut).zip(statistics) {
        norm.update(statistics);
    }
}
