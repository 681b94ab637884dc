//! The weights of a network in host memory, by name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use brainreel_artifact::{ArtifactError, ContentHash, HashBuilder, Random, derive_seed, write_atomic};
use safetensors::tensor::{Dtype, TensorView};

use crate::{CheckpointError, Role, TensorSpec};

/// A tensor in host memory, C order.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values, last axis fastest.
    pub values: Vec<f32>,
}

/// The tensors of a network, by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StateDict {
    tensors: BTreeMap<String, HostTensor>,
}

impl StateDict {
    /// Checks that every tensor of the network exists, has the right shape and holds finite numbers
    /// (variances not negative). Tensors that the network does not have are dropped.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`], [`CheckpointError::Shape`] or [`CheckpointError::Value`], with
    /// `origin` saying where the tensors came from.
    pub fn from_tensors(
        mut found: BTreeMap<String, HostTensor>,
        specs: &[TensorSpec],
        origin: &str,
    ) -> Result<Self, CheckpointError> {
        let mut tensors = BTreeMap::new();
        for spec in specs {
            let Some((name, tensor)) = found.remove_entry(&spec.name) else {
                return Err(missing(spec, origin));
            };
            check_shape(spec, &tensor, origin)?;
            check_values(spec, &tensor, origin)?;
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors })
    }

    /// Wraps tensors that come from a network and therefore need no check.
    #[must_use]
    pub const fn from_network(tensors: BTreeMap<String, HostTensor>) -> Self {
        Self { tensors }
    }

    /// Random weights, each tensor drawn as its [`Role`] says.
    ///
    /// # Determinism
    /// The same seed gives the same bits on every machine. Each tensor has its own random stream.
    #[must_use]
    pub fn random(specs: &[TensorSpec], seed: u64) -> Self {
        let drawn = specs.iter().map(|spec| (spec.name.clone(), random_tensor(spec, seed)));
        Self { tensors: drawn.collect() }
    }

    /// The tensors.
    #[must_use]
    pub fn into_tensors(self) -> BTreeMap<String, HostTensor> {
        self.tensors
    }

    /// The tensor called `name`.
    ///
    /// # Panics
    /// If the network has no such tensor.
    #[must_use]
    pub fn tensor(&self, name: &str) -> &HostTensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the network has no tensor {name}"))
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HostTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Replaces the values of the tensor called `name`.
    ///
    /// # Panics
    /// If the network has no such tensor or the number of values is not its size.
    pub fn set(&mut self, name: &str, values: Vec<f32>) {
        let tensor = self.tensors.get_mut(name).unwrap_or_else(|| panic!("the network has no tensor {name}"));
        assert_eq!(values.len(), tensor.values.len(), "number of values of {name}");
        tensor.values = values;
    }

    /// A digest of the tensors whose names `select` accepts.
    #[must_use]
    pub fn hash(&self, select: impl Fn(&str) -> bool) -> ContentHash {
        let chosen = self.iter().filter(|(name, _)| select(name));
        let parts = chosen.fold(HashBuilder::new(), |builder, (name, tensor)| {
            builder.part(name).part(format!("{:?}", tensor.shape)).part(tensor.to_bytes())
        });
        parts.finish()
    }

    /// Writes a safetensors file that the PyTorch network with these tensors loads with `strict=True`. Each
    /// batch norm gets the counter `num_batches_tracked` that PyTorch expects.
    ///
    /// # Errors
    /// [`ArtifactError::Write`] names the path.
    pub fn write_safetensors(&self, path: &Path) -> Result<(), ArtifactError> {
        let counters = self.iter().filter_map(|(name, _)| name.strip_suffix("running_var"));
        let counters: Vec<String> = counters.map(|norm| format!("{norm}num_batches_tracked")).collect();
        let mut entries: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = self
            .iter()
            .map(|(name, tensor)| (name.to_owned(), Dtype::F32, tensor.shape.clone(), tensor.to_bytes()))
            .collect();
        entries.extend(counters.into_iter().map(|name| (name, Dtype::I64, Vec::new(), vec![0; 8])));
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = encode_safetensors(&entries, metadata);
        write_atomic(path, &bytes)
    }
}

impl HostTensor {
    /// The values as little-endian bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

fn encode_safetensors(
    entries: &[(String, Dtype, Vec<usize>, Vec<u8>)],
    metadata: HashMap<String, String>,
) -> Vec<u8> {
    let views = entries.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fit the shape");
        (name.as_str(), view)
    });
    safetensors::serialize(views, Some(metadata)).expect("plain tensors serialise")
}

/// A fresh tensor, drawn as its [`Role`] says.
pub(crate) fn random_tensor(spec: &TensorSpec, seed: u64) -> HostTensor {
    let mut random = Random::new(derive_seed(seed, "weights", &[&spec.name]));
    let n_values = spec.n_elements();
    let values = match spec.role {
        Role::Gamma | Role::RunningVar => vec![1.0; n_values],
        Role::Beta | Role::RunningMean | Role::DenseBias => vec![0.0; n_values],
        Role::Kernel => {
            let fan_out = spec.shape[0] * spec.shape[2..].iter().product::<usize>();
            draw_normal(&mut random, (2.0 / fan_out as f64).sqrt(), n_values)
        }
        Role::DenseWeight | Role::Position => draw_normal(&mut random, 0.02, n_values),
        Role::LinearWeight | Role::PatchKernel => {
            draw_uniform(&mut random, spec.shape[1..].iter().product(), n_values)
        }
        Role::LinearBias { fan_in } | Role::PatchBias { fan_in } => {
            draw_uniform(&mut random, fan_in, n_values)
        }
    };
    HostTensor { shape: spec.shape.clone(), values }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn draw_normal(random: &mut Random, deviation: f64, n: usize) -> Vec<f32> {
    (0..n).map(|_| (deviation * random.normal()) as f32).collect()
}

/// Uniform within ±1/sqrt(number of inputs).
#[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn draw_uniform(random: &mut Random, fan_in: usize, n: usize) -> Vec<f32> {
    let bound = 1.0 / (fan_in as f64).sqrt();
    (0..n).map(|_| (bound * (2.0 * random.uniform() - 1.0)) as f32).collect()
}

pub(crate) fn missing(spec: &TensorSpec, origin: &str) -> CheckpointError {
    CheckpointError::MissingTensor {
        name: spec.name.clone(),
        origin: origin.to_owned(),
        expected: spec.shape.clone(),
    }
}

fn check_shape(spec: &TensorSpec, tensor: &HostTensor, origin: &str) -> Result<(), CheckpointError> {
    if tensor.shape == spec.shape && tensor.values.len() == spec.n_elements() {
        return Ok(());
    }
    Err(CheckpointError::Shape {
        name: spec.name.clone(),
        origin: origin.to_owned(),
        got: tensor.shape.clone(),
        expected: spec.shape.clone(),
    })
}

fn check_values(spec: &TensorSpec, tensor: &HostTensor, origin: &str) -> Result<(), CheckpointError> {
    let is_variance = spec.role == Role::RunningVar;
    let wrong = |value: &f32| !value.is_finite() || (is_variance && *value < 0.0);
    match tensor.values.iter().position(wrong) {
        None => Ok(()),
        Some(index) => Err(CheckpointError::Value {
            name: spec.name.clone(),
            origin: origin.to_owned(),
            got: tensor.values[index],
            index,
            expected: if is_variance { "a finite number not below 0" } else { "a finite number" },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<TensorSpec> {
        vec![
            TensorSpec::new("conv.weight", &[128, 64, 3, 3, 3], Role::Kernel),
            TensorSpec::new("norm.running_var", &[128], Role::RunningVar),
            TensorSpec::new("fc.weight", &[2, 512], Role::LinearWeight),
            TensorSpec::new("fc.bias", &[2], Role::LinearBias { fan_in: 512 }),
        ]
    }

    #[test]
    fn random_weights_depend_on_the_seed_and_have_the_right_spread() {
        let weights = StateDict::random(&specs(), 5);
        assert_eq!(weights.hash(|_| true), StateDict::random(&specs(), 5).hash(|_| true));
        assert_ne!(weights.hash(|_| true), StateDict::random(&specs(), 6).hash(|_| true));
        let kernel = &weights.tensor("conv.weight").values;
        let mean_square = kernel.iter().map(|v| f64::from(v * v)).sum::<f64>() / kernel.len() as f64;
        let expected = 2.0 / (128.0 * 27.0);
        assert!((mean_square / expected - 1.0).abs() < 0.02, "{mean_square} {expected}");
        for name in ["fc.weight", "fc.bias"] {
            assert!(weights.tensor(name).values.iter().all(|v| v.abs() <= 0.0442), "{name}");
        }
    }

    #[test]
    fn what_is_missing_misshapen_or_not_finite_is_named() {
        let tensors = StateDict::random(&specs(), 0).into_tensors();
        let refused = |change: &dyn Fn(&mut BTreeMap<String, HostTensor>)| {
            let mut changed = tensors.clone();
            change(&mut changed);
            StateDict::from_tensors(changed, &specs(), "w").unwrap_err().to_string()
        };
        let lacking = refused(&|tensors| drop(tensors.remove("norm.running_var")));
        assert_eq!(lacking, "no tensor norm.running_var in w, expected shape [128]");
        let bent = refused(&|tensors| {
            tensors.insert("fc.bias".to_owned(), HostTensor { shape: vec![3], values: vec![0.0; 3] });
        });
        assert_eq!(bent, "tensor fc.bias in w has shape [3], expected [2]");
        let negative = refused(&|tensors| tensors.get_mut("norm.running_var").unwrap().values[3] = -1.0);
        assert_eq!(
            negative,
            "tensor norm.running_var in w holds -1 at 3, expected a finite number not below 0"
        );
        let infinite = refused(&|tensors| tensors.get_mut("conv.weight").unwrap().values[7] = f32::INFINITY);
        assert!(infinite.ends_with("holds inf at 7, expected a finite number"), "{infinite}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let weights = StateDict::random(&specs(), 2);
        weights.write_safetensors(&path).unwrap();
        let found = crate::read_tensors(&path, |name| !name.ends_with("num_batches_tracked")).unwrap();
        assert_eq!(StateDict::from_tensors(found, &specs(), "w").unwrap(), weights);
        // The counter of the batch norm is an integer, which is an error only if it is requested.
        let counters = crate::read_tensors(&path, |name| name.ends_with("num_batches_tracked"));
        assert!(matches!(counters, Err(CheckpointError::DataType { ref got, .. }) if got == "I64"));
    }
}
