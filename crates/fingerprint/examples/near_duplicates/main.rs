//! Results of fingerprint and confirmation for near-duplicates, other visits and other subjects.
//!
//! `cargo run --release -p brainreel-fingerprint --example near_duplicates -- [SUBJECTS] [SPACING_MM] [SEED] [NOISE]`
//!
//! Simulated subjects with two or three visits each. Every change is applied to one scan of each subject.
//! Against them stand: other visits; the same visit scanned again after the head moved; the same visit
//! scanned again without any movement, so that only noise and bias field differ; and other people.

mod changes;
mod tally;

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use brainreel_fingerprint::{CANDIDATE, Fingerprint, candidates, confirm};
use brainreel_simulate::{Acquisition, RenderedHead, SimulateConfig, Subject, Visit, render};
use brainreel_volume::Volume;

use changes::{CHANGES, network_input};
use tally::{Tally, print_table};

/// Kinds of pairs that are no duplicates.
const OTHERS: [&str; 8] = [
    "other visit, same person",
    "scanned again, head moved a little",
    "scanned again, head not moved",
    "  the same, as network inputs",
    "  the same, both blurred by 1 voxel",
    "  the same, gamma 0.8 and 8 bit",
    "other visit, as network inputs",
    "other person (previous subject)",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: f64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (n_subjects, spacing_mm) = (number(0, 20.0)? as usize, number(1, 1.0)?);
    let config = SimulateConfig {
        n_subjects: 3 * n_subjects,
        n_visits: 3,
        seed: number(2, 2026.0)? as u64,
        noise: number(3, 0.03)?,
        spacing_mm,
        ..SimulateConfig::default()
    };
    let subjects = Subject::draw_cohort(&config).into_iter().filter(|subject| subject.visits.len() > 1);
    let mut same: Vec<Tally> = CHANGES.iter().map(|change| Tally::new(change.name)).collect();
    let mut other: Vec<Tally> = OTHERS.iter().map(|name| Tally::new(name)).collect();
    let mut cohort = Cohort::default();
    let start = Instant::now();
    for (at, subject) in subjects.take(n_subjects).enumerate() {
        let heads = scan(&config, &subject)?;
        measure_copies(&heads[0], at as u64, &mut same)?;
        measure_others(&config, &subject, &heads, &mut other)?;
        if let Some(previous) = &cohort.previous {
            other[7].add(previous, &heads[0].image);
        }
        for head in &heads {
            cohort.fingerprints.push(Fingerprint::of(&head.image));
            cohort.subject.push(at);
        }
        cohort.previous = heads.into_iter().next().map(|head| head.image);
        let mut progress = std::io::stderr();
        writeln!(progress, "subject {at} after {:.0} s", start.elapsed().as_secs_f64())?;
        if at % 5 == 4 {
            print_table(&mut progress, "so far", &same)?;
            print_table(&mut progress, "so far, others", &other)?;
        }
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{n_subjects} subjects, {} scans, {spacing_mm} mm, noise {}",
        cohort.subject.len(),
        config.noise
    )?;
    print_table(&mut out, "copies of one acquisition", &same)?;
    print_table(&mut out, "other acquisitions", &other)?;
    cohort.print(&mut out)
}

/// Fingerprints of every scan as it came.
#[derive(Default)]
struct Cohort {
    fingerprints: Vec<Fingerprint>,
    subject: Vec<usize>,
    previous: Option<Volume<f32>>,
}

impl Cohort {
    /// All pairs: how many look alike by the fingerprint alone.
    fn print(&self, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
        let n = self.subject.len();
        let all = candidates(&self.fingerprints, -1.0);
        for (what, is_same) in [("of one person", true), ("of two people", false)] {
            let values: Vec<f64> = all
                .iter()
                .filter(|pair| (self.subject[pair.first] == self.subject[pair.second]) == is_same)
                .map(|pair| pair.similarity.value)
                .collect();
            let n_alike = values.iter().filter(|value| **value >= CANDIDATE).count();
            let most = values.first().copied().unwrap_or(f64::NAN);
            let middle = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
            writeln!(
                out,
                "all pairs of {n} scans {what}: {n_alike} of {} are candidates (similarity median {middle:.2}, largest {most:.2})",
                values.len()
            )?;
        }
        Ok(())
    }
}

fn scan(config: &SimulateConfig, subject: &Subject) -> Result<Vec<RenderedHead>, Box<dyn Error>> {
    let one = |visit: &Visit| Ok(render(subject, visit, &Acquisition::draw(config, subject, visit))?);
    subject.visits.iter().map(one).collect()
}

fn measure_copies(head: &RenderedHead, seed: u64, tallies: &mut [Tally]) -> Result<(), Box<dyn Error>> {
    for (change, tally) in CHANGES.iter().zip(tallies) {
        tally.add(&head.image, &(change.make)(head, seed)?);
    }
    Ok(())
}

fn measure_others(
    config: &SimulateConfig,
    subject: &Subject,
    heads: &[RenderedHead],
    tallies: &mut [Tally],
) -> Result<(), Box<dyn Error>> {
    for (first, a) in heads.iter().enumerate() {
        for b in &heads[first + 1..] {
            tallies[0].add(&a.image, &b.image);
        }
    }
    let visit = &subject.visits[0];
    let acquisition = Acquisition::draw(config, subject, visit);
    let again = Acquisition { seed: acquisition.seed ^ 0x5555, ..acquisition.clone() };
    let moved = Acquisition {
        pose_mm: [0, 1, 2].map(|axis| again.pose_mm[axis] + [0.3, -0.4, 0.5][axis]),
        pose_deg: [0, 1, 2].map(|axis| again.pose_deg[axis] + [0.5, 0.2, -0.3][axis]),
        ..again.clone()
    };
    tallies[1].add(&heads[0].image, &render(subject, visit, &moved)?.image);
    let again = render(subject, visit, &again)?;
    tallies[2].add(&heads[0].image, &again.image);
    tallies[3].add(&network_input(&heads[0], true)?, &network_input(&again, true)?);
    for (tally, name) in [(4, "blur, SD 1 voxel"), (5, "gamma 0.8 and 8 bit")] {
        let make = changes::by_name(name);
        tallies[tally].add(&make(&heads[0], 1)?, &make(&again, 2)?);
    }
    tallies[6].add(&network_input(&heads[0], true)?, &network_input(&heads[1], true)?);
    Ok(())
}

/// The table's confirmation is done for every pair, candidate or not, so that both stages can be judged.
pub(crate) fn examine(a: &Volume<f32>, b: &Volume<f32>) -> (f64, brainreel_fingerprint::Confirmation) {
    (Fingerprint::of(a).similarity(&Fingerprint::of(b)).value, confirm(a, b))
}
