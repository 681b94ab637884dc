//! Group differences in a cohort's parameters are those of the literature, and vanish without an effect.

use brainreel_simulate::{Diagnosis, SimulateConfig, Subject, Targets};

fn cohort(effect_size: f64) -> Vec<Subject> {
    Subject::draw_cohort(&SimulateConfig { n_subjects: 600, effect_size, ..SimulateConfig::default() })
}

/// Mean and variance of `value` over a group's first visits.
fn moments(subjects: &[Subject], diagnosis: Diagnosis, value: impl Fn(&Subject) -> f64) -> (f64, f64) {
    let values: Vec<f64> =
        subjects.iter().filter(|subject| subject.diagnosis == diagnosis).map(value).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    (mean, variance)
}

/// Cohen's d of AD minus CN with the pooled standard deviation.
fn cohens_d(subjects: &[Subject], value: impl Fn(&Targets) -> f64) -> f64 {
    let at_first = |subject: &Subject| value(&subject.targets(&subject.visits[0]));
    let (ad, ad_variance) = moments(subjects, Diagnosis::Alzheimer, at_first);
    let (cn, cn_variance) = moments(subjects, Diagnosis::Normal, at_first);
    (ad - cn) / (0.5 * (ad_variance + cn_variance)).sqrt()
}

fn hippocampi(targets: &Targets) -> f64 {
    targets.hippocampus_mm3[0] + targets.hippocampus_mm3[1]
}

#[test]
fn effects_are_those_of_the_literature() {
    let subjects = cohort(1.0);
    for (name, d, range) in [
        ("hippocampi", cohens_d(&subjects, hippocampi), -2.0..-1.2),
        ("log ventricles", cohens_d(&subjects, |t| t.ventricles_mm3.ln()), 0.6..1.1),
        ("cortex", cohens_d(&subjects, |t| t.cortex_mm), -1.35..-0.8),
        ("sulci", cohens_d(&subjects, |t| t.sulcus_mm), 0.6..1.2),
    ] {
        assert!(range.contains(&d), "{name}: d = {d:.2}, expected {range:?}");
    }
    let mean = |diagnosis| moments(&subjects, diagnosis, |s| hippocampi(&s.targets(&s.visits[0]))).0;
    let loss = 1.0 - mean(Diagnosis::Alzheimer) / mean(Diagnosis::Normal);
    assert!((0.17..0.26).contains(&loss), "hippocampal loss {loss:.3}");
}

#[test]
fn without_an_effect_the_groups_are_alike() {
    let subjects = cohort(0.0);
    // Four standard errors of d with 300 subjects a group.
    let limit = 4.0 * (2.0_f64 / 300.0).sqrt();
    for d in [
        cohens_d(&subjects, hippocampi),
        cohens_d(&subjects, |t| t.ventricles_mm3.ln()),
        cohens_d(&subjects, |t| t.cortex_mm),
    ] {
        assert!(d.abs() < limit, "d = {d:.2}");
    }
}

#[test]
fn age_sex_and_site_do_not_tell_the_diagnosis() {
    let subjects = cohort(1.0);
    let limit = 4.0 * (2.0_f64 / 300.0).sqrt();
    let age = |s: &Subject| s.age_years;
    let sex = |s: &Subject| f64::from(u8::from(s.sex.code() == "F"));
    let site = |s: &Subject| s.site as f64;
    let visits = |s: &Subject| s.visits.len() as f64;
    let values: [&dyn Fn(&Subject) -> f64; 4] = [&age, &sex, &site, &visits];
    for (name, value) in ["age", "sex", "site", "visits"].into_iter().zip(values) {
        let (ad, ad_variance) = moments(&subjects, Diagnosis::Alzheimer, value);
        let (cn, cn_variance) = moments(&subjects, Diagnosis::Normal, value);
        let d = (ad - cn) / (0.5 * (ad_variance + cn_variance)).sqrt();
        assert!(d.abs() < limit, "{name}: d = {d:.2}");
    }
}

#[test]
fn disease_shrinks_hippocampi_faster() {
    let config = SimulateConfig { n_subjects: 300, n_visits: 5, ..SimulateConfig::default() };
    let subjects = Subject::draw_cohort(&config);
    let yearly_loss = |diagnosis| {
        let rates: Vec<f64> = subjects
            .iter()
            .filter(|subject| subject.diagnosis == diagnosis && subject.visits.len() > 2)
            .map(|subject| {
                let (first, last) = (&subject.visits[0], subject.visits.last().unwrap());
                let ratio = hippocampi(&subject.targets(last)) / hippocampi(&subject.targets(first));
                1.0 - ratio.powf(1.0 / (last.years - first.years))
            })
            .collect();
        rates.iter().sum::<f64>() / rates.len() as f64
    };
    let (ad, cn) = (yearly_loss(Diagnosis::Alzheimer), yearly_loss(Diagnosis::Normal));
    assert!((0.035..0.055).contains(&ad) && (0.008..0.02).contains(&cn), "AD {ad:.4}, CN {cn:.4} a year");
}

#[test]
fn a_subject_is_the_same_alone_and_in_its_cohort() {
    let config = SimulateConfig { n_subjects: 7, ..SimulateConfig::default() };
    let cohort = Subject::draw_cohort(&config);
    for (index, subject) in cohort.iter().enumerate() {
        assert_eq!(&Subject::draw(&config, index), subject);
    }
    let mut ptids: Vec<&str> = cohort.iter().map(|subject| &subject.ptid[6..]).collect();
    ptids.sort_unstable();
    ptids.dedup();
    assert_eq!(ptids.len(), 7);
    assert_eq!(cohort.iter().filter(|s| s.diagnosis == Diagnosis::Alzheimer).count(), config.n_ad());
}
