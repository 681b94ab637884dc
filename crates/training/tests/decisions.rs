//! Schedule, class weights, loss and early stopping against PyTorch, scikit-learn and a Python oracle
//! (`reference/loop.py`).

use brainreel_models::Random;
use brainreel_testkit::{Golden, Tolerance, assert_close};
use brainreel_training::{EarlyStopping, class_weights, warm_restart_factor, weighted_cross_entropy};
use burn::tensor::{Device, Tensor, TensorData};

fn golden() -> Golden {
    Golden::load(env!("CARGO_MANIFEST_DIR"), "loop")
}

fn count(golden: &Golden, name: &str) -> usize {
    golden.parameters[name].as_u64().expect("a count") as usize
}

#[test]
fn thirty_epochs_of_rates_are_pytorchs() {
    let golden = golden();
    let (n_epochs, n_steps) = (count(&golden, "n_epochs"), count(&golden, "n_steps"));
    for multiplier in [1, 2] {
        for (unit, steps_an_epoch) in [("epoch", 1), ("step", n_steps)] {
            let positions = (0..n_epochs).flat_map(|epoch| {
                (0..steps_an_epoch).map(move |step| epoch as f64 + step as f64 / steps_an_epoch as f64)
            });
            let rates: Vec<f64> =
                positions.map(|position| warm_restart_factor(position, 5, multiplier)).collect();
            let expected = &golden.array(&format!("schedule_{multiplier}_{unit}")).data;
            // Rates near the end of a cosine are differences of numbers near 1.
            assert_close(&rates, expected, Tolerance::absolute(1e-12));
        }
    }
}

#[test]
fn class_weights_are_scikit_learns() {
    let golden = golden();
    let counts = golden.array("class_counts").data.as_chunks::<2>().0;
    let got: Vec<f64> = counts
        .iter()
        .flat_map(|[n_cn, n_ad]| {
            let labels = [vec![0_u8; *n_cn as usize], vec![1; *n_ad as usize]].concat();
            class_weights(&labels, 2)
        })
        .collect();
    assert_close(&got, &golden.array("class_weights").data, Tolerance::relative(1e-14));
}

#[test]
fn weighted_losses_are_pytorchs() {
    let golden = golden();
    let batches = golden.array("logits").to_f32();
    let labels: Vec<u8> = golden.array("labels").data.iter().map(|label| *label as u8).collect();
    let weights = golden.array("loss_weights").data.as_chunks::<2>().0;
    let losses: Vec<f32> = (batches.chunks(10).zip(labels.chunks(5)).zip(weights))
        .map(|((logits, labels), weights)| {
            let logits = Tensor::from_data(TensorData::new(logits.to_vec(), [5, 2]), &Device::flex());
            weighted_cross_entropy(logits, labels, weights).into_scalar()
        })
        .collect();
    // Both in single precision.
    assert_close(&losses, &golden.array("losses").data, Tolerance::relative(1e-6));
}

/// The history that `reference/loop.py` draws for a seed.
fn history(seed: u64, n_epochs: usize) -> Vec<(f64, f64)> {
    let mut random = Random::new(seed);
    let (better, worse) = (0.02 * (seed % 3) as f64, 0.01 * (seed % 5) as f64 - 0.02);
    (0..n_epochs)
        .map(|epoch| {
            let epoch = epoch as f64;
            let accuracy = (20.0 * (0.5 * random.uniform() + better * epoch)).floor() / 20.0;
            (accuracy, (50.0 * (random.uniform() + worse * epoch)).floor() / 50.0)
        })
        .collect()
}

#[test]
fn a_thousand_histories_stop_where_the_oracle_stops() {
    let golden = golden();
    let n_epochs = count(&golden, "n_history_epochs");
    let expected = golden.array("stopping").data.as_chunks::<3>().0;
    assert_eq!(expected.len(), 1000);
    for (seed, expected) in expected.iter().enumerate() {
        let mut stopping = EarlyStopping::new(1 + seed % 7);
        let mut got = [0, 0, 0];
        for (epoch, (accuracy, loss)) in history(seed as u64, n_epochs).into_iter().enumerate() {
            let improvement = stopping.update(accuracy, loss);
            got[0] = epoch + 1;
            if improvement.accuracy {
                got[1] = epoch;
            }
            if improvement.loss {
                got[2] = epoch;
            }
            if stopping.should_stop() {
                break;
            }
        }
        assert_eq!(got, expected.map(|value| value as usize), "history {seed}");
    }
}
