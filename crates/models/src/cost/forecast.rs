//! What a network costs.

use brainreel_checkpoint::TensorSpec;
use serde::{Deserialize, Serialize};

use super::{Ledger, MemoryUse, NUMBER, Parts, Work};
use crate::backbone::{LayerSpec, Step};
use crate::network::FreezePolicy;
use crate::networks::{Architecture, NetworkConfig};
use crate::norm::FrozenNorm;
use crate::{ModelError, ParameterCounts};

/// What a network costs in training, on the CPU with our own engine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NetworkCost {
    /// Counts of parameters.
    pub parameters: ParameterCounts,
    /// The moment of a step forward and backward when most memory is in use (the optimizer's left out).
    pub memory: MemoryUse,
    /// Bytes of it that stay in use between steps, beside the weights.
    pub kept: u64,
    /// Bytes of the trunk's output for one image.
    pub features: u64,
    /// One image through the frozen trunk.
    pub trunk: Work,
    /// A batch through the trained head, in evaluation.
    pub head_forward: Work,
    /// A batch through the trained head, forward and backward.
    pub head: Work,
}

impl NetworkCost {
    /// Cost of steps of `batch_size` images. With [`FrozenNorm::Batch`] a trunk with batch norms takes a batch at a
    /// time, otherwise one image.
    ///
    /// # Errors
    /// [`ModelError::InputSize`] if inputs of this size do not suit the network.
    pub fn new(
        config: impl Into<NetworkConfig>,
        policy: FreezePolicy,
        frozen_norm: FrozenNorm,
        batch_size: usize,
    ) -> Result<Self, ModelError> {
        let NetworkConfig { architecture, dims, n_classes } = config.into();
        architecture.check_dims(dims)?;
        let together = frozen_norm == FrozenNorm::Batch && architecture.has_batch_norm();
        let step = Step {
            n_frozen: policy.n_frozen(architecture),
            dims,
            n_classes,
            n_trunk: if together { batch_size } else { 1 },
            n_images: batch_size,
        };
        let parameters = count(architecture, &step);
        let mut ledger = Ledger::default();
        ledger.now.weights = parameters.total as u64 * NUMBER;
        let parts = architecture.backbone().cost(&step, &mut ledger);
        let kept = ledger.now.workspace;
        // At the end the gradients exist twice, on their way to the optimizer.
        let trained = parameters.trainable as u64 * NUMBER;
        ledger.now.gradients = 2 * trained;
        ledger.now.activations = 0;
        ledger.note();
        let Parts { features, trunk, head_forward, head } = parts;
        Ok(Self { parameters, memory: ledger.peak(), kept, features, trunk, head_forward, head })
    }
}

/// Counts of parameters, by the layers that are frozen.
fn count(architecture: Architecture, step: &Step) -> ParameterCounts {
    let layers = architecture.backbone().layers(step.dims, step.n_classes);
    let of_layer = |layer: &dyn LayerSpec| {
        let tensors = layer.tensors();
        tensors.iter().filter(|tensor| tensor.is_parameter()).map(TensorSpec::n_elements).sum::<usize>()
    };
    let counts: Vec<usize> = layers.iter().map(|layer| of_layer(layer.as_ref())).collect();
    let (total, trainable) = (counts.iter().sum(), counts[step.n_frozen..].iter().sum::<usize>());
    ParameterCounts { total, trainable, frozen: total - trainable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceKind, Network, NetworkWeights};

    fn cost(architecture: Architecture, policy: FreezePolicy, edge: usize, batch_size: usize) -> NetworkCost {
        let config = NetworkConfig::new(architecture).with_dims([edge; 3]);
        NetworkCost::new(config, policy, FrozenNorm::Calibrated, batch_size).unwrap()
    }

    #[test]
    fn parameters_are_the_networks() {
        let device = DeviceKind::Cpu.open().unwrap();
        for architecture in Architecture::all() {
            let weights = NetworkWeights::random(architecture, 0).fitted_to([32; 3]).unwrap();
            for policy in FreezePolicy::ALL {
                let network = Network::new(&weights, policy, &device);
                let counted = cost(architecture, policy, 32, 1).parameters;
                assert_eq!(counted, network.n_parameters(), "{architecture} {policy:?}");
            }
        }
    }

    /// Peaks that `network_bench` measured on x86-64 with AVX-512 and two cores, batch 1, in megabytes.
    #[test]
    fn memory_is_what_was_measured() {
        use FreezePolicy::{LastStage, None};
        let measured = [
            ("r3d_18", [(LastStage, 48, 531), (None, 48, 549), (LastStage, 128, 1203), (None, 128, 3137)]),
            ("mc3_18", [(LastStage, 48, 219), (None, 48, 316), (LastStage, 128, 946), (None, 96, 1780)]),
            ("r2plus1d_18", [(LastStage, 48, 435), (None, 48, 803), (LastStage, 96, 731), (None, 96, 3759)]),
            ("mvit_v1_b", [(LastStage, 64, 294), (None, 64, 431), (LastStage, 96, 384), (None, 96, 691)]),
            ("mvit_v2_s", [(LastStage, 64, 280), (None, 64, 435), (LastStage, 96, 372), (None, 96, 659)]),
        ];
        for (name, cases) in measured {
            let architecture: Architecture = name.parse().unwrap();
            for (policy, edge, megabytes) in cases {
                let expected = f64::from(megabytes);
                let got = cost(architecture, policy, edge, 1).memory.total() as f64 / 1e6 + 40.0;
                assert!(
                    (got / expected - 1.0).abs() < 0.25,
                    "{architecture} {policy:?} {edge}: {got} {expected}"
                );
            }
        }
    }

    /// torchvision gives 40.7 GFLOP (products and sums together twice that) for R3D-18 on three channels of
    /// 16x112x112, of which the stem's two further channels are left out here.
    #[test]
    fn operations_are_the_architectures() {
        let r3d_18: Architecture = "r3d_18".parse().unwrap();
        let cost = NetworkCost::new(r3d_18, FreezePolicy::None, FrozenNorm::Calibrated, 1);
        let flops = cost.unwrap().head_forward.flops() / 2e9;
        let stem = 64.0 * 16.0 * 56.0 * 56.0 * 147.0 * 2.0 / 1e9;
        assert!((flops + stem - 40.7).abs() < 0.1, "{flops} {stem}");
    }

    #[test]
    fn more_of_anything_costs_more() {
        for architecture in Architecture::all() {
            let of = |policy, edge, batch_size| {
                let cost = cost(architecture, policy, edge, batch_size);
                (cost.memory.total(), (cost.trunk * batch_size as f64 + cost.head).flops())
            };
            let base = of(FreezePolicy::LastStage, 96, 1);
            let cases = [
                of(FreezePolicy::None, 96, 1),
                of(FreezePolicy::LastStage, 128, 1),
                of(FreezePolicy::LastStage, 96, 8),
            ];
            for (memory, flops) in cases {
                assert!(
                    memory >= base.0 && flops > base.1,
                    "{architecture}: {memory} {flops} beside {base:?}"
                );
            }
        }
    }

    #[test]
    fn inputs_that_do_not_suit_are_refused() {
        let mvit: Architecture = "mvit_v2_s".parse().unwrap();
        let config = NetworkConfig::new(mvit).with_dims([48; 3]);
        let odd = NetworkCost::new(config, FreezePolicy::LastStage, FrozenNorm::Calibrated, 1);
        assert!(matches!(odd, Err(ModelError::InputSize { .. })));
    }
}
