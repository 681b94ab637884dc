//! Detects missing slices by their numbers.

use std::collections::BTreeMap;
use std::fmt;

use super::header::SliceHeader;

/// Largest number of gaps that a message lists.
const SHOWN: usize = 3;

/// Slices that are missing according to the numbering of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSlices {
    /// Slices found.
    pub n_found: usize,
    /// Slices missing.
    pub n_missing: usize,
    /// First and last InstanceNumber of each missing run, in order.
    pub runs: Vec<(i64, i64)>,
}

impl fmt::Display for MissingSlices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs.iter().take(SHOWN).map(|&(first, last)| {
            if first == last { first.to_string() } else { format!("{first} to {last}") }
        });
        let mut runs = runs.collect::<Vec<_>>().join(", ");
        if self.runs.len() > SHOWN {
            runs += ", ...";
        }
        write!(
            f,
            "{} slices found, InstanceNumber {runs} missing: part of the head may be cut off; download it again",
            self.n_found
        )
    }
}

/// Finds missing numbers: before the first slice (numbering starts at 0 or 1), between slices, and after the
/// last slice if ImagesInAcquisition is larger.
///
/// Returns `None` if slices have no number, if two slices share one, or if more would be missing than were
/// found. In these cases the numbers count something else, such as the images of a study.
pub(super) fn missing_slices(slices: &[SliceHeader]) -> Option<MissingSlices> {
    let mut numbers = BTreeMap::new();
    for slice in slices {
        let twin = numbers.insert(slice.instance_number?, &slice.sop_uid);
        if twin.is_some_and(|twin| *twin != slice.sop_uid) {
            return None;
        }
    }
    let n_found = i64::try_from(numbers.len()).ok()?;
    let (&first, &last) = (numbers.first_key_value()?.0, numbers.last_key_value()?.0);
    if first < 0 || last > first.saturating_add(4 * n_found) {
        return None;
    }
    let start = first.min(1);
    let announced = slices[0]
        .images_in_acquisition
        .filter(|&n| n <= 2 * n_found && slices.iter().all(|slice| slice.images_in_acquisition == Some(n)));
    let end = last.max(announced.map_or(last, |n| start + n - 1));
    let mut runs = Vec::new();
    let mut next = start;
    for &number in numbers.keys().chain([&(end + 1)]) {
        if number > next {
            runs.push((next, number - 1));
        }
        next = number + 1;
    }
    let n_missing: i64 = runs.iter().map(|(first, last)| last - first + 1).sum();
    (n_missing > 0 && n_missing <= n_found).then(|| MissingSlices {
        n_found: numbers.len(),
        n_missing: usize::try_from(n_missing).unwrap_or(usize::MAX),
        runs,
    })
}
