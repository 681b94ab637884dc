//! Splits a made-up cohort of the thesis's size and shows the counts.
//!
//! `cargo run --release -p brainreel-cohort --example split_cohort`
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use brainreel_cohort::{
    CohortError, Diagnosis, Scan, ScanId, SessionId, SplitConfig, SubjectId, split_round_robin,
};

fn main() -> Result<(), CohortError> {
    let mut scans = Vec::new();
    for (site, diagnosis, n_subjects) in [(1, Diagnosis::Cn, 205), (2, Diagnosis::Ad, 203)] {
        for subject_idx in 0..n_subjects {
            let subject = SubjectId::parse(&format!("{site:03}_S_{subject_idx:04}"))?;
            // From one visit to six, 650 or so in all.
            for visit in 0..=(subject_idx % 2 + 5 * subject_idx / n_subjects) {
                let session = SessionId::parse(&format!("m{:02}", 6 * visit))?;
                scans.push(Scan::new(ScanId::new(&subject, &session, None), Some(diagnosis)));
            }
        }
    }
    let split = split_round_robin(&scans, &SplitConfig::default())?;
    println!("{}", split.summary());
    println!("content hash {}", split.content_hash());
    Ok(())
}
