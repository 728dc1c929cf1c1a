//! Batches prepared before they are asked for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::error::{Error, Result};

/// An ordered stream of `make(first)`, `make(first + 1)`, ..., of which up to `depth` items are prepared ahead.
///
/// Items are tasks of rayon's thread pool, which has one thread per core. Threads of their own would compete with the ones
/// that compute: whenever a loader thread runs, one of those waits, and all the others wait for it.
pub struct Prefetch<T> {
    make: Arc<dyn Fn(u64) -> Result<T> + Send + Sync>,
    pending: VecDeque<Receiver<Result<T>>>,
    next: u64,
    end: u64,
    cancelled: Arc<AtomicBool>,
}

/// How long an idle thread sleeps before it looks for work again.
const NAP: Duration = Duration::from_micros(200);

impl<T: Send + 'static> Prefetch<T> {
    /// Streams the items `first..end`.
    pub fn new(
        first: u64,
        end: u64,
        depth: usize,
        make: impl Fn(u64) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let mut stream = Self {
            make: Arc::new(make),
            pending: VecDeque::new(),
            next: first,
            end,
            cancelled: Arc::default(),
        };
        (0..depth.max(1)).for_each(|_| stream.spawn());
        stream
    }

    fn spawn(&mut self) {
        if self.next >= self.end {
            return;
        }
        let (sender, receiver) = channel();
        let (make, number, cancelled) = (self.make.clone(), self.next, self.cancelled.clone());
        rayon::spawn(move || {
            if cancelled.load(Ordering::Relaxed) {
                return;
            }
            // A panic that left a task would abort the process.
            let item = catch_unwind(AssertUnwindSafe(|| make(number))).unwrap_or_else(|_| {
                Err(Error::Data("a data-loading task failed; see the message above".into()))
            });
            // The stream may have been dropped meanwhile.
            let _ = sender.send(item);
        });
        self.pending.push_back(receiver);
        self.next += 1;
    }
}

impl<T: Send + 'static> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let receiver = self.pending.pop_front()?;
        let item = wait(&receiver);
        self.spawn();
        Some(item)
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Waits for an item. A thread of the pool runs other tasks meanwhile, possibly the one it waits for.
fn wait<T>(receiver: &Receiver<Result<T>>) -> Result<T> {
    loop {
        let received = match rayon::yield_now() {
            Some(rayon::Yield::Executed) => receiver.recv_timeout(Duration::ZERO),
            Some(rayon::Yield::Idle) => receiver.recv_timeout(NAP),
            // Not a thread of the pool.
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(item) => return item,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Data("a data-loading task did not run".into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn slow(number: u64) -> Result<u64> {
        std::thread::sleep(Duration::from_micros(number * 7919 % 900));
        Ok(number)
    }

    fn all(stream: Prefetch<u64>) -> Vec<u64> {
        stream.collect::<Result<_>>().unwrap()
    }

    #[test]
    fn items_arrive_in_order() {
        for depth in [0, 1, 2, 7, 100] {
            assert_eq!(all(Prefetch::new(5, 60, depth, slow)), (5..60).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_thread_of_the_pool_can_wait_for_items() {
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let items = pool.install(|| all(Prefetch::new(0, 40, 3, slow)));
            assert_eq!(items, (0..40).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_than_depth_items_are_prepared_ahead() {
        let made = Arc::new(AtomicU64::new(0));
        let count = made.clone();
        let mut stream = Prefetch::new(0, u64::MAX, 4, move |number| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(number)
        });
        assert_eq!(stream.next().unwrap().unwrap(), 0);
        std::thread::sleep(Duration::from_millis(50));
        assert!((1..=5).contains(&made.load(Ordering::Relaxed)));
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let stream = Prefetch::new(0, 10, 2, |number| {
            assert!(number < 3, "number {number} is too large");
            Ok(number)
        });
        let items: Vec<_> = stream.take(4).map(Result::ok).collect();
        assert_eq!(items, [Some(0), Some(1), Some(2), None]);
    }
}
