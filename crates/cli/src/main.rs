//! The brainreel command line.

fn main() {}
