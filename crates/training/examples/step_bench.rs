//! Time per training step in seconds, and peak memory: `step_bench EDGE STEPS cached|uncached [native|burn]`.
//!
//! `cached` reads the trunk's output from the feature cache, `uncached` computes it for each scan.
//! `bench/engine` runs this beside PyTorch.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::fs;
use std::time::Instant;

use brainreel_artifact::hash_bytes;
use brainreel_models::{
    Architecture, DeviceKind, EngineKind, FreezePolicy, Network, NetworkWeights, Random, volume_tensor,
};
use brainreel_training::{
    AdamW, AdamWConfig, CacheConfig, FeatureCache, Features, TrainError, training_step,
};
use burn::tensor::{Tensor, TensorData};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [edge, n_steps, mode, engine @ ..] = arguments.as_slice() else {
        return Err("EDGE STEPS cached|uncached [native|burn]".into());
    };
    let engine = if engine == ["burn"] { EngineKind::Burn } else { EngineKind::Native };
    let (edge, n_steps): (usize, usize) = (edge.parse()?, n_steps.parse()?);
    let device = DeviceKind::Cpu.open()?;
    let mut network =
        Network::new(&NetworkWeights::random(Architecture::default(), 0), FreezePolicy::LastStage, &device)
            .with_engine(engine);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let folder = std::env::temp_dir().join(format!("brainreel-step-bench-{}", std::process::id()));
    let max_bytes = if mode == "cached" { 1 << 30 } else { 0 };
    let mut cache = FeatureCache::open(&CacheConfig { max_bytes, ..CacheConfig::default() }, &folder);
    let volumes: Vec<Vec<f32>> = (0..2)
        .map(|scan| {
            let mut random = Random::new(scan);
            (0..edge.pow(3)).map(|_| random.uniform() as f32).collect()
        })
        .collect();
    let mut seconds = Vec::new();
    for _ in 0..=n_steps {
        let start = Instant::now();
        let mut batch = Vec::new();
        for (scan, volume) in volumes.iter().enumerate() {
            let features = cache.get_or_compute(&hash_bytes(&[scan as u8]), || {
                let voxels = volume.clone();
                let output = network.trunk.forward(volume_tensor(voxels, [edge; 3], &device));
                let shape = output.dims();
                let values = output.into_data().try_into_vec().expect("single precision");
                Ok::<_, TrainError>(Features { shape, values })
            })?;
            batch.push(Tensor::from_data(TensorData::new(features.values, features.shape), &device));
        }
        training_step(&mut network, &mut optimizer, Tensor::cat(batch, 0), &[0, 1], &[1.0; 2], 1.0);
        seconds.push(start.elapsed().as_secs_f64());
    }
    // The first step fills the cache and the allocator.
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let peak = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    });
    let _ = fs::remove_dir_all(folder);
    let median = seconds[seconds.len() / 2];
    println!("{{\"seconds\": {median:.4}, \"peak_gb\": {:.3}}}", peak.unwrap_or(0.0) / 1e6);
    Ok(())
}
