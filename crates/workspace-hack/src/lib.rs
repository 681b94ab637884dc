//! No code: the manifest turns on features of registry crates.
//!
//! Cargo compiles a crate once per set of features, and the set depends on the packages that a command selects.
//! `cargo run`, `cargo test --workspace` and `cargo test -p brainreel-models` would each compile Burn anew.
//! `models` depends on this crate, so all of them share one compiled Burn.
//! `cargo xtask tidy` checks it and names the feature that is missing.
