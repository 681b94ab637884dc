//! How many images and subjects each rule leaves.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cohort, CohortImage, Rule};
use crate::Diagnosis;

/// Images and people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Number of images.
    pub n_images: usize,
    /// Number of people whom they show.
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

/// One rule that dropped something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStep {
    /// The rule.
    pub rule: Rule,
    /// Images that it dropped, and people who have none left because of it.
    pub dropped: Count,
    /// What is left after it.
    pub remaining: Count,
}

/// From all images to the cohort, by rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// All images.
    pub all: Count,
    /// The rules that dropped something, in their order.
    pub steps: Vec<FlowStep>,
    /// The cohort by diagnosis; a person who converts counts under each.
    pub kept: Vec<(Diagnosis, Count)>,
}

impl Cohort {
    /// Counts what each rule dropped and left.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let left_after = |rule: Rule| {
            let is_left = |image: &&CohortImage| image.dropped.as_ref().is_none_or(|why| why.rule > rule);
            Count::of(self.images().iter().filter(is_left))
        };
        let all = Count::of(self.images().iter());
        let (mut steps, mut before) = (Vec::new(), all);
        for rule in Rule::ALL {
            let remaining = left_after(rule);
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
    /// What is left in the end.
    #[must_use]
    pub fn remaining(&self) -> Count {
        self.steps.last().map_or(self.all, |step| step.remaining)
    }
}

/// The diagram as text, one line a rule.
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
