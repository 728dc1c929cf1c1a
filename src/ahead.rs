//! Batches made ahead by the threads that compute, in the pauses of their work.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// An ordered stream of `make(first), make(first + 1), ...`, computed ahead as tasks of rayon's pool.
///
/// Threads of their own, as [`Loader`](crate::loader::Loader) has them, are one too many where all cores
/// compute: whenever one of them runs, a thread that computes waits, and all the others for it. Here
/// the pool has no more threads than cores, and a thread makes a batch while it would else wait.
pub struct Ahead<T> {
    make: Arc<dyn Fn(u64) -> T + Send + Sync>,
    next: u64,
    /// Up to here tasks were begun.
    begun: u64,
    end: u64,
    ahead: u64,
    done: Receiver<Made<T>>,
    sender: Sender<Made<T>>,
    /// What was made before its turn.
    early: BTreeMap<u64, Option<T>>,
    stopped: Arc<AtomicBool>,
}

/// A number and what was made of it; `None` if that panicked.
type Made<T> = (u64, Option<T>);

impl<T: Send + 'static> Ahead<T> {
    /// Makes `make(first..end)`, up to `ahead` items before they are asked for.
    pub fn new(
        first: u64,
        end: u64,
        ahead: u64,
        make: impl Fn(u64) -> T + Send + Sync + 'static,
    ) -> Ahead<T> {
        let (sender, done) = channel();
        let mut all = Ahead {
            make: Arc::new(make),
            next: first,
            begun: first,
            end,
            ahead: ahead.max(1),
            done,
            sender,
            early: BTreeMap::new(),
            stopped: Arc::default(),
        };
        all.begin();
        all
    }

    fn begin(&mut self) {
        while self.begun < self.end && self.begun < self.next + self.ahead {
            let (number, make) = (self.begun, self.make.clone());
            let (sender, stopped) = (self.sender.clone(), self.stopped.clone());
            rayon::spawn(move || {
                if !stopped.load(Ordering::Relaxed) {
                    // A panic that left a task would end the process.
                    let item = catch_unwind(AssertUnwindSafe(|| make(number))).ok();
                    // Nobody may be there any more to take it.
                    let _ = sender.send((number, item));
                }
            });
            self.begun += 1;
        }
    }

    /// Waits for an item; meanwhile this thread, if it is one of the pool's, does what there is to do.
    fn wait(&self) -> Option<Made<T>> {
        loop {
            if let Ok(made) = self.done.try_recv() {
                return Some(made);
            }
            match rayon::yield_now() {
                Some(rayon::Yield::Executed) => {}
                // Nothing left: others are at it.
                _ => return self.done.recv().ok(),
            }
        }
    }
}

impl<T: Send + 'static> Iterator for Ahead<T> {
    type Item = T;

    /// `None` at the end, or if making the item panicked; the panic is on stderr already.
    fn next(&mut self) -> Option<T> {
        if self.next >= self.end {
            return None;
        }
        let item = loop {
            if let Some(item) = self.early.remove(&self.next) {
                break item;
            }
            let (number, item) = self.wait()?;
            self.early.insert(number, item);
        };
        self.next += 1;
        self.begin();
        item
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn slowly(number: u64) -> u64 {
        std::thread::sleep(std::time::Duration::from_micros(number * 7919 % 900));
        number
    }

    #[test]
    fn items_come_in_order_whatever_the_threads_do() {
        for ahead in [0, 1, 2, 7, 100] {
            let all: Vec<u64> = Ahead::new(5, 60, ahead, slowly).collect();
            assert_eq!(all, (5..60).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_thread_of_the_pool_may_wait_for_items() {
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all: Vec<u64> = pool.install(|| Ahead::new(0, 40, 3, slowly).collect());
            assert_eq!(all, (0..40).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_are_made_than_asked_for() {
        let made = Arc::new(AtomicU64::new(0));
        let count = made.clone();
        let mut all = Ahead::new(0, u64::MAX, 4, move |number| {
            count.fetch_add(1, Ordering::Relaxed);
            number
        });
        assert_eq!(all.next(), Some(0));
        drop(all);
        assert!((1..=5).contains(&made.load(Ordering::Relaxed)));
    }

    #[test]
    fn a_panic_ends_the_stream() {
        let mut all = Ahead::new(0, 10, 2, |number| {
            assert!(number < 3, "number {number} is too much");
            number
        });
        assert_eq!(all.by_ref().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
