//! Reading tensors from files of unknown origin.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::torch::{self, Refused};
use crate::{CheckpointError, HostTensor};

/// Largest weight file that is opened: any of the networks in double precision with optimizer state fits.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Reads the tensors whose names `select` accepts, in single precision, from a safetensors file or a PyTorch
/// checkpoint (`.pt`, `.pth`: the zip format and the older one). The first bytes determine the format.
/// Nothing in the file is executed.
///
/// # Errors
/// [`CheckpointError`] names the file and what is wrong with it.
pub fn read_tensors(
    path: &Path,
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, CheckpointError> {
    decode_tensors(&read_bytes(path)?, path, select)
}

/// As [`read_tensors`], for a file in memory. `path` is for messages.
///
/// # Errors
/// As [`read_tensors`].
pub fn decode_tensors(
    bytes: &[u8],
    path: &Path,
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, CheckpointError> {
    if !torch::is_torch(bytes) {
        return decode_safetensors(bytes, path, select);
    }
    torch::decode(bytes, select).map_err(|refused| match refused {
        Refused::Torch(source) => CheckpointError::Torch { path: path.to_owned(), source },
        Refused::DataType { name, got } => {
            CheckpointError::DataType { name, origin: path.display().to_string(), got }
        }
    })
}

/// Decodes those tensors of a safetensors file whose names `select` accepts to single precision.
///
/// # Errors
/// [`CheckpointError::NotSafetensors`] or [`CheckpointError::DataType`], naming the file.
pub fn decode_safetensors(
    bytes: &[u8],
    path: &Path,
    select: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, HostTensor>, CheckpointError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| CheckpointError::NotSafetensors {
        path: path.to_owned(),
        detail: error.to_string(),
    })?;
    let chosen = file.iter().filter(|(name, _)| select(name));
    chosen.map(|(name, view)| Ok((name.to_owned(), decode(name, &view, path)?))).collect()
}

/// Reads a whole weight file of at most [`MAX_FILE_BYTES`].
///
/// # Errors
/// [`CheckpointError::Read`] or [`CheckpointError::TooLarge`], naming the file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let got_bytes = file.metadata().map_err(read)?.len();
    if got_bytes > MAX_FILE_BYTES {
        let path = path.to_owned();
        return Err(CheckpointError::TooLarge { path, got_bytes, limit_bytes: MAX_FILE_BYTES });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(read)?;
    Ok(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are computed with in single precision")]
fn decode(name: &str, view: &TensorView<'_>, path: &Path) -> Result<HostTensor, CheckpointError> {
    let data = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        other => {
            return Err(CheckpointError::DataType {
                name: name.to_owned(),
                origin: path.display().to_string(),
                got: format!("{other:?}"),
            });
        }
    };
    Ok(HostTensor { shape: view.shape().to_vec(), values })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
            let error = read_tensors(&path, |_| true).unwrap_err();
            assert!(error.to_string().contains("evil.safetensors"), "{error}");
        }
        let absent = read_tensors(&dir.path().join("none"), |_| true).unwrap_err();
        assert!(matches!(absent, CheckpointError::Read { .. }));
    }
}
