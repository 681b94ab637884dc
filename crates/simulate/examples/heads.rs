//! Renders heads of a simulated cohort as NIfTI files with their truth: image, brain mask, gain.
//!
//! `cargo run --release -p brainreel-simulate --example heads -- OUT_FOLDER [N] [SEED] [SPACING_MM]`
//!
//! Every head is of another subject, both diagnoses by turns, on the scanners of eight sites; noise runs
//! from half the usual one to twice, the field from half to one and a half times.

use std::io::Write;
use std::path::Path;

use brainreel_formats::nifti;
use brainreel_simulate::{Acquisition, Diagnosis, SimulateConfig, Subject, render};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: heads OUT_FOLDER [N] [SEED] [SPACING_MM]")?;
    let n_heads: usize = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let seed = arguments.next().map_or(Ok(2026), |text| text.parse())?;
    let spacing_mm = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let usual = SimulateConfig { n_subjects: 2 * n_heads, seed, spacing_mm, ..SimulateConfig::default() };
    let of = |diagnosis| {
        Subject::draw_cohort(&usual).into_iter().filter(move |subject| subject.diagnosis == diagnosis)
    };
    let by_turns = of(Diagnosis::Alzheimer).zip(of(Diagnosis::Normal)).flat_map(|(ad, cn)| [ad, cn]);
    for (index, subject) in by_turns.take(n_heads).enumerate() {
        let config = SimulateConfig {
            noise: usual.noise * [1.0, 0.5, 2.0, 1.5][index % 4],
            bias: usual.bias * [1.0, 1.5, 0.5][index % 3],
            ..usual.clone()
        };
        let visit = &subject.visits[index % subject.visits.len()];
        let head = render(&subject, visit, &Acquisition::draw(&config, &subject, visit))?;
        let name = |what: &str| Path::new(&out).join(format!("{index:02}_{what}.nii.gz"));
        nifti::write(&name("head"), &head.image.map(|value| value.round().min(32_767.0) as i16))?;
        nifti::write(&name("mask"), &head.mask)?;
        nifti::write(&name("gain"), &head.bias)?;
        let spacing = head.image.grid().spacing_mm();
        writeln!(
            std::io::stdout(),
            "{index:02} {:?} age {:.0} spacing {spacing:.2?}",
            subject.diagnosis,
            subject.age_at(visit)
        )?;
    }
    Ok(())
}
