//! Rows of numbers that are filled one by one, by any thread, in memory that nobody clears beforehand.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, Ordering};

/// States of a row.
const EMPTY: u8 = 0;
const TAKEN: u8 = 1;
const FULL: u8 = 2;

/// See the head of this file.
pub struct Rows<T> {
    values: Box<[UnsafeCell<MaybeUninit<T>>]>,
    width: usize,
    states: Box<[AtomicU8]>,
}

// SAFETY: a row is reached through `fill` alone, which lets one thread in, once.
unsafe impl<T: Send> Sync for Rows<T> {}

impl<T: Copy + Default> Rows<T> {
    /// `rows` rows of `width` numbers, all empty.
    pub fn new(rows: usize, width: usize) -> Self {
        let values = Box::new_uninit_slice(rows * width);
        Self {
            // SAFETY: a cell of what need not be initialised need not be either.
            values: unsafe { values.assume_init() },
            width,
            states: (0..rows).map(|_| AtomicU8::new(EMPTY)).collect(),
        }
    }

    /// Fills a row with what `write` gives back of it, the beginning, and with zeros behind. Where `write` fails the row
    /// stays as if it had never been filled.
    ///
    /// # Errors
    /// That of `write`.
    ///
    /// # Panics
    /// If there is no such row, if it was filled before, or if `write` gives back something else.
    pub fn fill<E>(
        &self,
        row: usize,
        write: impl for<'a> FnOnce(&'a mut [MaybeUninit<T>]) -> Result<&'a mut [T], E>,
    ) -> Result<(), E> {
        let before = self.states[row].swap(TAKEN, Ordering::Acquire);
        assert_eq!(before, EMPTY, "row {row} is filled once");
        let cells = &self.values[row * self.width..][..self.width];
        let first = UnsafeCell::raw_get(cells.as_ptr());
        // SAFETY: the numbers of this row, which the state keeps for this call.
        let slots = unsafe { std::slice::from_raw_parts_mut(first, self.width) };
        let written = write(slots).inspect_err(|_| {
            self.states[row].store(EMPTY, Ordering::Release);
        })?;
        assert!(std::ptr::eq(written.as_ptr(), first.cast()), "the beginning of the row");
        let count = written.len();
        for slot in &mut slots[count..] {
            slot.write(T::default());
        }
        self.states[row].store(FULL, Ordering::Release);
        Ok(())
    }

    /// All numbers, row by row; those of rows that were not filled are 0.
    pub fn into_values(self) -> Vec<T> {
        let Self { mut values, width, states } = self;
        for (row, state) in states.into_iter().enumerate() {
            if state.into_inner() != FULL {
                for cell in &mut values[row * width..][..width] {
                    cell.get_mut().write(T::default());
                }
            }
        }
        let length = values.len();
        let first = Box::into_raw(values).cast::<T>();
        // SAFETY: a cell of a number is laid out as the number, and each was written above or by `fill`, whose
        // writes came before this thread became the only owner.
        unsafe { Vec::from_raw_parts(first, length, length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<'a>(
        slots: &'a mut [MaybeUninit<f32>],
        values: &[f32],
    ) -> Result<&'a mut [f32], String> {
        Ok(slots[..values.len()].write_copy_of_slice(values))
    }

    #[test]
    fn rows_are_padded_and_those_left_out_are_zeros() {
        let rows = Rows::new(4, 3);
        rows.fill(2, |slots| written(slots, &[1.0, 2.0])).unwrap();
        rows.fill(0, |slots| written(slots, &[3.0, 4.0, 5.0])).unwrap();
        for _ in 0..2 {
            assert_eq!(rows.fill(1, |_| Err::<&mut [f32], _>("no")), Err("no"));
        }
        assert_eq!(
            rows.into_values(),
            [3.0, 4.0, 5.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]
        );
        assert!(Rows::<f32>::new(0, 5).into_values().is_empty());
        assert!(Rows::<f32>::new(5, 0).into_values().is_empty());
    }

    #[test]
    fn threads_fill_rows_side_by_side() {
        let rows = Rows::new(64, 100);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let rows = &rows;
                scope.spawn(move || {
                    for row in (thread..64).step_by(4) {
                        rows.fill(row, |slots| written(slots, &[row as f32; 100])).unwrap();
                    }
                });
            }
        });
        let values = rows.into_values();
        assert!(values.iter().enumerate().all(|(at, value)| *value == (at / 100) as f32));
    }

    #[test]
    #[should_panic(expected = "row 1 is filled once")]
    fn a_row_is_not_filled_twice() {
        let rows = Rows::new(2, 1);
        for _ in 0..2 {
            rows.fill(1, |slots| written(slots, &[1.0])).unwrap();
        }
    }

    #[test]
    #[should_panic(expected = "the beginning of the row")]
    fn other_numbers_are_no_row() {
        let other = Box::leak(Box::new([1.0]));
        let _ = Rows::<f32>::new(1, 1).fill(0, |_| Ok::<_, ()>(other));
    }
}
