//! What a run will take, told before it starts.

use brainreel_models::Speed;
use brainreel_training::{Forecast, Workload, advice};

use super::Request;
use crate::batch::free_bytes;
use crate::ui::Ui;

/// Work of an epoch from which its time is worth a measurement of half a second.
const WORTH_A_PROBE_FLOPS: f64 = 1e12;

/// Tells memory, and time if it is long; warns if more memory is needed than is free and no limit was set.
pub(super) fn tell(forecast: &Forecast, workload: &Workload, request: &Request<'_>, ui: &Ui) {
    let memory = format!("up to {} of memory", gib(forecast.memory.total()));
    let time = if forecast.preparation.flops() + forecast.epoch.flops() >= WORTH_A_PROBE_FLOPS {
        let seconds = forecast.seconds(&Speed::probe());
        let once = duration(seconds.preparation);
        let once =
            if seconds.preparation >= 1.0 { format!(", {once} before the first") } else { String::new() };
        format!(", about {} a step, {} an epoch{once}", duration(seconds.step), duration(seconds.epoch))
    } else {
        String::new()
    };
    let steps = forecast.steps_per_epoch;
    ui.note(format!("{:>12} forecast: {memory}{time}; {steps} steps an epoch", "train"));
    if request.memory_limit.is_none()
        && let Some(advice) = free_bytes().and_then(|free| advice(request.config, workload, free))
    {
        ui.warn(format!("train: {advice}"));
    }
}

/// Bytes of `12GB`, `8GiB`, `500MB`; a number alone is of GB, as for `preprocess --memory`.
pub(super) fn memory_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "g" | "gb" => 1e9,
        "gib" => f64::from(1 << 30),
        "m" | "mb" => 1e6,
        "mib" => f64::from(1 << 20),
        _ => return Err(format!("`{unit}` is no unit of memory, expected GB, GiB, MB or MiB")),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 => Ok(bytes(number * factor)),
        _ => Err("expected a size above 0, such as 12GB or 8GiB".to_owned()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; saturates")]
fn bytes(size: f64) -> u64 {
    size as u64
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
    fn sizes_in_every_unit() {
        assert_eq!(memory_size("12GB"), Ok(12_000_000_000));
        assert_eq!(memory_size("8 GiB"), Ok(8 << 30));
        assert_eq!(memory_size("1.5"), Ok(1_500_000_000));
        assert_eq!(memory_size("500mb"), Ok(500_000_000));
        for bad in ["", "GB", "-1GB", "0", "12 apples", "1e3"] {
            assert!(memory_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_a_sensible_unit() {
        assert_eq!([0.25, 59.6, 600.0, 9000.0].map(duration), ["0.2 s", "60 s", "10 min", "2.5 h"]);
    }
}
