//! Draws of a configuration as JSON, one per line: `draws NUMBER [CONFIG.json]`. `reference/augmentation.py`
//! compares their distributions with those of TorchIO's sampler.
//!
//! `reference/augmentation.py` compares their distributions with those of TorchIO's sampler.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::fs;

use brainreel_augmentation::AugmentationConfig;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [number, config @ ..] = arguments.as_slice() else { return Err("NUMBER [CONFIG.json]".into()) };
    let config: AugmentationConfig = match config.first() {
        Some(path) => serde_json::from_str(&fs::read_to_string(path)?)?,
        None => AugmentationConfig { pool: 0, ..AugmentationConfig::default() },
    };
    config.validate()?;
    for epoch in 0..number.parse()? {
        println!("{}", serde_json::to_string(&config.draw(0, "sub-01_ses-m00", epoch))?);
    }
    Ok(())
}
