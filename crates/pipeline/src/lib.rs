//! Every stage of brainreel as a library function, and `run` over all of them.
//!
//! Each stage is a module with the same four parts under the same names:
//!
//! 1. `XRequest`: where to read, where to write, and the settings. It owns its data; `XRequest::new` takes what has no
//!    default, and every other field has a documented one.
//! 2. `run(&XRequest, &mut dyn Observer) -> Result<XSummary, StageError>`: does the work.
//! 3. `XSummary`: what happened, serialisable, the machine-readable output of the stage.
//! 4. [`StageError`]: what was found, what was expected, whose fault it is ([`Fault`]) and what can be done about it
//!    ([`Remedy`]).
//!
//! A stage reads the files of the stage before it and writes files of its own. A failed scan does not end a stage: it is
//! reported to the [`Observer`], listed in the summary, and the other scans go on.
//!
//! This crate knows no terminal, no command line options and no exit codes: those belong to its front ends.

pub mod audit;
pub mod batch;
pub mod catalogue;
pub mod cohort;
pub mod convert;
pub mod demo;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod failures;
pub mod fingerprint;
pub mod folders;
pub mod network_input;
pub mod notice;
pub mod preprocess;
pub mod run;
pub mod run_folder;
pub mod settings;
pub mod shuffle;
pub mod simulate;
pub mod split;
pub mod stamp;
pub mod strip;
pub mod train;
pub mod weights;

mod error;
mod gate;
mod observer;
mod reporter;
mod stage;
mod training_scans;

pub use error::{Fault, IoContext, Remedy, ResultExt, StageError};
pub use gate::AuditOutcome;
pub use observer::{Detail, FailedItem, Observer, ProgressUpdate, Silent, Unit};
pub use reporter::{Progress, Reporter};
pub use stage::Stage;
