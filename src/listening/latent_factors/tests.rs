use datasets::listening::synthetic_listeners::SyntheticListenersConfig;
use datasets::tracks::synthetic::SyntheticConfig;
use datasets::{Collection, DatasetError};

use super::*;

fn data(users: usize) -> Result<(Collection, Interactions), DatasetError> {
    let collection = SyntheticConfig { tracks: 100, ..Default::default() }.load()?;
    let listeners = SyntheticListenersConfig { users, mean_items: 20.0, ..Default::default() };
    let plays = listeners.listeners(&collection)?.interactions();
    Ok((collection, plays))
}

fn config() -> WmfConfig {
    WmfConfig { factors: 8, iterations: 6, regularization: 5.0, ..WmfConfig::default() }
}

fn fit(plays: &Interactions, tracks: &[Track], config: &WmfConfig) -> Result<LatentFactors> {
    LatentFactors::fit(plays, tracks, config, &AtomicBool::new(false), |_, _, _| {})
}

fn of(tracks: &[Track], split: Split) -> Vec<usize> {
    (0..tracks.len()).filter(|&at| tracks[at].split == Some(split)).collect()
}

#[test]
fn held_out_tracks_do_not_change_the_users_factors() {
    let (collection, plays) = data(200).unwrap();
    let tracks = &collection.tracks;
    let latent = fit(&plays, tracks, &config()).unwrap();
    let train: Vec<&str> = tracks
        .iter()
        .filter(|track| track.split == Some(Split::Train))
        .map(|track| track.id.as_str())
        .collect();
    let only = plays.only_items(|item| train.contains(&plays.items()[item].as_str()));
    let blind = fit(&only, tracks, &config()).unwrap();
    // Up to one common scale, on which the held-out tracks have an influence.
    let (a, b) = (latent.users.data(), blind.users.data());
    let ratio = a[0] / b[0];
    let largest = a.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b * ratio).abs() <= 1e-4 * largest, "{a} {b}");
    }
}

#[test]
fn stored_factors_are_restored_bit_for_bit_and_other_data_is_refused() {
    let (collection, plays) = data(200).unwrap();
    let tracks = &collection.tracks;
    let latent = fit(&plays, tracks, &config()).unwrap();
    let stored = || latent.to_tables(tracks);
    let again = LatentFactors::restore(&plays, tracks, stored(), &config()).unwrap();
    assert_eq!((&again.ids, &again.users), (&latent.ids, &latent.users));
    assert_eq!((&again.tracks, &again.confidences), (&latent.tracks, &latent.confidences));
    let error = LatentFactors::restore(&plays, &tracks[1..], stored(), &config()).unwrap_err();
    assert!(error.to_string().contains("the tracks are no longer"), "{error}");
    let mut other = stored();
    other.users.ids[7] = "another user".into();
    let error = LatentFactors::restore(&plays, tracks, other, &config()).unwrap_err();
    assert!(error.to_string().contains("the users are no longer"), "{error}");
}

/// The factors of another program can be in another order, and contain other ids or lack some.
#[test]
fn factors_of_another_program_are_matched_by_id() {
    let (collection, plays) = data(200).unwrap();
    let tracks = &collection.tracks;
    let own = fit(&plays, tracks, &config()).unwrap();
    let width = own.tracks.columns();
    let reversed = |table: FactorTable, unknown: &str| {
        let mut ids: Vec<String> = table.ids.into_iter().rev().collect();
        let rows = table.factors.chunks_exact(width).rev();
        let mut factors: Vec<f32> = rows.flatten().copied().collect();
        ids.push(unknown.into());
        factors.extend(vec![9.0; width]);
        FactorTable { ids, factors, biases: None }
    };
    let tables = own.to_tables(tracks);
    let mut theirs = FactorTables {
        users: reversed(tables.users, "an unknown user"),
        items: reversed(tables.items, "a song without audio"),
        n_factors: width,
    };
    let (all, notes) = LatentFactors::adopt(&plays, tracks, theirs.clone(), &config()).unwrap();
    let near = |a: &Matrix, b: &Matrix| {
        let pairs = a.data().iter().zip(b.data());
        a.rows() == b.rows() && pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-5)
    };
    assert!(near(&all.tracks, &own.tracks) && near(&all.users, &own.users));
    assert_eq!(all.confidences, own.confidences);
    assert!(notes.len() == 1 && notes[0].contains("held-out tracks"), "{notes:?}");

    // The factors of a held-out track are computed from its plays where they are missing, as `fit` does.
    let lost = of(tracks, Split::Test)[0];
    let row = theirs.items.ids.iter().position(|id| *id == tracks[lost].id).unwrap();
    theirs.items.ids[row] = "renamed".into();
    let (some, notes) = LatentFactors::adopt(&plays, tracks, theirs.clone(), &config()).unwrap();
    assert!(notes.iter().any(|note| note.starts_with("1 tracks have no factors")), "{notes:?}");
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    // Rescaling changes the weight of the regularization, so the vectors are close but not equal.
    assert!(cosine(some.tracks.row(lost), own.tracks.row(lost)) > 0.9);

    theirs.users.ids.truncate(150);
    theirs.users.factors.truncate(150 * width);
    let (fewer, notes) = LatentFactors::adopt(&plays, tracks, theirs.clone(), &config()).unwrap();
    assert_eq!((fewer.users.rows(), fewer.ids.len()), (150, 150));
    assert!(notes.iter().any(|note| note.starts_with("50 users")), "{notes:?}");
    theirs.users.ids.iter_mut().for_each(|id| id.insert(0, '?'));
    let error = LatentFactors::adopt(&plays, tracks, theirs.clone(), &config()).unwrap_err();
    assert!(error.to_string().contains("no factors for any user"), "{error}");
    theirs.users.biases = Some(vec![0.0; 150]);
    let error = LatentFactors::adopt(&plays, tracks, theirs, &config()).unwrap_err();
    assert!(error.to_string().contains("--bias"), "{error}");
}

#[test]
fn scores_by_distance_are_the_negative_mean_squared_distances() {
    let (collection, plays) = data(40).unwrap();
    let tracks = &collection.tracks;
    let latent = fit(&plays, tracks, &config()).unwrap();
    let (train, test) = (of(tracks, Split::Train), of(tracks, Split::Test));
    let points = crate::listening::matrix::tests::noise(5, train.len(), 3);
    let items = crate::listening::matrix::tests::noise(6, test.len(), 3);
    let (users, wide) = latent.by_distance(&train, &points, &items);
    for user in 0..40 {
        let played: Vec<usize> = (0..train.len())
            .filter(|&row| latent.confidences[train[row]].iter().any(|(u, _)| *u == user as u32))
            .collect();
        if played.is_empty() {
            continue;
        }
        let score = |item: usize| -> f64 {
            let distance = |row: usize| -> f64 {
                let pairs = points.row(row).iter().zip(items.row(item));
                pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            -played.iter().map(|&row| distance(row)).sum::<f64>() / played.len() as f64
        };
        let product = |item: usize| -> f64 {
            let pairs = users.row(user).iter().zip(wide.row(item));
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        for item in 1..test.len() {
            let (ours, exact) = (product(item) - product(0), score(item) - score(0));
            assert!((ours - exact).abs() < 1e-5, "{ours} {exact}");
        }
    }
}

#[test]
fn track_factors_have_a_mean_square_of_one() {
    let (collection, plays) = data(200).unwrap();
    let latent = fit(&plays, &collection.tracks, &config()).unwrap();
    let data = latent.tracks.data();
    let square: f64 = data.iter().map(|x| f64::from(*x).powi(2)).sum();
    assert!((square / data.len() as f64 - 1.0).abs() < 1e-5);
}

#[test]
fn invalid_factorizations_are_refused() {
    let (collection, plays) = data(5).unwrap();
    let error = fit(&plays, &collection.tracks, &config()).unwrap_err().to_string();
    assert!(error.contains("[factorization]") && error.contains("factors = 8"), "{error}");
    let with_bias = WmfConfig { bias: true, ..config() };
    let (collection, plays) = data(50).unwrap();
    let error = fit(&plays, &collection.tracks, &with_bias).unwrap_err().to_string();
    assert!(error.contains("factorization.bias"), "{error}");
    let stopped = AtomicBool::new(true);
    let error = LatentFactors::fit(&plays, &collection.tracks, &config(), &stopped, |_, _, _| {});
    assert_eq!(error.unwrap_err().exit_code(), 130);
}
