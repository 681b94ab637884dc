//! Subjects in two partitions, under any spelling.

use std::collections::{BTreeMap, BTreeSet};

use brainreel_cohort::{ClaimedScan, Partition};

use crate::finding::{Category, Check, Finding, Level, count};

/// Subjects by a key that all their spellings share.
pub(crate) fn people(scans: &[ClaimedScan]) -> BTreeMap<String, Vec<&ClaimedScan>> {
    // ADNI tables also use the bare RID: 413 is 002_S_0413, if that subject exists.
    let mut by_rid: BTreeMap<u32, Option<String>> = BTreeMap::new();
    for scan in scans {
        if let Some(rid) = scan.subject.adni_rid() {
            let key = scan.subject.person_key();
            let known = by_rid.entry(rid).or_insert_with(|| Some(key.clone()));
            if known.as_ref() != Some(&key) {
                *known = None; // two sites with one number: not ADNI's
            }
        }
    }
    let key_of = |scan: &ClaimedScan| {
        let label = scan.subject.label();
        let number = label.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let is_number = ["", "RID", "rid"].contains(&&label[..label.len() - number.len()]);
        let rid = number.parse().ok().filter(|_| is_number);
        let known = rid.and_then(|rid: u32| by_rid.get(&rid).cloned().flatten());
        // 0413, 413 and RID413 are the same number.
        let number = rid.map(|rid: u32| rid.to_string());
        known.or(number).unwrap_or_else(|| scan.subject.person_key())
    };
    let mut people: BTreeMap<String, Vec<&ClaimedScan>> = BTreeMap::new();
    for scan in scans {
        people.entry(key_of(scan)).or_default().push(scan);
    }
    people
}

/// Reports subjects in two partitions and duplicate scans.
pub(crate) fn findings(scans: &[ClaimedScan]) -> Vec<Finding> {
    let people = people(scans);
    let mut findings = Vec::new();
    let shared: Vec<&Vec<&ClaimedScan>> =
        people.values().filter(|scans| partitions(scans).len() > 1).collect();
    if !shared.is_empty() {
        let n_test = shared.iter().filter(|scans| partitions(scans).contains(&Partition::Test)).count();
        let aliased = shared.iter().filter(|scans| names(scans).len() > 1).count();
        let mut message = format!("{} in more than one partition", count(shared.len(), "subject"));
        if n_test > 0 {
            message += &format!(", {n_test} of them in the test partition");
        }
        if aliased > 0 {
            message += &format!("; {aliased} under different names");
        }
        let cases = shared.iter().map(|scans| describe(scans)).collect();
        findings.push(
            Finding::new(Level::Leak, Check::SubjectOverlap, message, cases)
                .in_category(Category::WrongSplit)
                .with_remedy("keep all scans of a subject in one partition: the stage `split` does"),
        );
    }
    findings.extend(repeated_rows(scans));
    findings
}

/// The same scan twice in one partition.
fn repeated_rows(scans: &[ClaimedScan]) -> Option<Finding> {
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for scan in scans {
        let image = (&scan.image_id, &scan.image, &scan.sha256);
        if image != (&None, &None, &None) {
            *seen.entry((scan.partition, scan.subject.person_key(), &scan.session, image)).or_default() += 1;
        }
    }
    let repeated = seen.into_iter().filter(|(_, n)| *n > 1);
    let cases: Vec<String> = repeated
        .map(|((partition, person, ..), n)| format!("sub-{person}: {n} times in {partition}"))
        .collect();
    (!cases.is_empty()).then(|| {
        let message = format!("{} listed more than once", count(cases.len(), "scan"));
        Finding::new(Level::Warning, Check::RepeatedRows, message, cases)
            .with_remedy("list every scan once: repeated ones count more than others")
    })
}

fn partitions(scans: &[&ClaimedScan]) -> BTreeSet<Partition> {
    scans.iter().map(|scan| scan.partition).collect()
}

fn names<'a>(scans: &[&'a ClaimedScan]) -> BTreeSet<&'a str> {
    scans.iter().map(|scan| scan.name.as_str()).collect()
}

/// `002S0413: 3 scans in train, 1 in test (sessions m06, m12), as 002_S_0413 and 413`.
fn describe(scans: &[&ClaimedScan]) -> String {
    let sides: Vec<String> = partitions(scans)
        .into_iter()
        .map(|partition| {
            let n = scans.iter().filter(|scan| scan.partition == partition).count();
            format!("{} in {partition}", count(n, "scan"))
        })
        .collect();
    let names = names(scans);
    let spellings: Vec<&str> = names.iter().copied().take(3).collect();
    let first = scans.first().map(|scan| scan.subject.to_string()).unwrap_or_default();
    let session = match sessions_apart(scans) {
        Some(false) => "; the same session on both sides",
        _ => "",
    };
    let aliases = if names.len() > 1 { format!(", as {}", spellings.join(" and ")) } else { String::new() };
    format!("{first}: {}{aliases}{session}", sides.join(", "))
}

/// Whether the partitions have different sessions of a subject. `None` if unknown.
fn sessions_apart(scans: &[&ClaimedScan]) -> Option<bool> {
    let mut of_session: BTreeMap<_, BTreeSet<Partition>> = BTreeMap::new();
    for scan in scans {
        of_session.entry(scan.session.as_ref()?).or_default().insert(scan.partition);
    }
    Some(of_session.values().all(|partitions| partitions.len() == 1))
}
