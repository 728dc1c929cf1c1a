//! The weighted prediction error: predicted factors are scored by how well they explain who listened, not by their
//! distance to the factors of the factorization.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS,
//! equation 5: for a song with predicted factors `y` the sum over all users `u` of
//! `c_u (p_u - x_u'y)^2`, with the users' factors `x_u` fixed, the preference `p_u` 1 where `u`
//! listened and 0 elsewhere, and the confidence `c_u` 1 where `u` did not listen.
//!
//! The sum over the many users who did not listen is not computed user by user. With the Gram matrix
//! `G = sum_u x_u x_u'`, computed once, the error is
//!
//! `y'G y + sum over the listeners u of [c_u (1 - x_u'y)^2 - (x_u'y)^2]`.
//!
//! It is divided by the number of users here, so that learning rates do not depend on that number.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::listening::matrix::Matrix;

/// The listeners of the tracks of a split, and the factors of all users.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// Row-major `[user, factor]`.
    factors: Vec<f32>,
    width: usize,
    /// Gram matrix of the users' factors, row-major `[factor, factor]`.
    gram: Vec<f64>,
    /// Offsets of the tracks in the two lists below (compressed sparse rows).
    offsets: Vec<usize>,
    users: Vec<u32>,
    confidence: Vec<f32>,
}

impl Listeners {
    /// `plays[track]`: the users that listened, each with a confidence of at least 1.
    ///
    /// # Panics
    /// If a user has no factors.
    pub fn new(factors: Matrix, plays: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Listeners {
        let width = factors.columns();
        let gram = factors.gram();
        let (mut offsets, mut users, mut confidence) = (vec![0], Vec::new(), Vec::new());
        for listeners in plays {
            for (user, c) in listeners {
                assert!((user as usize) < factors.rows(), "user {user} has no factors");
                users.push(user);
                confidence.push(c);
            }
            offsets.push(users.len());
        }
        Listeners { factors: factors.into_data(), width, gram, offsets, users, confidence }
    }

    /// Number of users, including those without any play in this split.
    fn users(&self) -> usize {
        self.factors.len() / self.width
    }

    /// The error of one track with these predicted factors.
    pub fn of_track(&self, track: usize, predicted: &[f32]) -> f64 {
        let y: Vec<f64> = predicted.iter().map(|value| f64::from(*value)).collect();
        let mut sum = 0.0;
        for (a, row) in y.iter().zip(self.gram.chunks_exact(self.width)) {
            sum += a * row.iter().zip(&y).map(|(g, b)| g * b).sum::<f64>();
        }
        for at in self.offsets[track]..self.offsets[track + 1] {
            let x = &self.factors[self.users[at] as usize * self.width..][..self.width];
            let score: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(*x) * y).sum();
            sum += f64::from(self.confidence[at]) * (1.0 - score).powi(2) - score * score;
        }
        sum / self.users() as f64
    }

    /// The matrices that the loss needs, on `device`.
    pub fn on(&self, device: &Device) -> DeviceListeners<'_> {
        let gram: Vec<f32> = self.gram.iter().map(|value| *value as f32).collect();
        let shape = |values: Vec<f32>, rows| {
            Tensor::from_data(TensorData::new(values, [rows, self.width]), device)
        };
        DeviceListeners {
            listeners: self,
            factors: shape(self.factors.clone(), self.users()),
            gram: shape(gram, self.width),
        }
    }
}

/// [`Listeners`] on a device.
pub struct DeviceListeners<'a> {
    listeners: &'a Listeners,
    /// `[user, factor]`
    factors: Tensor<2>,
    /// `[factor, factor]`
    gram: Tensor<2>,
}

impl DeviceListeners<'_> {
    /// Mean over the batch.
    ///
    /// # Shapes
    /// - `predicted`: `[batch, factor]`
    /// - `tracks`: the track of each row
    /// - returns: `[1]`
    pub fn forward(&self, predicted: Tensor<2>, tracks: &[usize]) -> Tensor<1> {
        let all = (predicted.clone().matmul(self.gram.clone()) * predicted.clone()).sum();
        let l = self.listeners;
        let (mut rows, mut users, mut confidence) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &track) in tracks.iter().enumerate() {
            let range = l.offsets[track]..l.offsets[track + 1];
            rows.resize(rows.len() + range.len(), row as i32);
            users.extend(l.users[range.clone()].iter().map(|user| *user as i32));
            confidence.extend_from_slice(&l.confidence[range]);
        }
        let scale = 1.0 / (tracks.len().max(1) * l.users()) as f32;
        if rows.is_empty() {
            return all * scale;
        }
        let device = predicted.device();
        let count = rows.len();
        let ints = |values| Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device);
        let confidence = Tensor::<2>::from_data(TensorData::new(confidence, [count, 1]), &device);
        let scores = (self.factors.clone().select(0, ints(users))
            * predicted.select(0, ints(rows)))
        .sum_dim(1);
        let heard = (confidence * (scores.clone() - 1.0).square() - scores.square()).sum();
        (all + heard) * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 3;
    const USERS: [[f32; WIDTH]; 4] =
        [[0.5, -1.0, 0.25], [1.5, 0.5, 0.0], [-0.75, 0.25, 1.0], [0.1, 0.2, -0.3]];
    const PREDICTED: [[f32; WIDTH]; 2] = [[0.3, -0.2, 0.9], [1.1, 0.4, -0.6]];

    /// Track 0 was heard by users 1 and 3, track 1 by nobody, track 2 by everybody.
    fn listeners() -> Listeners {
        let plays =
            [vec![(1, 28.6), (3, 30.0)], vec![], vec![(0, 31.9), (1, 28.6), (2, 37.8), (3, 1.0)]];
        Listeners::new(Matrix::new(USERS.len(), WIDTH, USERS.concat()).unwrap(), plays)
    }

    /// Equation 5 as written: a sum over every user.
    fn written_out(plays: &[(u32, f32)], y: &[f32; WIDTH]) -> f64 {
        let mut sum = 0.0;
        for (user, x) in USERS.iter().enumerate() {
            let heard = plays.iter().find(|play| play.0 == user as u32);
            let (c, p) = heard.map_or((1.0, 0.0), |play| (f64::from(play.1), 1.0));
            let score: f64 = x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            sum += c * (p - score).powi(2);
        }
        sum / USERS.len() as f64
    }

    #[test]
    fn the_cheap_form_is_the_full_sum() {
        let listeners = listeners();
        let plays: [&[(u32, f32)]; 3] =
            [&[(1, 28.6), (3, 30.0)], &[], &[(0, 31.9), (1, 28.6), (2, 37.8), (3, 1.0)]];
        for (track, plays) in plays.iter().enumerate() {
            for y in &PREDICTED {
                let (got, want) = (listeners.of_track(track, y), written_out(plays, y));
                assert!((got - want).abs() <= 1e-9 * want, "{track}: {got} {want}");
            }
        }
    }

    #[test]
    fn the_device_computes_what_the_host_does_and_its_gradient() {
        let listeners = listeners();
        let device = Device::flex().autodiff();
        let on_device = listeners.on(&device);
        for tracks in [[0, 2], [1, 0], [1, 1]] {
            let predicted = Tensor::<2>::from_data(PREDICTED, &device).require_grad();
            let loss = on_device.forward(predicted.clone(), &tracks);
            let of = |y: &[[f32; WIDTH]; 2]| -> f64 {
                tracks.iter().zip(y).map(|(track, y)| listeners.of_track(*track, y)).sum::<f64>()
                    / 2.0
            };
            let want = of(&PREDICTED);
            let gradients = loss.backward();
            let got = f64::from(loss.into_scalar::<f32>());
            assert!((got - want).abs() <= 1e-5 * want, "{tracks:?}: {got} {want}");
            let gradient: Vec<f32> =
                predicted.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
            for (at, got) in gradient.iter().enumerate() {
                // Differences of a quadratic are exact up to rounding.
                let moved = |by: f32| {
                    let mut y = PREDICTED;
                    y[at / WIDTH][at % WIDTH] += by;
                    of(&y)
                };
                let want = (moved(0.25) - moved(-0.25)) / 0.5;
                let close = (f64::from(*got) - want).abs() <= 1e-4 * want.abs().max(1.0);
                assert!(close, "{tracks:?}, {at}: {got} {want}");
            }
        }
    }
}
