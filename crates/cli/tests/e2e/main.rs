//! The binary, from outside: every stage on a small simulated cohort, bad input, interruption.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail there")]

mod audit;
mod bad_input;
mod cohort;
mod export;
mod kit;
mod options;
mod pipeline;
mod preprocess;
mod resume;
mod split;
mod strip;
mod train;
