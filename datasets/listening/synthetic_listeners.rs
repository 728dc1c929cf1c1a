//! Simulated listeners: listening data with a known ground truth, for any collection with tags.
//!
//! Results on this data must say that it is simulated: they measure how well a method recovers the ground
//! truth, not what people like.
//!
//! The affinity of listener `u` for track `t` is
//!
//! `a_ut = popularity_spread z_t + sharpness (sqrt(1 - hidden) c_ut + sqrt(hidden) h_ut)`
//!
//! where `z_t` is the track's popularity (normal), `c_ut` the listener's taste in the track's tags (a normal
//! weight per tag), and `h_ut` the taste in qualities that neither tags nor audio reveal. Both parts of a taste
//! have mean 0 and variance 1 over the tracks. The listener plays `n_u` different tracks, drawn without
//! replacement with probabilities proportional to `exp(a_ut)` (equivalently, the `n_u` largest `a_ut` plus
//! Gumbel noise). `n_u` is log-normal, so few listeners are very active. The play count of a track is log-normal
//! too and increases with the taste for it. Popularity, the exponential of a normal number, has a long tail.

use serde::{Deserialize, Serialize};

use crate::listening::interactions::Play;
use crate::math::{exp, ln};
use crate::random::{Purpose, Stream};
use crate::{Collection, DatasetError, Interactions};

/// `[listening] name = "synthetic_listeners"`: simulated listeners of the dataset's tracks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticListenersConfig {
    /// Number of listeners, from 1 to 10 000 000. Default: 2000.
    pub users: usize,
    /// Seed of the listeners, independent of the seed of training. Default: 1.
    pub seed: u64,
    /// Mean number of different tracks per listener, from 1 to 1 000 000. Default: 30.
    pub mean_items: f64,
    /// Standard deviation of the logarithm of the number of tracks per listener, from 0 to 10. Default: 0.8.
    pub activity_spread: f64,
    /// Standard deviation of the logarithm of a track's popularity, from 0 to 10. Default: 1.
    pub popularity_spread: f64,
    /// Standard deviation of a listener's taste over the tracks, from 0 (no preferences) to 10. Default: 1.5.
    pub sharpness: f64,
    /// Share of the taste's variance that tags do not explain, from 0 to 1. Default: 0.3.
    pub hidden: f64,
    /// Number of a track's qualities that tags do not describe, from 1 to 1000. Default: 8.
    pub hidden_qualities: usize,
}

impl Default for SyntheticListenersConfig {
    fn default() -> Self {
        Self {
            users: 2_000,
            seed: 1,
            mean_items: 30.0,
            activity_spread: 0.8,
            popularity_spread: 1.0,
            sharpness: 1.5,
            hidden: 0.3,
            hidden_qualities: 8,
        }
    }
}

/// Simulated listeners of one collection.
#[derive(Clone, Debug)]
pub struct SyntheticListeners {
    config: SyntheticListenersConfig,
    ids: Vec<String>,
    /// `z_t`, `[track]`.
    popularity: Vec<f64>,
    /// Row-major `[track, tag]`: tags with mean 0 and variance 1, without those of all tracks or none.
    tags: Vec<f64>,
    /// Row-major `[track, quality]`.
    qualities: Vec<f64>,
}

impl SyntheticListenersConfig {
    fn check(&self) -> Result<(), DatasetError> {
        for (key, value, least, most) in [
            ("users", self.users as f64, 1.0, 1e7),
            ("mean_items", self.mean_items, 1.0, 1e6),
            ("activity_spread", self.activity_spread, 0.0, 10.0),
            ("popularity_spread", self.popularity_spread, 0.0, 10.0),
            ("sharpness", self.sharpness, 0.0, 10.0),
            ("hidden", self.hidden, 0.0, 1.0),
            ("hidden_qualities", self.hidden_qualities as f64, 1.0, 1e3),
        ] {
            if !(least..=most).contains(&value) {
                let remedy = format!("set it to a number from {least} to {most}");
                return Err(DatasetError::config("synthetic_listeners", key, value, remedy));
            }
        }
        Ok(())
    }

    /// The listeners of a collection.
    ///
    /// # Errors
    /// If a setting is out of bounds, or the collection has no tracks.
    pub fn listeners(&self, collection: &Collection) -> Result<SyntheticListeners, DatasetError> {
        self.check()?;
        if collection.tracks.is_empty() {
            let (key, remedy) = ("number of tracks", "use a dataset with tracks");
            return Err(DatasetError::config("synthetic_listeners", key, 0, remedy));
        }
        let tracks = collection.tracks.len();
        let stream = |index, purpose| Stream::new(self.seed, index as u64, purpose, 0);
        let mut popularity = Vec::with_capacity(tracks);
        let mut qualities = Vec::with_capacity(tracks * self.hidden_qualities);
        for track in 0..tracks {
            let mut stream = stream(track, Purpose::Appeal);
            popularity.push(stream.normal());
            qualities.extend((0..self.hidden_qualities).map(|_| stream.normal()));
        }
        let mut shares = vec![0.0; collection.tags.len()];
        for tag in collection.tracks.iter().flat_map(|track| &track.tags) {
            shares[*tag] += 1.0 / tracks as f64;
        }
        // A tag of all tracks, or of none, does not distinguish tracks.
        let informative: Vec<usize> = (0..shares.len())
            .filter(|&tag| shares[tag] > 0.0 && shares[tag] < 1.0 - 0.5 / tracks as f64)
            .collect();
        let mut tags = Vec::with_capacity(tracks * informative.len());
        for track in &collection.tracks {
            tags.extend(informative.iter().map(|&tag| {
                let share = shares[tag];
                let has = if track.tags.contains(&tag) { 1.0 } else { 0.0 };
                (has - share) / (share * (1.0 - share)).sqrt()
            }));
        }
        let ids = collection.tracks.iter().map(|track| track.id.clone()).collect();
        Ok(SyntheticListeners { config: self.clone(), ids, popularity, tags, qualities })
    }
}

impl SyntheticListeners {
    /// Number of listeners.
    pub fn users(&self) -> usize {
        self.config.users
    }

    /// A listener's affinity for every track: popularity plus taste, without noise, `[track]`. No method can rank
    /// held-out tracks better than this.
    pub fn affinity(&self, user: usize) -> Vec<f64> {
        let spread = self.config.popularity_spread;
        let taste = self.taste(user);
        taste.iter().zip(&self.popularity).map(|(taste, z)| spread * z + taste).collect()
    }

    /// The listener's part of [`SyntheticListeners::affinity`], `[track]`.
    fn taste(&self, user: usize) -> Vec<f64> {
        let config = &self.config;
        let mut stream = Stream::new(config.seed, user as u64, Purpose::Taste, 0);
        let tracks = self.ids.len();
        let mut part = |features: &[f64]| -> Vec<f64> {
            let width = features.len() / tracks;
            let weights: Vec<f64> = (0..width).map(|_| stream.normal()).collect();
            let row = |track: usize| &features[track * width..(track + 1) * width];
            let mut sums: Vec<f64> = (0..tracks)
                .map(|track| row(track).iter().zip(&weights).map(|(x, w)| x * w).sum())
                .collect();
            standardise(&mut sums);
            sums
        };
        let (content, hidden) = (part(&self.tags), part(&self.qualities));
        let (a, b) = ((1.0 - config.hidden).sqrt(), config.hidden.sqrt());
        content.iter().zip(&hidden).map(|(c, h)| config.sharpness * (a * c + b * h)).collect()
    }

    /// Simulates the plays of all listeners.
    pub fn interactions(&self) -> Interactions {
        let config = &self.config;
        let tracks = self.ids.len();
        let mut plays = Vec::new();
        for user in 0..config.users {
            let key = user as u64;
            let mut activity = Stream::new(config.seed, key, Purpose::Activity, 0);
            // The mean of a log-normal distribution is exp(mean + variance / 2).
            let spread = config.activity_spread;
            let items = config.mean_items * exp(spread * activity.normal() - spread * spread / 2.0);
            let items = (items.round() as usize).clamp(1, tracks);

            let mut chance = Stream::new(config.seed, key, Purpose::Plays, 0);
            let taste = self.taste(user);
            let mut drawn: Vec<(f64, usize)> = (0..tracks)
                .map(|track| {
                    let gumbel = -ln(-ln(chance.unit_above_zero()).max(f64::MIN_POSITIVE));
                    let score = config.popularity_spread * self.popularity[track] + taste[track];
                    (score + gumbel, track)
                })
                .collect();
            if items < tracks {
                drawn.select_nth_unstable_by(items, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                drawn.truncate(items);
            }
            drawn.sort_unstable_by_key(|pair| pair.1);
            for (_, track) in drawn {
                let count = exp(chance.normal() + 0.5 * taste[track]).ceil().min(10_000.0);
                plays.push(Play { user: user as u32, item: track as u32, count: count as f32 });
            }
        }
        let users = (0..config.users).map(|user| format!("listener-{user}")).collect();
        let mut interactions = Interactions::from_plays(users, self.ids.clone(), plays);
        interactions.notes.push(format!("the {} listeners are simulated", config.users));
        interactions
    }
}

/// Shifts and scales values to mean 0 and variance 1; constant values become 0.
fn standardise(values: &mut [f64]) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    let scale = if variance > 1e-12 { 1.0 / variance.sqrt() } else { 0.0 };
    for value in values {
        *value = (*value - mean) * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracks::synthetic::SyntheticConfig;

    fn collection(tracks: usize) -> Collection {
        SyntheticConfig { tracks, ..Default::default() }.load().unwrap()
    }

    fn small() -> SyntheticListenersConfig {
        SyntheticListenersConfig { users: 300, ..Default::default() }
    }

    #[test]
    fn plays_depend_only_on_the_seed_on_every_machine() {
        let collection = collection(120);
        let play = |config: SyntheticListenersConfig| {
            config.listeners(&collection).unwrap().interactions()
        };
        let first = play(small());
        assert_eq!(first, play(small()));
        assert_ne!(first.len(), play(SyntheticListenersConfig { seed: 2, ..small() }).len());
        let mut hash = blake3::Hasher::new();
        for Play { user, item, count } in first.plays() {
            hash.update(&user.to_le_bytes()).update(&item.to_le_bytes());
            hash.update(&count.to_le_bytes());
        }
        // A change of this hash invalidates all results on synthetic listeners.
        assert_eq!(hash.finalize().to_hex()[..16], *"d9c68528f5ba2bd8");
    }

    #[test]
    fn listeners_do_not_depend_on_their_number() {
        let collection = collection(60);
        let few = SyntheticListenersConfig { users: 5, ..small() };
        let few = few.listeners(&collection).unwrap().interactions();
        let many = small().listeners(&collection).unwrap().interactions();
        for user in 0..5 {
            assert_eq!(few.of_user(user), many.of_user(user));
        }
    }

    #[test]
    fn activity_and_popularity_have_long_tails() {
        let config = SyntheticListenersConfig { users: 2_000, ..Default::default() };
        let plays = config.listeners(&collection(500)).unwrap().interactions();
        let mut activity: Vec<usize> = (0..2_000).map(|user| plays.of_user(user).0.len()).collect();
        let mean = activity.iter().sum::<usize>() as f64 / 2e3;
        assert!((mean - 30.0).abs() < 2.5, "{mean}");
        let mut popularity = vec![0_usize; 500];
        plays.plays().for_each(|play| popularity[play.item as usize] += 1);
        for counts in [&mut activity, &mut popularity] {
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let top: usize = counts[..counts.len() / 10].iter().sum();
            let share = top as f64 / counts.iter().sum::<usize>() as f64;
            // A uniform distribution would give 0.1.
            assert!(share > 0.27 && share < 0.6, "{share}");
        }
        assert!(plays.plays().all(|play| play.count >= 1.0 && play.count.fract() == 0.0));
    }

    /// ROC-AUC of a user's plays among all tracks by a score, from its definition.
    fn auc(heard: &[u32], scores: &[f64]) -> f64 {
        let is_heard = |track: usize| heard.contains(&(track as u32));
        let (mut pairs, mut right) = (0.0, 0.0);
        for a in (0..scores.len()).filter(|&t| is_heard(t)) {
            for b in (0..scores.len()).filter(|&t| !is_heard(t)) {
                pairs += 1.0;
                right += match scores[a].total_cmp(&scores[b]) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        right / pairs
    }

    /// Affinity explains plays better than popularity, and both better than chance; tags alone explain a part.
    #[test]
    fn affinity_explains_plays_best() {
        let collection = collection(200);
        let listeners = small().listeners(&collection).unwrap();
        let plays = listeners.interactions();
        let blind = SyntheticListenersConfig { popularity_spread: 0.0, hidden: 0.0, ..small() };
        let content = blind.listeners(&collection).unwrap();
        let mut sums = [0.0; 3];
        for user in 0..100 {
            let heard = plays.of_user(user).0;
            if heard.len() == 200 {
                continue;
            }
            for (sum, scores) in sums.iter_mut().zip([
                listeners.affinity(user),
                listeners.popularity.clone(),
                content.affinity(user),
            ]) {
                *sum += auc(heard, &scores) / 100.0;
            }
        }
        let [affinity, popularity, tags] = sums;
        assert!(affinity > popularity + 0.08 && popularity > 0.6, "{sums:?}");
        assert!(tags > 0.65 && affinity > tags + 0.05, "{sums:?}");
    }

    /// On held-out items, affinity ranks a user's plays better than play counts, although these include the
    /// held-out plays. Tags, which new items have too, explain a part.
    #[test]
    fn held_out_items_are_ranked_best_by_affinity() {
        let collection = collection(400);
        let listeners = small().listeners(&collection).unwrap();
        let plays = listeners.interactions();
        let cold = Stream::new(5, 0, Purpose::Subset, 0).permutation(400)[..120].to_vec();
        let mut played = vec![0.0; 400];
        plays.plays().for_each(|play| played[play.item as usize] += 1.0);
        let only_tags = SyntheticListenersConfig { popularity_spread: 0.0, hidden: 0.0, ..small() };
        let only_tags = only_tags.listeners(&collection).unwrap();
        let (mut sums, mut users) = ([0.0; 3], 0.0);
        for user in 0..300 {
            let is_heard = |item: usize| plays.of_user(user).0.contains(&(item as u32));
            let heard: Vec<u32> =
                (0..cold.len()).filter(|&at| is_heard(cold[at])).map(|at| at as u32).collect();
            if heard.is_empty() || heard.len() == cold.len() {
                continue;
            }
            users += 1.0;
            let scores = [listeners.affinity(user), played.clone(), only_tags.affinity(user)];
            for (sum, scores) in sums.iter_mut().zip(scores) {
                let scores: Vec<f64> = cold.iter().map(|&item| scores[item]).collect();
                *sum += auc(&heard, &scores);
            }
        }
        let [affinity, popularity, tags] = sums.map(|sum| sum / users);
        assert!(users > 250.0, "{users}");
        assert!(affinity > popularity + 0.05 && popularity > 0.6, "{affinity} {popularity} {tags}");
        assert!(affinity > tags + 0.05 && tags > 0.65, "{affinity} {popularity} {tags}");
    }

    #[test]
    fn settings_out_of_bounds_are_refused() {
        let with = |set: fn(&mut SyntheticListenersConfig)| {
            let mut config = small();
            set(&mut config);
            config.listeners(&collection(10)).unwrap_err().to_string()
        };
        assert!(with(|c| c.users = 0).contains("users is 0"));
        assert!(with(|c| c.hidden = 1.5).contains("hidden is 1.5"));
        assert!(with(|c| c.hidden = f64::NAN).contains("hidden is NaN"));
        assert!(with(|c| c.sharpness = f64::INFINITY).contains("sharpness is inf"));
        assert!(with(|c| c.mean_items = 0.0).contains("mean_items is 0"));
        assert!(with(|c| c.hidden_qualities = 0).contains("hidden_qualities is 0"));
        let empty = Collection { tracks: Vec::new(), ..collection(1) };
        assert!(small().listeners(&empty).unwrap_err().to_string().contains("tracks"));
    }
}
