//! The differences that are known, each with its reason.
//!
//! A rule says when it applies and which parts of the answer it explains. What no rule explains is a failure
//! of the comparison; so is a rule that no request needs any more.

use super::{
    answer::{
        Answer,
        Part::{self, Body, Code, Details, Header, Hint, Message, Status},
    },
    request::Request,
};

/// One known difference.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    #[expect(dead_code, reason = "for people; every rule has one")]
    reason: &'static str,
    /// Whether it applies, given the real answer and the development cloud's.
    pub(super) applies: fn(&Request, &Answer, &Answer) -> bool,
    pub(super) explains: &'static [Part],
}

/// Whether both failed, with one of these pairs of codes (real, ours).
fn codes(real: &Answer, ours: &Answer, pairs: &[(&str, &str)]) -> bool {
    pairs.contains(&(real.code(), ours.code()))
}

pub(super) const RULES: &[Rule] = &[
    // What PostgREST 12 says in another way than the releases that the development cloud follows.
    Rule {
        name: "code of an expired token",
        reason: "PGRST301 became PGRST303 in PostgREST 13; a client refreshes on both",
        applies: |_, real, ours| codes(real, ours, &[("PGRST301", "PGRST303")]) && real.status == 401,
        explains: &[Code],
    },
    Rule {
        name: "words about a bad token",
        reason: "PostgREST 12 shows the failure of its token library as it is",
        applies: |_, real, ours| codes(real, ours, &[("PGRST301", "PGRST301")]),
        explains: &[Message, Header("www-authenticate")],
    },
    Rule {
        name: "unknown table",
        reason: "PostgreSQL's 42P01 until PostgREST 12, from the schema cache (PGRST205) since 13",
        applies: |_, real, ours| codes(real, ours, &[("42P01", "PGRST205")]),
        explains: &[Code, Message],
    },
    Rule {
        name: "words about an unknown column",
        reason: "reworded in PostgREST 13; the code is the same",
        applies: |_, real, ours| codes(real, ours, &[("PGRST204", "PGRST204")]),
        explains: &[Message],
    },
    Rule {
        name: "not one row",
        reason: "reworded in PostgREST 13, which also answers in the media type that was asked for",
        applies: |_, real, ours| codes(real, ours, &[("PGRST116", "PGRST116")]),
        explains: &[Message, Header("content-type")],
    },
    Rule {
        name: "path of two segments",
        reason: "a 404 without a code until PostgREST 12, PGRST125 since 13",
        applies: |_, real, ours| codes(real, ours, &[("null", "PGRST125")]) && real.status == 404,
        explains: &[Code, Message],
    },
    Rule {
        name: "status of an unknown media type",
        reason: "415 until PostgREST 12, 406 since 13",
        applies: |_, real, ours| {
            codes(real, ours, &[("PGRST107", "PGRST107")]) && (real.status, ours.status) == (415, 406)
        },
        explains: &[Status],
    },
    Rule {
        name: "words about an unknown schema",
        reason: "reworded in PostgREST 13; the code is the same",
        applies: |_, real, ours| codes(real, ours, &[("PGRST106", "PGRST106")]),
        explains: &[Message, Hint],
    },
    Rule {
        name: "max-affected",
        reason: "came with PostgREST 12.2: before, it is a preference that nobody knows",
        applies: |request, real, ours| {
            request.header("prefer").contains("max-affected") && codes(real, ours, &[("PGRST122", "PGRST124")])
        },
        explains: &[Code, Message, Details],
    },
    Rule {
        name: "is.not_null",
        reason: "came with PostgREST 13",
        applies: |request, real, ours| {
            request.target.contains("is.not_null") && real.code() == "PGRST100" && ours.status == 200
        },
        explains: &[Status, Body, Header("content-range"), Header("content-location")],
    },
    Rule {
        name: "spread of many rows",
        reason: "refused until PostgREST 12; lists in the columns of the parent since 13",
        applies: |request, real, ours| {
            request.target.contains("...") && real.code() == "PGRST119" && ours.status == 200
        },
        explains: &[Status, Body, Header("content-range"), Header("content-location")],
    },
    Rule {
        name: "search of what a step into JSON finds",
        reason: "12 searches in text only; 13 also in JSON",
        applies: |request, real, ours| {
            request.target.contains("metadata->") && real.code() == "42883" && ours.status == 200
        },
        explains: &[Status, Body, Header("content-range"), Header("content-location")],
    },
    Rule {
        name: "words about a search of what is no text",
        reason: "an operator that is missing until PostgREST 12, a function since 13",
        applies: |request, real, ours| request.target.contains("fts") && codes(real, ours, &[("42883", "42883")]),
        explains: &[Message, Hint],
    },
    Rule {
        name: "status of the same key twice",
        reason: "21000 is a client's error in PostgREST 12, and a server's (500) in newer releases",
        applies: |_, real, ours| codes(real, ours, &[("21000", "21000")]) && (real.status, ours.status) == (400, 500),
        explains: &[Status],
    },
    Rule {
        name: "status of a row put for the first time",
        reason: "204 until PostgREST 12, 201 in newer releases",
        applies: |request, real, ours| request.method == "PUT" && (real.status, ours.status) == (204, 201),
        explains: &[Status],
    },
    Rule {
        name: "Content-Location encoded twice, or joined",
        reason: "12 encodes letters beyond ASCII twice and joins repeated parameters with a comma",
        applies: |request, _, _| {
            let pairs = request.target.split(['?', '&']).skip(1);
            let mut names: Vec<_> = pairs.filter_map(|pair| pair.split('=').next()).collect();
            names.sort_unstable();
            let is_repeated = names.windows(2).any(|pair| pair[0] == pair[1]);
            // The first byte of a letter beyond ASCII is C2 or more.
            let has_letters = request.target.split('%').skip(1).any(|byte| byte.starts_with(['C', 'D', 'E', 'F']));
            is_repeated || !request.target.is_ascii() || has_letters
        },
        explains: &[Header("content-location")],
    },
    // What no client reads, and only PostgREST's and PostgreSQL's own parsers would say in the same words.
    Rule {
        name: "words of the parser",
        reason: "what else would have been possible at that place is a matter of how a parser is written",
        applies: |_, real, ours| codes(real, ours, &[("PGRST100", "PGRST100")]),
        explains: &[Message, Details],
    },
    Rule {
        name: "words about a bad pattern",
        reason: "the regular expressions of the development cloud are not PostgreSQL's",
        applies: |_, real, ours| codes(real, ours, &[("2201B", "2201B")]),
        explains: &[Message],
    },
    Rule {
        name: "what else a relationship might be called",
        reason: "a guess of a fuzzy search, for people",
        applies: |_, real, ours| codes(real, ours, &[("PGRST200", "PGRST200")]),
        explains: &[Hint],
    },
    // What the development cloud does on purpose.
    Rule {
        name: "order of keys in an embedded list",
        reason: "PostgREST makes the list a jsonb, which sorts keys; the development cloud keeps the select's order",
        applies: |request, real, ours| request.target.contains('(') && real.has_same_values(ours),
        explains: &[Body],
    },
    Rule {
        name: "an object in a text column",
        reason: "PostgreSQL keeps the spaces of the request; the development cloud has parsed them away",
        applies: |request, _, _| request.line().contains(r#""mime_type":{"a":[1, 2]}"#),
        explains: &[Body],
    },
];
