//! Procedural adult heads and whole cohorts with known truth.
//!
//! [`Subject::draw`] makes a person, [`render`] scans the person's head, and [`simulate_cohort`] writes a
//! whole ADNI-like download with its truth beside it. Nothing is learnt from real images:
//! shapes are analytic, the folds of the cortex come from band-limited random fields, and
//! sizes, effect sizes and rates of change from the literature (`docs/simulation.md`).

mod acquisition;
mod anatomy;
mod cohort;
mod config;
mod error;
mod layout;
mod noise;
mod random;
mod render;
mod shapes;
mod subject;
mod tissue;

pub use acquisition::{Acquisition, Plane, Scanner, Timing};
pub use cohort::{CohortSummary, MeanVolumes, simulate_cohort};
pub use config::SimulateConfig;
pub use error::SimulateError;
pub use layout::TruthRow;
pub use render::{RenderedHead, TissueVolumes, render};
pub use subject::{Diagnosis, Sex, Subject, Targets, Visit};
pub use tissue::Tissue;
