//! Working through many scans with a bounded number, and a bounded amount of memory, at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, mpsc};

/// Most scans in memory at once, unless the user says otherwise.
const MOST_JOBS: usize = 8;

/// Share of the free memory that scans may take, unless the user says otherwise.
const SHARE_OF_FREE: f64 = 0.8;

/// The default number of scans to work on at a time.
pub(crate) fn default_jobs() -> usize {
    rayon::current_num_threads().clamp(1, MOST_JOBS)
}

/// The memory that scans may take by default, in bytes; all of it where the system does not say.
pub(crate) fn default_bytes() -> u64 {
    free_bytes().map_or(u64::MAX, share_of)
}

/// Free memory, in bytes, if the system says so.
pub(crate) fn free_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let group = system.cgroup_limits().map(|limits| limits.free_memory);
    [Some(system.available_memory()), group].into_iter().flatten().filter(|&bytes| bytes > 0).min()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rough share of a number of bytes"
)]
fn share_of(free: u64) -> u64 {
    (free as f64 * SHARE_OF_FREE) as u64
}

/// How much may be going on at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Scans.
    pub(crate) n_jobs: usize,
    /// Bytes of memory, as far as the estimates of the work are right.
    pub(crate) max_bytes: u64,
}

/// Memory that jobs take and give back.
struct Budget {
    left: Mutex<u64>,
    returned: Condvar,
    total: u64,
}

impl Budget {
    fn new(total: u64) -> Self {
        Self { left: Mutex::new(total), returned: Condvar::new(), total }
    }

    /// Waits until there is room. What needs more than everything waits until it is alone.
    fn take(&self, bytes: u64) -> Taken<'_> {
        let bytes = bytes.min(self.total);
        let left = self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut left = self
            .returned
            .wait_while(left, |left| *left < bytes)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *left -= bytes;
        Taken { budget: self, bytes }
    }
}

/// Gives the memory back at its end, also that of a panic.
struct Taken<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.budget.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += self.bytes;
        self.budget.returned.notify_all();
    }
}

/// Applies `work` to every item, as many at a time as there is room for: `bytes` estimates what an item
/// takes. The results are in the order of the items.
///
/// The jobs are plain threads that take the next item when they are free; the computations inside run
/// on rayon's pool. Nested rayon iterators would not do: a thread that waits inside one scan takes up
/// another scan in the meantime, and memory is bounded no more.
pub(crate) fn map_within<T: Sync, R: Send>(
    items: &[T],
    limits: Limits,
    bytes: impl Fn(&T) -> u64 + Sync,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let budget = Budget::new(limits.max_bytes);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..limits.n_jobs.clamp(1, items.len().max(1)) {
            let (sender, next, budget, work, bytes) = (sender.clone(), &next, &budget, &work, &bytes);
            scope.spawn(move || {
                loop {
                    let idx = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(idx) else { break };
                    let taken = budget.take(bytes(item));
                    let result = work(item);
                    drop(taken);
                    if sender.send((idx, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (idx, result) in receiver {
            results[idx] = Some(result);
        }
    });
    results.into_iter().map(|result| result.expect("every item was worked on")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs forty short jobs and says how many were running at once at most.
    fn most_at_once(limits: Limits, bytes: u64) -> usize {
        let running = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let items: Vec<u64> = (0..40).collect();
        let results = map_within(
            &items,
            limits,
            |_| bytes,
            |&item| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(40 - item));
                running.fetch_sub(1, Ordering::SeqCst);
                item * item
            },
        );
        assert_eq!(results, items.iter().map(|item| item * item).collect::<Vec<_>>());
        most.into_inner()
    }

    #[test]
    fn results_keep_the_order_and_jobs_are_bounded() {
        assert!(most_at_once(Limits { n_jobs: 3, max_bytes: u64::MAX }, 1 << 40) <= 3);
        let limits = Limits { n_jobs: 3, max_bytes: u64::MAX };
        assert!(map_within(&[] as &[u64], limits, |_| 0, |&item| item).is_empty());
    }

    #[test]
    fn memory_bounds_the_jobs_and_a_large_one_runs_alone() {
        assert!(most_at_once(Limits { n_jobs: 6, max_bytes: 100 }, 40) <= 2);
        assert_eq!(most_at_once(Limits { n_jobs: 6, max_bytes: 100 }, 1000), 1);
    }

    #[test]
    fn some_memory_is_free() {
        assert!(default_bytes() > 1 << 20);
    }
}
