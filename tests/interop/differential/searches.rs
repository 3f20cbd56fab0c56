//! Searches: every form of query with every configuration, over the messages that `requests.txt` wrote for them.
//!
//! Words → a request each, alone, negated and in a tree; then random queries of words and operators.
//! PostgREST 12 searches a column as the default configuration reads it, and JSON not at all; newer ones make a vector of
//! any column in the configuration of the query. So 12 is asked for columns that hold such vectors.

use std::collections::HashMap;

use super::{
    random::{encoded, quoted},
    request::Request,
};

const FORMS: [&str; 4] = ["fts", "plfts", "phfts", "wfts"];
const CONFIGURATIONS: [&str; 3] = ["", "(simple)", "(english)"];

/// Random queries of each form and configuration.
const RANDOM: usize = 25;

/// Queries that every form reads in its own way.
const QUERIES: &[&str] = &[
    "cat",
    "cats",
    "CATS",
    "fat cat",
    "fat cats",
    "fat & cat",
    "fat | dog",
    "!cat",
    "-cat",
    "fat <-> cat",
    "sat <3> mat",
    "sat on a mat",
    "the",
    "the of",
    "!the & cat",
    "",
    " ",
    "run",
    "running",
    "ran",
    "happy",
    "universe",
    "database",
    "foo-bar",
    "foo bar",
    "bar",
    "well-known",
    "state-of-the-art",
    "state art",
    "art",
    "-1a",
    "x-ray",
    "1a",
    "ada@example.com",
    "example.com",
    "www.example.com",
    "www.example.com/path/to?x=1",
    "/path/to?x=1",
    "https",
    "path",
    "1.2.3",
    "1.2",
    "5.00",
    "5",
    "-7",
    "7",
    "1e5",
    "3.14",
    "2024",
    "-01",
    "größe",
    "GRÖSSE",
    "naïve",
    "cafe",
    "日本語",
    "テスト",
    "σίσυφος",
    "İSTANBUL",
    "😀",
    "don't",
    "don''t",
    "o'neil",
    "'fat cat'",
    "\"fat cat\"",
    "\"cat fat\"",
    "\"fat cat\" -rat",
    "cat or foo",
    "or cat",
    "cat or",
    "cat OR -fat",
    "-\"fat cat\" cat",
    "\"unclosed fat",
    "back\\slash",
    "back\\",
    "bold",
    "b",
    "href",
    "amp",
    "/usr/local/bin",
    "usr",
    "file.txt",
    "a_b",
    "a",
    "C++",
    "c",
    "50%",
    "@user",
    "#tag",
    "ca:*",
    "fat <-> ca:*",
    "cat:A",
    "cat:*D",
    "(fat | foo) & !rat",
    "((cat",
    "cat)",
    "cat &",
    "& cat",
    "cat <->",
    "cat <-> ",
    "cat <x> rat",
    "cat <20000> rat",
    "cat:x",
    ":cat",
    "!",
    "!!cat",
    "cat,rat",
    "fat\tcat",
    "fat <-> (cat | rat) <-> sat",
    "cat <-> the",
    "is <-> running",
    "a <-> cat",
    "!fat <-> cat",
    "fat <-> !dog",
    "(fat & cat) <-> sat",
    "<b>",
    "cat & <b>rat</b>",
];

/// What random queries are made of.
const WORDS: &[&str] = &[
    "cat",
    "cats",
    "the",
    "fat",
    "run",
    "running",
    "rat",
    "foo-bar",
    "foo",
    "x-ray-1a",
    "example.com",
    "3.14",
    "café",
    "on",
];
const SIGNS: &[&str] =
    &["&", "|", "!", "<->", "<2>", "<0>", "(", ")", ":*", "'", "\\", "-", "\"", " or ", ":d", ",", " ", " "];

/// All searches.
pub(super) fn all(names: &HashMap<&str, String>) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut random = fastrand::Rng::with_seed(7);
    for form in FORMS {
        for configuration in CONFIGURATIONS {
            let operator = format!("{form}{configuration}");
            for query in QUERIES {
                requests.push(format!("content={operator}.{}", encoded(query)));
            }
            for _ in 0..RANDOM {
                let query = random_query(&mut random, form == "fts");
                requests.push(match random.u8(..4) {
                    0 => format!("content=not.{operator}.{}", encoded(&query)),
                    1 => format!("or=(content.{operator}.{},content.eq.one)", quoted(&query)),
                    2 => format!("not.and=(content.not.{operator}.{},seq.gt.0)", quoted(&query)),
                    _ => format!("content={operator}.{}", encoded(&query)),
                });
            }
        }
    }
    let line = |filter| format!("ada GET messages?select=id&conversation_id=eq.$c40&{filter}&order=seq");
    requests.into_iter().map(|filter| Request::read(&line(filter), names)).collect()
}

fn random_query(random: &mut fastrand::Rng, is_well_formed: bool) -> String {
    let mut query = String::new();
    for place in 0..random.usize(1..5) {
        if is_well_formed && random.u8(..8) > 0 {
            let joints = [" & ", " | ", " <-> ", " <2> ", " & !", " <-> !", " | ("];
            query += if place > 0 { joints[random.usize(..joints.len())] } else { "" };
        } else {
            query += SIGNS[random.usize(..SIGNS.len())];
        }
        query += WORDS[random.usize(..WORDS.len())];
    }
    let open = query.matches('(').count().saturating_sub(query.matches(')').count());
    query + &")".repeat(open)
}

/// The target that means to PostgREST 12 what `target` means to newer ones.
pub(super) fn for_12(target: &str) -> String {
    let mut target = target.to_owned();
    for form in FORMS {
        for not in ["", "not."] {
            for joint in ["=", "."] {
                let (simple, english) = (format!("{not}{form}(simple)."), format!("{not}{form}(english)."));
                for (column, wanted, name) in [
                    ("content", &simple, "content_simple"),
                    ("metadata", &simple, "metadata_simple"),
                    ("metadata", &english, "metadata_english"),
                    ("metadata", &format!("{not}{form}."), "metadata_english"),
                ] {
                    target = target.replace(&format!("{column}{joint}{wanted}"), &format!("{name}{joint}{wanted}"));
                }
            }
        }
    }
    target
}

/// What an answer of PostgREST 12 says about such a target, with the names that newer ones would use.
pub(super) fn of_12(location: &str) -> String {
    let names = ["content_simple", "metadata_simple", "metadata_english"];
    names
        .iter()
        .fold(location.to_owned(), |location, name| location.replace(name, name.split('_').next().unwrap_or_default()))
}

#[test]
fn only_what_12_reads_otherwise_is_said_otherwise() {
    for (target, for_old) in [
        ("m?content=fts.x&content=fts(english).x", None),
        ("m?content=not.fts(simple).x", Some("m?content_simple=not.fts(simple).x")),
        ("m?or=(metadata.wfts.x,a.eq.1)", Some("m?or=(metadata_english.wfts.x,a.eq.1)")),
        ("m?metadata->>a=fts(simple).x", None),
    ] {
        assert_eq!(for_12(target), for_old.unwrap_or(target));
        assert_eq!(of_12(&for_12(target)), target);
    }
}
