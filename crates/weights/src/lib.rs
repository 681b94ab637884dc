//! Published weights: catalogue, download, cache and verification.
//!
//! A [`Published`] entry of the [`Catalogue`] says where the authors keep the weights, under which licence, and
//! which bytes are right. The crates of the networks provide the entries. [`fetch`] downloads them, [`import`] takes a file that the user has; either way they enter the
//! [`Cache`] only after they were recognised as the network, with a record of their hash beside them.
//!
//! ```no_run
//! use brainreel_weights::{Cache, Catalogue, FetchOptions, fetch};
//!
//! # fn run(catalogue: &Catalogue) -> Result<(), brainreel_weights::WeightsError> {
//! let cache = Cache::of_user()?;
//! let model = catalogue.find("synthstrip")?;
//! fetch(&cache, model, &FetchOptions::default(), |_| {})?;
//! let cached = cache.find(model)?;
//! println!("{} has SHA-256 {}", cached.path.display(), cached.record.sha256);
//! # Ok(())
//! # }
//! ```
//!
//! This is the only crate that uses the internet, and only when [`fetch`] is called.

mod cache;
mod catalogue;
mod download;
mod error;
mod hub;
mod install;
mod resolve;

pub use brainreel_checkpoint::{Digest, Published};
pub use cache::{CACHE_VARIABLE, Cache, Cached, Health, Record};
pub use catalogue::Catalogue;
pub use error::WeightsError;
pub use hub::torch_hub_folders;
pub use install::{FetchEvent, FetchOptions, Installed, Origin, fetch, import, verify};
