//! Contradicting and missing labels.

use std::collections::{BTreeMap, BTreeSet};

use brainreel_cohort::{ClaimedScan, Diagnosis};

use crate::finding::{Check, Finding, Level, count};
use crate::images::ImageCopy;
use crate::people::people;

/// Reports diagnoses that differ between the split and the scan table.
pub(crate) fn contradictions(cases: &[String]) -> Option<Finding> {
    (!cases.is_empty()).then(|| {
        let message = format!("{} with another diagnosis in the scan table", count(cases.len(), "scan"));
        Finding::new(Level::Conflict, Check::LabelConflict, message, cases.to_vec())
            .with_remedy("find out which is right, and correct the other")
    })
}

/// Reports two diagnoses of one session or image, and scans without a diagnosis.
pub(crate) fn findings(scans: &[ClaimedScan], copies: &[ImageCopy]) -> Vec<Finding> {
    let mut cases = Vec::new();
    for (person, scans) in people(scans) {
        let mut of_session: BTreeMap<_, BTreeSet<Diagnosis>> = BTreeMap::new();
        for scan in scans {
            if let Some(session) = &scan.session {
                of_session.entry(session).or_default().extend(scan.diagnosis);
            }
        }
        cases.extend(of_session.into_iter().filter(|(_, labels)| labels.len() > 1).map(
            |(session, labels)| {
                let labels: Vec<&str> = labels.into_iter().map(Diagnosis::name).collect();
                format!("sub-{person} {session}: {}", labels.join(" and "))
            },
        ));
    }
    for copy in copies {
        let (Some(first), Some(second)) = (scans.get(copy.first), scans.get(copy.second)) else { continue };
        if let (Some(a), Some(b)) = (first.diagnosis, second.diagnosis)
            && a != b
        {
            cases.push(format!("{} is {a}, its copy {} is {b}", first.describe(), second.describe()));
        }
    }
    let mut findings = Vec::new();
    if !cases.is_empty() {
        let message = format!("{} with two diagnoses", count(cases.len(), "session"));
        findings.push(
            Finding::new(Level::Conflict, Check::LabelConflict, message, cases).with_remedy(
                "a diagnosis belongs to a visit: take the one of that day, or leave the visit out",
            ),
        );
    }
    let unlabelled: Vec<String> =
        scans.iter().filter(|scan| scan.diagnosis.is_none()).map(ClaimedScan::describe).collect();
    if !unlabelled.is_empty() {
        let message = format!("{} without a known diagnosis", count(unlabelled.len(), "scan"));
        findings.push(
            Finding::new(Level::Warning, Check::MissingLabels, message, unlabelled)
                .with_remedy("name the column `diagnosis`, with CN, MCI or AD (or 0 and 1)"),
        );
    }
    findings
}
