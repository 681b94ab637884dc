//! Procedural heads and whole cohorts with known truth.
