//! Evaluates simulated predictions by scan and by subject.
//!
//! `cargo run --release -p brainreel-statistics --example evaluate_predictions`
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use brainreel_statistics::{EvaluateConfig, MetricsReport, StatisticsError, aggregate_by_subject, evaluate};

fn main() -> Result<(), StatisticsError> {
    let (mut is_ad, mut probabilities, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
    for scan in 0..120_u32 {
        let subject = scan / 3;
        is_ad.push(subject % 2 == 0);
        let shift = f64::from(subject * 7 % 10) - if subject % 2 == 0 { 2.0 } else { 6.0 };
        probabilities.push(1.0 / (1.0 + (-0.4 * shift - 0.1 * f64::from(scan % 3)).exp()));
        subjects.push(format!("sub-{subject}"));
    }
    let config = EvaluateConfig::default();
    show("scan", &evaluate(&is_ad, &probabilities, &subjects, &config)?);

    let rows = aggregate_by_subject(&is_ad, &probabilities, &subjects)?;
    let labels: Vec<bool> = rows.iter().map(|row| row.label).collect();
    let means: Vec<f64> = rows.iter().map(|row| row.probability).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.subject.as_str()).collect();
    show("subject", &evaluate(&labels, &means, &names, &config)?);
    Ok(())
}

fn show(unit: &str, report: &MetricsReport) {
    println!("by {unit}: {} predictions of {} subjects", report.n_scans, report.n_subjects);
    for (name, estimate) in
        [("AUC", report.auc), ("accuracy", report.accuracy), ("sensitivity", report.sensitivity)]
    {
        let value = estimate.value.map_or("not defined".into(), |value| format!("{value:.3}"));
        let interval =
            estimate.interval.map(|i| format!(" ({:.3} to {:.3})", i.lower, i.upper)).unwrap_or_default();
        println!("  {name:<12} {value}{interval}");
    }
}
