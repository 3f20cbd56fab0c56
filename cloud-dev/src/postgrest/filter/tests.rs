//! Tables of filters and trees, and properties over any text.

use proptest::prelude::*;

use super::*;

fn in_list(text: &str) -> Vec<String> {
    match parse_value(text).unwrap() {
        (false, Test::In(items)) => items,
        other => panic!("{other:?}"),
    }
}

/// The tree in a compact form: `or(id eq 1, not(…))`.
fn shown(tree: &Tree) -> String {
    match tree {
        Tree::Leaf(filter) => {
            let not = if filter.negated { "not " } else { "" };
            let test = match &filter.test {
                Test::Compare { operator, value, .. } => format!("{}[{value}]", operator.symbol()),
                Test::In(items) => format!("in{items:?}"),
                other => format!("{other:?}"),
            };
            format!("{} {not}{test}", filter.field.name)
        }
        Tree::Group { negated, joiner, items } => {
            let not = if *negated { "not " } else { "" };
            format!("{not}{joiner:?}({})", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn a_value_alone_is_verbatim() {
    for text in ["\"quoted\"", "a,b)", " spaced ", "", "{a,b}", "1.2.3"] {
        let (negated, test) = parse_value(&format!("not.eq.{text}")).unwrap();
        assert!(negated);
        assert_eq!(test, Test::Compare { operator: Operator::Eq, quantifier: None, value: text.to_owned() });
    }
}

#[test]
fn list_elements_may_be_bare_or_quoted() {
    for (text, items) in [
        (r#"in.("Hebdon, John","Williams, Mary")"#, &["Hebdon, John", "Williams, Mary"][..]),
        (r#"in.(David White,"Hebdon, John")"#, &["David White", "Hebdon, John"]),
        (r#"in.("Double O Seven(007)")"#, &["Double O Seven(007)"]),
        (r#"in.("Double\"Quote\"McGraw\"")"#, &["Double\"Quote\"McGraw\""]),
        (r#"in.("\\")"#, &["\\"]),
        (r#"in.("D\a\vid W\h\ite")"#, &["David White"]),
        (r#"in.(")"#, &["\""]),
        (r"in.(\)", &["\\"]),
        (r#"in.(Double"Quote"McGraw")"#, &["Double\"Quote\"McGraw\""]),
        ("in.()", &[""]),
        ("in.(    )", &[""]),
        ("in.( ,3,4)", &["", "3", "4"]),
        ("in.(a, b)", &["a", " b"]),
        ("in.(1,2)x", &["1", "2"]),
    ] {
        assert_eq!(in_list(text), items, "{text}");
    }
    assert_eq!(parse_value("in.1,2").unwrap_err().column, 4);
}

#[test]
fn trees_nest_negate_and_take_spaces() {
    for (text, expected) in [
        ("or(id.eq.1,id.eq.2)", "Or(id =[1], id =[2])"),
        ("not.or(id.eq.1,id.eq.2)", "not Or(id =[1], id =[2])"),
        (
            "or(and(name.eq.entity 2,id.eq.2),and(name.eq.entity 1,id.eq.1))",
            "Or(And(name =[entity 2], id =[2]), And(name =[entity 1], id =[1]))",
        ),
        (
            "and( and ( id.in.( 1, 2, 3 ) , id.eq.3 ) , or ( id.eq.2 , id.eq.3 ) )",
            r#"And(And(id in["1", " 2", " 3 "], id =[3 ]), Or(id =[2 ], id =[3 ]))"#,
        ),
        (
            "and( id.eq.1, not.or(id.eq.2, id.eq.3), id.in.(1,4), or(id.eq.1, id.eq.4) )",
            r#"And(id =[1], not Or(id =[2], id =[3]), id in["1", "4"], Or(id =[1], id =[4]))"#,
        ),
        (
            r#"or(name.eq."(grandchild,entity,4)",name.eq."(grandchild,entity,5)")"#,
            "Or(name =[(grandchild,entity,4)], name =[(grandchild,entity,5)])",
        ),
        ("and(id.eq.1,id.neq.2))", "And(id =[1], id <>[2])"),
        (
            "or(and_starting_col.eq.smth, or_starting_col.eq.smth)",
            "Or(and_starting_col =[smth], or_starting_col =[smth])",
        ),
        ("or(e.not.in.(1,2),t.cs.{a,b},x.is.null)", r#"Or(e not in["1", "2"], t @>[{a,b}], x Is(Null))"#),
        (r#"or(n.eq."q" x)"#, r#"Or(n =["q" x])"#),
    ] {
        assert_eq!(shown(&parse_tree(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn an_empty_tree_is_an_error_at_its_closing_parenthesis() {
    let error = parse_tree("or()").unwrap_err().of("logic tree", "()");
    assert_eq!(&*error.message, "\"failed to parse logic tree (())\" (line 1, column 4)");
    assert_eq!(error.code, "PGRST100");
}

#[test]
fn operators_are_known_with_their_quantifiers() {
    for (text, operator, quantifier, value) in [
        ("gte.5", Operator::Gte, None, "5"),
        ("gt.5", Operator::Gt, None, "5"),
        ("like(any).{a*,*b}", Operator::Like, Some(Quantifier::Any), "{a*,*b}"),
        ("eq(all).{1,2}", Operator::Eq, Some(Quantifier::All), "{1,2}"),
        ("imatch.^x$", Operator::Imatch, None, "^x$"),
        ("ov.{1}", Operator::Overlaps, None, "{1}"),
    ] {
        let expected = Test::Compare { operator, quantifier, value: value.to_owned() };
        assert_eq!(parse_value(text).unwrap(), (false, expected), "{text}");
    }
}

#[test]
fn searches_are_known_with_their_configurations() {
    let search = |form, configuration: Option<&str>, text: &str| Test::Search {
        form,
        configuration: configuration.map(str::to_owned),
        text: text.to_owned(),
    };
    for (value, test) in [
        ("fts(english).a & b", search(Form::Operators, Some("english"), "a & b")),
        ("plfts.\"a\",b)", search(Form::Words, None, "\"a\",b)")),
        ("phfts( pg_catalog simple ).", search(Form::Phrase, Some("pg_catalog simple"), "")),
        ("wfts.a.b", search(Form::Web, None, "a.b")),
    ] {
        assert_eq!(parse_value(value), Ok((false, test)), "{value}");
    }
    let tree = parse_tree("or(a.not.wfts(simple).\"x, \\\"y z\\\"\",a.plfts.b c)").unwrap();
    let Tree::Group { items, .. } = tree else { panic!("no group") };
    let [Tree::Leaf(first), Tree::Leaf(second)] = items.as_slice() else { panic!("{items:?}") };
    assert!(first.negated && !second.negated);
    assert_eq!(first.test, search(Form::Web, Some("simple"), "x, \"y z\""));
    assert_eq!(second.test, search(Form::Words, None, "b c"));
    for text in ["", "1", "eq", "equals.1", "neq(any).{1}", "is.maybe", "not", "not.", "IN.(1)"] {
        assert!(parse_value(text).is_err(), "{text:?}");
    }
}

#[test]
fn array_literals_follow_postgresql() {
    let some = |items: &[&str]| Some(items.iter().map(|item| Some((*item).to_owned())).collect::<Vec<_>>());
    assert_eq!(parse_array("{}"), some(&[]));
    assert_eq!(parse_array(r#"{a, b c ,"x,\"y\\"}"#), some(&["a", "b c", "x,\"y\\"]));
    assert_eq!(parse_array("{1,NULL,\"NULL\"}"), Some(vec![Some("1".into()), None, Some("NULL".into())]));
    for text in ["", "1,2", "{1", "{1,}", "{1}x", "{{1}}"] {
        assert_eq!(parse_array(text), None, "{text:?}");
    }
}

/// Quoting as a careful client does it in lists and trees.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_a_parser_panic(text in "[a-z.(),\"\\\\{}> :!*0-9-]{0,40}|.{0,40}") {
        let _ = parse_value(&text);
        let _ = parse_tree(&text);
        let _ = parse_tree(&format!("or({text})"));
        let _ = parse_array(&text);
    }

    #[test]
    fn quoted_list_elements_come_back_as_they_went_in(items in proptest::collection::vec(".{0,12}", 1..4)) {
        let text = format!("in.({})", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(","));
        prop_assert_eq!(in_list(&text), items);
    }

    #[test]
    fn a_quoted_leaf_stays_one_operand(value in ".{0,20}") {
        let tree = parse_tree(&format!("or(name.ilike.{},id.eq.1)", quote(&value))).unwrap();
        let Tree::Group { items, .. } = tree else { panic!("a group") };
        prop_assert_eq!(items.len(), 2);
        let Some(Tree::Leaf(Filter { test: Test::Compare { value: read, .. }, .. })) = items.first() else { panic!("a leaf") };
        prop_assert_eq!(read, &value);
    }

    #[test]
    fn array_elements_come_back_as_they_went_in(items in proptest::collection::vec(".{0,12}", 0..4)) {
        let text = format!("{{{}}}", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(","));
        prop_assert_eq!(parse_array(&text), Some(items.into_iter().map(Some).collect()));
    }
}
