//! Against scikit-learn and scipy: `reference/classification.py`.

use brainreel_statistics::{ConfusionMatrix, EvaluateConfig, MetricsReport, delong, evaluate, wilson};
use brainreel_testkit::Golden;

struct Predictions {
    golden: Golden,
    labels: Vec<bool>,
    scores: Vec<f64>,
    subjects: Vec<String>,
}

fn load() -> Predictions {
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "classification");
    let labels = golden.array("labels").data.iter().map(|&label| label > 0.5).collect();
    let scores = golden.array("scores").data.clone();
    let subjects = golden.array("subjects").data.iter().map(|subject| format!("sub-{subject}")).collect();
    Predictions { golden, labels, scores, subjects }
}

fn value_of(report: &MetricsReport, name: &str) -> f64 {
    let json = serde_json::to_value(report).expect("a report is plain data");
    json[name]["value"].as_f64().unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn every_metric_is_scikit_learns() {
    let Predictions { golden, labels, scores, subjects } = load();
    for threshold in [0.5, 0.37] {
        let config = EvaluateConfig { threshold, ..EvaluateConfig::default() };
        let report = evaluate(&labels, &scores, &subjects, &config).unwrap();
        let expected = &golden.parameters[threshold.to_string()];
        let confusion: ConfusionMatrix = serde_json::from_value(expected["confusion"].clone()).unwrap();
        assert_eq!(report.confusion, confusion);
        for name in [
            "accuracy",
            "balanced_accuracy",
            "sensitivity",
            "specificity",
            "ppv",
            "npv",
            "f1",
            "auc",
            "log_loss",
            "brier",
        ] {
            let (got, want) = (value_of(&report, name), expected[name].as_f64().unwrap());
            // The same sums in another order: a few units of the last place.
            assert!((got - want).abs() <= 1e-12 * want.abs(), "{name}: {got}, scikit-learn {want}");
        }
    }
}

#[test]
fn intervals_are_scipys() {
    let Predictions { golden, labels, scores, subjects } = load();
    let expected = &golden.parameters["0.5"];
    let count = |name: &str| expected["confusion"][name].as_u64().unwrap();
    let tp = count("true_positive");
    let interval = wilson(tp, tp + count("false_negative")).unwrap();
    let bound = |idx: usize| expected["sensitivity_interval"][idx].as_f64().unwrap();
    assert!((interval.lower - bound(0)).abs() < 1e-12 && (interval.upper - bound(1)).abs() < 1e-12);

    let standard_error = delong(&labels, &scores).unwrap().standard_error;
    assert!((standard_error - expected["delong_standard_error"].as_f64().unwrap()).abs() < 1e-12);

    // Two independent bootstraps: 20,000 resamples there, 2,000 here. The ends scatter by about
    // 0.003 (an end's standard error is about 2.7 / sqrt(2000) of the AUC's own, 0.05).
    let report = evaluate(&labels, &scores, &subjects, &EvaluateConfig::default()).unwrap();
    let interval = report.auc.interval.unwrap();
    let bound = |idx: usize| golden.parameters["cluster_auc_interval"][idx].as_f64().unwrap();
    assert!((interval.lower - bound(0)).abs() < 0.012, "{} against {}", interval.lower, bound(0));
    assert!((interval.upper - bound(1)).abs() < 0.012, "{} against {}", interval.upper, bound(1));
}
