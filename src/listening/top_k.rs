//! Exact search for the best items of a query, by inner product or cosine, over millions of items.
//!
//! Every item is scored, in blocks that fit the cache of a core, and only the items that can still be among the best are
//! stored. Items are ordered by score, highest first, and equal scores by position. The result is therefore the same for
//! any number of threads, and for a query alone or together with others.

use rayon::prelude::*;

use crate::error::Error;
use crate::listening::item_lists::ItemLists;
use crate::listening::matrix::{Matrix, MatrixError, products};

/// The score of an item for a query; higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The inner product of two vectors: the score of a user for an item.
    InnerProduct,
    /// The cosine between two vectors: the similarity of two items. It is 0 if a vector is shorter than 1.2e-38, the
    /// smallest normal number.
    Cosine,
}

/// An item and its score for a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Row of the item.
    pub item: u32,
    /// Score by the measure of the index.
    pub score: f32,
}

/// Items to search: checked once, and their lengths computed once.
#[derive(Clone, Debug)]
pub struct Index<'a> {
    items: &'a Matrix,
    /// For the cosine: the inverse length of each item.
    scales: Option<Vec<f32>>,
}

/// Why a search is impossible.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum TopKError {
    #[error("k is 0; it must be at least 1")]
    Nothing,
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error(
        "there are {lists} lists of excluded items for {queries} queries; give one list per query"
    )]
    Exclusions { lists: usize, queries: usize },
    #[error("query {query} excludes item {item}, but there are only {items} items")]
    NoSuchItem { query: usize, item: u32, items: usize },
    #[error(
        "the score of item {item} for query {query} is {score}, which cannot be ranked; look for \
         factors that have grown without bound"
    )]
    NotFinite { query: usize, item: usize, score: f32 },
}

/// Queries per pass over the items.
const QUERIES: usize = 64;
/// Items scored at once: half a megabyte of scores for 64 queries.
const ITEMS: usize = 2048;
/// Items per task of a thread.
const STRIPE: usize = 8 * ITEMS;

impl From<TopKError> for Error {
    fn from(error: TopKError) -> Self {
        Self::Data(error.to_string())
    }
}

impl<'a> Index<'a> {
    /// An index of `items`: `[item, factor]`.
    ///
    /// # Errors
    /// If a factor is not finite, or there are more than `u32::MAX` items.
    pub fn new(items: &'a Matrix, measure: Measure) -> Result<Self, TopKError> {
        if u32::try_from(items.rows()).is_err() {
            return Err(MatrixError::TooMany { what: "items", rows: items.rows() }.into());
        }
        items.check_finite("item factors")?;
        let scales = (measure == Measure::Cosine).then(|| {
            (0..items.rows()).into_par_iter().map(|item| scale(items.row(item))).collect()
        });
        Ok(Self { items, scales })
    }

    /// The best `k` items for each query, best first; fewer if there are fewer items.
    ///
    /// `exclude` lists for each query the items to leave out: those that a user has played, or the query itself.
    ///
    /// # Shapes
    /// - `queries`: `[query, factor]`
    ///
    /// # Errors
    /// If `k` is 0, shapes do not match, or a factor or score is not finite.
    pub fn search(
        &self,
        queries: &Matrix,
        k: usize,
        exclude: Option<&ItemLists>,
    ) -> Result<Vec<Vec<Hit>>, TopKError> {
        self.check(queries, k, exclude)?;
        let (columns, k) = (queries.columns(), k.min(self.items.rows()));
        let unit = match &self.scales {
            None => None,
            Some(_) => {
                let mut data = queries.data().to_vec();
                for row in data.chunks_exact_mut(columns.max(1)) {
                    normalise(row);
                }
                Some(Matrix::new(queries.rows(), columns, data)?)
            }
        };
        let queries = unit.as_ref().unwrap_or(queries);
        let mut results = Vec::with_capacity(queries.rows());
        for first in (0..queries.rows()).step_by(QUERIES) {
            let block = first..(first + QUERIES).min(queries.rows());
            let starts: Vec<usize> = (0..self.items.rows()).step_by(STRIPE).collect();
            let stripes: Vec<_> = starts
                .into_par_iter()
                .map(|start| self.stripe(queries, block.clone(), start, k, exclude))
                .collect();
            let mut best: Vec<Highest> = block.map(|_| Highest::new(k)).collect();
            for stripe in stripes {
                for (best, keys) in best.iter_mut().zip(stripe?) {
                    keys.into_iter().for_each(|key| best.push(key));
                }
            }
            results.extend(best.into_iter().map(Highest::hits));
        }
        Ok(results)
    }

    fn check(
        &self,
        queries: &Matrix,
        k: usize,
        exclude: Option<&ItemLists>,
    ) -> Result<(), TopKError> {
        if k == 0 {
            return Err(TopKError::Nothing);
        }
        if queries.columns() != self.items.columns() {
            return Err(TopKError::Matrix(MatrixError::Columns {
                what: "queries",
                columns: queries.columns(),
                other: "item factors",
                other_columns: self.items.columns(),
            }));
        }
        queries.check_finite("queries")?;
        let Some(exclude) = exclude else { return Ok(()) };
        if exclude.users() != queries.rows() {
            let (lists, queries) = (exclude.users(), queries.rows());
            return Err(TopKError::Exclusions { lists, queries });
        }
        for query in 0..queries.rows() {
            // Lists are sorted: the last item is the highest.
            if let Some(&item) = exclude.row(query).last()
                && item as usize >= self.items.rows()
            {
                return Err(TopKError::NoSuchItem { query, item, items: self.items.rows() });
            }
        }
        Ok(())
    }

    /// For each query of a block, the keys of the best items of the stripe that starts at `start`.
    fn stripe(
        &self,
        queries: &Matrix,
        block: std::ops::Range<usize>,
        start: usize,
        k: usize,
        exclude: Option<&ItemLists>,
    ) -> Result<Vec<Vec<u64>>, TopKError> {
        let end = (start + STRIPE).min(self.items.rows());
        let mut best: Vec<Highest> = block.clone().map(|_| Highest::new(k)).collect();
        let mut scores = vec![0.0; block.len() * ITEMS.min(end - start)];
        for start in (start..end).step_by(ITEMS) {
            let items = start..(start + ITEMS).min(end);
            let scores = &mut scores[..block.len() * items.len()];
            let factors = self.items.rows_at(items.clone());
            products(queries.rows_at(block.clone()), factors, queries.columns(), scores);
            let rows = scores.chunks_exact_mut(items.len());
            for ((row, best), query) in rows.zip(&mut best).zip(block.clone()) {
                if let Some(scales) = &self.scales {
                    for (score, scale) in row.iter_mut().zip(&scales[items.clone()]) {
                        *score *= scale;
                    }
                }
                // A count is vectorized, unlike a search that can end early.
                if row.iter().map(|score| u32::from(!score.is_finite())).sum::<u32>() > 0 {
                    let at = row.iter().position(|score| !score.is_finite()).unwrap_or(0);
                    let (item, score) = (start + at, row[at]);
                    return Err(TopKError::NotFinite { query, item, score });
                }
                let excluded = exclude.map_or(&[][..], |exclude| exclude.row(query));
                let first = excluded.partition_point(|&item| (item as usize) < items.start);
                for &item in &excluded[first..] {
                    if item as usize >= items.end {
                        break;
                    }
                    // Below every score, since scores are finite.
                    row[item as usize - items.start] = f32::NEG_INFINITY;
                }
                best.take(row, start);
            }
        }
        Ok(best.into_iter().map(|best| best.keys).collect())
    }
}

/// Searches once, without an index: see [`Index::new`] and [`Index::search`].
///
/// # Errors
/// Those of [`Index::new`] and [`Index::search`].
pub fn top_k(
    queries: &Matrix,
    items: &Matrix,
    k: usize,
    measure: Measure,
    exclude: Option<&ItemLists>,
) -> Result<Vec<Vec<Hit>>, TopKError> {
    Index::new(items, measure)?.search(queries, k, exclude)
}

fn length(row: &[f32]) -> f64 {
    row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

/// The inverse length of `row`; 0 if the length is below the smallest normal number.
fn scale(row: &[f32]) -> f32 {
    let length = length(row);
    if length < f64::from(f32::MIN_POSITIVE) { 0.0 } else { (1.0 / length) as f32 }
}

fn normalise(row: &mut [f32]) {
    let length = length(row);
    let length = if length < f64::from(f32::MIN_POSITIVE) { f64::INFINITY } else { length };
    row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
}

/// An integer with the order of the finite `value`; -0.0 and 0.0 give the same integer.
pub(crate) fn order_key(value: f32) -> u32 {
    // -0.0 + 0.0 is 0.0.
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// A score and an item as one integer, higher for the item that comes first.
fn key(score: f32, item: usize) -> u64 {
    u64::from(order_key(score)) << 32 | u64::from(!(item as u32))
}

/// The inverse of [`key`], except that -0.0 becomes 0.0.
fn hit(key: u64) -> Hit {
    let bits = (key >> 32) as u32;
    let bits = if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits };
    Hit { item: !(key as u32), score: f32::from_bits(bits) }
}

/// Collects the highest `k` keys.
struct Highest {
    /// The keys above `least`; fewer than twice `k`.
    keys: Vec<u64>,
    k: usize,
    /// The `k`-th highest key when `keys` was last full.
    least: u64,
}

impl Highest {
    fn new(k: usize) -> Self {
        Self { keys: Vec::new(), k, least: 0 }
    }

    /// Adds the scores of the items from `start` on. Minus infinity marks excluded items.
    fn take(&mut self, scores: &[f32], start: usize) {
        // This comparison alone rejects most scores.
        let mut least = self.least_score();
        for (at, &score) in scores.iter().enumerate() {
            if score >= least && score != f32::NEG_INFINITY {
                self.push(key(score, start + at));
                least = self.least_score();
            }
        }
    }

    fn least_score(&self) -> f32 {
        if self.least == 0 { f32::NEG_INFINITY } else { hit(self.least).score }
    }

    fn push(&mut self, key: u64) {
        if key <= self.least {
            return;
        }
        self.keys.push(key);
        if self.keys.len() >= 2 * self.k {
            self.shrink();
            self.least = self.keys[self.k - 1];
        }
    }

    /// Keeps the highest `k` keys, the lowest of them last.
    fn shrink(&mut self) {
        if self.keys.len() > self.k {
            self.keys.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
            self.keys.truncate(self.k);
        }
    }

    fn hits(mut self) -> Vec<Hit> {
        self.shrink();
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
        self.keys.into_iter().map(hit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::matrix::tests::noise;
    use crate::rng::{below, philox};

    /// The definition: all items sorted.
    fn by_sorting(scores: &[f32], k: usize, excluded: &[u32]) -> Vec<Hit> {
        let mut hits: Vec<Hit> = scores
            .iter()
            .enumerate()
            .map(|(item, &score)| Hit { item: item as u32, score })
            .filter(|hit| !excluded.contains(&hit.item))
            .collect();
        hits.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.item.cmp(&b.item)));
        hits.truncate(k);
        hits
    }

    fn rounded(matrix: Matrix, steps: f32) -> Matrix {
        let data = matrix.data().iter().map(|value| (value * steps).round() / steps).collect();
        Matrix::new(matrix.rows(), matrix.columns(), data).unwrap()
    }

    /// Several blocks of queries and stripes of items, with many ties and without.
    #[test]
    fn search_equals_a_full_sort() {
        let (n_queries, n_items) = (QUERIES + 3, STRIPE + ITEMS + 5);
        for steps in [1.0, 1e6] {
            let queries = rounded(noise(1, n_queries, 5), steps);
            let items = rounded(noise(2, n_items, 5), steps);
            let excluded: Vec<Vec<u32>> = (0..n_queries as u64)
                .map(|query| {
                    let draw = |i| philox([query, 8], [i, 0, 0, 0])[0];
                    let mut row: Vec<u32> =
                        (0..2000).map(|i| below(draw(i), n_items as u64) as u32).collect();
                    row.sort_unstable();
                    row.dedup();
                    row
                })
                .collect();
            let exclude = ItemLists::from_rows(&excluded).unwrap();
            let mut scores = vec![0.0; n_queries * n_items];
            products(queries.data(), items.data(), 5, &mut scores);
            for k in [1, 2, 100, n_items - 1, n_items + 9] {
                let ours =
                    top_k(&queries, &items, k, Measure::InnerProduct, Some(&exclude)).unwrap();
                assert_eq!(ours.len(), n_queries);
                // The longest lists take long to sort.
                for query in (0..n_queries).step_by(if k > 100 { 22 } else { 1 }) {
                    let row = &scores[query * n_items..][..n_items];
                    let theirs = by_sorting(row, k, &excluded[query]);
                    assert!(ours[query] == theirs, "query {query}, {k} items, steps {steps}");
                }
            }
        }
    }

    #[test]
    fn cosines_equal_the_definition() {
        let (queries, items) = (noise(3, 4, 30), noise(4, 700, 30));
        let ours = top_k(&queries, &items, 700, Measure::Cosine, None).unwrap();
        for (query, hits) in ours.iter().enumerate() {
            assert_eq!(hits.len(), 700);
            assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
            for hit in hits {
                let (a, b) = (queries.row(query), items.row(hit.item as usize));
                let dot: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                let cosine = dot / (length(a) * length(b));
                // Thirty roundings of terms whose absolute values sum up to at most 1.
                let near = (f64::from(hit.score) - cosine).abs() <= 30.0 / f64::from(1 << 23);
                assert!(near, "{} is not {cosine}", hit.score);
            }
        }
        // An item is most similar to itself, unless it is excluded.
        let own = ItemLists::from_rows((0..700).map(|item| [item])).unwrap();
        let index = Index::new(&items, Measure::Cosine).unwrap();
        let with = index.search(&items, 1, None).unwrap();
        let without = index.search(&items, 1, Some(&own)).unwrap();
        for item in 0..700 {
            assert_eq!(with[item][0].item, item as u32);
            assert!((with[item][0].score - 1.0).abs() < 1e-6);
            assert_ne!(without[item][0].item, item as u32);
        }
    }

    #[test]
    fn results_do_not_depend_on_threads_or_other_queries() {
        let (queries, items) = (noise(5, 70, 50), noise(6, 20_000, 50));
        for measure in [Measure::InnerProduct, Measure::Cosine] {
            let index = Index::new(&items, measure).unwrap();
            let all = index.search(&queries, 20, None).unwrap();
            for query in [0, 1, 63, 64, 69] {
                let alone = Matrix::new(1, 50, queries.row(query).to_vec()).unwrap();
                assert_eq!(index.search(&alone, 20, None).unwrap()[0], all[query]);
            }
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(|| index.search(&queries, 20, None)).unwrap(), all);
            }
        }
    }

    #[test]
    fn keys_are_reversible() {
        for score in [f32::MIN, -1.5, -1e-45, 0.0, 1e-45, 2.5, f32::MAX] {
            for item in [0, 7, u32::MAX] {
                assert_eq!(hit(key(score, item as usize)), Hit { item, score });
                assert_ne!(key(score, item as usize), 0, "0 means no key");
            }
        }
        assert!(key(1.0, 5) > key(1.0, 6) && key(1.5, 6) > key(1.0, 5));
        assert_eq!(key(-0.0, 3), key(0.0, 3));
    }

    #[test]
    fn cosines_of_zero_and_extreme_vectors() {
        let items = Matrix::new(4, 2, vec![0.0, 0.0, 1e-42, 0.0, 1e-30, 1e-30, 3.0, 4.0]).unwrap();
        let query = Matrix::new(2, 2, vec![1e30, 0.0, 0.0, 0.0]).unwrap();
        let hits = top_k(&query, &items, 9, Measure::Cosine, None).unwrap();
        let of = |query: usize| hits[query].iter().map(|hit| hit.item).collect::<Vec<_>>();
        assert_eq!((of(0), of(1)), (vec![2, 3, 0, 1], vec![0, 1, 2, 3]));
        assert!((hits[0][0].score - 0.5f32.sqrt()).abs() < 1e-6);
        assert!((hits[0][1].score - 0.6).abs() < 1e-6);
        assert!(hits[1].iter().all(|hit| hit.score == 0.0));
    }

    #[test]
    fn errors_name_the_value_and_its_position() {
        let items = Matrix::new(3, 1, vec![1.0, 2.0, f32::MAX]).unwrap();
        let query = Matrix::new(1, 1, vec![2.0]).unwrap();
        let fails = |queries: &Matrix, items: &Matrix, k, exclude: Option<&ItemLists>| {
            top_k(queries, items, k, Measure::InnerProduct, exclude).unwrap_err().to_string()
        };
        assert!(fails(&query, &items, 0, None).starts_with("k is 0"));
        let error = fails(&query, &items, 1, None);
        assert!(error.starts_with("the score of item 2 for query 0 is inf"), "{error}");
        let wide = Matrix::new(1, 2, vec![0.0; 2]).unwrap();
        let error = fails(&wide, &items, 1, None);
        assert!(error.starts_with("the queries have 2 columns"), "{error}");
        let nan = Matrix::new(1, 1, vec![f32::NAN]).unwrap();
        let error = fails(&nan, &items, 1, None);
        assert!(error.starts_with("row 0, column 0 of the queries is NaN"), "{error}");
        let error = fails(&query, &nan, 1, None);
        assert!(error.starts_with("row 0, column 0 of the item factors is NaN"), "{error}");
        let lists = ItemLists::from_rows([vec![3]]).unwrap();
        let error = fails(&query, &items, 1, Some(&lists));
        assert_eq!(error, "query 0 excludes item 3, but there are only 3 items");
        let lists = ItemLists::from_rows([vec![1], vec![]]).unwrap();
        let error = fails(&query, &items, 1, Some(&lists));
        assert!(error.starts_with("there are 2 lists of excluded items for 1 queries"), "{error}");

        let none = Matrix::new(0, 1, vec![]).unwrap();
        let search = |queries, items| top_k(queries, items, 5, Measure::Cosine, None).unwrap();
        assert_eq!(search(&none, &items), Vec::<Vec<Hit>>::new());
        assert_eq!(search(&query, &none), vec![vec![]]);
        let all = ItemLists::from_rows([vec![0, 1, 2]]).unwrap();
        let hits = top_k(&query, &items, 5, Measure::Cosine, Some(&all)).unwrap();
        assert_eq!(hits, vec![vec![]]);
    }
}
