//! The binary, from outside: every stage on a small simulated cohort, bad input, interruption.

mod bad_input;
mod kit;
mod pipeline;
mod resume;
