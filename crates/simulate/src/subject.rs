//! Who is scanned: diagnosis, age, size of the head, and how far atrophy has gone.
//!
//! # Disease model
//! A subject has a latent severity `s`: normal with SD 1 around 0 in controls and around
//! `LATENT_SHIFT * effect_size` in Alzheimer's disease. Each biomarker is
//! `loading * s + sqrt(1 - loading^2) * e` with its own `e`, in units of the controls' SD, so that the
//! groups differ by `loading * LATENT_SHIFT` SD and overlap. See `docs/simulation.md` for the papers.

use brainreel_artifact::derive_seed;
use brainreel_cohort::Date;
use serde::{Deserialize, Serialize};

use crate::SimulateConfig;
use crate::anatomy::{Atrophy, HIPPOCAMPUS_MM3, ICV_MM3, VENTRICLES_MM3};
use crate::random::Random;

/// Diagnosis of a subject, the same at every visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Diagnosis {
    /// Alzheimer's disease.
    #[serde(rename = "AD")]
    Alzheimer,
    /// Cognitively normal.
    #[serde(rename = "CN")]
    Normal,
}

impl Diagnosis {
    /// The code of the IDA tables.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Alzheimer => "AD",
            Self::Normal => "CN",
        }
    }
}

/// Sex of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// Female.
    #[serde(rename = "F")]
    Female,
    /// Male.
    #[serde(rename = "M")]
    Male,
}

impl Sex {
    /// The code of the IDA tables.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Female => "F",
            Self::Male => "M",
        }
    }
}

/// One appointment.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// Position among the subject's visits, from 0.
    pub index: usize,
    /// Visit code as in ADNI-1: `sc`, `m06`, ...
    pub code: &'static str,
    /// Years since the first visit.
    pub years: f64,
    /// Fictitious day of the scan.
    pub date: Date,
}

/// A simulated person.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Position in the cohort, from 0.
    pub index: usize,
    /// Identifier such as `002_S_0413`: site, `S`, roster number.
    pub ptid: String,
    /// Position of the site in the cohort's list of sites.
    pub site: usize,
    /// Diagnosis.
    pub diagnosis: Diagnosis,
    /// Sex.
    pub sex: Sex,
    /// Age at the first visit, in years.
    pub age_years: f64,
    /// Latent severity at the first visit, in SD of the controls.
    pub severity: f64,
    /// Visits, earliest first.
    pub visits: Vec<Visit>,
    /// Seed of everything about the anatomy that never changes.
    pub(crate) anatomy_seed: u64,
    /// Subject size over template size along each axis.
    pub(crate) scale: [f64; 3],
    biomarkers: Biomarkers,
    rates: Rates,
    asymmetry: [f64; 2],
}

/// Deviations at the first visit, in SD of controls of that age; larger is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Biomarkers {
    hippocampus: f64,
    ventricles: f64,
    cortex: f64,
    sulci: f64,
}

/// Change a year, as a share of the volume or thickness at the first visit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rates {
    hippocampus: f64,
    ventricles: f64,
    cortex: f64,
    sulci: f64,
}

/// What a subject's brain is meant to measure at a visit; rendering comes close to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Left and right hippocampus, mm3.
    pub hippocampus_mm3: [f64; 2],
    /// Both lateral ventricles, mm3.
    pub ventricles_mm3: f64,
    /// Mean thickness of the cortex, mm.
    pub cortex_mm: f64,
    /// Width of an average sulcus, mm.
    pub sulcus_mm: f64,
}

/// Numbers that sites carry in PTIDs, in the order in which a cohort uses them.
const SITE_NUMBERS: [usize; 24] =
    [2, 5, 11, 16, 22, 23, 27, 33, 36, 41, 52, 57, 62, 67, 73, 82, 94, 99, 109, 116, 123, 127, 130, 137];

pub(crate) fn site_number(site: usize) -> usize {
    SITE_NUMBERS[site % SITE_NUMBERS.len()]
}

/// Distance between the groups' mean severities in SD of the controls, at `effect_size` 1.
const LATENT_SHIFT: f64 = 2.0;
const HIPPOCAMPUS_LOADING: f64 = 0.88;
const VENTRICLES_LOADING: f64 = 0.47;
const CORTEX_LOADING: f64 = 0.58;
const SULCI_LOADING: f64 = 0.5;

const CODES: [(&str, f64); 8] = [
    ("sc", 0.0),
    ("m06", 0.5),
    ("m12", 1.0),
    ("m24", 2.0),
    ("m36", 3.0),
    ("m48", 4.0),
    ("m60", 5.0),
    ("m72", 6.0),
];

impl Subject {
    /// Draws subject `index` of a cohort. The whole cohort's diagnoses are dealt from the seed, so
    /// exactly [`SimulateConfig::n_ad`] subjects have the disease.
    #[must_use]
    pub fn draw(config: &SimulateConfig, index: usize) -> Self {
        let diagnoses = deal_diagnoses(config);
        Self::draw_with(config, index, diagnoses.get(index).copied().unwrap_or(Diagnosis::Normal))
    }

    /// Draws every subject of a cohort, in order.
    #[must_use]
    pub fn draw_cohort(config: &SimulateConfig) -> Vec<Self> {
        let diagnoses = deal_diagnoses(config);
        diagnoses
            .iter()
            .enumerate()
            .map(|(index, &diagnosis)| Self::draw_with(config, index, diagnosis))
            .collect()
    }

    fn draw_with(config: &SimulateConfig, index: usize, diagnosis: Diagnosis) -> Self {
        let mut random = Random::new(derive_seed(config.seed, "simulate-subject", &[&index.to_string()]));
        let sex = if random.unit() < 0.5 { Sex::Female } else { Sex::Male };
        let age_years = (75.0 + 6.5 * random.normal()).clamp(60.0, 90.0);
        let site = random.below(config.n_sites);
        let effect = if diagnosis == Diagnosis::Alzheimer { config.effect_size } else { 0.0 };
        let severity = random.bounded_normal(3.0) + LATENT_SHIFT * effect;
        let mut biomarker =
            |loading: f64| loading * severity + (1.0 - loading * loading).sqrt() * random.bounded_normal(2.5);
        let biomarkers = Biomarkers {
            hippocampus: biomarker(HIPPOCAMPUS_LOADING),
            ventricles: biomarker(VENTRICLES_LOADING),
            cortex: biomarker(CORTEX_LOADING),
            sulci: biomarker(SULCI_LOADING),
        };
        let rates = Rates::draw(&mut random, effect);
        let scale = draw_scale(&mut random, sex);
        let asymmetry = [0; 2].map(|_: u8| random.bounded_normal(2.5));
        let visits = draw_visits(&mut random, config.n_visits);
        Self {
            index,
            ptid: format!("{:03}_S_{:04}", site_number(site), roster_number(index)),
            site,
            diagnosis,
            sex,
            age_years,
            severity,
            visits,
            anatomy_seed: derive_seed(config.seed, "simulate-anatomy", &[&index.to_string()]),
            scale,
            biomarkers,
            rates,
            asymmetry,
        }
    }

    /// Age at a visit, in years.
    #[must_use]
    pub fn age_at(&self, visit: &Visit) -> f64 {
        self.age_years + visit.years
    }

    /// What the brain is meant to measure at a visit.
    #[must_use]
    pub fn targets(&self, visit: &Visit) -> Targets {
        let (b, r, years) = (&self.biomarkers, &self.rates, visit.years);
        let older = self.age_years - 75.0;
        let size: f64 = self.scale.iter().product();
        let hippocampus = 3800.0
            * size.powf(0.7)
            * (-0.118 * b.hippocampus - 0.009 * older).exp()
            * (1.0 - r.hippocampus).powf(years);
        let side = 0.035 * self.asymmetry[0] + 0.015;
        let ventricles =
            36_000.0 * size * (0.42 * b.ventricles + 0.025 * older).exp() * (1.0 + r.ventricles).powf(years);
        let cortex = (2.45 - 0.115 * b.cortex - 0.004 * older) * (1.0 - r.cortex).powf(years);
        let sulcus = 1.25 * (0.24 * b.sulci + 0.012 * older).exp() * (1.0 + r.sulci).powf(years);
        Targets {
            hippocampus_mm3: [hippocampus * (1.0 - side), hippocampus * (1.0 + side)].map(|v| v.max(1200.0)),
            ventricles_mm3: ventricles.clamp(9_000.0, 170_000.0),
            cortex_mm: cortex.clamp(1.7, 3.1),
            sulcus_mm: sulcus.clamp(0.5, 3.2),
        }
    }

    pub(crate) fn atrophy(&self, visit: &Visit) -> Atrophy {
        let targets = self.targets(visit);
        let size: f64 = self.scale.iter().product();
        let length = size.cbrt();
        let hippocampus_swell = targets.hippocampus_mm3.map(|v| (v / size / HIPPOCAMPUS_MM3).sqrt());
        let mean_hippocampus = 0.5 * (hippocampus_swell[0] + hippocampus_swell[1]);
        let ventricles = targets.ventricles_mm3 / size / VENTRICLES_MM3;
        let lean = 0.07 * self.asymmetry[1];
        let half_width = 0.5 * targets.sulcus_mm / length;
        Atrophy {
            hippocampus_swell,
            ventricle_swell: [ventricles * (1.0 + lean), ventricles * (1.0 - lean)]
                .map(|v| v.max(0.1).powf(0.535)),
            temporal_horn_swell: (1.0 / mean_hippocampus).clamp(0.8, 1.5),
            third_swell: ventricles.powf(0.4).clamp(0.6, 2.2),
            cortex_mm: targets.cortex_mm / length,
            sulcus_half_width_mm: half_width,
            hull_gap_mm: 0.2 + 0.9 * half_width,
        }
    }
}

impl Rates {
    fn draw(random: &mut Random, effect: f64) -> Self {
        let mut rate = |normal: f64, extra: f64, spread: f64| {
            normal + extra * effect + spread * (normal + 0.5 * extra * effect) * random.bounded_normal(2.0)
        };
        Self {
            hippocampus: rate(0.014, 0.032, 0.35),
            ventricles: rate(0.035, 0.055, 0.4),
            cortex: rate(0.004, 0.012, 0.4),
            sulci: rate(0.012, 0.03, 0.4),
        }
    }
}

fn deal_diagnoses(config: &SimulateConfig) -> Vec<Diagnosis> {
    let order =
        Random::new(derive_seed(config.seed, "simulate-diagnoses", &[])).permutation(config.n_subjects);
    let n_ad = config.n_ad();
    let deal = |place: usize| if place < n_ad { Diagnosis::Alzheimer } else { Diagnosis::Normal };
    order.into_iter().map(deal).collect()
}

fn draw_scale(random: &mut Random, sex: Sex) -> [f64; 3] {
    let (mean_ml, sd_ml) = match sex {
        Sex::Female => (1400.0, 105.0),
        Sex::Male => (1560.0, 120.0),
    };
    let icv_mm3 = 1000.0 * (mean_ml + sd_ml * random.bounded_normal(2.3));
    let mean = (icv_mm3 / ICV_MM3).cbrt();
    let aspect = [0; 3].map(|_: u8| 1.0 + 0.022 * random.bounded_normal(2.0));
    let keep = (aspect[0] * aspect[1] * aspect[2]).cbrt();
    aspect.map(|a| mean * a / keep)
}

fn draw_visits(random: &mut Random, most: usize) -> Vec<Visit> {
    let n = 1 + random.below(most);
    let days_after_start = random.below(365 * 8) as i64;
    let start = Date::new(2005, 1, 1).expect("a day of the calendar");
    CODES
        .iter()
        .take(n)
        .enumerate()
        .map(|(index, &(code, years))| {
            let jitter = if index == 0 { 0 } else { random.below(29) as i64 - 14 };
            let days = (years * 365.25).round() as i64 + jitter;
            let date = start.plus_days(days_after_start + days).expect("visits end before 2030");
            Visit { index, code, years: days as f64 / 365.25, date }
        })
        .collect()
}

/// Four-digit number unique to a subject; the order does not tell the diagnosis.
fn roster_number(index: usize) -> usize {
    // 2887 has no factor in common with 9999: every index below 9999 gets its own number.
    1 + (index * 2887 + 412) % 9999
}
