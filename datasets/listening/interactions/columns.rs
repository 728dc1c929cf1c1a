//! The columns of user, item and count, found by their names or by the layout of a known data set.

use crate::error::quoted;

use super::counts::is_number;

/// What a column contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    User,
    Item,
    Count,
}

use Role::{Count, Item, User};

/// Known names of each role, reduced to letters in lower case; the first is the one to recommend.
const NAMES: [(Role, &[&str]); 3] = [
    (
        User,
        &[
            "user",
            "userid",
            "uid",
            "listener",
            "listenerid",
            "username",
            "person",
            "customer",
            "member",
            "pid",
            "playlist",
            "playlistid",
            "account",
            "session",
            "sessionid",
            "visitor",
            "visitorid",
        ],
    ),
    (
        Item,
        &[
            "item", "itemid", "track", "trackid", "song", "songid", "artist", "artistid", "album",
            "albumid", "id", "iid",
        ],
    ),
    (
        Count,
        &[
            "count",
            "counts",
            "plays",
            "playcount",
            "listens",
            "listencount",
            "weight",
            "rating",
            "value",
        ],
    ),
];

/// Nouns of each role, with which a name of several words can end, as in `spotify_track_uri` or `num_plays`.
const NOUNS: [(Role, &[&str]); 3] = [
    (
        User,
        &[
            "user",
            "listener",
            "person",
            "customer",
            "member",
            "playlist",
            "account",
            "session",
            "visitor",
            "profile",
            "client",
            "subscriber",
            "fan",
            "u",
        ],
    ),
    (
        Item,
        &[
            "item",
            "track",
            "song",
            "artist",
            "album",
            "recording",
            "title",
            "piece",
            "release",
            "work",
            "band",
            "music",
            "mbid",
            "msid",
            "isrc",
            "uri",
            "i",
        ],
    ),
    (
        Count,
        &[
            "count",
            "play",
            "playcount",
            "listen",
            "listencount",
            "scrobble",
            "stream",
            "frequency",
            "freq",
            "weight",
            "rating",
            "score",
            "value",
            "times",
            "total",
            "n",
        ],
    ),
];

/// Words that say which property of the noun before them a column has.
const PROPERTIES: [&str; 10] =
    ["id", "ids", "uri", "url", "key", "hash", "mbid", "msid", "uuid", "name"];
/// Last words of the names of points in time.
const TIMES: [&str; 8] = ["timestamp", "time", "date", "datetime", "at", "utc", "ts", "unixtime"];
/// Types that RecBole writes behind a name.
const TYPES: [&str; 4] = ["token", "token_seq", "float", "float_seq"];

/// Indices of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub user: usize,
    pub item: usize,
    /// Columns whose values, joined, name an item where `item` is empty.
    pub instead: Vec<usize>,
    /// `None` if every row is one play.
    pub count: Option<usize>,
}

/// What the first line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstLine {
    Header,
    /// A header of which one name is unknown.
    LikelyHeader,
    Play,
}

impl Columns {
    fn new(user: usize, item: usize, count: Option<usize>) -> Columns {
        Columns { user, item, instead: Vec::new(), count }
    }

    /// The columns of user and item in a table of two, in this order.
    pub fn pair() -> Columns {
        Columns::new(0, 1, None)
    }

    /// Finds the columns from the first line of a table.
    pub fn of_first_line(fields: &[String]) -> Result<(Columns, FirstLine), String> {
        let width = fields.len();
        if width < 2 {
            let spaces = match fields.first().is_some_and(|field| field.trim().contains(' ')) {
                true => "; in R, write.csv(plays, \"plays.csv\", row.names = FALSE)",
                false => "",
            };
            return Err(format!(
                "the first line has one value: separate user, item and count by commas, semicolons or tabs{spaces}"
            ));
        }
        if let Some(columns) = lastfm(fields) {
            return Ok((columns, FirstLine::Play));
        }
        let numbers = fields.iter().any(|field| is_number(field));
        let is_header = match width {
            2 => {
                let exact = [User, Item];
                fields.iter().any(|field| exact.iter().any(|role| is_known(field, *role)))
                    || !numbers && {
                        let roles = [0, 1].map(|at| role_by_words(&fields[at]));
                        roles == [Some(User), Some(Item)] || roles == [Some(Item), Some(User)]
                    }
            }
            _ => fields.iter().any(|field| is_known(field, User)) || !numbers,
        };
        if is_header {
            let known = |role| {
                let has_role = |f: &String| is_known(f, role) || role_by_words(f) == Some(role);
                fields.iter().any(has_role)
            };
            let kind = match known(User) && known(Item) {
                true => FirstLine::Header,
                false => FirstLine::LikelyHeader,
            };
            return Ok((Columns::named(fields, ("header", "column"))?, kind));
        }
        let columns = match width {
            2 => Columns::pair(),
            3 => Columns::new(0, 1, Some(2)),
            _ => {
                return Err(format!(
                    "the table has {width} columns and no header: add a header that names user, item and count, or \
                     keep only these three columns"
                ));
            }
        };
        Ok((columns, FirstLine::Play))
    }

    /// Finds the columns by name. `place` is what has the names and what they are names of, for error messages.
    pub fn named(names: &[String], place: (&str, &str)) -> Result<Columns, String> {
        let (whole, part) = place;
        let missing = |role: Role, more: &str| {
            format!(
                "the {whole} {} has no {} {part}: name the {part}s user, item and count{more}",
                quoted(&names.join(", ")),
                best_name(role)
            )
        };
        let exact = |role| choose(names, role, part, &|name| is_known(name, role));
        let mut found = [exact(User)?, exact(Item)?, exact(Count)?];
        for (at, role) in [User, Item, Count].into_iter().enumerate() {
            if found[at].is_none() {
                let taken: Vec<usize> = found.iter().flatten().copied().collect();
                let free = |name: &String| {
                    names.iter().position(|n| n == name).is_some_and(|i| !taken.contains(&i))
                };
                let fits = |name: &String| {
                    free(name) && !is_time(name) && role_by_words(name) == Some(role)
                };
                found[at] = choose(names, role, part, &fits)?;
            }
        }
        let [mut user, mut item, count] = found;
        if names.len() == 2 {
            // The other column can have any name.
            match (user, item) {
                (Some(at), None) => item = Some(1 - at),
                (None, Some(at)) => user = Some(1 - at),
                _ => {}
            }
        }
        let user = user.ok_or_else(|| missing(User, ""))?;
        let item = item.ok_or_else(|| missing(Item, ""))?;
        // In a log of plays, every row is one.
        if count.is_none() && names.len() > 2 && !names.iter().any(|name| is_time(name)) {
            return Err(missing(Count, ", or keep only user and item if every row is one play"));
        }
        Ok(Columns::new(user, item, count))
    }
}

/// The column of a role among those that `fits` selects.
fn choose(
    names: &[String],
    role: Role,
    part: &str,
    fits: &dyn Fn(&String) -> bool,
) -> Result<Option<usize>, String> {
    let found: Vec<usize> = (0..names.len()).filter(|&at| fits(&names[at])).collect();
    match found[..] {
        [] => Ok(None),
        [column] => Ok(Some(column)),
        [a, b, ..] => {
            // Of an artist's id and name, the id is the item.
            let noun = |at: &usize| words(&names[*at]).0;
            let ids: Vec<usize> = found.iter().copied().filter(|&at| is_id(&names[at])).collect();
            match ids[..] {
                [id] if found.iter().all(|at| noun(at) == noun(&id)) => Ok(Some(id)),
                _ => Err(format!(
                    "the {part}s {} and {} are both names for {}: rename one of them",
                    quoted(&names[a]),
                    quoted(&names[b]),
                    best_name(role)
                )),
            }
        }
    }
}

fn best_name(role: Role) -> &'static str {
    match role {
        User => "user",
        Item => "item",
        Count => "count",
    }
}

/// The name without the type that RecBole writes behind it.
fn untyped(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((name, kind)) if TYPES.contains(&kind.trim()) => name,
        _ => name,
    }
}

fn is_known(name: &str, role: Role) -> bool {
    let letters: String = untyped(name).chars().filter(|c| c.is_alphanumeric()).collect();
    let letters = letters.to_lowercase();
    NAMES.iter().any(|(other, names)| *other == role && names.contains(&letters.as_str()))
}

/// The last noun of a name and the words behind it, which are its properties; all in lower case.
fn words(name: &str) -> (String, Vec<String>) {
    let mut words: Vec<String> = vec![String::new()];
    let mut before = ' ';
    for c in untyped(name).chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if (begins || !c.is_alphanumeric()) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    let mut properties = Vec::new();
    while words.len() > 1 && PROPERTIES.contains(&words[words.len() - 1].as_str()) {
        properties.extend(words.pop());
    }
    let mut noun = words.pop().unwrap_or_default();
    // `trackuri`, `userid`.
    if let Some((stem, property)) = PROPERTIES.iter().find_map(|property| {
        Some((noun.strip_suffix(property).filter(|stem| !stem.is_empty())?, property))
    }) && NOUNS.iter().any(|(_, nouns)| nouns.contains(&stem))
    {
        properties.push((*property).to_owned());
        noun = stem.to_owned();
    }
    let singular = noun.strip_suffix('s').unwrap_or(&noun);
    if NOUNS.iter().any(|(_, nouns)| nouns.contains(&singular)) {
        noun = singular.to_owned();
    }
    (noun, properties)
}

fn role_by_words(name: &str) -> Option<Role> {
    let (noun, _) = words(name);
    NOUNS.iter().find(|(_, nouns)| nouns.contains(&noun.as_str())).map(|(role, _)| *role)
}

/// Whether a name ends with a word for an identifier.
fn is_id(name: &str) -> bool {
    let (_, properties) = words(name);
    !properties.is_empty() && properties.iter().all(|property| property != "name")
}

fn is_time(name: &str) -> bool {
    let (noun, _) = words(name);
    TIMES.contains(&noun.as_str())
}

/// The columns of the Last.fm data sets 360K (user, artist id, artist, plays) and 1K (user, time, artist id, artist,
/// track id, track), which have no header (layouts from memory, confident). Ids are MusicBrainz's, and empty where
/// that does not know the artist or the track.
fn lastfm(fields: &[String]) -> Option<Columns> {
    let is_hex = |text: &str| text.bytes().all(|c| c.is_ascii_hexdigit());
    let is_mbid = |text: &str| {
        let lengths = text.split('-').map(str::len);
        text.is_empty() || lengths.eq([8, 4, 4, 4, 12]) && is_hex(&text.replace('-', ""))
    };
    match fields {
        [user, id, _, plays]
            if user.len() == 40 && is_hex(user) && is_mbid(id) && is_number(plays) =>
        {
            Some(Columns { user: 0, item: 1, instead: vec![2], count: Some(3) })
        }
        [_, time, artist, _, track, _]
            if time.ends_with('Z') && time.contains('T') && is_mbid(artist) && is_mbid(track) =>
        {
            Some(Columns { user: 0, item: 4, instead: vec![3, 5], count: None })
        }
        _ => None,
    }
}
