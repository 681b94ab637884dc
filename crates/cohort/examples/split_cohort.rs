//! Splits a simulated cohort of the thesis's size, and prints the counts beside the thesis's.
//!
//! `cargo run --release -p brainreel-cohort --example split_cohort`
//!
//! The number of scans per subject is not published. The numbers here are made up so that subjects and scans
//! add up to the thesis's (AD 203 subjects, CN 205, 650 scans each).
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use brainreel_cohort::{
    CohortError, Diagnosis, Partition, Scan, ScanId, SessionId, SplitConfig, SubjectId, split_round_robin,
};

/// Pairs of a number of subjects and the scans that each of them has.
const AD: [(usize, usize); 6] = [(42, 1), (33, 2), (30, 3), (49, 4), (38, 5), (11, 6)];
const CN: [(usize, usize); 4] = [(72, 1), (63, 2), (38, 6), (32, 7)];

/// Subjects and scans of the thesis's final split.
const THESIS: [(Partition, Diagnosis, usize, usize); 6] = [
    (Partition::Train, Diagnosis::Cn, 115, 511),
    (Partition::Train, Diagnosis::Ad, 133, 512),
    (Partition::Validation, Diagnosis::Cn, 45, 70),
    (Partition::Validation, Diagnosis::Ad, 35, 69),
    (Partition::Test, Diagnosis::Cn, 45, 69),
    (Partition::Test, Diagnosis::Ad, 35, 69),
];

fn main() -> Result<(), CohortError> {
    let mut scans = class(1, Diagnosis::Ad, &AD)?;
    scans.extend(class(2, Diagnosis::Cn, &CN)?);
    let split = split_round_robin(&scans, &SplitConfig::default())?;
    println!("{:<12} {:<9} {:>8} {:>8} {:>8} {:>8}", "", "", "ours", "", "thesis", "");
    println!(
        "{:<12} {:<9} {:>8} {:>8} {:>8} {:>8}",
        "partition", "diagnosis", "subjects", "scans", "subjects", "scans"
    );
    for (count, (partition, diagnosis, n_subjects, n_scans)) in split.counts().counts.iter().zip(THESIS) {
        println!(
            "{partition:<12} {diagnosis:<9} {:>8} {:>8} {n_subjects:>8} {n_scans:>8}",
            count.n_subjects, count.n_scans
        );
    }
    println!("content hash {}", split.content_hash());
    Ok(())
}

fn class(site: usize, diagnosis: Diagnosis, groups: &[(usize, usize)]) -> Result<Vec<Scan>, CohortError> {
    let n_scans = groups.iter().flat_map(|&(n_subjects, n_scans)| std::iter::repeat_n(n_scans, n_subjects));
    let mut scans = Vec::new();
    for (idx, n_scans) in n_scans.enumerate() {
        let subject = SubjectId::parse(&format!("{site:03}_S_{idx:04}"))?;
        for visit in 0..n_scans {
            let session = SessionId::parse(&format!("m{:02}", 6 * visit))?;
            scans.push(Scan::new(ScanId::new(&subject, &session, None), Some(diagnosis)));
        }
    }
    Ok(scans)
}
