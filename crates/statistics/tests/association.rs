//! Against scipy: `reference/association.py`.

use brainreel_statistics::association::{
    ContingencyTable, EffectSize, TestKind, TestResult, compare_means, compare_ranks, eta_squared, hedges_g,
    kruskal_wallis, mann_whitney, rank_biserial, welch_anova, welch_t,
};
use brainreel_testkit::Golden;
use serde_json::Value;

fn load() -> Golden {
    Golden::load(env!("CARGO_MANIFEST_DIR"), "association")
}

fn numbers(values: &Value) -> Vec<f64> {
    let list = values.as_array().expect("a list of numbers");
    list.iter().map(|value| value.as_f64().expect("a number")).collect()
}

#[track_caller]
fn close(got: Option<f64>, want: f64, relative: f64) {
    let got = got.expect("a number");
    assert!((got - want).abs() <= relative * want.abs() + 1e-300, "{got}, scipy {want}");
}

/// Statistic, degrees of freedom (if any) and probability. The same sums in another order, and tails that two
/// libraries approximate to a few units of 1e-13.
#[track_caller]
fn same_test(got: Option<TestResult>, want: &Value) {
    let (got, want) = (got.expect("a test"), numbers(want));
    close(got.statistic, want[0], 1e-11);
    if want.len() == 3 {
        close(got.dof, want[1], 1e-11);
    }
    close(Some(got.p_value), want[want.len() - 1], 1e-9);
}

/// Value and interval. Both sides find the ends of intervals by bisection, to about 1e-9.
#[track_caller]
fn same_effect(got: Option<EffectSize>, want: &Value) {
    let (got, want) = (got.expect("an effect size"), numbers(want));
    close(Some(got.value), want[0], 1e-10);
    let interval = got.interval.expect("an interval");
    for (got, want) in [(interval.lower, want[1]), (interval.upper, want[2])] {
        assert!((got - want).abs() < 1e-7, "{got}, scipy {want}");
    }
}

#[test]
fn tables_are_scipys() {
    let golden = load();
    let tables = golden.parameters["tables"].as_array().unwrap();
    assert!(tables.iter().any(|table| table["cramers_v"][1] == 0.0), "an interval that holds none");
    for expected in tables {
        let counts: Vec<Vec<u64>> = serde_json::from_value(expected["counts"].clone()).unwrap();
        let table = ContingencyTable::from_counts(&counts);
        same_test(table.chi_squared(), &expected["chi_squared"]);
        same_effect(table.cramers_v(), &expected["cramers_v"]);
        match expected.get("fisher_exact") {
            Some(fisher) => same_test(table.fisher_exact(), fisher),
            None => assert_eq!(table.fisher_exact(), None),
        }
    }
}

#[test]
fn groups_are_scipys() {
    let golden = load();
    for (names, expected) in golden.parameters["two"].as_object().unwrap() {
        let (one, two) = names.split_once(' ').unwrap();
        let (one, two) = (golden.array(one).data.as_slice(), golden.array(two).data.as_slice());
        same_test(welch_t(one, two), &expected["welch_t"]);
        same_test(mann_whitney(one, two), &expected["mann_whitney"]);
        close(
            rank_biserial(one, two).map(|effect| effect.value),
            expected["rank_biserial"].as_f64().unwrap(),
            1e-11,
        );
        same_effect(hedges_g(one, two), &expected["hedges_g"]);
        assert_eq!(compare_means(&[one, two]).unwrap().test, welch_t(one, two).unwrap());
        assert_eq!(compare_ranks(&[one, two]).unwrap().test, mann_whitney(one, two).unwrap());
    }
    for (names, expected) in golden.parameters["several"].as_object().unwrap() {
        let groups: Vec<&[f64]> = names.split(' ').map(|name| golden.array(name).data.as_slice()).collect();
        same_test(welch_anova(&groups), &expected["welch_anova"]);
        same_test(kruskal_wallis(&groups), &expected["kruskal_wallis"]);
        same_effect(eta_squared(&groups), &expected["eta_squared"]);
        assert_eq!(compare_means(&groups).unwrap().test, welch_anova(&groups).unwrap());
    }
}

#[test]
fn permutations_are_numpys() {
    let golden = load();
    let expected = &golden.parameters["permuted"];
    let counts: Vec<Vec<u64>> = serde_json::from_value(expected["counts"].clone()).unwrap();
    let table = ContingencyTable::from_counts(&counts);
    let got = table.chi_squared_permutation(99_999, 1).unwrap();
    // Standard errors near p = 0.06: 0.0008 here and 0.0005 there; three of both together.
    let want = expected["p_value"].as_f64().unwrap();
    assert!((got.p_value - want).abs() < 0.003, "{}, numpy {want}", got.p_value);
    assert_eq!(got, table.chi_squared_permutation(99_999, 1).unwrap());
    assert_eq!(table.association().unwrap().test.kind, TestKind::ChiSquaredPermutation);
}
