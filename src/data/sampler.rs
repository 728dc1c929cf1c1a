//! Which stretch of which track the network sees at a step.
//!
//! Order and position are pure functions of (seed, step): any step's batch can be made without
//! the ones before it, so a resumed run sees what the uninterrupted one would have seen.
//!
//! Position `p = step * batch_size + slot` of the endless sequence of training examples belongs to
//! epoch `p / tracks`. Within an epoch every track comes once, in an order of its own
//! (Fisher-Yates), with one excerpt from a uniformly drawn place.

use std::sync::Mutex;

use crate::rng::{below, philox};

/// Purposes of the generator's second key word; no two draws ever share key and counter.
const ORDER: u64 = 1;
const PLACE: u64 = 2;

/// A stretch of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Index into the split's tracks.
    pub track: usize,
    /// First sample; of tracks that are features, the number of the excerpt.
    pub start: usize,
}

/// Draws training excerpts.
pub struct ExcerptSampler {
    seed: u64,
    batch_size: usize,
    excerpt_samples: usize,
    /// Excerpts begin at multiples of it.
    grain: usize,
    /// Length of each track, in samples (or excerpts, where tracks are features).
    lengths: Vec<usize>,
    /// Orders of the last epochs asked for; two, since batches are made ahead across their border.
    orders: Mutex<Vec<(u64, std::sync::Arc<Vec<u32>>)>>,
}

impl ExcerptSampler {
    /// A sampler over tracks of these lengths, which are counted in samples as `excerpt_samples` and `grain`
    /// are; excerpts begin at multiples of `grain`.
    ///
    /// # Panics
    /// If there is no track, or a batch has no excerpts.
    pub fn new(
        seed: u64,
        batch_size: usize,
        excerpt_samples: usize,
        grain: usize,
        lengths: Vec<usize>,
    ) -> ExcerptSampler {
        assert!(!lengths.is_empty() && batch_size > 0, "checked when the experiment was read");
        let orders = Mutex::default();
        ExcerptSampler { seed, batch_size, excerpt_samples, grain: grain.max(1), lengths, orders }
    }

    /// The excerpts of one step's batch.
    pub fn batch(&self, step: u64) -> Vec<Excerpt> {
        let first = step * self.batch_size as u64;
        (first..first + self.batch_size as u64).map(|position| self.excerpt(position)).collect()
    }

    fn excerpt(&self, position: u64) -> Excerpt {
        let tracks = self.lengths.len() as u64;
        let track = self.order(position / tracks)[(position % tracks) as usize] as usize;
        // A track shorter than the excerpt is padded with silence at its end.
        let spare = self.lengths[track].saturating_sub(self.excerpt_samples);
        let places = (spare / self.grain) as u64 + 1;
        let place = below(philox([self.seed, PLACE], [position, 0, 0, 0])[0], places) as usize;
        let start = place * self.grain;
        Excerpt { track, start }
    }

    fn order(&self, epoch: u64) -> std::sync::Arc<Vec<u32>> {
        let mut orders = self.orders.lock().expect("no holder of this lock panics");
        if let Some((_, order)) = orders.iter().find(|(of, _)| *of == epoch) {
            return order.clone();
        }
        let mut order: Vec<u32> = (0..self.lengths.len() as u32).collect();
        for j in (1..order.len()).rev() {
            let k = below(philox([self.seed, ORDER], [epoch, j as u64, 0, 0])[0], j as u64 + 1);
            order.swap(j, k as usize);
        }
        let order = std::sync::Arc::new(order);
        if orders.len() == 2 {
            orders.remove(0);
        }
        orders.push((epoch, order.clone()));
        order
    }
}

/// The excerpts over which a track's prediction is averaged: consecutive, as many whole ones as
/// fit; one, padded with silence, if the track is shorter.
pub fn consecutive(tracks: &[usize], excerpt_samples: usize) -> Vec<Excerpt> {
    let mut excerpts = Vec::new();
    for (track, &length) in tracks.iter().enumerate() {
        let whole = (length / excerpt_samples).max(1);
        excerpts.extend((0..whole).map(|i| Excerpt { track, start: i * excerpt_samples }));
    }
    excerpts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_track_comes_once_an_epoch() {
        let sampler = ExcerptSampler::new(7, 4, 100, 1, vec![500; 10]);
        for epoch in 0..3 {
            let mut seen: Vec<usize> =
                (0..10).map(|i| sampler.excerpt(epoch * 10 + i).track).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_order_comes_equally_often() {
        let sampler = ExcerptSampler::new(5, 1, 100, 1, vec![100; 3]);
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..6000 {
            *counts.entry(sampler.order(epoch).to_vec()).or_insert(0usize) += 1;
        }
        // Six orders, 1000 each expected; 5 standard deviations are 144.
        assert_eq!(counts.len(), 6, "{counts:?}");
        assert!(counts.values().all(|n| (856..=1144).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_batch_needs_no_batch_before_it() {
        let lengths: Vec<usize> = (0..37).map(|i| 90 + 13 * i).collect();
        let in_order = ExcerptSampler::new(3, 5, 100, 1, lengths.clone());
        let batches: Vec<_> = (0..40).map(|step| in_order.batch(step)).collect();
        for step in [39, 0, 17, 8, 25] {
            let fresh = ExcerptSampler::new(3, 5, 100, 1, lengths.clone());
            assert_eq!(fresh.batch(step), batches[step as usize]);
        }
        assert_ne!(batches, {
            let other = ExcerptSampler::new(4, 5, 100, 1, lengths);
            (0..40).map(|step| other.batch(step)).collect::<Vec<_>>()
        });
    }

    #[test]
    fn excerpts_stay_inside_and_reach_both_ends() {
        let sampler = ExcerptSampler::new(1, 1, 100, 1, vec![103]);
        let mut counts = [0usize; 4];
        for step in 0..4000 {
            counts[sampler.batch(step)[0].start] += 1;
        }
        // Four places, 1000 each expected; 5 standard deviations are 137.
        assert!(counts.iter().all(|&n| (863..=1137).contains(&n)), "{counts:?}");
    }

    #[test]
    fn frames_are_not_cut_through() {
        let sampler = ExcerptSampler::new(1, 1, 100, 10, vec![139]);
        let mut seen: Vec<usize> = (0..200).map(|step| sampler.batch(step)[0].start).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 10, 20, 30]);
    }

    #[test]
    fn a_short_track_gives_one_excerpt_from_its_start() {
        assert_eq!(
            consecutive(&[250, 40, 100], 100),
            [(0, 0), (0, 100), (1, 0), (2, 0)].map(|(track, start)| Excerpt { track, start })
        );
        assert_eq!(ExcerptSampler::new(1, 1, 100, 1, vec![40]).batch(9)[0].start, 0);
    }
}
