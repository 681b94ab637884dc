//! Merges facts from several tables.

/// Sets `place` if it is `None`.
pub(crate) fn fill<T>(place: &mut Option<T>, value: Option<T>) {
    if place.is_none() {
        *place = value;
    }
}
