//! Stage `export`: a trained network for torchvision.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, TOOL_VERSION, hash_bytes, hash_file, write_atomic, write_json};
use brainreel_cohort::LeakPolicy;
use brainreel_models::{Architecture, NetworkConfig, NetworkWeights, TensorSpec};
use brainreel_training::{Checkpoint, CheckpointKind, CheckpointState};
use serde::{Deserialize, Serialize};

use crate::folders::{self, Kind};
use crate::run_folder::{RunFolder, RunInputs};
use crate::{Observer, Remedy, Reporter, Stage, StageError, notice};

/// What the JSON file of an export says it is.
const KIND: &str = "brainreel export";
const NORMALISATION: &str =
    "subtract the mean of all voxels, divide by their sample standard deviation (n - 1)";
const SOURCE: &str =
    "a T1-weighted head as `brainreel preprocess` writes it: the brain alone, a cube of voxels, RAS+";
const AXES: &str =
    "[scan, channel, x, y, z] of a RAS+ volume: x from left to right plays the part of a film's frames";

/// What to export, and where to.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// The run folder.
    pub run: PathBuf,
    /// File of the weights, with the extension `safetensors`. A JSON and a Python file go beside it.
    pub out: PathBuf,
    /// Which network of the run. Default: the one of the least validation loss.
    pub checkpoint: CheckpointKind,
    /// Whether files that are not an earlier export are replaced, outside of run folders. Default: they are not.
    pub replace: bool,
    /// Whether the split may be leaky on purpose. Default: refused.
    pub leaks: LeakPolicy,
}

impl ExportRequest {
    /// Exports the network of the least validation loss.
    #[must_use]
    pub fn new(run: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            out: out.into(),
            checkpoint: CheckpointKind::BestLoss,
            replace: false,
            leaks: LeakPolicy::Refuse,
        }
    }
}

/// The content of the JSON file beside the weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportRecord {
    /// What this is.
    pub kind: String,
    /// What it is not for.
    pub notice: String,
    /// Whether the split is leaky on purpose.
    #[serde(default, skip_serializing_if = "notice::is_not_leaky")]
    pub leaky: bool,
    /// Name and version of the tool.
    pub tool: String,
    /// torchvision's name of the network.
    pub architecture: Architecture,
    /// What the network takes.
    pub input: InputRecord,
    /// What its outputs stand for, in their order.
    pub classes: [String; 2],
    /// Numbers in the network, buffers not counted.
    pub n_parameters: usize,
    /// Which checkpoint of the run this is.
    pub checkpoint: CheckpointKind,
    /// Whole epochs that it was trained for.
    pub n_epochs: usize,
    /// Steps of the optimizer.
    pub n_steps: u64,
    /// Digest of the run's settings and initial weights.
    pub run_sha256: ContentHash,
    /// Content hash of the split.
    pub split_sha256: String,
    /// Hash of the settings that the network inputs were preprocessed with, if brainreel made them.
    pub preprocess_parameters: Option<ContentHash>,
    /// The brain extractors of the network inputs.
    pub brain_extractors: BTreeSet<String>,
    /// Hash of the pretrained weights; nothing if the network started from random numbers.
    pub initial_weights_sha256: Option<ContentHash>,
    /// Hash of the exported file.
    pub sha256: ContentHash,
    /// Hash of the Python lines beside it.
    pub python_sha256: ContentHash,
}

/// What a network takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InputRecord {
    /// What it is an image of.
    pub source: String,
    /// Its shape, one scan at a time.
    pub shape: [usize; 5],
    /// What the axes are.
    pub axes: String,
    /// What is done to the voxels of a network input of `brainreel preprocess`.
    pub normalisation: String,
}

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct ExportSummary {
    /// The weights.
    pub model: PathBuf,
    /// The JSON file beside them.
    pub record: PathBuf,
    /// The Python lines beside them.
    pub python: PathBuf,
    /// What the JSON file says.
    #[serde(flatten)]
    pub content: ExportRecord,
}

impl ExportSummary {
    /// The Python lines that load the weights from where they were written.
    #[must_use]
    pub fn python_lines(&self) -> String {
        let [_, _, x, y, z] = self.content.input.shape;
        let network = NetworkConfig::new(self.content.architecture)
            .with_dims([x, y, z])
            .with_classes(self.content.classes.len());
        remark(self.content.leaky) + &python(network, &self.model)
    }
}

/// The files of an export.
struct ExportFiles {
    weights: PathBuf,
    record: PathBuf,
    python: PathBuf,
}

/// Writes the weights of a run in torchvision's naming.
///
/// # Errors
/// [`StageError`]: no run folder, a leaky split, a damaged checkpoint, files that are not an earlier export.
pub fn run(request: &ExportRequest, observer: &mut dyn Observer) -> Result<ExportSummary, StageError> {
    let reporter = Reporter::new(Stage::Export, observer);
    let run = RunFolder::new(&request.run);
    folders::check_input(run.path(), Kind::Run.describe())?;
    folders::check_kind(run.path(), Kind::Run)?;
    let inputs = RunInputs::read(&run)?;
    notice::check_leaky(&inputs.read_split(&run, request.leaks)?, request.leaks, &reporter)?;
    let files = ExportFiles::beside(&request.out)?;
    folders::check_apart(&run.training().checkpoints(), &request.out)?;
    // Within a run folder nothing but an export is replaced.
    if !request.replace || folders::is_within(&request.out, run.path()) {
        files.check_own()?;
    }
    let checkpoint = run.checkpoint(request.checkpoint);
    folders::check_file(&checkpoint, "a checkpoint, as training writes it after an epoch")?;
    let (state, weights) = Checkpoint::read_weights(&checkpoint)?;
    weights.write_safetensors(&files.weights)?;
    let file_name = files.weights.file_name().map(Path::new).unwrap_or(&files.weights);
    let lines = remark(inputs.leaky) + &python(state.network(), file_name) + "\n";
    write_atomic(&files.python, lines.as_bytes())?;
    let content = new_record(request, &state, &weights, inputs, &lines)?;
    write_json(&files.record, &content)?;
    reporter.note(format!(
        "{} {}, to {}; with {} and {}",
        content.architecture,
        state.position(),
        files.weights.display(),
        files.record.display(),
        files.python.display()
    ));
    Ok(ExportSummary { model: files.weights, record: files.record, python: files.python, content })
}

/// The first line of the Python file, if there is something to say.
fn remark(is_leaky: bool) -> String {
    if is_leaky { format!("# {}\n", notice::for_report(true)) } else { String::new() }
}

impl ExportFiles {
    /// The files that belong to exported weights called `out`.
    fn beside(out: &Path) -> Result<Self, StageError> {
        if out.extension().is_none_or(|extension| extension != "safetensors") || out.is_dir() {
            let expected = "choose a name that ends with .safetensors";
            return Err(StageError::output(out, "is not a name for the weights", expected));
        }
        Ok(Self {
            weights: out.to_owned(),
            record: out.with_extension("json"),
            python: out.with_extension("py"),
        })
    }

    /// Refuses files that are not an earlier export, unchanged.
    fn check_own(&self) -> Result<(), StageError> {
        let record = std::fs::read(&self.record).ok();
        let record: Option<ExportRecord> = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let record = record.filter(|record| record.kind == KIND);
        let is_own = |path: &Path, expected: Option<&ContentHash>| -> Result<bool, StageError> {
            Ok(!path.exists() || Some(&hash_file(path)?) == expected)
        };
        let mut foreign = (record.is_none() && self.record.exists()).then_some(&self.record);
        if !is_own(&self.python, record.as_ref().map(|record| &record.python_sha256))? {
            foreign = Some(&self.python);
        }
        if !is_own(&self.weights, record.as_ref().map(|record| &record.sha256))? {
            foreign = Some(&self.weights);
        }
        match foreign {
            None => Ok(()),
            Some(path) => Err(StageError::output(
                path,
                "exists and is not an export that brainreel wrote",
                "choose another name",
            )
            .with_remedy(Remedy::ReplaceFiles)),
        }
    }
}

fn new_record(
    request: &ExportRequest,
    state: &CheckpointState,
    weights: &NetworkWeights,
    inputs: RunInputs,
    lines: &str,
) -> Result<ExportRecord, StageError> {
    let architecture = weights.architecture();
    let specs = state.network().tensors()?;
    let parameters = specs.iter().filter(|spec| spec.is_parameter());
    let [x, y, z] = state.dims;
    Ok(ExportRecord {
        kind: KIND.to_owned(),
        notice: notice::for_report(inputs.leaky),
        leaky: inputs.leaky,
        tool: TOOL_VERSION.to_owned(),
        architecture,
        input: InputRecord {
            source: SOURCE.to_owned(),
            shape: [1, 1, x, y, z],
            axes: AXES.to_owned(),
            normalisation: NORMALISATION.to_owned(),
        },
        classes: ["CN".to_owned(), "AD".to_owned()],
        n_parameters: parameters.map(TensorSpec::n_elements).sum(),
        checkpoint: request.checkpoint,
        n_epochs: state.n_epochs,
        n_steps: state.n_steps,
        run_sha256: state.run_hash.clone(),
        split_sha256: inputs.split_sha256,
        preprocess_parameters: inputs.preprocess_parameters,
        brain_extractors: inputs.brain_extractors,
        initial_weights_sha256: inputs.weights_sha256,
        sha256: hash_file(&request.out)?,
        python_sha256: hash_bytes(lines.as_bytes()),
    })
}

/// The Python lines that load an export: torchvision's network, its first layer changed to one channel. A
/// transformer takes the sizes of its positions from the weights and the number of tokens from the input.
fn python(network: NetworkConfig, out: &Path) -> String {
    let NetworkConfig { architecture, dims: [x, y, z], n_classes } = network;
    // JSON's texts are texts of Python too.
    let file = serde_json::Value::from(out.display().to_string());
    let fit = architecture.torchvision_changes([x, y, z]);
    format!(
        "import torch, torchvision, safetensors.torch
weights = safetensors.torch.load_file({file})
model = torchvision.models.video.{architecture}(num_classes={n_classes})
{fit}
model.load_state_dict(weights, strict=True)
model.eval()
# x: float32 [n, 1, {x}, {y}, {z}], a RAS+ volume [x, y, z], minus its mean, over its standard deviation (n - 1)
# model(x).softmax(1)[:, 1] is the probability of AD"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_earlier_exports_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let files = ExportFiles::beside(&dir.path().join("model.safetensors")).unwrap();
        assert_eq!(files.record, dir.path().join("model.json"));
        assert_eq!(files.python, dir.path().join("model.py"));
        assert!(ExportFiles::beside(&files.record).is_err() && ExportFiles::beside(dir.path()).is_err());
        let refused = || files.check_own().unwrap_err().to_string();
        files.check_own().unwrap();
        std::fs::write(&files.python, "import torch").unwrap();
        assert!(refused().contains("model.py exists"));
        std::fs::write(&files.weights, "weights").unwrap();
        assert!(refused().contains("model.safetensors exists"));
        std::fs::write(&files.record, "{}").unwrap();
        assert!(refused().contains("model.safetensors exists"));
        write_json(&files.record, &record(b"weights", b"import torch")).unwrap();
        files.check_own().unwrap();
        std::fs::write(&files.python, "mine").unwrap();
        assert!(refused().contains("model.py exists"));
        for file in [&files.python, &files.weights] {
            std::fs::remove_file(file).unwrap();
        }
        files.check_own().unwrap();
        std::fs::write(&files.record, "{}").unwrap();
        assert!(refused().contains("model.json exists"));
    }

    fn record(weights: &[u8], python: &[u8]) -> ExportRecord {
        let input = InputRecord {
            source: String::new(),
            shape: [1; 5],
            axes: String::new(),
            normalisation: String::new(),
        };
        ExportRecord {
            kind: KIND.to_owned(),
            notice: String::new(),
            leaky: false,
            tool: String::new(),
            architecture: Architecture::default(),
            input,
            classes: ["CN".to_owned(), "AD".to_owned()],
            n_parameters: 1,
            checkpoint: CheckpointKind::Last,
            n_epochs: 1,
            n_steps: 1,
            run_sha256: hash_bytes(b"run"),
            split_sha256: String::new(),
            preprocess_parameters: None,
            brain_extractors: BTreeSet::new(),
            initial_weights_sha256: None,
            sha256: hash_bytes(weights),
            python_sha256: hash_bytes(python),
        }
    }

    #[test]
    fn the_lines_fit_the_network() {
        let lines = |name: &str| {
            let network = NetworkConfig::new(name.parse().unwrap()).with_dims([128; 3]);
            python(network, Path::new("a \"b\".safetensors"))
        };
        let residual = lines("r2plus1d_18");
        assert!(residual.contains("r2plus1d_18(num_classes=2)") && residual.contains("model.stem[0] ="));
        assert!(residual.contains(r#"load_file("a \"b\".safetensors")"#) && residual.contains("bias=False"));
        let transformer = lines("mvit_v2_s");
        assert!(transformer.contains("mvit_v2_s(num_classes=2)") && !transformer.contains("stem"));
        assert!(transformer.contains("spatial_size = 128 // 2, (128 // 4, 128 // 4)"), "{transformer}");
        assert!(residual.lines().count() <= 10 && transformer.lines().count() <= 11);
    }
}
