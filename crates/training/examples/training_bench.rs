//! Time per training step in seconds: `training_bench ARCHITECTURE last-stage|none|fc-only EDGE BATCH STEPS`.
//!
//! Forward, loss, backward and AdamW from random weights. The first step is not counted. The frozen part runs
//! scan by scan with fixed statistics. `bench/training` runs this beside PyTorch and reads the JSON.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::time::Instant;

use brainreel_models::{
    Architecture, DeviceKind, FreezePolicy, Network, NetworkWeights, Random, volume_tensor,
};
use brainreel_training::{AdamW, TrainConfig, training_step};
use burn::tensor::Tensor;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [architecture, policy, edge, batch, n_steps] = arguments.as_slice() else {
        return Err("ARCHITECTURE last-stage|none|fc-only EDGE BATCH STEPS".into());
    };
    let architecture: Architecture = architecture.parse()?;
    let freeze: FreezePolicy = policy.parse()?;
    let (edge, batch, n_steps): (usize, u64, usize) = (edge.parse()?, batch.parse()?, n_steps.parse()?);
    let device = DeviceKind::Cpu.open()?;
    let weights = NetworkWeights::random(architecture, 0).fitted_to([edge; 3])?;
    let mut network = Network::new(&weights, freeze, &device);
    drop(weights);
    let mut optimizer = AdamW::new(TrainConfig::default().optimizer(architecture));
    let volumes: Vec<Vec<f32>> = (0..batch)
        .map(|scan| {
            let mut random = Random::new(scan);
            (0..edge.pow(3)).map(|_| random.uniform() as f32).collect()
        })
        .collect();
    let labels: Vec<u8> = (0..batch).map(|scan| (scan % 2) as u8).collect();
    let mut seconds = Vec::new();
    for _ in 0..=n_steps {
        let start = Instant::now();
        let inputs = volumes.iter().map(|volume| volume_tensor(volume.clone(), [edge; 3], &device));
        let features = inputs.map(|input| network.trunk.forward(input)).collect();
        let features = Tensor::cat(features, 0);
        training_step(&mut network, &mut optimizer, features, &labels, &[1.0; 2], 1.0);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    println!("{{\"seconds\": {:.4}}}", seconds[seconds.len() / 2]);
    Ok(())
}
