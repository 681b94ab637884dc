//! Putting together what several tables say.

/// Sets `place` unless it is known already.
pub(crate) fn fill<T>(place: &mut Option<T>, value: Option<T>) {
    if place.is_none() {
        *place = value;
    }
}
