//! Reading weights from files that nobody vouches for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::architecture::{Architecture, PATCH, TensorSpec};
use crate::checkpoint::{self, Refusal};
use crate::state::{HostTensor, StateDict, missing, random_tensor};

/// Largest weights file that is opened: any of the networks in double precision with optimizer state fits.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// How a three-channel stem or patch embedding becomes a one-channel one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StemConversion {
    /// Sum of the three kernels: what feeding the grey volume three times would compute.
    #[default]
    Sum,
    /// Their mean.
    Mean,
    /// A fresh random kernel.
    Random,
}

/// How foreign weights are fitted to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// For a stem with three channels.
    pub stem: StemConversion,
    /// Seed of the tensors that are drawn afresh (the final layer, a random stem).
    pub seed: u64,
    /// The network that the weights have to be of; `None` takes whichever they are of.
    pub architecture: Option<Architecture>,
}

/// Reads weights in torchvision's naming, from safetensors or from a checkpoint of PyTorch: either our own
/// export or, say, the Kinetics-400 weights, whose stem is converted and whose final layer is replaced by a
/// fresh one. Which network they are of, and for which size of input a transformer's positions are laid out,
/// shows in names and shapes.
///
/// # Errors
/// [`ModelError`] names the file, the tensor, what was found and what was expected;
/// [`ModelError::OtherArchitecture`] if the weights are of another network than the one asked for.
pub fn read_weights(path: &Path, options: ImportOptions) -> Result<StateDict, ModelError> {
    let tensors = Architecture::ALL.map(|architecture| architecture.tensors(architecture.native_dims()));
    let names: BTreeSet<String> = tensors.into_iter().flatten().map(|spec| spec.name).collect();
    let found = read_tensors(path, |name| names.contains(name))?;
    fit(found, &path.display().to_string(), options)
}

/// Reads those tensors of a safetensors file or a checkpoint of PyTorch (`.pt`, `.pth`: the zip format and
/// the older one) whose names `select` accepts, in single precision. Which of them it is shows in its first
/// bytes. Nothing in the file is executed.
///
/// # Errors
/// [`ModelError`] names the file and what is wrong with it.
pub fn read_tensors(
    path: &Path,
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, ModelError> {
    decode_tensors(&read_bounded(path)?, path, select)
}

/// As [`read_tensors`], of a file that is in memory; `path` is what messages call it.
///
/// # Errors
/// As [`read_tensors`].
pub fn decode_tensors(
    bytes: &[u8],
    path: &Path,
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, ModelError> {
    if !checkpoint::is_torch(bytes) {
        return decode_safetensors(bytes, path, select);
    }
    checkpoint::decode(bytes, select).map_err(|refusal| match refusal {
        Refusal::Checkpoint(source) => ModelError::Checkpoint { path: path.to_owned(), source },
        Refusal::DataType { name, got } => {
            ModelError::DataType { name, origin: path.display().to_string(), got }
        }
    })
}

/// Decodes those tensors of a safetensors file whose names `select` accepts to single precision.
///
/// # Errors
/// [`ModelError::NotSafetensors`] or [`ModelError::DataType`], naming the file.
pub fn decode_safetensors(
    bytes: &[u8],
    path: &Path,
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, ModelError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| ModelError::NotSafetensors { path: path.to_owned(), detail: error.to_string() })?;
    let chosen = file.iter().filter(|(name, _)| select(name));
    chosen.map(|(name, view)| Ok((name.to_owned(), decode(name, &view, path)?))).collect()
}

pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, ModelError> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let got_bytes = file.metadata().map_err(read)?.len();
    if got_bytes > MAX_FILE_BYTES {
        let path = path.to_owned();
        return Err(ModelError::TooLarge { path, got_bytes, limit_bytes: MAX_FILE_BYTES });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(read)?;
    Ok(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are computed with in single precision")]
fn decode(name: &str, view: &TensorView<'_>, path: &Path) -> Result<HostTensor, ModelError> {
    let data = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        other => {
            return Err(ModelError::DataType {
                name: name.to_owned(),
                origin: path.display().to_string(),
                got: format!("{other:?}"),
            });
        }
    };
    Ok(HostTensor { shape: view.shape().to_vec(), values })
}

/// Converts stem and final layer where they are the pretrained network's.
fn fit(
    mut found: BTreeMap<String, HostTensor>,
    origin: &str,
    options: ImportOptions,
) -> Result<StateDict, ModelError> {
    let architecture =
        recognise(&found).ok_or_else(|| ModelError::Unrecognised { origin: origin.to_owned() })?;
    if let Some(expected) = options.architecture.filter(|expected| *expected != architecture) {
        return Err(ModelError::OtherArchitecture { origin: origin.to_owned(), got: architecture, expected });
    }
    let dims = if architecture.is_transformer() {
        input_of(architecture, &found, origin)?
    } else {
        architecture.native_dims()
    };
    let specs = architecture.tensors(dims);
    let stem_spec = &specs[0];
    let stem = found.get_mut(&stem_spec.name).ok_or_else(|| missing(stem_spec, origin))?;
    let mut coloured = stem_spec.shape.clone();
    coloured[1] = 3;
    if stem.shape == coloured && stem.values.len() == 3 * stem_spec.n_elements() {
        *stem = convert_stem(stem, stem_spec, options);
    }
    let [.., weight_spec, bias_spec] = specs.as_slice() else { unreachable!("a network has many tensors") };
    let weight = found.get(&weight_spec.name).ok_or_else(|| missing(weight_spec, origin))?;
    let is_other_task = matches!(weight.shape[..], [classes, features]
        if classes != crate::N_CLASSES && features == weight_spec.shape[1]);
    if is_other_task {
        for spec in [weight_spec, bias_spec] {
            found.insert(spec.name.clone(), random_tensor(spec, options.seed));
        }
    }
    StateDict::of_input(architecture, dims, found, origin)
}

/// The network that the tensors are of, by tensors that only it has.
fn recognise(found: &BTreeMap<String, HostTensor>) -> Option<Architecture> {
    let has = |name: &str| found.contains_key(name);
    // The first three differ in one kernel alone.
    let kernel = found.get("layer2.0.conv1.0.weight").map(|tensor| tensor.shape.get(2).copied());
    if has("pos_encoding.class_token") || has("conv_proj.weight") {
        let relative = has("blocks.0.attn.rel_pos_h") || !has("pos_encoding.spatial_pos");
        Some(if relative { Architecture::MvitV2S } else { Architecture::MvitV1B })
    } else if has("layer2.0.conv1.0.0.weight") {
        Some(Architecture::R2plus1d18)
    } else if kernel == Some(Some(1)) {
        Some(Architecture::Mc318)
    } else if kernel.is_some() || has("stem.0.weight") {
        Some(Architecture::R3d18)
    } else {
        None
    }
}

/// Input of a transformer whose positional tensors are `found`, its height and width being equal.
fn input_of(
    architecture: Architecture,
    found: &BTreeMap<String, HostTensor>,
    origin: &str,
) -> Result<[usize; 3], ModelError> {
    let rows = |name: &str| {
        let spec =
            || architecture.tensors(architecture.native_dims()).into_iter().find(|spec| spec.name == name);
        match found.get(name) {
            Some(tensor) => Ok(tensor.shape.first().copied().unwrap_or(0)),
            None => Err(missing(&spec().expect("the network has it"), origin)),
        }
    };
    let (depth, edge) = if architecture == Architecture::MvitV1B {
        (rows("pos_encoding.temporal_pos")?, rows("pos_encoding.spatial_pos")?.isqrt())
    } else {
        let middle = |rows: usize| rows / 2 + rows % 2;
        (middle(rows("blocks.0.attn.rel_pos_t")?), middle(rows("blocks.0.attn.rel_pos_h")?))
    };
    let [_, stride, _] = PATCH;
    let dims = [depth, edge, edge];
    let dims = [0, 1, 2].map(|axis| dims[axis].saturating_mul(stride[axis]));
    architecture.check_dims(dims)?;
    Ok(dims)
}

fn convert_stem(stem: &HostTensor, spec: &TensorSpec, options: ImportOptions) -> HostTensor {
    let factor = match options.stem {
        StemConversion::Sum => 1.0,
        StemConversion::Mean => 1.0 / 3.0,
        StemConversion::Random => return random_tensor(spec, options.seed),
    };
    let n_taps: usize = spec.shape[2..].iter().product();
    let kernels = stem.values.chunks_exact(3 * n_taps);
    let values = kernels
        .flat_map(|rgb| {
            (0..n_taps).map(move |tap| factor * (rgb[tap] + rgb[tap + n_taps] + rgb[tap + 2 * n_taps]))
        })
        .collect();
    HostTensor { shape: spec.shape.clone(), values }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn kinetics_like() -> BTreeMap<String, HostTensor> {
        let own = StateDict::random(1);
        let mut tensors: BTreeMap<_, _> = own.iter().map(|(n, t)| (n.to_owned(), t.clone())).collect();
        let stem = (0..64 * 3 * 147).map(|i| (i % 1000) as f32).collect();
        tensors.insert("stem.0.weight".into(), HostTensor { shape: vec![64, 3, 3, 7, 7], values: stem });
        let fc = HostTensor { shape: vec![400, 512], values: vec![0.5; 400 * 512] };
        tensors.insert("fc.weight".into(), fc);
        tensors.insert("fc.bias".into(), HostTensor { shape: vec![400], values: vec![0.5; 400] });
        tensors
    }

    #[test]
    fn a_colour_stem_and_400_classes_are_converted() {
        let options = ImportOptions { seed: 9, ..ImportOptions::default() };
        let weights = fit(kinetics_like(), "k400", options).unwrap();
        let stem = weights.tensor("stem.0.weight");
        assert_eq!(stem.shape, [64, 1, 3, 7, 7]);
        // Kernel 1, tap 2: elements 443, 590 and 737 of the colour stem.
        assert!((stem.values[149] - (443.0 + 590.0 + 737.0)).abs() < 1e-3);
        let options = ImportOptions { stem: StemConversion::Mean, ..options };
        let mean = fit(kinetics_like(), "k400", options).unwrap();
        assert!((mean.tensor("stem.0.weight").values[149] - 590.0).abs() < 1e-3);
        assert_eq!(weights.tensor("fc.weight"), StateDict::random(9).tensor("fc.weight"));
        assert_eq!(weights.tensor("fc.bias").shape, [2]);
    }

    #[test]
    fn export_and_import_give_the_same_weights() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let weights = StateDict::random(2);
        weights.write_safetensors(&path).unwrap();
        assert_eq!(read_weights(&path, ImportOptions::default()).unwrap(), weights);
    }

    #[test]
    fn hostile_files_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evil.safetensors");
        let mut huge_header = u64::MAX.to_le_bytes().to_vec();
        huge_header.extend(b"{}");
        let lying =
            br#"{"stem.0.weight":{"dtype":"F32","shape":[64,1,3,7,1000000000],"data_offsets":[0,4]}}"#;
        let mut wrong_length = (lying.len() as u64).to_le_bytes().to_vec();
        wrong_length.extend(lying);
        wrong_length.extend([0; 4]);
        for bytes in [Vec::new(), b"PK\x03\x04 a zip".to_vec(), huge_header, wrong_length] {
            fs::write(&path, bytes).unwrap();
            let error = read_weights(&path, ImportOptions::default()).unwrap_err();
            assert!(error.to_string().contains("evil.safetensors"), "{error}");
        }
        let absent = read_weights(&dir.path().join("none"), ImportOptions::default()).unwrap_err();
        assert!(matches!(absent, ModelError::Read { .. }));
    }
}
