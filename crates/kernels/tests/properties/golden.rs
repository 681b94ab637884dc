//! Kernels against scipy; golden arrays by `reference/volume.py`.

use brainreel_kernels::prefilter;
use brainreel_testkit::{Golden, Tolerance, assert_close};

/// Both are `f64` recursions; they differ in the order of a few additions.
#[test]
fn prefilter_equals_scipy_at_edge_lengths() {
    let golden = Golden::load(env!("CARGO_MANIFEST_DIR"), "prefilter");
    for n in [1, 2, 3, 4, 7, 8, 9, 33, 65] {
        let mut line = golden.array(&format!("line_{n}")).data.clone();
        prefilter(&mut line);
        assert_close(&line, &golden.array(&format!("coefficients_{n}")).data, Tolerance::relative(1e-13));
    }
}
