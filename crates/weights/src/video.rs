//! The published video networks: torchvision's, trained on Kinetics-400.

use std::path::Path;

use brainreel_models::{Architecture, HostTensor, ModelError, Role, TensorSpec, decode_tensors};

/// Classes of Kinetics-400.
const N_ACTIONS: usize = 400;
/// Channels of a film in colour.
const N_COLOURS: usize = 3;
/// Counters of PyTorch's batch norms, which mean nothing here.
const COUNTER: &str = "num_batches_tracked";

/// The tensors of torchvision's network for colour films and the classes of Kinetics-400.
fn published_tensors(architecture: Architecture) -> Vec<TensorSpec> {
    let mut specs = architecture.tensors(architecture.native_dims());
    if let [stem, .., weight, bias] = specs.as_mut_slice() {
        stem.shape[1] = N_COLOURS;
        weight.shape[0] = N_ACTIONS;
        bias.shape[0] = N_ACTIONS;
    }
    specs
}

/// Checks that a file holds the published network: its tensors and no others, in shape and finite. Gives the
/// number of parameters.
pub(crate) fn check(architecture: Architecture, bytes: &[u8], path: &Path) -> Result<usize, ModelError> {
    let mut found = decode_tensors(bytes, path, |name| !name.ends_with(COUNTER))?;
    let origin = path.display().to_string();
    let mut n_parameters = 0;
    for spec in published_tensors(architecture) {
        let tensor = found.remove(&spec.name);
        check_tensor(&spec, tensor.as_ref(), &origin)?;
        n_parameters += if spec.is_parameter() { spec.n_elements() } else { 0 };
    }
    match found.into_keys().next() {
        Some(name) => Err(ModelError::ForeignTensor { name, origin, network: architecture.name() }),
        None => Ok(n_parameters),
    }
}

fn check_tensor(spec: &TensorSpec, tensor: Option<&HostTensor>, origin: &str) -> Result<(), ModelError> {
    let (name, origin) = (spec.name.clone(), origin.to_owned());
    let Some(tensor) = tensor else {
        return Err(ModelError::MissingTensor { name, origin, expected: spec.shape.clone() });
    };
    if tensor.shape != spec.shape {
        let (got, expected) = (tensor.shape.clone(), spec.shape.clone());
        return Err(ModelError::Shape { name, origin, got, expected });
    }
    let is_variance = spec.role == Role::RunningVar;
    let is_bad = |value: &f32| !value.is_finite() || (is_variance && *value < 0.0);
    match tensor.values.iter().position(is_bad) {
        Some(index) => {
            let expected = if is_variance { "a finite number, not negative" } else { "a finite number" };
            Err(ModelError::Value { name, origin, got: tensor.values[index], index, expected })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of parameters in torchvision's documentation of the weights.
    #[test]
    fn parameters_are_those_of_torchvision() {
        for (architecture, expected) in [
            (Architecture::R3d18, 33_371_472),
            (Architecture::Mc318, 11_695_440),
            (Architecture::R2plus1d18, 31_505_325),
            (Architecture::MvitV1B, 36_610_672),
            (Architecture::MvitV2S, 34_537_744),
        ] {
            let specs = published_tensors(architecture);
            let parameters = specs.iter().filter(|spec| spec.is_parameter());
            assert_eq!(parameters.map(TensorSpec::n_elements).sum::<usize>(), expected, "{architecture}");
        }
    }
}
