//! Stratified splits.
//!
//! A random split of a few hundred tracks often leaves a rare tag without a positive in the smallest split.
//! Iterative stratification begins with the rarest tag and assigns each of its tracks to the split that lacks the
//! most of them: Sechidis, Tsoumakas and Vlahavas (2011), "On the stratification of multi-label data", algorithm 1,
//! but with exact sizes.

use crate::Split;
use crate::random::{Purpose, Stream};

/// Tracks in train, valid and test: rounded shares of `total`, but at least 1 for a share above 0 of at least 3
/// tracks.
fn sizes(total: usize, valid_share: f64, test_share: f64) -> [usize; 3] {
    let part = |share: f64| {
        let rounded = (total as f64 * share).round() as usize;
        if share > 0.0 && total >= 3 { rounded.max(1) } else { rounded }
    };
    let test = part(test_share).min(total.saturating_sub(1));
    let valid = part(valid_share).min(total.saturating_sub(1 + test));
    [total - valid - test, valid, test]
}

/// The split of each track from its `tags`, indices below `vocabulary`.
pub(super) fn assign(
    seed: u64,
    tags: &[Vec<usize>],
    vocabulary: usize,
    valid_share: f64,
    test_share: f64,
) -> Vec<Split> {
    let total = tags.len();
    let sizes = sizes(total, valid_share, test_share);
    let order = Stream::new(seed, 0, Purpose::Split, 0).permutation(total);
    let mut tracks_of: Vec<Vec<usize>> = vec![Vec::new(); vocabulary];
    for track in &order {
        for tag in &tags[*track] {
            tracks_of[*tag].push(*track);
        }
    }
    let share = sizes.map(|size| size as f64 / total.max(1) as f64);
    let mut room = sizes;
    let mut wanted: Vec<[f64; 3]> =
        tracks_of.iter().map(|tracks| share.map(|share| share * tracks.len() as f64)).collect();
    let mut open: Vec<usize> = tracks_of.iter().map(Vec::len).collect();
    let mut splits: Vec<Option<usize>> = vec![None; total];

    let mut place =
        |track: usize, by: Option<usize>, wanted: &mut [[f64; 3]], open: &mut [usize]| {
            // The split that lacks the most tracks of the tag, then the one with the most room.
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
        for track in &tracks_of[tag] {
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
    splits.into_iter().map(|split| Split::ALL[split.unwrap_or(0)]).collect()
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

    /// Ten of 300 tracks with a rare tag are split 8, 1, 1 with every seed.
    #[test]
    fn rare_tags_are_in_every_split() {
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
            assert_eq!(Split::ALL.map(|split| count(split, Some(0))), [8, 1, 1]);
            assert_eq!(Split::ALL.map(|split| count(split, Some(1))), [120, 15, 15]);
            assert_eq!(Split::ALL.map(|split| count(split, None)), [240, 30, 30]);
        }
    }
}
