//! Seconds and peak memory of a network: `network_bench ARCHITECTURE POLICY EDGE BATCH forward|step [REPEATS]`.
//!
//! `forward` classifies, `step` computes loss and gradients (no optimizer). Prints JSON.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::time::Instant;

use brainreel_models::{Architecture, DeviceKind, FreezePolicy, Network, NetworkWeights, Random};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [architecture, policy, edge, batch, mode, repeats @ ..] = arguments.as_slice() else {
        return Err("ARCHITECTURE POLICY EDGE BATCH forward|step [REPEATS]".into());
    };
    let architecture: Architecture = architecture.parse()?;
    let policy: FreezePolicy = policy.parse()?;
    let (edge, batch): (usize, usize) = (edge.parse()?, batch.parse()?);
    let n_repeats: usize = repeats.first().map_or(Ok(1), |n| n.parse())?;
    let device = DeviceKind::Cpu.open()?;
    let weights = NetworkWeights::random(architecture, 0).fitted_to([edge; 3])?;
    let mut network = Network::new(&weights, policy, &device);
    drop(weights);
    let mut random = Random::new(1);
    #[expect(clippy::cast_possible_truncation, reason = "inputs are single precision")]
    let volume: Vec<f32> = (0..batch * edge.pow(3)).map(|_| random.normal() as f32).collect();
    let mut seconds = Vec::new();
    for _ in 0..n_repeats {
        let input = Tensor::from_data(TensorData::new(volume.clone(), [batch, 1, edge, edge, edge]), &device);
        let start = Instant::now();
        let features = network.trunk.forward(input);
        if mode == "step" {
            let pass = network.training_pass(features, &|logits| log_softmax(logits, 1).mean());
            assert!(pass.loss.is_finite(), "a loss that is a number");
        } else {
            let _ = network.head.without_autodiff().forward(features).into_data();
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: f64 = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0);
    println!(
        "{{\"architecture\": \"{architecture}\", \"mode\": \"{mode}\", \"edge\": {edge}, \"batch\": {batch}, \
         \"seconds\": {:.3}, \"peak_gb\": {:.3}}}",
        seconds[seconds.len() / 2],
        peak * 1024.0 / 1e9
    );
    Ok(())
}
