//! Splits that share out every tag.
//!
//! A random split of a few hundred tracks easily leaves a rare tag without a positive in the
//! smallest part. Iterative stratification takes the rarest tag first and gives its tracks to the
//! split that still wants most of them: Sechidis, Tsoumakas and Vlahavas (2011), "On the
//! stratification of multi-label data", algorithm 1, with sizes that are kept exactly.

use crate::Split;
use crate::random::{Purpose, Stream};

const SPLITS: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

/// Tracks in train, valid and test out of `total`: rounded shares, and one at least where the
/// share is above zero and there are enough tracks.
fn sizes(total: usize, valid_share: f64, test_share: f64) -> [usize; 3] {
    let part = |share: f64| {
        let rounded = (total as f64 * share).round() as usize;
        if share > 0.0 && total >= 3 { rounded.max(1) } else { rounded }
    };
    let test = part(test_share).min(total.saturating_sub(1));
    let valid = part(valid_share).min(total.saturating_sub(1 + test));
    [total - valid - test, valid, test]
}

/// A split for each track of which `tags` gives the tags, as indices below `vocabulary`.
pub(super) fn assign(
    seed: u64,
    tags: &[Vec<usize>],
    vocabulary: usize,
    valid_share: f64,
    test_share: f64,
) -> Vec<Split> {
    let total = tags.len();
    let sizes = sizes(total, valid_share, test_share);
    let mut order: Vec<usize> = (0..total).collect();
    let mut stream = Stream::new(seed, 0, Purpose::Split, 0);
    for i in (1..total).rev() {
        order.swap(i, stream.below(i + 1));
    }

    let mut bearers: Vec<Vec<usize>> = vec![Vec::new(); vocabulary];
    for track in &order {
        for tag in &tags[*track] {
            bearers[*tag].push(*track);
        }
    }
    let share = sizes.map(|size| size as f64 / total.max(1) as f64);
    let mut room = sizes;
    let mut wanted: Vec<[f64; 3]> =
        bearers.iter().map(|tracks| share.map(|share| share * tracks.len() as f64)).collect();
    let mut open: Vec<usize> = bearers.iter().map(Vec::len).collect();
    let mut splits: Vec<Option<usize>> = vec![None; total];

    let mut place =
        |track: usize, by: Option<usize>, wanted: &mut [[f64; 3]], open: &mut [usize]| {
            // Most wanted of the tag, then most room beside the split's size.
            let want = |split: usize| {
                let left = room[split] as f64 / sizes[split].max(1) as f64;
                (by.map_or(0.0, |tag| wanted[tag][split]), left)
            };
            let best = (0..3)
                .filter(|split| room[*split] > 0)
                .max_by(|a, b| {
                    let (a, b) = (want(*a), want(*b));
                    a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
                })
                .unwrap_or(0);
            room[best] = room[best].saturating_sub(1);
            for tag in &tags[track] {
                wanted[*tag][best] -= 1.0;
                open[*tag] -= 1;
            }
            splits[track] = Some(best);
        };

    let mut placed = vec![false; total];
    while let Some(tag) =
        (0..vocabulary).filter(|tag| open[*tag] > 0).min_by_key(|tag| (open[*tag], *tag))
    {
        for track in &bearers[tag] {
            if !std::mem::replace(&mut placed[*track], true) {
                place(*track, Some(tag), &mut wanted, &mut open);
            }
        }
    }
    for track in &order {
        if !placed[*track] {
            place(*track, None, &mut wanted, &mut open);
        }
    }
    splits.into_iter().map(|split| SPLITS[split.unwrap_or(0)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up() {
        assert_eq!(sizes(600, 0.1, 0.1), [480, 60, 60]);
        assert_eq!(sizes(1, 0.1, 0.1), [1, 0, 0]);
        assert_eq!(sizes(2, 0.1, 0.1), [2, 0, 0]);
        assert_eq!(sizes(3, 0.1, 0.1), [1, 1, 1]);
        assert_eq!(sizes(8, 0.1, 0.1), [6, 1, 1]);
        assert_eq!(sizes(10, 0.0, 0.5), [5, 0, 5]);
        for total in 1..50 {
            assert_eq!(sizes(total, 0.45, 0.5).iter().sum::<usize>(), total);
        }
    }

    /// Ten bearers of a rare tag among 300 tracks are shared 8, 1, 1, whatever the seed.
    #[test]
    fn rare_tags_are_shared_out() {
        let tags: Vec<Vec<usize>> = (0..300)
            .map(|i| match (i % 30, i % 2) {
                (0, _) => vec![0, 1],
                (_, 0) => vec![1],
                _ => vec![],
            })
            .collect();
        for seed in 0..20 {
            let splits = assign(seed, &tags, 2, 0.1, 0.1);
            let count = |split: Split, tag: Option<usize>| {
                let bears = |tags: &Vec<usize>| tag.is_none_or(|tag| tags.contains(&tag));
                splits.iter().zip(&tags).filter(|(s, tags)| **s == split && bears(tags)).count()
            };
            assert_eq!(SPLITS.map(|split| count(split, Some(0))), [8, 1, 1]);
            assert_eq!(SPLITS.map(|split| count(split, Some(1))), [120, 15, 15]);
            assert_eq!(SPLITS.map(|split| count(split, None)), [240, 30, 30]);
        }
    }
}
