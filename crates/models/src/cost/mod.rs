//! What a step of a network costs: memory and work, from the architecture's tables alone.
//!
//! The walk follows what the code of this crate does on the CPU with our own engine: which maps it keeps for the
//! way back, how the kernels lay maps and weights out, what it computes twice.

mod ledger;
mod residual;
mod speed;
mod tokens;

use std::ops::{Add, AddAssign, Mul};

use brainreel_checkpoint::TensorSpec;
use serde::{Deserialize, Serialize};

use crate::ModelError;

use crate::architecture::{Architecture, ParameterCounts};
use crate::network::FreezePolicy;
use crate::norm::FrozenNorm;

pub use ledger::MemoryUse;
use ledger::{Ledger, NUMBER};
pub use speed::Speed;

/// Work of a kind that takes its own time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Work {
    /// Floating-point operations of convolutions on the engine (frozen stages).
    pub engine_flops: f64,
    /// Of convolutions that are trained, or embed patches.
    pub conv_flops: f64,
    /// Of linear layers.
    pub matrix_flops: f64,
    /// Of attention.
    pub attention_flops: f64,
    /// Bytes read and written by everything else.
    pub bytes: f64,
    /// What `engine_flops` would be if Winograd's algorithm saved as much everywhere as with cubic kernels.
    pub engine_effort: f64,
    /// The same of `conv_flops`.
    pub conv_effort: f64,
}

impl Work {
    /// Floating-point operations, as plain loops would do them: a product and a sum are two.
    #[must_use]
    pub fn flops(&self) -> f64 {
        self.engine_flops + self.conv_flops + self.matrix_flops + self.attention_flops
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.engine_flops += other.engine_flops;
        self.conv_flops += other.conv_flops;
        self.matrix_flops += other.matrix_flops;
        self.attention_flops += other.attention_flops;
        self.bytes += other.bytes;
        self.engine_effort += other.engine_effort;
        self.conv_effort += other.conv_effort;
    }
}

impl Add for Work {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Mul<f64> for Work {
    type Output = Self;

    fn mul(self, n: f64) -> Self {
        Self {
            engine_flops: n * self.engine_flops,
            conv_flops: n * self.conv_flops,
            matrix_flops: n * self.matrix_flops,
            attention_flops: n * self.attention_flops,
            bytes: n * self.bytes,
            engine_effort: n * self.engine_effort,
            conv_effort: n * self.conv_effort,
        }
    }
}

/// Trunk and head apart.
#[derive(Debug, Default)]
struct Parts {
    /// Bytes between trunk and head, of one image.
    features: u64,
    /// One image through the trunk.
    trunk: Work,
    /// A batch through the head, in evaluation.
    head_forward: Work,
    /// A batch through the head and back.
    head: Work,
}

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
    /// Of `batch_size` images of `dims` voxels. With [`FrozenNorm::Batch`] the trunk of a residual network takes a batch
    /// at a time, otherwise one image.
    ///
    /// # Errors
    /// [`ModelError::InputSize`] if such inputs do not suit the network.
    pub fn new(
        architecture: Architecture,
        policy: FreezePolicy,
        frozen_norm: FrozenNorm,
        dims: [usize; 3],
        batch_size: usize,
    ) -> Result<Self, ModelError> {
        architecture.check_dims(dims)?;
        let together = frozen_norm == FrozenNorm::Batch && !architecture.is_transformer();
        let n_trunk = if together { batch_size } else { 1 };
        let parameters = count(architecture, policy, dims);
        let mut ledger = Ledger::default();
        ledger.now.weights = parameters.total as u64 * NUMBER;
        let sizes = [n_trunk, batch_size];
        let parts = if architecture.is_transformer() {
            tokens::walk(architecture, policy.n_frozen_layers(), dims, sizes, &mut ledger)
        } else {
            residual::walk(architecture, policy.n_frozen_stages(), dims, sizes, &mut ledger)
        };
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

/// Counts of parameters, by the layers that a policy freezes.
fn count(architecture: Architecture, policy: FreezePolicy, dims: [usize; 3]) -> ParameterCounts {
    let most = policy.deepest_trained(architecture);
    let (mut total, mut trainable) = (0, 0);
    for tensor in architecture.tensors(dims).iter().filter(|tensor| tensor.is_parameter()) {
        total += TensorSpec::n_elements(tensor);
        if architecture.layer_depth(&tensor.name) <= most {
            trainable += tensor.n_elements();
        }
    }
    ParameterCounts { total, trainable, frozen: total - trainable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceKind, Network, NetworkWeights};

    fn cost(architecture: Architecture, policy: FreezePolicy, edge: usize, batch_size: usize) -> NetworkCost {
        NetworkCost::new(architecture, policy, FrozenNorm::Calibrated, [edge; 3], batch_size).unwrap()
    }

    #[test]
    fn parameters_are_the_networks() {
        let device = DeviceKind::Cpu.open().unwrap();
        for architecture in Architecture::ALL {
            let weights = NetworkWeights::random(architecture, 0).fitted_to([32; 3]).unwrap();
            for policy in [FreezePolicy::Thesis, FreezePolicy::FcOnly, FreezePolicy::Discriminative] {
                let network = Network::new(&weights, policy, &device).unwrap();
                let counted = cost(architecture, policy, 32, 1).parameters;
                assert_eq!(counted, network.n_parameters(), "{architecture} {policy:?}");
            }
        }
    }

    /// Peaks that `network_bench` measured on x86-64 with AVX-512 and two cores, batch 1, in megabytes.
    #[test]
    fn memory_is_what_was_measured() {
        use FreezePolicy::{None, Thesis};
        let measured = [
            (
                Architecture::R3d18,
                [(Thesis, 48, 531), (None, 48, 549), (Thesis, 128, 1203), (None, 128, 3137)],
            ),
            (Architecture::Mc318, [(Thesis, 48, 219), (None, 48, 316), (Thesis, 128, 946), (None, 96, 1780)]),
            (
                Architecture::R2plus1d18,
                [(Thesis, 48, 435), (None, 48, 803), (Thesis, 96, 731), (None, 96, 3759)],
            ),
            (Architecture::MvitV1B, [(Thesis, 64, 294), (None, 64, 431), (Thesis, 96, 384), (None, 96, 691)]),
            (Architecture::MvitV2S, [(Thesis, 64, 280), (None, 64, 435), (Thesis, 96, 372), (None, 96, 659)]),
        ];
        for (architecture, cases) in measured {
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
        let [depth, height] = [16, 112];
        let cost = NetworkCost::new(
            Architecture::R3d18,
            FreezePolicy::None,
            FrozenNorm::Calibrated,
            [depth, height, height],
            1,
        );
        let flops = cost.unwrap().head_forward.flops() / 2e9;
        let stem = 64.0 * 16.0 * 56.0 * 56.0 * 147.0 * 2.0 / 1e9;
        assert!((flops + stem - 40.7).abs() < 0.1, "{flops} {stem}");
    }

    #[test]
    fn more_of_anything_costs_more() {
        for architecture in Architecture::ALL {
            let of = |policy, edge, batch_size| {
                let cost = cost(architecture, policy, edge, batch_size);
                (cost.memory.total(), (cost.trunk * batch_size as f64 + cost.head).flops())
            };
            let base = of(FreezePolicy::Thesis, 96, 1);
            let cases = [
                of(FreezePolicy::None, 96, 1),
                of(FreezePolicy::Thesis, 128, 1),
                of(FreezePolicy::Thesis, 96, 8),
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
        let odd =
            NetworkCost::new(Architecture::MvitV2S, FreezePolicy::Thesis, FrozenNorm::Calibrated, [48; 3], 1);
        assert!(matches!(odd, Err(ModelError::InputSize { .. })));
    }
}
