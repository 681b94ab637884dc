//! What `reference/networks.py` compares with torchvision: `network_parity JOB.json OUT_DIR`.
//!
//! Weights and inputs are those of `reference/formula.py`. Writes `OUT_DIR/result.json` and, for a job with
//! gradients, `OUT_DIR/gradients.safetensors`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::path::Path;

use brainreel_artifact::write_json;
use brainreel_models::{Architecture, EngineKind, FreezePolicy, HostTensor, Network, NetworkWeights};
use brainreel_training::{AdamW, AdamWConfig, training_step, warm_restart_factor, weighted_cross_entropy};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

#[path = "../../models/tests/formula/mod.rs"]
mod formula;

/// The job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    architecture: Architecture,
    policy: FreezePolicy,
    #[serde(default)]
    engine: EngineKind,
    /// `[N, 1, D, H, W]`.
    shape: [usize; 5],
    labels: Vec<u8>,
    class_weights: [f64; 2],
    /// Whether to write the gradients of one step.
    gradients: bool,
    /// Whether to write the weights, as an export.
    export: bool,
    /// Optimizer steps, each on its own batch.
    n_steps: usize,
    /// Steps per epoch of the schedule.
    steps_per_epoch: usize,
}

/// Results.
#[derive(Debug, Serialize)]
struct Report {
    total: usize,
    trainable: usize,
    /// In evaluation mode.
    logits: Vec<f32>,
    loss: Option<f64>,
    losses: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [job, out] = arguments.as_slice() else { return Err("JOB.json OUT_DIR".into()) };
    let job: Job = serde_json::from_slice(&std::fs::read(job)?)?;
    let out = Path::new(out);
    let [_, _, d, h, w] = job.shape;
    let weights = formula::state_dict_of(job.architecture).fitted_to([d, h, w])?;
    if job.export {
        weights.write_safetensors(&out.join("weights.safetensors"))?;
    }
    let mut network = Network::new(&weights, job.policy, &Device::flex()).with_engine(job.engine);
    let counts = network.n_parameters();
    let input = formula::volume("parity", job.shape);
    let logits = network.head.without_autodiff().forward(network.trunk.forward(input.clone()));
    let logits = logits.into_data().try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
    let mut report =
        Report { total: counts.total, trainable: counts.trainable, logits, loss: None, losses: Vec::new() };
    if job.gradients {
        let mut network = network.clone();
        let features = network.trunk.forward_batch(input);
        let pass = network.training_pass(features, &|logits| {
            weighted_cross_entropy(logits, &job.labels, &job.class_weights)
        });
        report.loss = Some(pass.loss);
        write_gradients(&weights, pass.gradients, &out.join("gradients.safetensors"))?;
    }
    let mut optimizer = AdamW::new(AdamWConfig::default());
    for step in 0..job.n_steps {
        let input = formula::volume(&format!("step{step}"), job.shape);
        let features = network.trunk.forward_batch(input);
        let rate = warm_restart_factor((step / job.steps_per_epoch) as f64, 5, 1);
        let outcome =
            training_step(&mut network, &mut optimizer, features, &job.labels, &job.class_weights, rate);
        report.losses.push(outcome.loss);
    }
    write_json(&out.join("result.json"), &report)?;
    println!("{}", out.join("result.json").display());
    Ok(())
}

fn write_gradients(
    weights: &NetworkWeights,
    gradients: brainreel_models::Gradients,
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    let tensors: Vec<(String, HostTensor)> = gradients
        .into_iter()
        .map(|(name, values)| {
            let shape = weights.tensor(&name).shape.clone();
            (name, HostTensor { shape, values })
        })
        .collect();
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, tensor)| tensor.to_bytes()).collect();
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, tensor), bytes)| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, tensor.shape.clone(), bytes)
                .map(|view| (name.as_str(), view))
        })
        .collect();
    brainreel_artifact::write_atomic(path, &safetensors::serialize(views?, None)?)?;
    Ok(())
}
