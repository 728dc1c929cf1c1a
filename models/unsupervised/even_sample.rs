//! Evenly spaced rows of a stream of unknown length: every row, every second, every fourth.

/// At most `most` evenly spaced rows.
#[derive(Clone, Debug)]
pub(crate) struct EvenSample {
    columns: usize,
    most: usize,
    /// Distance between sampled rows in the stream; doubles whenever there are too many.
    step: usize,
    seen: usize,
    rows: Vec<f32>,
}

impl EvenSample {
    pub(crate) fn new(columns: usize, most: usize) -> Self {
        Self { columns, most, step: 1, seen: 0, rows: Vec::new() }
    }

    /// Adds rows, `[row, column]`.
    pub(crate) fn add(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.columns) {
            if self.seen.is_multiple_of(self.step) {
                self.rows.extend_from_slice(row);
                if self.rows.len() > self.most * self.columns {
                    self.step *= 2;
                    let every_second = self.rows.chunks_exact(self.columns).step_by(2);
                    self.rows = every_second.flatten().copied().collect();
                }
            }
            self.seen += 1;
        }
    }

    /// `[row, column]`
    pub(crate) fn into_rows(self) -> Vec<f32> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::EvenSample;

    #[test]
    fn rows_are_evenly_spaced_and_at_most_as_many_as_requested() {
        for (count, most) in [(1, 1), (10, 10), (11, 10), (1_000, 64), (1_000, 1)] {
            let mut sample = EvenSample::new(2, most);
            let rows: Vec<f32> = (0..count).flat_map(|i| [i as f32, -(i as f32)]).collect();
            rows.chunks(14).for_each(|rows| sample.add(rows));
            let kept = sample.into_rows();
            let numbers: Vec<f32> = kept.chunks_exact(2).map(|row| row[0]).collect();
            let step = (1..).map(|k| 1 << (k - 1)).find(|step| count <= most * step).unwrap();
            let wanted: Vec<f32> = (0..count).step_by(step).map(|i| i as f32).collect();
            assert_eq!(numbers, wanted, "{count} {most}");
            assert!(kept.chunks_exact(2).all(|row| row[1] == -row[0]));
        }
    }
}
