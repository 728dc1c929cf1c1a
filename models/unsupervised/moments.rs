//! Mean and deviation of every column of rows, in one pass (Welford 1962).

/// Gathers rows.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(columns: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; columns], squares: vec![0.0; columns] }
    }

    pub(crate) fn add(&mut self, row: &[f32]) {
        self.count += 1.0;
        for ((mean, squares), value) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let delta = f64::from(*value) - *mean;
            *mean += delta / self.count;
            *squares += delta * (f64::from(*value) - *mean);
        }
    }

    /// Means and deviations. A deviation of 0 is given as 1: what does not vary is left as it is.
    pub(crate) fn finish(self) -> (Vec<f64>, Vec<f64>) {
        let deviation = |squares: f64| (squares / self.count.max(1.0)).sqrt();
        let deviations = self.squares.iter().map(|squares| match deviation(*squares) {
            deviation if deviation > 1e-12 => deviation,
            _ => 1.0,
        });
        let deviations = deviations.collect();
        (self.mean, deviations)
    }
}
