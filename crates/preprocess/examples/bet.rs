//! Extracts the brain from one NIfTI file: `bet IN.nii.gz MASK.nii.gz [CONFIG_JSON]`.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use brainreel_formats::nifti;
use brainreel_preprocess::BrainExtractor;
use brainreel_preprocess::bet::{Bet, BetConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (input, out, config) = match arguments.as_slice() {
        [input, out] => (input, out, BetConfig::default()),
        [input, out, json] => (input, out, serde_json::from_str(&json.to_string_lossy())?),
        _ => return Err("usage: bet IN.nii.gz MASK.nii.gz [CONFIG_JSON]".into()),
    };
    let head = nifti::read_f32(input)?;
    let bet = Bet::new(config)?;
    let start = Instant::now();
    let mask = bet.extract(&head)?;
    let seconds = start.elapsed().as_secs_f64();
    let n_voxels = mask.as_slice().iter().filter(|inside| **inside).count();
    let ml = n_voxels as f64 * head.grid().affine().determinant().abs() / 1000.0;
    writeln!(std::io::stdout(), "bet: {seconds:.3} s, {ml:.0} ml")?;
    nifti::write(out, &mask.map(|&inside| u8::from(inside)))?;
    Ok(())
}
