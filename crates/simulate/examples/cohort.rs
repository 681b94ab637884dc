//! Simulates a small cohort: `cargo run --release -p brainreel-simulate --example cohort -- OUT [SUBJECTS] [SPACING_MM] [EFFECT]`

use std::path::Path;

use brainreel_simulate::{SimulateConfig, simulate_cohort};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: cohort OUT [SUBJECTS] [SPACING_MM] [EFFECT]")?;
    let n_subjects = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let spacing_mm = arguments.next().map_or(Ok(2.5), |text| text.parse())?;
    let effect_size = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let config = SimulateConfig {
        n_subjects,
        spacing_mm,
        effect_size,
        truth_images: spacing_mm < 2.0,
        ..SimulateConfig::default()
    };
    let summary = simulate_cohort(Path::new(&out), &config, &|_, _| {})?;
    serde_json::to_writer_pretty(std::io::stdout(), &summary)?;
    Ok(())
}
