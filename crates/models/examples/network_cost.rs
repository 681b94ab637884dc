//! What a step is expected to cost, as JSON lines: `network_cost [--probe] ARCHITECTURE:POLICY:EDGE:BATCH...`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;

use brainreel_models::{FreezePolicy, FrozenNorm, NetworkConfig, NetworkCost, Speed};

fn main() -> Result<(), Box<dyn Error>> {
    let mut speed = None;
    for argument in std::env::args().skip(1) {
        if argument == "--probe" {
            speed = Some(Speed::probe());
            println!("{speed:?}");
            continue;
        }
        let parts: Vec<&str> = argument.split(':').collect();
        let [architecture, policy, edge, batch] = parts.as_slice() else {
            return Err("ARCHITECTURE:POLICY:EDGE:BATCH".into());
        };
        let policy: FreezePolicy = policy.parse()?;
        let (edge, batch): (usize, usize) = (edge.parse()?, batch.parse()?);
        let network = NetworkConfig::new(architecture.parse()?).with_dims([edge; 3]);
        let cost = NetworkCost::new(network, policy, FrozenNorm::Batch, batch)?;
        let memory = cost.memory;
        let seconds = speed.map(|speed| speed.seconds(&(cost.trunk * batch as f64 + cost.head)));
        println!(
            "{argument} gb {:.3} weights {:.3} gradients {:.3} activations {:.3} workspace {:.3} gflop {:.0} \
             seconds {seconds:.2?}",
            memory.total() as f64 / 1e9,
            memory.weights as f64 / 1e9,
            memory.gradients as f64 / 1e9,
            memory.activations as f64 / 1e9,
            memory.workspace as f64 / 1e9,
            (cost.trunk.flops() * batch as f64 + cost.head.flops()) / 1e9,
        );
    }
    Ok(())
}
