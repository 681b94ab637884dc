//! Classification statistics on plain slices.
