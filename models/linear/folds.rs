//! Stratified folds for cross-validation.

use kernels::philox::philox;

/// The fold that each row is held out in, `0..count`. Sizes of folds differ by at most one, and so do the numbers of
/// rows per class.
///
/// # Panics
/// If `count` is 0.
pub fn stratified(classes: &[u32], count: usize, seed: u64) -> Vec<usize> {
    assert!(count > 0, "no folds");
    let mut rows: Vec<usize> = (0..classes.len()).collect();
    rows.sort_by_key(|&row| (classes[row], draw(seed, row)));
    let mut folds = vec![0; classes.len()];
    // Each class continues at the fold after the previous class's last row.
    for (position, row) in rows.into_iter().enumerate() {
        folds[row] = position % count;
    }
    folds
}

/// [`stratified`] with all rows of a group (such as an artist) in one fold. Groups are assigned in order of
/// decreasing size, each to the fold that keeps the classes most even.
///
/// # Panics
/// If `count` is 0, or groups and classes differ in number.
pub fn stratified_by_group(classes: &[u32], groups: &[u32], count: usize, seed: u64) -> Vec<usize> {
    assert!(count > 0 && classes.len() == groups.len(), "one class and one group per row");
    let n_classes = classes.iter().max().map_or(0, |class| *class as usize + 1);
    let n_groups = groups.iter().max().map_or(0, |group| *group as usize + 1);
    let mut sizes = vec![vec![0_f64; n_classes]; n_groups];
    let mut totals = vec![0_f64; n_classes];
    for (class, group) in classes.iter().zip(groups) {
        sizes[*group as usize][*class as usize] += 1.0;
        totals[*class as usize] += 1.0;
    }
    let mut order: Vec<usize> = (0..n_groups).collect();
    let rows_of = |group: usize| sizes[group].iter().sum::<f64>();
    order.sort_by(|&a, &b| {
        rows_of(b).total_cmp(&rows_of(a)).then(draw(seed, a).cmp(&draw(seed, b)))
    });
    let mut held = vec![vec![0_f64; n_classes]; count];
    let mut fold_of = vec![0; n_groups];
    for group in order {
        // Increase of the sum of squared shares, which is smallest if all folds are equal.
        let cost = |fold: usize| -> f64 {
            let classes = held[fold].iter().zip(&sizes[group]).zip(&totals);
            classes
                .filter(|(_, total)| **total > 0.0)
                .map(|((held, size), total)| {
                    ((held + size) / total).powi(2) - (held / total).powi(2)
                })
                .sum()
        };
        let rows = |fold: usize| held[fold].iter().sum::<f64>();
        let best = (0..count)
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)).then(rows(a).total_cmp(&rows(b))));
        let best = best.unwrap_or(0);
        fold_of[group] = best;
        held[best].iter_mut().zip(&sizes[group]).for_each(|(held, size)| *held += size);
    }
    groups.iter().map(|group| fold_of[*group as usize]).collect()
}

fn draw(seed: u64, row: usize) -> u64 {
    const PURPOSE: u64 = 0x666f_6c64;
    philox([seed, PURPOSE], [row as u64, 0, 0, 0])[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(count: usize, classes: u64, salt: u64) -> Vec<u32> {
        (0..count)
            .map(|row| (philox([salt, 1], [row as u64, 0, 0, 0])[0] % classes) as u32)
            .collect()
    }

    #[test]
    fn classes_and_rows_are_distributed_evenly() {
        for (count, n_classes, folds, salt) in
            [(100, 5, 10, 1), (37, 3, 4, 2), (5, 2, 10, 3), (64, 1, 3, 4)]
        {
            let classes = made_up(count, n_classes, salt);
            let found = stratified(&classes, folds, 7);
            assert_eq!(found.len(), count);
            let spread = |of: &dyn Fn(usize) -> bool| {
                let counts: Vec<usize> = (0..folds)
                    .map(|fold| (0..count).filter(|&row| found[row] == fold && of(row)).count())
                    .collect();
                counts.iter().max().unwrap() - counts.iter().min().unwrap()
            };
            assert!(spread(&|_| true) <= 1);
            for class in 0..n_classes as u32 {
                assert!(spread(&|row| classes[row] == class) <= 1);
            }
            assert_eq!(found, stratified(&classes, folds, 7));
            assert!(count < 10 || found != stratified(&classes, folds, 8));
        }
    }

    #[test]
    fn groups_are_never_split_and_classes_are_even() {
        let classes = made_up(400, 4, 5);
        let groups = made_up(400, 80, 6);
        let found = stratified_by_group(&classes, &groups, 5, 1);
        for a in 0..400 {
            for b in 0..a {
                assert!(groups[a] != groups[b] || found[a] == found[b]);
            }
        }
        for class in 0..4 {
            let total = classes.iter().filter(|c| **c == class).count() as f64;
            for fold in 0..5 {
                let held =
                    (0..400).filter(|&row| found[row] == fold && classes[row] == class).count();
                let share = held as f64 / total;
                assert!((0.1..0.3).contains(&share), "{class} {fold}: {share}");
            }
        }
        // With one row per group, folds are as even as without groups.
        let alone: Vec<u32> = (0..400).collect();
        let found = stratified_by_group(&classes, &alone, 5, 1);
        for class in 0..4 {
            let counts: Vec<usize> = (0..5)
                .map(|fold| {
                    (0..400).filter(|&row| found[row] == fold && classes[row] == class).count()
                })
                .collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }
}
