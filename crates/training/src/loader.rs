//! Data loader: threads read and augment scans ahead of the network.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use brainreel_augmentation::Draw;

use crate::TrainError;
use crate::dataset::CheckedScan;

/// Prefetch depth: scans that one thread may hold ready.
pub(crate) const AHEAD: usize = 2;
/// Largest number of threads chosen by default.
const MOST_THREADS: usize = 8;

/// A scan to load for the network.
#[derive(Debug, Clone)]
pub(crate) struct Showing<'a> {
    pub(crate) scan: &'a CheckedScan,
    pub(crate) draw: Draw,
    /// Whether its features are cached. Its image is then not read.
    pub(crate) kept: bool,
}

/// Result of a thread: the network input, or `None` if it is not needed.
type Loaded = Result<Option<Vec<f32>>, TrainError>;

/// Network inputs in scan order. Worker threads take turns to read ahead.
pub(crate) struct Loader {
    queues: Vec<Receiver<Loaded>>,
    next: usize,
    waited: Duration,
}

impl Loader {
    /// Starts the worker threads. They end after the last scan or when the loader is dropped.
    ///
    /// # Determinism
    /// The position of a scan alone decides which thread reads it. Results do not depend on which thread
    /// finishes first.
    pub(crate) fn start<'scope, 'a: 'scope>(
        scope: &'scope Scope<'scope, '_>,
        showings: &[Showing<'a>],
        n_threads: usize,
    ) -> Self {
        let n_threads = n_threads.clamp(1, showings.len().max(1));
        let queues = (0..n_threads).map(|thread| {
            let own: Vec<Showing<'a>> = showings.iter().skip(thread).step_by(n_threads).cloned().collect();
            let (sender, receiver) = sync_channel(AHEAD);
            scope.spawn(move || {
                for showing in own {
                    let loaded =
                        if showing.kept { Ok(None) } else { showing.scan.load(&showing.draw).map(Some) };
                    if sender.send(loaded).is_err() {
                        return; // nobody wants more
                    }
                }
            });
            receiver
        });
        Self { queues: queues.collect(), next: 0, waited: Duration::ZERO }
    }

    /// The input of the next scan.
    pub(crate) fn next(&mut self) -> Loaded {
        let start = Instant::now();
        let queue = &self.queues[self.next % self.queues.len()];
        self.next += 1;
        let loaded = queue.recv().expect("a thread sends every scan, or panics");
        self.waited += start.elapsed();
        loaded
    }

    /// Time that the network has waited for inputs.
    pub(crate) const fn waited(&self) -> Duration {
        self.waited
    }
}

/// Number of threads: the configured number, or a quarter of the cores.
pub(crate) fn n_threads(asked: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if asked > 0 { asked } else { (cores / 4).clamp(1, MOST_THREADS) }
}
