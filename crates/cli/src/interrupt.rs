//! Ctrl-C (or SIGTERM) during work that can stop in order.
//!
//! While a stage that can be cancelled is at work, the first signal sets a flag that the stage answers with a checkpoint.
//! A second signal, and any at other times, ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// What shells report of a program that Ctrl-C ended.
pub(crate) const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static AT_WORK: AtomicBool = AtomicBool::new(false);

/// Such work starts.
pub(crate) fn start() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    AT_WORK.store(true, Ordering::Relaxed);
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        // Without a handler Ctrl-C ends the program, and the last checkpoint is a little older.
        let _ = ctrlc::set_handler(|| {
            if !AT_WORK.load(Ordering::Relaxed) || REQUESTED.swap(true, Ordering::Relaxed) {
                std::process::exit(EXIT_CODE.into());
            }
        });
    }
}

/// Such work is over.
pub(crate) fn end() {
    AT_WORK.store(false, Ordering::Relaxed);
}

/// Whether the work should stop.
pub(crate) fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
