//! Who is in the cohort, by diagnosis: one row per person.

use std::collections::{BTreeMap, BTreeSet};

use brainreel_cohort::{Cohort, CohortImage, Diagnosis};
use brainreel_statistics::association::{
    Association, ContingencyTable, Summary, compare_means, compare_ranks,
};
use serde::Serialize;

use crate::notice::NOTICE;

/// Stands for a value that is not known.
pub const MISSING: &str = "unknown";

/// Who is in the cohort, by diagnosis.
#[derive(Debug, Clone, Serialize)]
pub struct Demographics {
    notice: &'static str,
    /// How people are counted.
    unit: &'static str,
    /// The people of each diagnosis, by severity.
    pub groups: Vec<GroupDemographics>,
    /// People with scans of several diagnoses: they are in the group of the most severe one.
    pub n_converters: usize,
    /// Tests of each variable against the diagnosis.
    pub tests: Vec<VariableTest>,
}

const UNIT: &str = "one row a subject: the group is the most severe diagnosis among the kept scans; age, site and \
                    field strength are those of the first scan with it. Effect sizes of two groups are the first \
                    less the second";

/// The people of a diagnosis.
#[derive(Debug, Clone, Serialize)]
pub struct GroupDemographics {
    /// The diagnosis.
    pub diagnosis: Diagnosis,
    /// People.
    pub n_subjects: usize,
    /// Scans with this diagnosis, of people in any group.
    pub n_scans: usize,
    /// Ages of the people.
    pub age_years: Option<Summary>,
    /// People by sex.
    pub sex: BTreeMap<String, u64>,
    /// People by field strength.
    pub field_strength: BTreeMap<String, u64>,
    /// People by site.
    pub site: BTreeMap<String, u64>,
    #[serde(skip)]
    ages: Vec<f64>,
}

/// Whether a variable goes with the diagnosis.
#[derive(Debug, Clone, Serialize)]
pub struct VariableTest {
    /// The variable; [`AGE_RANKS`] for the second test of age.
    pub variable: &'static str,
    /// The test and its effect size.
    #[serde(flatten)]
    pub association: Association,
}

impl Demographics {
    /// Counts the people of a cohort.
    pub(super) fn of(cohort: &Cohort) -> Self {
        let mut people: BTreeMap<String, Vec<&CohortImage>> = BTreeMap::new();
        for image in cohort.kept() {
            people.entry(image.person_key().unwrap_or_default()).or_default().push(image);
        }
        let first = |scans: &Vec<&'_ CohortImage>| {
            let worst = scans.iter().filter_map(|scan| scan.visit.diagnosis).max();
            scans.iter().position(|scan| scan.visit.diagnosis == worst).unwrap_or(0)
        };
        let rows: Vec<&CohortImage> = people.values().map(|scans| scans[first(scans)]).collect();
        let several = |scans: &&Vec<&CohortImage>| {
            scans.iter().filter_map(|scan| scan.visit.diagnosis).collect::<BTreeSet<_>>().len() > 1
        };
        let groups: Vec<GroupDemographics> = Diagnosis::ALL
            .into_iter()
            .map(|diagnosis| GroupDemographics::of(diagnosis, &rows, cohort))
            .filter(|group| group.n_subjects > 0 || group.n_scans > 0)
            .collect();
        let n_converters = people.values().filter(several).count();
        Self { notice: NOTICE, unit: UNIT, tests: tests(&groups, &rows), groups, n_converters }
    }

    /// One line per fact, with the test beside the first line of its variable.
    pub(super) fn to_tsv(&self) -> String {
        let mut lines = vec!["variable\tlevel".to_owned()];
        for group in &self.groups {
            lines[0] += &format!("\t{}", group.diagnosis);
        }
        lines[0] += "\ttest\tstatistic\tdof\tp_value\teffect\teffect_value\teffect_lower\teffect_upper";
        let mut last = "";
        for Line { variable, level, cells } in self.lines() {
            let mut line = vec![variable.to_owned(), level];
            line.extend(cells);
            let test = self.tests.iter().find(|test| test.variable == variable && last != variable);
            line.extend(test_cells(test.map(|test| &test.association)));
            lines.push(line.join("\t"));
            last = variable;
        }
        for test in self.tests.iter().filter(|test| test.variable == AGE_RANKS) {
            let mut line = vec![AGE_RANKS.to_owned(), "n/a".to_owned()];
            line.extend(self.groups.iter().map(|_| "n/a".to_owned()));
            line.extend(test_cells(Some(&test.association)));
            lines.push(line.join("\t"));
        }
        lines.join("\n") + "\n"
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = vec![
            self.line("subjects", "n", |group| group.n_subjects.to_string()),
            self.line("scans", "n", |group| group.n_scans.to_string()),
        ];
        let of_age = |value: fn(&Summary) -> Option<f64>| {
            move |group: &GroupDemographics| {
                group
                    .age_years
                    .as_ref()
                    .and_then(value)
                    .map_or("n/a".to_owned(), |years| format!("{years:.1}"))
            }
        };
        lines.push(self.line("age_years", "mean", of_age(|age| Some(age.mean))));
        lines.push(self.line("age_years", "sd", of_age(|age| age.sd)));
        lines.push(self.line("age_years", "min", of_age(|age| Some(age.min))));
        lines.push(self.line("age_years", "max", of_age(|age| Some(age.max))));
        lines.push(self.line("age_years", "n_known", |group| group.ages.len().to_string()));
        type Counts = fn(&GroupDemographics) -> &BTreeMap<String, u64>;
        let categories: [(&'static str, Counts); 3] = [
            ("sex", |group| &group.sex),
            ("field_strength", |group| &group.field_strength),
            ("site", |group| &group.site),
        ];
        for (variable, counts) in categories {
            let levels: BTreeSet<&String> =
                self.groups.iter().flat_map(|group| counts(group).keys()).collect();
            for level in levels {
                lines.push(self.line(variable, level, |group| {
                    counts(group).get(level).copied().unwrap_or(0).to_string()
                }));
            }
        }
        lines
    }

    fn line(&self, variable: &'static str, level: &str, cell: impl Fn(&GroupDemographics) -> String) -> Line {
        let level = level.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Line { variable, level, cells: self.groups.iter().map(cell).collect() }
    }
}

/// A line of the table: a fact of each group.
struct Line {
    variable: &'static str,
    level: String,
    cells: Vec<String>,
}

/// The variable of the second test of age, which compares ranks.
pub const AGE_RANKS: &str = "age_years_ranks";

impl GroupDemographics {
    fn of(diagnosis: Diagnosis, rows: &[&CohortImage], cohort: &Cohort) -> Self {
        let people = || rows.iter().filter(|row| row.visit.diagnosis == Some(diagnosis));
        let count = |word: fn(&CohortImage) -> String| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for row in people() {
                *counts.entry(word(row)).or_default() += 1;
            }
            counts
        };
        let ages: Vec<f64> = people().filter_map(|row| row.visit.age_years).collect();
        Self {
            diagnosis,
            n_subjects: people().count(),
            n_scans: cohort.count(diagnosis).n_images,
            age_years: Summary::of(&ages),
            sex: count(sex),
            field_strength: count(field_strength),
            site: count(site),
            ages,
        }
    }
}

fn sex(image: &CohortImage) -> String {
    image.sex().map_or(MISSING, |sex| sex.name()).to_owned()
}

fn site(image: &CohortImage) -> String {
    image.site().unwrap_or(MISSING).to_owned()
}

fn field_strength(image: &CohortImage) -> String {
    let strength = image.scanner.field_strength;
    strength.map_or(MISSING.to_owned(), |strength| format!("{:.1} T", strength.nominal().tesla()))
}

/// Tests of each variable against the diagnosis; people of whom it is not known are left out.
fn tests(groups: &[GroupDemographics], rows: &[&CohortImage]) -> Vec<VariableTest> {
    let ages: Vec<&[f64]> = groups.iter().map(|group| group.ages.as_slice()).collect();
    let by = |word: fn(&CohortImage) -> String| {
        let pairs = rows.iter().map(|row| (row.visit.diagnosis, word(row)));
        ContingencyTable::of(pairs.filter(|(_, word)| word != MISSING)).association()
    };
    let found = [
        ("age_years", compare_means(&ages)),
        (AGE_RANKS, compare_ranks(&ages)),
        ("sex", by(sex)),
        ("field_strength", by(field_strength)),
        ("site", by(site)),
    ];
    let named = |(variable, association): (&'static str, Option<Association>)| {
        Some(VariableTest { variable, association: association? })
    };
    found.into_iter().filter_map(named).collect()
}

fn test_cells(association: Option<&Association>) -> Vec<String> {
    let Some(Association { test, effect, .. }) = association else { return vec!["n/a".to_owned(); 8] };
    let number = |value: Option<f64>| value.map_or("n/a".to_owned(), |value| format!("{value:.4}"));
    vec![
        test.kind.to_string(),
        number(test.statistic),
        number(test.dof),
        format!("{:.4e}", test.p_value),
        effect.kind.to_string(),
        format!("{:.4}", effect.value),
        number(effect.interval.map(|interval| interval.lower)),
        number(effect.interval.map(|interval| interval.upper)),
    ]
}
