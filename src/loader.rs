//! Batches made ahead of the device, on other threads, in a fixed order.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// An ordered stream of `make(first), make(first + 1), ...`, computed ahead by several threads.
///
/// Worker `w` of `n` makes the numbers that leave the remainder `w`, and hands them over through
/// a channel of its own; the consumer takes from the channels in turn. The order is therefore
/// that of the numbers, whatever the threads do.
pub struct Loader<T> {
    channels: Vec<Receiver<T>>,
    next: u64,
    first: u64,
    end: u64,
    workers: Vec<JoinHandle<()>>,
    /// Dropped first: workers that find it gone stop.
    alive: Option<Arc<()>>,
}

impl<T: Send + 'static> Loader<T> {
    /// Makes `make(first..end)` ahead on `threads` threads, `ahead` items a thread.
    pub fn new(
        first: u64,
        end: u64,
        threads: usize,
        ahead: usize,
        make: impl Fn(u64) -> T + Send + Sync + 'static,
    ) -> Loader<T> {
        let threads = threads.max(1);
        let make = Arc::new(make);
        let alive = Arc::new(());
        let mut channels = Vec::with_capacity(threads);
        let mut workers = Vec::with_capacity(threads);
        for worker in 0..threads as u64 {
            let (sender, receiver) = sync_channel(ahead.max(1));
            let make = make.clone();
            let alive: Weak<()> = Arc::downgrade(&alive);
            let work = move || {
                let mut number = first + worker;
                while number < end && alive.strong_count() > 0 {
                    if sender.send(make(number)).is_err() {
                        return;
                    }
                    number += threads as u64;
                }
            };
            channels.push(receiver);
            workers.push(
                std::thread::Builder::new()
                    .name(format!("loader-{worker}"))
                    .spawn(work)
                    .expect("the system can start a thread"),
            );
        }
        Loader { channels, next: first, first, end, workers, alive: Some(alive) }
    }
}

impl<T> Iterator for Loader<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.next >= self.end {
            return None;
        }
        let worker = ((self.next - self.first) % self.channels.len() as u64) as usize;
        // An error means that the worker panicked; its panic is on stderr already.
        let item = self.channels[worker].recv().ok()?;
        self.next += 1;
        Some(item)
    }
}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        self.alive = None;
        self.channels.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_whatever_the_threads_do() {
        for threads in [1, 2, 3, 7] {
            let loader = Loader::new(5, 60, threads, 2, |number| {
                std::thread::sleep(std::time::Duration::from_micros(number * 7919 % 900));
                number
            });
            assert_eq!(loader.collect::<Vec<_>>(), (5..60).collect::<Vec<_>>());
        }
    }

    #[test]
    fn dropping_an_endless_loader_ends_its_threads() {
        let mut loader = Loader::new(0, u64::MAX, 3, 4, |number| number);
        assert_eq!(loader.next(), Some(0));
        drop(loader);
    }
}
