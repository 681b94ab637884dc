//! Reports how much time and memory a run will take, before it starts.

use brainreel_models::Speed;
use brainreel_training::{Forecast, Workload, advice};

use super::TrainRequest;
use crate::Reporter;
use crate::batch::free_bytes;

/// Work of an epoch from which its time is worth half a second of measuring the machine.
const WORTH_A_PROBE_FLOPS: f64 = 1e12;

/// Reports memory, and time if it is long; warns if more memory is needed than is free and no limit was set.
pub(super) fn report(
    forecast: &Forecast,
    workload: &Workload,
    request: &TrainRequest,
    reporter: &Reporter<'_>,
) {
    let memory = format!("up to {} of memory", gib(forecast.memory.total()));
    let time = if forecast.preparation.flops() + forecast.epoch.flops() >= WORTH_A_PROBE_FLOPS {
        let seconds = forecast.seconds(&Speed::probe());
        let once = duration(seconds.preparation);
        let once =
            if seconds.preparation >= 1.0 { format!(", {once} before the first") } else { String::new() };
        format!(", about {} per step, {} per epoch{once}", duration(seconds.step), duration(seconds.epoch))
    } else {
        String::new()
    };
    let steps = forecast.steps_per_epoch;
    reporter.note(format!("forecast: {memory}{time}; {steps} steps per epoch"));
    if request.memory_limit.is_none()
        && let Some(advice) = free_bytes().and_then(|free| advice(&request.config, workload, free))
    {
        reporter.warn(advice);
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Seconds for people.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_of_their_size() {
        assert_eq!([0.25, 59.6, 600.0, 9000.0].map(duration), ["0.2 s", "60 s", "10 min", "2.5 h"]);
    }
}
