//! Seeds that depend only on what is drawn, not on time or thread.

use crate::HashBuilder;

/// Derives a seed from the run's seed, the purpose of the draw and its subject (scan id, epoch...).
///
/// # Determinism
/// A pure function. Different `(purpose, parts)` give unrelated seeds.
#[must_use]
pub fn derive_seed(run_seed: u64, purpose: &str, parts: &[&str]) -> u64 {
    let start = HashBuilder::new().part(run_seed.to_le_bytes()).part(purpose);
    let digest = parts.iter().fold(start, |builder, part| builder.part(part)).finish();
    u64::from_str_radix(&digest.as_str()[..16], 16).expect("a digest is hexadecimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_matters() {
        let base = derive_seed(1, "noise", &["sub-01", "3"]);
        assert_eq!(base, derive_seed(1, "noise", &["sub-01", "3"]));
        assert_ne!(base, derive_seed(2, "noise", &["sub-01", "3"]));
        assert_ne!(base, derive_seed(1, "gamma", &["sub-01", "3"]));
        assert_ne!(base, derive_seed(1, "noise", &["sub-01", "4"]));
        assert_ne!(base, derive_seed(1, "noise", &["sub-013"]));
    }
}
