//! Batches made ahead by the threads that compute, in the pauses of their work.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is made ahead, and how it falls into pieces.
pub trait Work: Send + Sync + 'static {
    /// An item in the making.
    type Begun: Send + Sync;
    /// What is made.
    type Item: Send + 'static;

    /// Begins item `number`, and says in how many pieces it is made.
    fn begin(&self, number: u64) -> (Self::Begun, usize);

    /// Makes one piece; any thread, pieces in any order.
    fn piece(&self, begun: &Self::Begun, piece: usize);

    /// What came of it, when all pieces are made.
    fn finish(&self, begun: Self::Begun) -> Self::Item;
}

/// An ordered stream of items `first`, `first + 1`, ..., made ahead as tasks of rayon's pool.
///
/// Threads of their own, as [`Loader`](crate::loader::Loader) has them, are one too many where all cores
/// compute: whenever one of them runs, a thread that computes waits, and all the others for it. Here
/// the pool has no more threads than cores, and a thread makes a piece while it would else wait.
///
/// Pieces are to fill pauses and not to make any. So they enter the pool from outside of it, through the queue that its
/// threads look at last, when there is nothing else to do or to take from each other; and a piece should take far less
/// time than a step, for a thread does not leave it when something comes up.
pub struct Ahead<W: Work> {
    next: u64,
    /// Up to here the feeder was asked for items.
    asked: u64,
    end: u64,
    ahead: u64,
    /// `None` when it was told to end.
    feeder: Option<(Sender<u64>, JoinHandle<()>)>,
    done: Receiver<Made<W::Item>>,
    /// What was made before its turn.
    early: BTreeMap<u64, Option<W::Item>>,
    stopped: Arc<AtomicBool>,
}

/// How long a thread that has nothing to do waits before it looks again.
const GLANCE: Duration = Duration::from_micros(200);

/// A number and what was made of it; `None` if that panicked.
type Made<T> = (u64, Option<T>);

/// What the tasks of an item share; the last to let go of it finishes the item.
struct Making<W: Work> {
    work: Arc<W>,
    begun: W::Begun,
    number: u64,
    failed: AtomicBool,
    stopped: Arc<AtomicBool>,
    sender: Sender<Made<W::Item>>,
}

impl<W: Work> Making<W> {
    fn piece(&self, piece: usize) {
        // A panic that left a task would end the process.
        let make = AssertUnwindSafe(|| self.work.piece(&self.begun, piece));
        if !self.stopped.load(Ordering::Relaxed) && catch_unwind(make).is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    fn let_go(self: Arc<Self>) {
        let Some(Self { work, begun, number, failed, stopped, sender }) = Arc::into_inner(self)
        else {
            return;
        };
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        let item = match failed.into_inner() {
            true => None,
            false => catch_unwind(AssertUnwindSafe(|| work.finish(begun))).ok(),
        };
        // Nobody may be there any more to take it.
        let _ = sender.send((number, item));
    }
}

/// Begins the items that it is asked for, and hands their pieces to the pool.
fn feed<W: Work>(
    work: &Arc<W>,
    asked: &Receiver<u64>,
    sender: &Sender<Made<W::Item>>,
    stopped: &Arc<AtomicBool>,
) {
    while let Ok(number) = asked.recv() {
        let Ok((begun, pieces)) = catch_unwind(AssertUnwindSafe(|| work.begin(number))) else {
            let _ = sender.send((number, None));
            continue;
        };
        let making = Arc::new(Making {
            work: work.clone(),
            begun,
            number,
            failed: AtomicBool::new(false),
            stopped: stopped.clone(),
            sender: sender.clone(),
        });
        for piece in 0..pieces {
            let making = making.clone();
            rayon::spawn(move || {
                making.piece(piece);
                making.let_go();
            });
        }
        making.let_go();
    }
}

impl<W: Work> Ahead<W> {
    /// Makes the items `first..end`, up to `ahead` of them before they are asked for.
    pub fn new(first: u64, end: u64, ahead: u64, work: W) -> Ahead<W> {
        let (ask, asked) = channel();
        let (sender, done) = channel();
        let stopped = Arc::<AtomicBool>::default();
        let (work, stop) = (Arc::new(work), stopped.clone());
        let feeder = std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || feed(&work, &asked, &sender, &stop))
            .expect("the system can start a thread");
        let mut all = Ahead {
            next: first,
            asked: first,
            end,
            ahead: ahead.max(1),
            feeder: Some((ask, feeder)),
            done,
            early: BTreeMap::new(),
            stopped,
        };
        all.ask();
        all
    }

    fn ask(&mut self) {
        while self.asked < self.end && self.asked < self.next + self.ahead {
            if let Some((feeder, _)) = &self.feeder {
                let _ = feeder.send(self.asked);
            }
            self.asked += 1;
        }
    }

    /// Waits for an item; meanwhile this thread, if it is one of the pool's, does what there is to do.
    fn wait(&self) -> Option<Made<W::Item>> {
        loop {
            if let Ok(made) = self.done.try_recv() {
                return Some(made);
            }
            match rayon::yield_now() {
                Some(rayon::Yield::Executed) => {}
                // Others are at it, or the feeder is about to hand out pieces that this thread alone is free to make.
                Some(rayon::Yield::Idle) => match self.done.recv_timeout(GLANCE) {
                    Ok(made) => return Some(made),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return None,
                },
                // None of the pool's.
                None => return self.done.recv().ok(),
            }
        }
    }
}

impl<W: Work> Iterator for Ahead<W> {
    type Item = W::Item;

    /// `None` at the end, or if making the item panicked; the panic is on stderr already.
    fn next(&mut self) -> Option<W::Item> {
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
        self.ask();
        item
    }
}

impl<W: Work> Drop for Ahead<W> {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some((ask, feeder)) = self.feeder.take() {
            drop(ask);
            let _ = feeder.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Items of three pieces, each of which is to give the item's number; none at all of every fifth.
    struct InThree<F>(F);

    impl<F: Fn(u64) -> u64 + Send + Sync + 'static> Work for InThree<F> {
        type Begun = (u64, [AtomicU64; 3]);
        type Item = u64;

        fn begin(&self, number: u64) -> (Self::Begun, usize) {
            let pieces = if number % 5 == 4 { 0 } else { 3 };
            let given = if pieces == 0 { number } else { u64::MAX };
            ((number, std::array::from_fn(|_| AtomicU64::new(given))), pieces)
        }

        fn piece(&self, begun: &Self::Begun, piece: usize) {
            begun.1[piece].store((self.0)(begun.0), Ordering::Relaxed);
        }

        fn finish(&self, (number, pieces): Self::Begun) -> u64 {
            assert!(pieces.into_iter().all(|piece| piece.into_inner() == number));
            number
        }
    }

    fn slowly(number: u64) -> u64 {
        std::thread::sleep(std::time::Duration::from_micros(number * 7919 % 900));
        number
    }

    #[test]
    fn items_come_in_order_whatever_the_threads_do() {
        for ahead in [0, 1, 2, 7, 100] {
            let all: Vec<u64> = Ahead::new(5, 60, ahead, InThree(slowly)).collect();
            assert_eq!(all, (5..60).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_thread_of_the_pool_may_wait_for_items() {
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all: Vec<u64> = pool.install(|| Ahead::new(0, 40, 3, InThree(slowly)).collect());
            assert_eq!(all, (0..40).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_are_made_than_asked_for() {
        let made = Arc::new(AtomicU64::new(0));
        let count = made.clone();
        let work = InThree(move |number| {
            count.fetch_add(1, Ordering::Relaxed);
            number
        });
        let mut all = Ahead::new(0, u64::MAX, 4, work);
        assert_eq!(all.next(), Some(0));
        drop(all);
        // Of item 4 there are no pieces.
        assert!((3..=12).contains(&made.load(Ordering::Relaxed)));
    }

    #[test]
    fn a_panic_ends_the_stream() {
        let work = InThree(|number| {
            assert!(number < 3, "number {number} is too much");
            number
        });
        let mut all = Ahead::new(0, 10, 2, work);
        assert_eq!(all.by_ref().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
