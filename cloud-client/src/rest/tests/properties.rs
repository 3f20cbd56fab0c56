//! Whatever stands in a name or a value comes out of a second parser as it went in, and as nothing else.
use proptest::{collection::vec, prelude::*};

use super::{
    super::*,
    grammar::{self, Condition, Key, Operand, Place, Selected, Sorted},
    table,
};

/// Texts with everything that means something somewhere.
fn text() -> impl Strategy<Value = String> {
    let word = |text: &str| Just(text.to_owned());
    prop_oneof![
        3 => "[a-c0,.:(){}\"'\\\\ &=+%*#/!>_-]{0,10}",
        1 => any::<String>(),
        1 => prop_oneof![
            word("order"), word("and"), word("or"), word("not"), word("limit"), word("select"), word("columns"),
            word("x.order"), word("NULL"), word("null"), word("inner_fk"), word("left"), word("->0"), word("count"),
            word("a),b.eq.(1"), word("eq.1"), word("%2C"), word("\u{0}"), word("½"), word("ẞ"),
        ],
    ]
}

fn read(select: &Select) -> grammar::Request {
    let query = select.url_query();
    grammar::read(&query).unwrap_or_else(|| panic!("the server would not read {query}"))
}

fn plain(name: &str) -> Place {
    Place { name: name.to_owned(), steps: Vec::new() }
}

fn leaf(name: &str, operator: &str, operand: Operand) -> Condition {
    Condition::Leaf { path: Vec::new(), place: plain(name), negated: false, operator: operator.to_owned(), operand }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_value_alone_in_a_list_and_in_a_tree_stays_one_operand(name in text(), value in text(), more in vec(text(), 0..4)) {
        let column = || Column::named(&name);
        let query = table().select(["id"])
            .eq(column(), &value)
            .is_in(column(), &more)
            .filter(Filter::any([Filter::ilike(column(), &value), Filter::is_in(column(), &more)]))
            .filter(Filter::all([Filter::any([Filter::is_distinct(column(), &value).not()])]).not());
        let found = read(&query);
        let list = || Operand::List(more.clone());
        prop_assert_eq!(&found.conditions[0], &leaf(&name, "eq", Operand::Text(value.clone())));
        // One empty text may be sent twice: an empty list would be something else.
        let normal = |operand: &Operand| match operand {
            Operand::List(list) if list == &["", ""] && more == [""] => Operand::List(more.clone()),
            other => other.clone(),
        };
        let Condition::Leaf { operand, .. } = &found.conditions[1] else { panic!("a leaf") };
        prop_assert_eq!(normal(operand), list());
        let Condition::Tree { parts, word: "or", negated: false, .. } = &found.conditions[2] else { panic!("or") };
        prop_assert_eq!(&parts[0], &leaf(&name, "ilike", Operand::Text(value.clone())));
        let Condition::Leaf { operand, .. } = &parts[1] else { panic!("a leaf") };
        prop_assert_eq!(normal(operand), list());
        prop_assert_eq!(parts.len(), 2);
        let Condition::Tree { parts, word: "and", negated: true, .. } = &found.conditions[3] else { panic!("and") };
        let Condition::Tree { parts, word: "or", negated: false, .. } = &parts[0] else { panic!("or in and") };
        let Condition::Leaf { operator, negated: true, operand: Operand::Text(text), .. } = &parts[0] else {
            panic!("a negated leaf")
        };
        prop_assert_eq!((operator.as_str(), text), ("isdistinct", &value));
        prop_assert_eq!(found.conditions.len(), 4);
        prop_assert!(found.orders.is_empty() && found.limits.is_empty() && found.name_lists.is_empty());
    }

    #[test]
    fn array_literals_keep_their_elements(elements in vec(proptest::option::of(text()), 0..5)) {
        let array = elements.iter().fold(Array::default(), |array, element| match element {
            Some(text) => array.push(text),
            None => array.null(),
        });
        let some: Vec<_> = elements.iter().flatten().cloned().collect();
        let query = table().select(["id"])
            .filter(Filter::contains("tags", array.clone()))
            .filter(Filter::any([Filter::overlaps("tags", array), Filter::any_of("name", Compare::Like, &some)]));
        let found = read(&query);
        let Condition::Leaf { operand: Operand::Text(alone), .. } = &found.conditions[0] else { panic!("a leaf") };
        prop_assert_eq!(grammar::array(alone), Some(elements));
        let Condition::Tree { parts, .. } = &found.conditions[1] else { panic!("a tree") };
        let Condition::Leaf { operand: Operand::Text(inside), .. } = &parts[0] else { panic!("a leaf") };
        prop_assert_eq!(inside, alone);
        let Condition::Leaf { operator, operand: Operand::Text(any), .. } = &parts[1] else { panic!("a leaf") };
        prop_assert_eq!(operator, "like(any)");
        prop_assert_eq!(grammar::array(any), Some(some.into_iter().map(Some).collect()));
    }

    #[test]
    fn names_stay_names_in_every_list(name in text(), key in text(), alias in text(), index in any::<i32>()) {
        // The server takes no relation of this name, whatever surrounds it; the builder refuses it.
        prop_assume!(name != "count");
        let place = || Column::named(&name).key(&key).index_text(index.into());
        let embed = Embed::new(&name, [Field::new(place()), Field::new(place()).alias(&alias)]).hint(&key).inner();
        let query = table().select([Column::named(&name)])
            .column(Field::new(place()).alias(&alias).cast("text"))
            .embed(embed.order(Order::desc(place())).limit(3).eq(Column::named(&key), 1))
            .embed(Embed::new(&name, ["*"]).spread())
            .order(Order::asc(place()).nulls_first())
            .order(Order::desc(Column::named(&key).of(&name)));
        let found = read(&query);
        let steps = vec![(false, Key::Name(key.clone())), (true, Key::Index(index.into()))];
        let deep = Place { name: name.clone(), steps };
        let field = |alias: Option<&String>, cast: Option<&str>| Selected::Field {
            alias: alias.cloned(), place: deep.clone(), cast: cast.map(str::to_owned), aggregate: None,
        };
        prop_assert_eq!(&found.select[..2], &[
            Selected::Field { alias: None, place: plain(&name), cast: None, aggregate: None },
            field(Some(&alias), Some("text")),
        ][..]);
        prop_assert_eq!(found.select.len(), 4);
        let Selected::Relation { name: relation, marks, items, alias: None, spread: false } = &found.select[2] else {
            panic!("a relation")
        };
        prop_assert_eq!(relation, &name);
        prop_assert_eq!(marks, &[format!("hint {key}"), "inner".to_owned()]);
        prop_assert_eq!(items.len(), 2);
        let same = |item: &Selected| matches!(item, Selected::Field { place, .. } if *place == deep);
        prop_assert!(items.iter().all(same), "{:?}", items);
        let sorted = |relation: Option<&String>, place: Place, rest: &str| {
            Sorted { relation: relation.cloned(), place, rest: rest.to_owned() }
        };
        prop_assert_eq!(&found.orders, &[
            (vec![], vec![sorted(None, deep.clone(), ".asc.nullsfirst"), sorted(Some(&name), plain(&key), ".desc")]),
            (vec![name.clone()], vec![sorted(None, deep, ".desc")]),
        ]);
        prop_assert_eq!(&found.limits, &[(vec![name.clone()], 3)]);
        let Condition::Leaf { path, place, .. } = &found.conditions[0] else { panic!("a leaf") };
        prop_assert_eq!((path, place), (&vec![name], &plain(&key)));
        prop_assert_eq!(found.conditions.len(), 1);
    }

    #[test]
    fn plain_text_for_a_column_is_one_condition_whatever_it_says(name in text(), value in text()) {
        let found = read(&table().select([&name]).eq(&name, &value).order(&name));
        prop_assert_eq!(found.conditions.len(), 1);
        let Condition::Leaf { operator, operand, negated: false, .. } = &found.conditions[0] else { panic!("a leaf") };
        prop_assert_eq!((operator.as_str(), operand), ("eq", &Operand::Text(value)));
        prop_assert_eq!((found.select.len(), found.orders.len(), found.limits.len()), (1, 1, 0));
    }

    #[test]
    fn lists_are_split_without_losing_or_repeating_a_value(values in vec(text(), 0..300)) {
        let filters = Filter::chunks("id", &values);
        let mut seen = Vec::new();
        for filter in filters {
            let query = table().select(["*"]).filter(filter);
            prop_assert!(query.url_query().len() < 3200 || query.url_query().len() < 9000 && values.iter().any(|v| v.len() > 300));
            let found = read(&query);
            let Condition::Leaf { operand: Operand::List(list), .. } = &found.conditions[0] else { panic!("a list") };
            let twice = list == &["", ""];
            seen.extend(list.iter().take(if twice { 1 } else { list.len() }).cloned());
        }
        let mut wanted = std::collections::HashSet::new();
        let wanted: Vec<_> = values.iter().filter(|value| wanted.insert(*value)).cloned().collect();
        prop_assert_eq!(seen, wanted);
    }
}
