//! The demographics of a cohort, as a table for the terminal.

use std::collections::{BTreeMap, BTreeSet};

use brainreel_pipeline::cohort::{AGE_RANKS, Demographics, GroupDemographics, MISSING, VariableTest};
use brainreel_statistics::Interval;
use brainreel_statistics::association::Association;

use crate::ui::table;

/// Renders the table.
pub(super) fn render(demographics: &Demographics) -> String {
    let mut header = vec!["by subject".to_owned()];
    header.extend(demographics.groups.iter().map(|group| group.diagnosis.to_string()));
    header.extend(["p", "test", "effect size (95 % interval)"].map(str::to_owned));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut rows = vec![
        row(demographics, "subjects", None, |group| group.n_subjects.to_string()),
        row(demographics, "scans", None, |group| group.n_scans.to_string()),
        row(demographics, "age, mean and SD", Some("age_years"), |group| match &group.age_years {
            None => MISSING.to_owned(),
            Some(age) => {
                let sd = age.sd.map_or("n/a".to_owned(), |sd| format!("{sd:.1}"));
                format!("{:.1} ({sd})", age.mean)
            }
        }),
        row(demographics, "age, range", Some(AGE_RANKS), |group| match &group.age_years {
            None => MISSING.to_owned(),
            Some(age) => format!("{:.1} to {:.1}", age.min, age.max),
        }),
        row(demographics, "female", Some("sex"), |group| share(&group.sex, "F")),
    ];
    let levels: BTreeSet<&String> =
        demographics.groups.iter().flat_map(|group| group.field_strength.keys()).collect();
    for (idx, level) in levels.into_iter().enumerate() {
        let test = (idx == 0).then_some("field_strength");
        rows.push(row(demographics, &format!("field strength {level}"), test, |group| {
            share(&group.field_strength, level)
        }));
    }
    rows.push(row(demographics, "sites", Some("site"), |group| {
        group.site.keys().filter(|site| *site != MISSING).count().to_string()
    }));
    let mut text = table(&header, &rows);
    if demographics.n_converters > 0 {
        text += &format!(
            "\n{} subjects have scans of several diagnoses; they are counted under the most severe",
            demographics.n_converters
        );
    }
    text
}

fn row(
    demographics: &Demographics,
    name: &str,
    test: Option<&str>,
    cell: impl Fn(&GroupDemographics) -> String,
) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend(demographics.groups.iter().map(cell));
    let found = demographics.tests.iter().find(|found| Some(found.variable) == test);
    if let Some(VariableTest { association: Association { test, effect, .. }, .. }) = found {
        let interval = effect
            .interval
            .map_or(String::new(), |Interval { lower, upper }| format!(" ({lower:.2} to {upper:.2})"));
        row.extend([p_text(test.p_value), test.kind.to_string()]);
        row.push(format!("{} {:.2}{interval}", effect.kind, effect.value));
    }
    row
}

fn p_text(p_value: f64) -> String {
    if p_value < 0.001 { "<0.001".to_owned() } else { format!("{p_value:.3}") }
}

/// `105 (51 %)` of those whose value is known.
fn share(counts: &BTreeMap<String, u64>, level: &str) -> String {
    let count = counts.get(level).copied().unwrap_or(0);
    let known: u64 = counts.iter().filter(|(name, _)| name.as_str() != MISSING).map(|(_, count)| count).sum();
    if known == 0 || level == MISSING {
        return count.to_string();
    }
    format!("{count} ({:.0} %)", 100.0 * count as f64 / known as f64)
}
