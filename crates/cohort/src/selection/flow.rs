//! Flow of the selection: images and subjects that each rule leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cohort, CohortImage, Rule};
use crate::Diagnosis;

/// Numbers of images and subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Number of images.
    pub n_images: usize,
    /// Number of their subjects.
    pub n_subjects: usize,
}

impl Count {
    pub(super) fn of<'a>(images: impl Iterator<Item = &'a CohortImage>) -> Self {
        let (mut n_images, mut people) = (0, BTreeSet::new());
        for image in images {
            n_images += 1;
            people.extend(image.person_key());
        }
        Self { n_images, n_subjects: people.len() }
    }

    fn words(self, images: &str) -> String {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        format!(
            "{} {images}{} of {} subject{}",
            self.n_images,
            plural(self.n_images),
            self.n_subjects,
            plural(self.n_subjects)
        )
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.words("image"))
    }
}

/// A rule that excluded images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStep {
    /// The rule.
    pub rule: Rule,
    /// Excluded images, and subjects who lost their last image to this rule.
    pub dropped: Count,
    /// What remains after it.
    pub remaining: Count,
}

/// From all images to the cohort, by rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// All images.
    pub all: Count,
    /// The rules that excluded images, in order.
    pub steps: Vec<FlowStep>,
    /// The cohort by diagnosis. A converter counts under each diagnosis.
    pub kept: Vec<(Diagnosis, Count)>,
}

impl Cohort {
    /// Counts what each rule excluded and left.
    #[must_use]
    pub fn flow(&self) -> Flow {
        // The number of rules that an image passes, and for a subject the largest number over its images.
        let stands = |image: &CohortImage| {
            image
                .dropped
                .as_ref()
                .map_or(Rule::ALL.len(), |why| Rule::ALL.partition_point(|rule| *rule < why.rule))
        };
        let (mut images, mut people) = ([0; Rule::ALL.len() + 1], BTreeMap::new());
        for image in self.images() {
            images[stands(image)] += 1;
            if let Some(person) = image.person_key() {
                let most = people.entry(person).or_insert(0);
                *most = stands(image).max(*most);
            }
        }
        let mut subjects = [0; Rule::ALL.len() + 1];
        people.into_values().for_each(|most| subjects[most] += 1);
        let left_from = |place: usize| Count {
            n_images: images[place..].iter().sum(),
            n_subjects: subjects[place..].iter().sum(),
        };
        let all = left_from(0);
        let (mut steps, mut before) = (Vec::new(), all);
        for (place, rule) in Rule::ALL.into_iter().enumerate() {
            let remaining = left_from(place + 1);
            let dropped = Count {
                n_images: before.n_images - remaining.n_images,
                n_subjects: before.n_subjects - remaining.n_subjects,
            };
            if dropped.n_images > 0 {
                steps.push(FlowStep { rule, dropped, remaining });
            }
            before = remaining;
        }
        let diagnoses = Diagnosis::ALL.map(|diagnosis| (diagnosis, self.count(diagnosis)));
        let kept = diagnoses.into_iter().filter(|(_, count)| count.n_images > 0).collect();
        Flow { all, steps, kept }
    }
}

impl Flow {
    /// What finally remains.
    #[must_use]
    pub fn remaining(&self) -> Count {
        self.steps.last().map_or(self.all, |step| step.remaining)
    }
}

/// The diagram as text, one line per rule.
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.steps.iter().map(|step| step.rule.title().len()).max().unwrap_or(0).max(10);
        writeln!(f, "{:width$}  {:>9} {:>9}", "all images", self.all.n_images, self.all.n_subjects)?;
        for FlowStep { rule, dropped, remaining } in &self.steps {
            let (images, subjects) = (minus(dropped.n_images), minus(dropped.n_subjects));
            writeln!(
                f,
                "{:width$}  {images:>9} {subjects:>9}  -> {:>9} {:>9}",
                rule.title(),
                remaining.n_images,
                remaining.n_subjects
            )?;
        }
        let left = self.remaining();
        write!(f, "{:width$}  {:>9} {:>9}", "cohort", left.n_images, left.n_subjects)?;
        for (diagnosis, count) in &self.kept {
            let name = format!("  {diagnosis}");
            write!(f, "\n{name:width$}  {:>9} {:>9}", count.n_images, count.n_subjects)?;
        }
        Ok(())
    }
}

fn minus(n: usize) -> String {
    if n == 0 { "0".to_owned() } else { format!("-{n}") }
}
