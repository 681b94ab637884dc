//! Dynamic scheduling of tasks to the threads of the pool.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `work(task, worker)` for every task below `n_tasks`, each exactly once.
///
/// Each thread of the current rayon pool takes the next task when it has finished one; `worker` is
/// its number in the pool. Tasks must not depend on who runs them, so that results are the same for
/// any number of threads.
pub(crate) fn for_each_task(n_tasks: usize, work: impl Fn(usize, usize) + Sync) {
    if n_tasks <= 1 || rayon::current_num_threads() == 1 {
        (0..n_tasks).for_each(|task| work(task, 0));
        return;
    }
    let next = AtomicUsize::new(0);
    rayon::broadcast(|context| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= n_tasks {
                break;
            }
            work(task, context.index());
        }
    });
}

/// Number of workers of [`for_each_task`].
pub(crate) fn n_workers() -> usize {
    rayon::current_num_threads()
}

/// A pointer that tasks on several threads write through, each to places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub(crate) *mut f32);

// SAFETY: who makes a `Shared` sees to it that no two tasks touch the same number.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    /// The pointer. A method, so that closures capture the whole struct and stay `Sync`.
    #[inline(always)]
    pub(crate) const fn get(self) -> *mut f32 {
        self.0
    }
}
