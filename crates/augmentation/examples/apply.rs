//! Applies draws to an image: `apply REQUEST.json`, which names files of little-endian floats.
//!
//! `reference/augmentation.py` compares the results with TorchIO's. Prints seconds by draw.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use brainreel_augmentation::Draw;
use brainreel_volume::{Affine, Grid, Volume};
use serde::Deserialize;

#[derive(Deserialize)]
struct Request {
    dims: [usize; 3],
    affine: Affine,
    /// Each starts from the image.
    draws: Vec<Draw>,
    /// Voxels, first axis fastest.
    input: PathBuf,
    /// Results, one after the other.
    output: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("REQUEST.json")?;
    let request: Request = serde_json::from_str(&fs::read_to_string(path)?)?;
    let bytes = fs::read(&request.input)?;
    let voxels: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let image = Volume::new(Grid::new(request.dims, request.affine)?, voxels)?;
    let (mut results, mut seconds) = (Vec::new(), Vec::new());
    for draw in &request.draws {
        let mut copy = image.clone();
        let start = Instant::now();
        draw.apply(&mut copy)?;
        seconds.push(start.elapsed().as_secs_f64());
        results.extend(copy.as_slice().iter().flat_map(|value| value.to_le_bytes()));
    }
    fs::write(&request.output, results)?;
    println!("{}", serde_json::to_string(&seconds)?);
    Ok(())
}
