//! Recommendation and similarity, from runs and from directories of factors.

use datasets::Split;
use datasets::tracks::synthetic::SyntheticConfig;
use tonotopy::listening::catalogue;
use tonotopy::listening::factors::{self, FactorTable, FactorTables};
use tonotopy::listening::matrix::Matrix;

use crate::support::{MEL, Workplace, json, small, wav};

fn latent() -> String {
    let listening = "[listening]\nname = \"synthetic_listeners\"\nusers = 200\nmean_items = 12.0\n\
                     [factorization]\nfactors = 5\niterations = 4\nregularization = 5.0\n[model]";
    small(MEL).replace("[model]", listening).replace(
        "[training]",
        "[training]\nloss = \"mean_squared_error\"\nmetric = \"auc\"\n\
         optimizer = { name = \"adam\", learning_rate = 0.001 }",
    )
}

/// Played tracks are excluded, scores descend, and the rank of an audio file matches the scores of the tracks.
#[test]
fn run_recommends_tracks_and_listeners() {
    let place = Workplace::new();
    place.write("x.toml", latent());
    place.run("-q train x.toml").ok();
    let run = place.only_run();
    let folder = place.path(&run);
    let ids = std::fs::read_to_string(folder.join("factors/items.txt")).unwrap();
    let tracks = ids.lines().count();
    // Some listeners played held-out tracks only.
    let tables = factors::read(&folder.join("factors")).unwrap();
    let rows = tables.users.factors.chunks_exact(tables.n_factors);
    let users = rows.filter(|row| row.iter().any(|value| *value != 0.0)).count();
    assert!((150..=200).contains(&users), "{users}");

    let of =
        |arguments: &str| json(&place.run(&format!("-q recommend {run} {arguments}")).ok().out);
    let all = of("--user listener-0 --include-heard --top 1000 --json");
    let all = all["users"][0]["recommended"].as_array().unwrap();
    assert_eq!(all.len(), tracks);
    let scores: Vec<f64> = all.iter().map(|item| item["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(all.iter().any(|item| !item["tags"].as_array().unwrap().is_empty()));
    let new = of("--user listener-0 --user listener-1 --top 1000 --json");
    let unheard = new["users"][0]["recommended"].as_array().unwrap();
    assert!(!unheard.is_empty() && unheard.len() < tracks);
    assert_eq!(new["users"][1]["user"], "listener-1");
    let test = of("--user listener-0 --include-heard --split test --top 1000 --json");
    assert!(test["users"][0]["recommended"].as_array().unwrap().len() < tracks / 2);

    // The rank of a new song for a user is its position among the user's scores.
    place.write("a.wav", wav(1.5, 16_000));
    let songs = of("--audio a.wav --user listener-0 --json");
    let song = &songs["songs"][0];
    assert_eq!((&song["items"], &song["users"]), (&tracks.into(), &1.into()));
    let (score, rank) = (&song["listeners"][0]["score"], &song["listeners"][0]["rank"]);
    let better = scores.iter().filter(|other| **other > score.as_f64().unwrap()).count();
    assert_eq!(rank.as_u64().unwrap(), better as u64 + 1);
    assert_eq!(song["median_rank"].as_f64(), rank.as_f64());
    let songs = of("--audio a.wav a.wav --top 3 --json");
    assert_eq!(songs["songs"].as_array().unwrap().len(), 2);
    assert_eq!(songs["songs"][0]["users"], users);
    assert_eq!(songs["songs"][0]["users_without_factors"], 200 - users);
    assert_eq!(songs["songs"][0]["listeners"].as_array().unwrap().len(), 3);
    let text = place.run(&format!("-q recommend {run} --audio a.wav")).ok().out;
    let ranked = format!("for {users} users");
    assert!(text.contains("median rank") && text.contains(&ranked), "{text}");

    // The second call uses cached factors and gives the same answer.
    let first = place.run(&format!("similar {run} {}", ids.lines().next().unwrap())).ok();
    let kept = folder.join("catalogue/factors/item_factors.npy");
    assert!(kept.exists());
    let again = place.run(&format!("similar {run} {}", ids.lines().next().unwrap())).ok();
    assert_eq!(first.out, again.out);
    let other = place.run(&format!("-q similar {run} a.wav --by embedding")).ok().out;
    assert_ne!(other, place.run(&format!("-q similar {run} a.wav")).ok().out);
    place.run(&format!("-q map {run} --perplexity 3")).ok();
    let page = std::fs::read_to_string(folder.join("map.html")).unwrap();
    assert!(page.contains("Latent factors"), "{page}");

    let fails = |arguments: &str, code, words: &[&str]| {
        place.run(&format!("recommend {run} {arguments}")).fails(code, words);
    };
    fails("--user listener-x", 3, &["listener-x", "most similar"]);
    fails("--user listener-0 --top 0", 2, &["--top is 0"]);
    fails("", 2, &["--user", "--audio"]);
    fails("--audio nowhere.wav", 3, &["nowhere.wav"]);
    fails("--user listener-0 --interactions t.csv", 2, &["--interactions"]);
    // A truncated cached file is computed again.
    let whole = place.run(&format!("recommend {run} --user listener-0")).ok();
    let bytes = std::fs::read(&kept).unwrap();
    std::fs::write(&kept, &bytes[..bytes.len() - 40]).unwrap();
    let again = place.run(&format!("recommend {run} --user listener-0")).ok();
    assert!(again.err.contains("item_factors.npy") && again.err.contains("computed again"));
    assert_eq!(whole.out, again.out);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
}

/// Half of the listeners played held-out tracks only, so that nothing is known about their taste.
#[test]
fn users_without_factors_are_left_out_and_counted() {
    let place = Workplace::new();
    let music = SyntheticConfig { tracks: 40, seconds: 3.0, ..Default::default() }.load().unwrap();
    let ids = |is_train: bool| -> Vec<&str> {
        let kept =
            music.tracks.iter().filter(|track| (track.split == Some(Split::Train)) == is_train);
        kept.map(|track| track.id.as_str()).collect()
    };
    let (train, held_out) = (ids(true), ids(false));
    let test: Vec<&str> = music
        .tracks
        .iter()
        .filter(|track| track.split == Some(Split::Test))
        .map(|track| track.id.as_str())
        .collect();
    let mut plays = String::from("user,item,count\n");
    for user in 0..8 {
        for (at, track) in train.iter().enumerate() {
            if at % 3 == user % 3 || at % 8 == user {
                plays += &format!("warm{user},{track},{}\n", 1 + at % 5);
            }
        }
        for track in held_out.iter().skip(user % 2).step_by(2) {
            plays += &format!("warm{user},{track},2\n");
        }
        plays += &format!("cold{user},{},1\n", test[user % test.len()]);
    }
    place.write("plays.csv", plays);
    let experiment = latent()
        .replace(
            "name = \"synthetic_listeners\"\nusers = 200\nmean_items = 12.0",
            "name = \"file\"\npath = \"plays.csv\"",
        )
        .replace("factors = 5", "factors = 3");
    place.write("x.toml", experiment);
    place.run("-q train x.toml").ok();
    let run = place.only_run();
    let scores = json(&place.run(&format!("-q evaluate {run} --json")).ok().out);
    for scores in [&scores, &scores["upper_bound"], &scores["random"]] {
        assert_eq!(scores["n_users"], 16, "{scores}");
        assert_eq!(scores["n_users_without_factors"], 8, "{scores}");
        assert_eq!(scores["n_users_scored"], 8, "{scores}");
    }
    let text = place.run(&format!("-q evaluate {run}")).ok().out;
    assert!(text.contains("left out: 8 users without factors"), "{text}");

    place.write("a.wav", wav(1.5, 16_000));
    let songs = json(&place.run(&format!("-q recommend {run} --audio a.wav --json")).ok().out);
    let song = &songs["songs"][0];
    assert_eq!((&song["users"], &song["users_without_factors"]), (&8.into(), &8.into()));
    for listener in song["listeners"].as_array().unwrap() {
        assert!(listener["user"].as_str().unwrap().starts_with("warm"), "{listener}");
    }
    let text = place.run(&format!("-q recommend {run} --audio a.wav")).ok().out;
    assert!(text.contains("for 8 users") && text.contains("left out: 8 users"), "{text}");
    let some =
        json(&place.run(&format!("-q recommend {run} --audio a.wav --user warm1 --json")).ok().out);
    assert_eq!(some["songs"][0]["users_without_factors"], 0);
    for more in ["", "--audio a.wav"] {
        place
            .run(&format!("recommend {run} --user warm0 --user cold1 {more}"))
            .fails(3, &["\"cold1\" has no factors", "choose another user"]);
    }
}

/// A directory whose second user and second item were not played.
fn with_zeros(place: &Workplace) {
    let ids = |ids: [&str; 3]| ids.map(String::from).to_vec();
    let tables = FactorTables {
        users: FactorTable {
            ids: ids(["1", "idle", "3"]),
            factors: vec![1.0, 0.0, 0.0, 0.0, -1.0, 2.0],
            biases: None,
        },
        items: FactorTable {
            ids: ids(["a", "unplayed", "c"]),
            factors: vec![-3.0, 1.0, 0.0, 0.0, -1.0, 1.0],
            biases: None,
        },
        n_factors: 2,
    };
    factors::write(&place.path("made"), &tables).unwrap();
}

#[test]
fn users_and_items_without_factors_are_named() {
    let place = Workplace::new();
    with_zeros(&place);
    place.run("recommend made --user idle").fails(3, &["\"idle\" has no factors"]);
    place.run("recommend made --user 1 --user idle").fails(3, &["\"idle\" has no factors"]);
    place.run("similar made unplayed").fails(3, &["\"unplayed\" has no factors", "nobody played"]);
    place.run("similar made nowhere").fails(3, &["has no item \"nowhere\""]);
    let done = place.run("recommend made --user 1 --include-heard").ok();
    assert!(!done.out.contains("unplayed") && done.out.contains("a\n"), "{}", done.out);
    assert!(done.err.contains("1 of the 3 items have no factors"), "{}", done.err);
    let done = place.run("similar made a").ok();
    assert!(!done.out.contains("unplayed") && done.out.contains('c'), "{}", done.out);
    assert!(done.err.contains("\"unplayed\""), "{}", done.err);
}

#[test]
fn plays_that_filter_nothing_are_named() {
    let place = Workplace::new();
    with_zeros(&place);
    let with = |plays: &str, user: &str| {
        place.write("plays.csv", plays);
        place.run(&format!("recommend made --user {user} --interactions plays.csv"))
    };
    let quiet = with("user,item,count\n1,a,3\n3,c,1\n", "1").ok();
    assert!(!quiet.err.contains("--interactions") && !quiet.out.contains("  a"), "{}", quiet.err);
    // Blanks around ids are not a part of them.
    let blanks = with("user, item, count\n 1 , a , 3\n3, c, 1\n", "1").ok();
    assert_eq!(blanks.out, quiet.out);
    let lacking = with("user,item,count\n3,c,1\n", "1").ok();
    assert!(lacking.err.contains("--interactions has no plays of user \"1\""), "{}", lacking.err);
    let words = ["no plays of user \"1\", but of \"1.0\"", "in the same way"];
    with("user,item,count\n1.0,a,3\n3,c,1\n", "1").fails(3, &words);
    let words = ["none of its 2 users", "\"1.0\"", "same ids"];
    with("user,item,count\n1.0,a,3\n3.0,c,1\n", "1").fails(3, &words);
    let other = with("user,item,count\n1,b,3\n3,c,1\n", "1").ok();
    assert!(other.err.contains("none of the 1 items that user \"1\""), "{}", other.err);
    with("user,item,count\n1,b,3\n", "1").fails(3, &["none of its 1 items"]);
    let all = place.run("recommend made --user 1 --interactions plays.csv --include-heard");
    all.fails(3, &["none of its 1 items"]);
    with("user,item,count\n3,c,1\n", "nobody").fails(3, &["nobody", "does not exist"]);
}

#[test]
fn map_of_equal_points_says_so() {
    let place = Workplace::new();
    place.write("tags.toml", small(MEL));
    place.run("-q train tags.toml").ok();
    let run = place.only_run();
    let done = place.run(&format!("map {run} --perplexity 5 --json")).ok();
    assert_eq!(json(&done.out)["equal_points"], false);
    assert!(!done.err.contains("mean nothing"), "{}", done.err);
    // The vectors of a network that computes the same for all tracks.
    let stored = place.path(&run).join("catalogue/embedding");
    let fingerprint = std::fs::read_to_string(stored.join("model.txt")).unwrap();
    let (table, width) = factors::read_items(&stored).unwrap();
    let vectors = Matrix::new(table.ids.len(), width, vec![0.5; table.ids.len() * width]).unwrap();
    catalogue::write(&stored, fingerprint.trim(), &table.ids, &vectors).unwrap();
    let done = place.run(&format!("map {run} --perplexity 5 --json")).ok();
    assert_eq!(json(&done.out)["equal_points"], true);
    assert!(done.err.contains("positions on the map mean nothing"), "{}", done.err);
    let page = place.read(&format!("{run}/map.html"));
    assert!(page.contains("the same for all tracks: their positions mean nothing"), "{page}");
}

/// Baselines work with all verbs; MLR, which is fitted instead of trained, has no factors.
#[test]
fn baselines_are_fitted_evaluated_and_compared() {
    let place = Workplace::new();
    let network = format!("name = \"tagger\"\nfront_end = {MEL}");
    let bag = format!("bag = {{ words = 20, front_end = {MEL} }}");
    let linear = latent().replace(&network, &format!("name = \"bag_of_words\"\n{bag}"));
    let mlr = latent()
        .replace(&network, &format!("name = \"mlr\"\nneighbours = 3\n{bag}"))
        .replace("mean_squared_error", "none")
        .replace("steps = 12", "steps = 0");
    place.write("set/linear.toml", &linear);
    place.write("set/mlr.toml", &mlr);
    let told = place.run("--device cpu run set").ok();
    for word in
        ["set-linear", "set-mlr", "Upper bound", "Random factors", "fit: words", "fit: metric"]
    {
        assert!(
            told.out.contains(word) || told.err.contains(word),
            "{word}:\n{}{}",
            told.out,
            told.err
        );
    }
    let folder = place.path("runs/set-mlr-s1");
    let scores = json(&std::fs::read_to_string(folder.join("scores.json")).unwrap());
    assert!((0.0..=1.0).contains(&scores["auc"].as_f64().unwrap()), "{scores}");
    assert!(scores["similar_tracks"].is_null() && scores["tags_from_factors"].is_object());
    let again = json(&place.run("-q evaluate runs/set-mlr-s1 --json").ok().out);
    assert_eq!(again, scores);
    place
        .run("recommend runs/set-mlr-s1 --user listener-0")
        .fails(2, &["does not predict factors"]);
    let ids = std::fs::read_to_string(folder.join("factors/items.txt")).unwrap();
    let track = ids.lines().next().unwrap();
    let near = place.run(&format!("-q similar runs/set-mlr-s1 {track} --top 2")).ok().out;
    assert_eq!(near.lines().count(), 3, "{near}");
    place.run("-q map runs/set-linear-s1 --perplexity 3").ok();

    // Fitted parts are verified when they are read.
    let words = folder.join("fitted/words.npy");
    let mut bytes = std::fs::read(&words).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&words, bytes).unwrap();
    place.run("evaluate runs/set-mlr-s1").fails(3, &["words.npy", "checksum"]);

    place.write("a.toml", mlr.replace("steps = 0", "steps = 5"));
    place.run("train a.toml").fails(2, &["training.steps is 5", "fitted, not trained"]);
    place.write("b.toml", mlr.replace("\"none\"", "\"mean_squared_error\""));
    place.run("train b.toml").fails(2, &["training.loss", "fitted, not trained"]);
    place.write("c.toml", linear.replace("\"mean_squared_error\"", "\"none\""));
    place.run("train c.toml").fails(2, &["training.loss", "this model is trained"]);
    place.write("d.toml", linear.replace("words = 20", "words = 1_000_000"));
    place.run("train d.toml").fails(2, &["bag.words = 1000000"]);
    place.write("e.toml", linear.replace("words = 20", "words = 20_000"));
    place.run("train e.toml").fails(2, &["words = 20000", "frames of all training excerpts"]);
    place.write(
        "f.toml",
        linear
            .replace("[dataset]\nname = \"synthetic\"", "[dataset]\nname = \"synthetic\"\nseed = 5")
            .replace(
                "name = \"synthetic_listeners\"\nusers = 200\nmean_items = 12.0",
                "name = \"file\"\npath = \"plays.csv\"",
            ),
    );
    place.write("plays.csv", "user,item,count\na,nothing we have,1\n");
    place.run("train f.toml").fails(3, &["nobody played any", "nothing we have", "same ids"]);
}

#[test]
fn tagger_cannot_recommend() {
    let place = Workplace::new();
    place.write("tags.toml", small(MEL));
    place.run("-q train tags.toml").ok();
    let folder = std::fs::read_dir(place.path("runs")).unwrap().next().unwrap().unwrap().path();
    let run = format!("runs/{}", folder.file_name().unwrap().to_string_lossy());
    place.run(&format!("recommend {run} --user u")).fails(2, &["has no users"]);
    place.run(&format!("similar {run} x --by factors")).fails(2, &["--by embedding"]);
}

/// Ids may contain commas, quotes and letters of any script.
#[test]
fn directory_of_factors_recommends_without_a_run() {
    let place = Workplace::new();
    let ids = |ids: &[&str]| ids.iter().map(|id| id.to_string()).collect::<Vec<_>>();
    let tables = || FactorTables {
        users: FactorTable {
            ids: ids(&["a,b", "\"quoted\"", "Ünïcödé", "d"]),
            factors: vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 0.5],
            biases: None,
        },
        items: FactorTable {
            ids: ids(&["song,1", "песня", "it's"]),
            factors: vec![3.0, 0.0, 0.0, 2.0, 1.0, 1.0],
            biases: None,
        },
        n_factors: 2,
    };
    factors::write(&place.path("made"), &tables()).unwrap();
    let of = |user: &str| -> Vec<String> {
        let out = place.run(&format!("recommend made --user {user} --json")).ok().out;
        let items = json(&out)["users"][0]["recommended"].as_array().unwrap().clone();
        items.iter().map(|item| item["id"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(of("a,b"), ["song,1", "it's", "песня"]);
    assert_eq!(of("\"quoted\""), ["песня", "it's", "song,1"]);
    assert_eq!(of("Ünïcödé"), ["song,1", "песня", "it's"]);
    place.write("heard.csv", "user,item,count\n\"a,b\",\"song,1\",3\nd,it's,1\n");
    let left = place.run("recommend made --user a,b --interactions heard.csv").ok().out;
    assert!(!left.contains("song,1") && left.contains("it's"), "{left}");

    // The users' scores of "song,1" and "it's" are (3, 0, 3, -3) and (1, 1, 2, -0.5).
    let out = json(&place.run("similar made song,1 --json").ok().out);
    let near = &out[0]["similar"][0];
    let by_hand = (3.0 + 6.0 + 1.5) / (27.0_f64.sqrt() * 6.25_f64.sqrt());
    assert_eq!(near["id"], "it's");
    assert!((near["similarity"].as_f64().unwrap() - by_hand).abs() < 1e-6, "{near}");
    place.run("similar made nobody").fails(3, &["nobody", "items.txt"]);
    place.run("similar made song,1 --by embedding").fails(2, &["needs a run"]);
    place.run("recommend made --user d --audio x.wav").fails(2, &["name a run"]);
    place.run("recommend nowhere --user d").fails(3, &["nowhere"]);

    let mut biased = tables();
    biased.users.biases = Some(vec![0.0; 4]);
    biased.items.biases = Some(vec![0.0; 3]);
    factors::write(&place.path("biased"), &biased).unwrap();
    place.run("recommend biased --user d").fails(2, &["--bias"]);
    let mut broken = tables();
    broken.items.factors[3] = f32::NAN;
    factors::write(&place.path("broken"), &broken).unwrap();
    place.run("recommend broken --user d").fails(3, &["item_factors.npy", "NaN"]);
    place.write("made/items.txt", "one\ntwo\n");
    place.run("recommend made --user d").fails(3, &["items.txt", "checksum"]);
    // Other programs write no checksums.
    std::fs::remove_file(place.path("made/checksums.json")).unwrap();
    place.run("recommend made --user d").fails(3, &["3 rows", "2 ids"]);
}
