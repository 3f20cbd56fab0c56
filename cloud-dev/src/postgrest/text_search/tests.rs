//! Tables of what PostgreSQL 15 answers, and properties over any text.

use proptest::prelude::*;

use super::{token::tokens, *};

impl Search {
    fn finds<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> bool {
        self.matches(&self.document(texts))
    }
}

fn search(form: Form, configuration: &str, query: &str) -> Search {
    Search::read(form, Configuration::named(Some(configuration)).unwrap(), query).unwrap()
}

#[test]
fn a_text_falls_into_the_pieces_that_ts_parse_finds() {
    for (text, pieces) in [
        ("The fat cats, 12 of them!", "The fat cats 12 of them"),
        ("foo-bar-12.5 a1-b", "foo-bar foo bar 12.5 a1-b a1 b"),
        ("naïve-é 日本語 Größe😀x", "naïve-é naïve é 日本語 Größe x"),
        ("cafe\u{301}s x² a٣", "cafe\u{301}s x a٣"),
        ("5-3 -1.5e3 +2 -1.2.3 1e5.com", "5 -3 -1.5e3 +2 1.2.3 1e5 com"),
        ("ada@example.com foo_bar@x.org é1@x.com x@y", "ada@example.com foo_bar@x.org é1@x.com x y"),
        ("http://example.com/a%20b?q=1 z", "example.com/a%20b?q=1 example.com /a%20b?q=1 z"),
        ("www.example.com:80/ Hello.World e.g.", "www.example.com:80 Hello.World e.g"),
        ("/usr/bin/env ~/x ../z/.. foo/bar 1/2", "/usr/bin/env /x /z/.. foo/bar 1/2"),
        ("../z/.. a/..b", "../z/.. a b"),
        ("don't C++ 50% $5.00 a:b", "don t C 50 5.00 a b"),
        ("<b>bold</b> &amp; <!-- c --> a<b <script>x<i>y</script>z", "bold a b z"),
        ("<a href=\"x > y\">t</a> < a <1>", "t a 1"),
        ("2024-01-02T03:04:05Z", "2024 -01 -02 T03 04 05Z"),
    ] {
        let found: Vec<String> = tokens(text).into_iter().map(|token| token.text).collect();
        assert_eq!(found.join(" "), pieces, "{text}");
    }
}

#[test]
fn a_query_matches_what_it_matches_in_postgresql() {
    let text = "The big cat and the fat rats ran to foo-bar";
    for (form, configuration, query, matches) in [
        (Form::Operators, "english", "cats & running", false),
        (Form::Operators, "english", "cats & rats", true),
        (Form::Operators, "simple", "cats", false),
        (Form::Operators, "simple", "RAT:*", true),
        (Form::Operators, "english", "cat | dog & dog", true),
        (Form::Operators, "english", "(cat | dog) & dog", false),
        (Form::Operators, "english", "!cat | dog", false),
        (Form::Operators, "english", "big <-> cat", true),
        (Form::Operators, "english", "cat <-> rat", false),
        (Form::Operators, "english", "cat <3> rat", false),
        (Form::Operators, "english", "cat <-> and <-> the <-> fat", true),
        (Form::Operators, "english", "big <-> !dog", true),
        (Form::Operators, "english", "big <-> !cat", false),
        (Form::Operators, "english", "!big <-> cat", false),
        (Form::Operators, "english", "big <-> (dog | cat)", true),
        (Form::Operators, "english", "(big <-> cat) <3> fat", true),
        (Form::Operators, "english", "cat & the", true),
        (Form::Operators, "english", "the", false),
        (Form::Operators, "english", "!the", false),
        (Form::Operators, "english", "cat:A", false),
        (Form::Operators, "english", "cat:*AD", true),
        (Form::Operators, "english", "'big cats'", true),
        (Form::Operators, "english", "foo-bar", true),
        (Form::Operators, "english", "foo\\ bar", true),
        (Form::Operators, "english", " ", false),
        (Form::Words, "english", "rat & cats ! ( the", true),
        (Form::Words, "simple", "the dog", false),
        (Form::Phrase, "english", "cats and a fat rat", true),
        (Form::Phrase, "english", "cats fat rat", false),
        (Form::Web, "english", "\"big cat\" -dog", true),
        (Form::Web, "english", "dog or rat", true),
        (Form::Web, "english", "cat -rat", false),
        (Form::Web, "english", "-\"cat big\"", true),
        (Form::Web, "english", "dog OR", false),
        (Form::Web, "english", "\"fat rat", true),
        (Form::Web, "english", "", false),
    ] {
        let search = search(form, configuration, query);
        assert_eq!(search.finds([text]), matches, "{} {query:?}: {search:?}", form.word());
    }
}

#[test]
fn stop_words_leave_their_distances_behind() {
    for (query, same) in [
        ("big <-> the <-> cat", "big <2> cat"),
        ("the <-> cat", "cat"),
        ("cat <-> (rat | dog & the)", "cat <-> (rat | dog)"),
        ("a <-> (the <-> of) <-> cat", "cat"),
        ("fat <-> (the | cat) <-> rat", "fat <-> cat <-> rat"),
        ("fat <-> (the <-> cat)", "fat <2> cat"),
        ("(fat <-> the) <-> cat", "fat <2> cat"),
        ("fat <-> !the <-> cat", "fat <2> cat"),
    ] {
        assert_eq!(search(Form::Operators, "english", query), search(Form::Operators, "english", same), "{query}");
    }
}

#[test]
fn texts_of_one_document_are_no_phrase() {
    let search = search(Form::Phrase, "english", "fat cats");
    assert!(search.finds(["1", "fat cats"]));
    assert!(!search.finds(["fat", "cats"]));
}

#[test]
fn a_bad_query_is_refused_with_postgresqls_message() {
    for (query, code, what) in [
        ("fat cat", "42601", "syntax error in tsquery"),
        ("& fat", "42601", "syntax error in tsquery"),
        ("(fat", "42601", "syntax error in tsquery"),
        ("fat)", "42601", "syntax error in tsquery"),
        ("fat <x> cat", "42601", "syntax error in tsquery"),
        ("fat <->", "42601", "syntax error in tsquery"),
        ("fat:x", "42601", "syntax error in tsquery"),
        ("'fat", "42601", "syntax error in tsquery"),
        ("''", "42601", "syntax error in tsquery"),
        ("()", "42601", "syntax error in tsquery"),
        ("fat &", "42601", "no operand in tsquery"),
        ("fat <-> ", "42601", "no operand in tsquery"),
        ("!", "42601", "no operand in tsquery"),
        ("fat\\", "42601", "there is no escaped character"),
    ] {
        let bad = Search::read(Form::Operators, Configuration::English, query).unwrap_err();
        assert_eq!((bad.code, bad.message), (code, format!("{what}: \"{query}\"")));
    }
    let far = Search::read(Form::Operators, Configuration::English, "a <16385> b").unwrap_err();
    let message = "distance in phrase operator must be an integer value between zero and 16384 inclusive";
    assert_eq!((far.code, &*far.message), ("22023", message));
    let deep = "(".repeat(100_000);
    assert_eq!(Search::read(Form::Operators, Configuration::English, &deep).unwrap_err().code, "54001");
}

#[test]
fn a_query_of_very_many_lexemes_is_refused_in_every_form() {
    for form in Form::ALL {
        let joint = if form == Form::Operators { "|" } else { " " };
        let query = |lexemes: usize| (0..lexemes).map(|n| format!("w{n}")).collect::<Vec<_>>().join(joint);
        assert!(Search::read(form, Configuration::English, &query(1_000)).is_ok());
        let refused = Search::read(form, Configuration::English, &query(1_001)).unwrap_err();
        assert_eq!((refused.code, &*refused.message), ("54000", "tsquery is too large"));
    }
}

#[test]
fn long_texts_and_queries_cost_little() {
    let text = "a/b.c-d@e_f:1 ".repeat(20_000);
    let query = "x ".repeat(1_000);
    for form in [Form::Words, Form::Phrase, Form::Web] {
        assert!(!search(form, "simple", &query).finds([text.as_str()]));
    }
    for part in
        ["/.", "<", "<a ", "<!--", "<a \"", "&a", "a-", "a_", "1-", "1_", "a.b", "a@", "-é", "1e", "http:/", "~/"]
    {
        let text = part.repeat(50_000);
        assert!(!search(Form::Words, "simple", "zebra").finds([text.as_str()]), "{part}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_can_be_searched_for_anything(text in ".{0,60}", query in "[a-c!&|()<>'\"0-9:* \\\\-]{0,24}") {
        for form in Form::ALL {
            for configuration in [Configuration::Simple, Configuration::English] {
                for query in [&query, &text] {
                    if let Ok(search) = Search::read(form, configuration, query) {
                        search.finds([text.as_str()]);
                    } else {
                        prop_assert_eq!(form, Form::Operators);
                    }
                }
            }
        }
    }

    #[test]
    fn a_document_matches_a_query_of_its_own_words(
        before in "[a-zA-Z0-9é<>@/.:_, -]{0,20}",
        words in proptest::collection::vec("[a-z]{2,8}", 1..6),
        after in "[a-zA-Z0-9é@:, -]{0,20}",
    ) {
        let phrase = words.join(" ");
        let text = format!("{} {phrase} {after}", before.replace('<', "("));
        for form in [Form::Words, Form::Phrase] {
            prop_assert!(search(form, "simple", &phrase).finds([text.as_str()]));
        }
        let quoted = format!("\"{phrase}\"");
        prop_assert!(search(Form::Web, "simple", &quoted).finds([text.as_str()]));
        prop_assert!(search(Form::Operators, "simple", &words.join(" <-> ")).finds([text.as_str()]));
        prop_assert!(search(Form::Operators, "simple", &words.join(":* & ")).finds([text.as_str()]));
        let none = format!("!({})", words.join("|"));
        prop_assert!(!search(Form::Operators, "simple", &none).finds([text.as_str()]));
    }
}
