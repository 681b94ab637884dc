//! Associations of site, scanner, field strength, age and sex with the diagnosis or the partition.

use std::collections::BTreeMap;

use brainreel_cohort::{ClaimedScan, Diagnosis, Sex};
use brainreel_statistics::association::{Association, ContingencyTable, EffectKind, compare_means};
use serde::{Deserialize, Serialize};

use crate::finding::{Check, Finding, Level};
use crate::people::people;

/// Family-wise error rate: the chance of any finding if there is no association at all.
const ALPHA: f64 = 0.01;

/// An attribute of a subject other than the diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// Site of the study.
    Site,
    /// Manufacturer and model of the scanner.
    Scanner,
    /// Field strength of the scanner.
    FieldStrength,
    /// Age, in years.
    Age,
    /// Sex.
    Sex,
}

impl Attribute {
    const ALL: [Self; 5] = [Self::Site, Self::Scanner, Self::FieldStrength, Self::Age, Self::Sex];

    /// Name for messages and tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Scanner => "scanner",
            Self::FieldStrength => "field strength",
            Self::Age => "age",
            Self::Sex => "sex",
        }
    }
}

/// What an attribute is tested against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The diagnosis.
    Label,
    /// The partition.
    Partition,
}

impl Against {
    /// Name for messages and tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Label => "diagnosis",
            Self::Partition => "partition",
        }
    }
}

/// How strongly an attribute is associated with the diagnosis or the partition. Each subject counts once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confound {
    /// The attribute.
    pub attribute: Attribute,
    /// What it is compared with.
    pub against: Against,
    /// Subjects without a known value.
    pub n_unknown: usize,
    /// Test and effect size.
    pub association: Association,
}

/// One subject, represented by its first scan in the table.
struct Person<'a> {
    scan: &'a ClaimedScan,
    /// The most severe diagnosis.
    label: Option<Diagnosis>,
}

/// All associations that can be computed.
pub(crate) fn confounds(scans: &[ClaimedScan]) -> Vec<Confound> {
    let people: Vec<Person<'_>> = people(scans)
        .into_values()
        .filter_map(|scans| {
            let label = scans.iter().filter_map(|scan| scan.diagnosis).max();
            Some(Person { scan: scans.first()?, label })
        })
        .collect();
    let mut confounds = Vec::new();
    for against in [Against::Label, Against::Partition] {
        for attribute in Attribute::ALL {
            let known = people.iter().filter(|person| is_known(attribute, person.scan)).count();
            if let Some(association) = association(&people, attribute, against) {
                let n_unknown = people.len() - known;
                confounds.push(Confound { attribute, against, n_unknown, association });
            }
        }
    }
    confounds
}

/// Associations that are significant and not negligible.
pub(crate) fn findings(confounds: &[Confound]) -> Vec<Finding> {
    let threshold = ALPHA / confounds.len().max(1) as f64;
    let stands_out = |confound: &&Confound| {
        let Association { test, effect, .. } = confound.association;
        test.p_value < threshold && effect.value.abs() >= small(effect.kind)
    };
    let finding = |confound: &Confound| {
        let (attribute, against) = (confound.attribute.title(), confound.against.title());
        let message = format!("{attribute} goes with the {against}: {}", describe(&confound.association));
        let remedy = match confound.against {
            Against::Label => {
                "a network may tell it instead of the disease: match the classes, or test it with one site left out"
            }
            Against::Partition => {
                "the partitions are not alike in it: the result may be another where it is balanced"
            }
        };
        Finding::new(Level::Warning, Check::Association, message, Vec::new()).with_remedy(remedy)
    };
    confounds.iter().filter(stands_out).map(finding).collect()
}

/// `Cramer's V 0.41 [0.22, 0.61], chi-squared p = 0.001, 120 people`.
#[must_use]
pub fn describe(association: &Association) -> String {
    let Association { n, test, effect } = association;
    let interval = effect.interval.map(|i| format!(" [{:.2}, {:.2}]", i.lower, i.upper)).unwrap_or_default();
    let p = if test.p_value < 0.001 { "p < 0.001".to_owned() } else { format!("p = {:.3}", test.p_value) };
    format!("{} {:.2}{interval}, {} {p}, {n} subjects", effect.kind, effect.value, test.kind)
}

/// Effects below this are called negligible (Cohen 1988).
const fn small(kind: EffectKind) -> f64 {
    match kind {
        EffectKind::HedgesG => 0.2,
        EffectKind::EtaSquared | EffectKind::EpsilonSquared => 0.01,
        _ => 0.1,
    }
}

fn is_known(attribute: Attribute, scan: &ClaimedScan) -> bool {
    match attribute {
        Attribute::Age => scan.age_years.is_some(),
        _ => category_of(attribute, scan).is_some(),
    }
}

/// The value of a categorical attribute.
fn category_of(attribute: Attribute, scan: &ClaimedScan) -> Option<String> {
    match attribute {
        Attribute::Site => scan.site.clone(),
        Attribute::Scanner => scan.scanner.name(),
        // 2.89 T and 3 T have the same nominal field strength.
        Attribute::FieldStrength => {
            scan.scanner.field_strength.map(|field| format!("{:.1}", (2.0 * field.tesla()).round() / 2.0))
        }
        Attribute::Sex => scan.sex.map(|sex: Sex| sex.to_string()),
        Attribute::Age => None,
    }
}

/// The group of a subject, as a number.
fn group_of(person: &Person<'_>, against: Against) -> Option<usize> {
    match against {
        Against::Label => person.label.map(|label| label as usize),
        Against::Partition => Some(person.scan.partition as usize),
    }
}

fn association(people: &[Person<'_>], attribute: Attribute, against: Against) -> Option<Association> {
    if attribute != Attribute::Age {
        let pairs = people
            .iter()
            .filter_map(|person| Some((group_of(person, against)?, category_of(attribute, person.scan)?)));
        return ContingencyTable::of(pairs).association();
    }
    let mut groups: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for person in people {
        if let (Some(group), Some(age)) = (group_of(person, against), person.scan.age_years) {
            groups.entry(group).or_default().push(age);
        }
    }
    let groups: Vec<&[f64]> = groups.values().map(Vec::as_slice).collect();
    compare_means(&groups)
}
