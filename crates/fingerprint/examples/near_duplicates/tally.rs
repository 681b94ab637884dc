//! Counts of one kind of pair.

use std::io::{self, Write};

use brainreel_fingerprint::{CANDIDATE, Confirmation, Verdict};
use brainreel_volume::Volume;

use crate::examine;

pub(crate) struct Tally {
    name: &'static str,
    similarities: Vec<f64>,
    confirmations: Vec<Confirmation>,
}

impl Tally {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, similarities: Vec::new(), confirmations: Vec::new() }
    }

    pub(crate) fn add(&mut self, a: &Volume<f32>, b: &Volume<f32>) {
        let (similarity, confirmation) = examine(a, b);
        self.similarities.push(similarity);
        self.confirmations.push(confirmation);
    }
}

pub(crate) fn print_table(out: &mut impl Write, title: &str, tallies: &[Tally]) -> io::Result<()> {
    writeln!(
        out,
        "\n| {title} | pairs | similarity, least to largest | candidates | noise correlation, least, median, largest | least whiteness | called one acquisition | undecided |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for tally in tallies {
        let mut similarities = tally.similarities.clone();
        similarities.sort_by(f64::total_cmp);
        let mut noise: Vec<f64> = tally.confirmations.iter().map(|found| found.noise_correlation).collect();
        noise.sort_by(f64::total_cmp);
        let (Some(low), Some(high)) = (similarities.first(), similarities.last()) else { continue };
        let n_candidates = similarities.iter().filter(|value| **value >= CANDIDATE).count();
        let with = |verdict: Verdict| {
            let decided = tally.similarities.iter().zip(&tally.confirmations);
            decided.filter(|(value, found)| **value >= CANDIDATE && found.verdict == verdict).count()
        };
        writeln!(
            out,
            "| {} | {} | {low:.2} to {high:.2} | {n_candidates} | {:.2}, {:.2}, {:.2} | {:.2} | {} | {} |",
            tally.name,
            noise.len(),
            noise[0],
            noise[noise.len() / 2],
            noise[noise.len() - 1],
            tally.confirmations.iter().map(|found| found.noise_whiteness).fold(f64::INFINITY, f64::min),
            with(Verdict::SameAcquisition),
            with(Verdict::Undecided),
        )?;
    }
    Ok(())
}
