//! Filters: whatever stands in names and values, each filter is read back as one condition with the same operand.
//!
//! Input: texts divided by `0x1f`: a column, a value, a relation (or key), and more values. The reading is the second
//! parser that the tests of the builders use, made from the server's grammar; a query must hold its select list and
//! that one condition, and nothing else.
#![no_main]
use cloud_client::{
    Client,
    rest::{Array, Column, Compare, Embed, Filter, Search, Select, Value},
};
use libfuzzer_sys::fuzz_target;

#[path = "../../cloud-client/src/rest/tests/grammar.rs"]
mod grammar;

use grammar::{Condition, Key, Operand, Place};

const UNIT: char = '\u{1f}';
/// Words that the parameter of a tree cannot have as a relation's name, or that the second parser cannot tell from it.
const TREE_WORDS: [&str; 3] = ["not", "and", "or"];

fuzz_target!(|input: &str| {
    let mut texts = input.split(UNIT);
    let mut next = || texts.next().unwrap_or_default();
    let (name, value, other) = (next(), next(), next());
    let more: Vec<&str> = texts.collect();
    let column = || Column::named(name);

    comparisons(name, value);
    lists(name, &more);
    arrays(name, &more);
    ranges(name, value, other);
    // JSON inside the column.
    let steps = vec![(false, Key::Name(other.to_owned())), (true, Key::Index(-3))];
    let deep = || column().key(other).index_text(-3);
    let place = Place { name: name.to_owned(), steps };
    everywhere(|| Filter::eq(deep(), value), "eq", text(value), &place);
    // A relation before the column, or around the filter.
    let wanted = leaf(&[other], plain(name), false, "eq", text(value));
    one(base().filter(Filter::eq(column().of(other), value)), 1, &wanted);
    if other != "count" {
        one(base().embed(Embed::new(other, ["id"]).eq(column(), value)), 2, &wanted);
    }
    if !TREE_WORDS.contains(&other) {
        let filter = Filter::any([Filter::eq(column().of(other), value), Filter::is_null(column().of(other))]);
        let parts =
            vec![leaf(&[], plain(name), false, "eq", text(value)), leaf(&[], plain(name), false, "is", text("null"))];
        let path = vec![other.to_owned()];
        one(base().filter(filter), 1, &Condition::Tree { path, negated: false, word: "or", parts });
    }
    // Plain text as a column has dots and arrows, and is one condition all the same.
    let found = read(&base().eq(name, value));
    assert!(
        matches!(&found.conditions[..], [Condition::Leaf { operator, negated: false, operand: Operand::Text(text), .. }]
            if operator == "eq" && text == value),
        "{:?}",
        found.conditions
    );
});

/// One of the comparisons, each with its turn: all of them would make a run slow.
fn comparisons(name: &str, value: &str) {
    let column = || Column::named(name);
    macro_rules! each {
        ($($method:ident = $word:literal),+) => {
            [$(($word, Filter::$method(column(), value))),+]
        };
    }
    let plain_ones = each!(
        eq = "eq",
        neq = "neq",
        gt = "gt",
        gte = "gte",
        lt = "lt",
        lte = "lte",
        like = "like",
        ilike = "ilike",
        matches = "match",
        imatches = "imatch",
        is_distinct = "isdistinct",
        contains = "cs",
        contained_in = "cd",
        overlaps = "ov",
        left_of = "sl",
        right_of = "sr",
        not_beyond = "nxr",
        not_before = "nxl",
        adjacent_to = "adj"
    );
    let search = |search: Search| Filter::search(column(), search.language("english"));
    let searches = [
        ("wfts(english)", search(Search::web(value))),
        ("plfts(english)", search(Search::words(value))),
        ("phfts(english)", search(Search::phrase(value))),
        ("fts(english)", search(Search::query(value))),
    ];
    let turn = (name.len() + value.len()) % (plain_ones.len() + searches.len());
    let (word, filter) = plain_ones.into_iter().chain(searches).nth(turn).expect("one of them");
    everywhere(|| filter.clone(), word, text(value), &plain(name));
}

fn lists(name: &str, values: &[&str]) {
    // One empty text is sent twice, since one alone would be an empty list.
    let sent = if values == [""] { &["", ""] } else { values };
    let operand = Operand::List(sent.iter().map(|&text| text.to_owned()).collect());
    everywhere(|| Filter::is_in(Column::named(name), values.iter().copied()), "in", operand, &plain(name));
}

fn arrays(name: &str, values: &[&str]) {
    let array = Value::from(Array::of(values.iter().copied()).null());
    let mut elements: Vec<_> = values.iter().map(|&text| Some(text.to_owned())).collect();
    elements.push(None);
    assert_eq!(grammar::array(array.as_str()), Some(elements));
    everywhere(|| Filter::contains(Column::named(name), &array), "cs", text(array.as_str()), &plain(name));
    let array = Value::from(Array::of(values.iter().copied()));
    let any = || Filter::any_of(Column::named(name), Compare::Ilike, values.iter().copied());
    everywhere(any, "ilike(any)", text(array.as_str()), &plain(name));
    let all = || Filter::all_of(Column::named(name), Compare::Eq, values.iter().copied());
    everywhere(all, "eq(all)", text(array.as_str()), &plain(name));
}

fn ranges(name: &str, lower: &str, upper: &str) {
    let range = Value::from(lower..upper);
    let inner = range.as_str().strip_prefix('[').and_then(|rest| rest.strip_suffix(')')).expect("a range");
    let bounds = grammar::array(&format!("{{{inner}}}"));
    assert_eq!(bounds, Some(vec![Some(lower.to_owned()), Some(upper.to_owned())]));
    everywhere(|| Filter::overlaps(Column::named(name), &range), "ov", text(range.as_str()), &plain(name));
}

/// The filter alone, negated, as one of a tree, and deep in trees that are negated.
fn everywhere(filter: impl Fn() -> Filter, operator: &str, operand: Operand, place: &Place) {
    let is = |negated| leaf(&[], place.clone(), negated, operator, operand.clone());
    let tree = |word, negated, parts| Condition::Tree { path: Vec::new(), negated, word, parts };
    one(base().filter(filter()), 1, &is(false));
    one(base().filter(filter().not()), 1, &is(true));
    let both = Filter::any([filter(), filter().not()]);
    one(base().filter(both), 1, &tree("or", false, vec![is(false), is(true)]));
    let deep = Filter::all([Filter::any([filter()]).not(), filter()]).not();
    let inner = tree("or", true, vec![is(false)]);
    one(base().filter(deep), 1, &tree("and", true, vec![inner, is(false)]));
}

fn base() -> Select {
    thread_local! {
        static CLIENT: Client = Client::builder("http://127.0.0.1:54321", "sb_publishable_fuzz").expect("right").build();
    }
    CLIENT.with(|client| client.table("things").select(["id"]))
}

fn read(select: &Select) -> grammar::Request {
    let query = select.url_query();
    assert!(query.is_ascii(), "{query}");
    assert_eq!(query.matches('&').count(), 1, "{query}");
    let found = grammar::read(&query).unwrap_or_else(|| panic!("the server would not read {query}"));
    assert!(found.orders.is_empty() && found.limits.is_empty() && found.name_lists.is_empty(), "{query}");
    found
}

fn one(select: Select, selected: usize, wanted: &Condition) {
    let found = read(&select);
    assert_eq!(found.select.len(), selected);
    assert_eq!(found.conditions, [wanted.clone()]);
}

fn plain(name: &str) -> Place {
    Place { name: name.to_owned(), steps: Vec::new() }
}

fn text(text: &str) -> Operand {
    Operand::Text(text.to_owned())
}

fn leaf(path: &[&str], place: Place, negated: bool, operator: &str, operand: Operand) -> Condition {
    let path = path.iter().map(|&name| name.to_owned()).collect();
    Condition::Leaf { path, place, negated, operator: operator.to_owned(), operand }
}
