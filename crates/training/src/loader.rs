//! Scans read and augmented ahead of the network, by threads of their own.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use brainreel_augmentation::Draw;

use crate::TrainError;
use crate::dataset::CheckedScan;

/// Scans that a thread may be ahead of the network.
pub(crate) const AHEAD: usize = 2;
/// Most threads that are chosen unasked.
const MOST_THREADS: usize = 8;

/// A scan to be shown to the network.
#[derive(Debug, Clone)]
pub(crate) struct Showing<'a> {
    pub(crate) scan: &'a CheckedScan,
    pub(crate) draw: Draw,
    /// Whether its features are kept, so that its image is not needed.
    pub(crate) kept: bool,
}

/// What a thread hands over: the network's input, or nothing if it is not needed.
type Loaded = Result<Option<Vec<f32>>, TrainError>;

/// Inputs in the order of the scans they belong to, read ahead by threads in turn.
pub(crate) struct Loader {
    queues: Vec<Receiver<Loaded>>,
    next: usize,
    waited: Duration,
}

impl Loader {
    /// Starts to read. The threads end with the last scan or when the loader is dropped.
    ///
    /// # Determinism
    /// Which thread reads a scan depends on its place alone, and nothing on which is first.
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

    /// How long the network has waited for inputs.
    pub(crate) const fn waited(&self) -> Duration {
        self.waited
    }
}

/// Threads to use: those asked for, or a quarter of the cores.
pub(crate) fn n_threads(asked: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if asked > 0 { asked } else { (cores / 4).clamp(1, MOST_THREADS) }
}
