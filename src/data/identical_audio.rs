//! Tracks with identical audio: copies, songs on two albums, files that were mixed up.

use std::collections::HashMap;

use datasets::Track;

use crate::audio::CachedAudio;

/// Groups and tracks that a note names.
const SHOWN: usize = 3;

/// What is said about the tracks with identical audio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdenticalAudio {
    /// How many there are, and whether their tags differ.
    pub notes: Vec<String>,
    /// That some are in different splits, so that scores are too high.
    pub leak: Option<String>,
}

/// Finds the tracks whose decoded samples are equal; `tags` is the vocabulary, `audio` has one element per track.
pub fn identical_audio<'a>(
    tracks: &[Track],
    tags: &[String],
    audio: impl IntoIterator<Item = &'a CachedAudio>,
) -> IdenticalAudio {
    let mut by_content: HashMap<&[u8; 32], Vec<&Track>> = HashMap::new();
    let mut order = Vec::new();
    for (track, audio) in tracks.iter().zip(audio) {
        let group = by_content.entry(audio.content_hash()).or_default();
        group.push(track);
        if group.len() == 2 {
            order.push(audio.content_hash());
        }
    }
    let groups: Vec<&Vec<&Track>> = order.iter().map(|content| &by_content[content]).collect();
    let names = |track: &Track| {
        let names: Vec<&str> = track.tags.iter().map(|&tag| tags[tag].as_str()).collect();
        if names.is_empty() { "no tags".to_string() } else { names.join("|") }
    };
    let split = |track: &Track| track.split.map_or("no split".into(), |split| split.to_string());
    let all = described(&groups, |track| track.id.clone());
    let other_tags = differing(&groups, |track| track.tags.clone());
    let other_tags = described(&other_tags, |track| format!("{} ({})", track.id, names(track)));
    let leaks = differing(&groups, |track| track.split);
    let leaks = described(&leaks, |track| format!("{} ({})", track.id, split(track)));
    let notes = [
        all.map(|found| format!("identical audio: {found}")),
        other_tags.map(|found| {
            format!("identical audio with different tags: {found}; at most one of them is right")
        }),
    ];
    IdenticalAudio {
        notes: notes.into_iter().flatten().collect(),
        leak: leaks.map(|found| {
            format!(
                "identical audio in different splits: {found}; what is learned from one is tested on the other, so \
                 scores are too high: remove the copies, or move them into one split"
            )
        }),
    }
}

/// The groups whose tracks do not all have the same value.
fn differing<'a, T: PartialEq>(
    groups: &[&'a Vec<&'a Track>],
    value: impl Fn(&Track) -> T,
) -> Vec<&'a Vec<&'a Track>> {
    let differs =
        |group: &&&'a Vec<&'a Track>| group.iter().any(|track| value(track) != value(group[0]));
    groups.iter().filter(differs).copied().collect()
}

/// `5 tracks in 2 groups (a = b, c = d = e)`; `None` without groups.
fn described(groups: &[&Vec<&Track>], name: impl Fn(&Track) -> String) -> Option<String> {
    let one = |group: &&Vec<&Track>| {
        let first: Vec<String> = group.iter().take(SHOWN).map(|track| name(track)).collect();
        let more = if group.len() > SHOWN { " = ..." } else { "" };
        first.join(" = ") + more
    };
    let tracks: usize = groups.iter().map(|group| group.len()).sum();
    let first: Vec<String> = groups.iter().take(SHOWN).map(one).collect();
    let more = if groups.len() > SHOWN { ", ..." } else { "" };
    let count = match groups.len() {
        0 => return None,
        1 => "1 group".to_string(),
        count => format!("{count} groups"),
    };
    Some(format!("{tracks} tracks in {count} ({}{more})", first.join(", ")))
}
