//! One file a subcommand: its arguments, and the stage they start.

pub(crate) mod audit;
pub(crate) mod cohort;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod preprocess;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod split;
pub(crate) mod strip;
pub(crate) mod train;
pub(crate) mod weights;
