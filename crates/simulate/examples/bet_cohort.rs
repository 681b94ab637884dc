//! Dice of the classical brain extraction on all heads of a simulated cohort like the demo's.
//!
//! `cargo run --release -p brainreel-simulate --example bet_cohort -- FOLDER [SEED] [SHIFT] [PART]`
//!
//! Heads are rendered into `FOLDER` unless they are there. With a shift every subject is scanned as the
//! one so many places further on would be: other sites, other grids. The parts `0/2` and `1/2` can run
//! beside each other.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use brainreel_formats::nifti;
use brainreel_preprocess::BrainExtractor;
use brainreel_preprocess::bet::{Bet, BetConfig};
use brainreel_simulate::{Acquisition, SimulateConfig, Subject, render};
use brainreel_volume::Volume;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("usage: bet_cohort FOLDER [SEED] [SHIFT] [PART]")?;
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (seed, shift) = (number(1, 1)?, usize::try_from(number(2, 0)?)?);
    let (part, n_parts) = match arguments.get(3).and_then(|text| text.split_once('/')) {
        Some((part, n_parts)) => (part.parse()?, n_parts.parse()?),
        None => (0, 1),
    };
    let config = SimulateConfig {
        n_subjects: 140,
        n_visits: 2,
        seed,
        spacing_mm: 2.5,
        effect_size: 2.5,
        ..SimulateConfig::default()
    };
    let subjects = Subject::draw_cohort(&config);
    for at in (part..subjects.len()).step_by(n_parts) {
        let scanned_as = &subjects[(at + shift) % subjects.len()];
        for (number, visit) in subjects[at].visits.iter().enumerate() {
            let name = format!("{at:03}_{number}");
            let head_path = Path::new(folder).join(format!("{name}_head.nii"));
            let mask_path = Path::new(folder).join(format!("{name}_mask.nii"));
            if !(head_path.is_file() && mask_path.is_file()) {
                let head = render(
                    &subjects[at],
                    visit,
                    &Acquisition::draw(&config, scanned_as, &scanned_as.visits[0]),
                )?;
                nifti::write(&head_path, &head.image.map(|value| value.round().min(32_767.0) as i16))?;
                nifti::write(&mask_path, &head.mask)?;
            }
            report(&name, &nifti::read_f32(&head_path)?, &nifti::read_f32(&mask_path)?)?;
        }
    }
    Ok(())
}

fn report(name: &str, head: &Volume<f32>, truth: &Volume<f32>) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let found = Bet::new(BetConfig::default())?.extract(head);
    let seconds = start.elapsed().as_secs_f64();
    let mut out = std::io::stdout();
    let found = match found {
        Ok(found) => found,
        Err(error) => return Ok(writeln!(out, "{name} dice 0.0000 {error}")?),
    };
    let ml = |n: usize| n as f64 * head.grid().affine().determinant().abs() / 1000.0;
    let (mut n_found, mut n_true, mut n_both) = (0, 0, 0);
    for (found, truth) in found.as_slice().iter().zip(truth.as_slice()) {
        let is_brain = *truth > 0.5;
        n_found += usize::from(*found);
        n_true += usize::from(is_brain);
        n_both += usize::from(*found && is_brain);
    }
    let dice = 2.0 * n_both as f64 / (n_found + n_true) as f64;
    writeln!(out, "{name} dice {dice:.4} {:.0} ml of {:.0} in {seconds:.2} s", ml(n_found), ml(n_true))?;
    Ok(())
}
