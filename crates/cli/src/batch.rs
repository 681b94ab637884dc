//! Working through many scans with a bounded number in memory at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Most scans in memory at once, unless the user says otherwise: a 1 mm head needs about half a
/// gigabyte while it is worked on.
const MOST_JOBS: usize = 8;

/// The default number of scans to work on at a time.
pub(crate) fn default_jobs() -> usize {
    rayon::current_num_threads().clamp(1, MOST_JOBS)
}

/// Applies `work` to every item, at most `n_jobs` at a time; the results are in the order of the items.
///
/// The jobs are plain threads that take the next item when they are free; the computations inside run
/// on rayon's pool. Nested rayon iterators would not do: a thread that waits inside one scan takes up
/// another scan in the meantime, and memory is bounded no more.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], n_jobs: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..n_jobs.clamp(1, items.len().max(1)) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let idx = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(idx) else { break };
                    if sender.send((idx, work(item))).is_err() {
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

    #[test]
    fn results_keep_the_order_and_jobs_are_bounded() {
        let running = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let items: Vec<u64> = (0..40).collect();
        let results = map(&items, 3, |&item| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(40 - item));
            running.fetch_sub(1, Ordering::SeqCst);
            item * item
        });
        assert_eq!(results, items.iter().map(|item| item * item).collect::<Vec<_>>());
        assert!(most.into_inner() <= 3);
        assert!(map(&[] as &[u64], 3, |&item| item).is_empty());
    }
}
