//! Sizes of memory on the command line.

/// Bytes of a size such as `12GB`, `8GiB` or `500MB`. A bare number means GB, as in `preprocess --memory`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "g" | "gb" => 1e9,
        "gib" => f64::from(1 << 30),
        "m" | "mb" => 1e6,
        "mib" => f64::from(1 << 20),
        _ => return Err(format!("`{unit}` is not a unit of memory, expected GB, GiB, MB or MiB")),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 => Ok(to_bytes(number * factor)),
        _ => Err("expected a size above 0, such as 12GB or 8GiB".to_owned()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; saturates")]
fn to_bytes(size: f64) -> u64 {
    size as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_every_unit() {
        assert_eq!(parse("12GB"), Ok(12_000_000_000));
        assert_eq!(parse("8 GiB"), Ok(8 << 30));
        assert_eq!(parse("1.5"), Ok(1_500_000_000));
        assert_eq!(parse("500mb"), Ok(500_000_000));
        for bad in ["", "GB", "-1GB", "0", "12 apples", "1e3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
