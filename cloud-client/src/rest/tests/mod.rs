//! The texts that builders make, against the grammar's own vectors, and what they refuse to make.
mod grammar;
mod properties;
mod wire;

use std::ops::Bound;

use super::*;

fn table() -> Table {
    Client::builder("http://127.0.0.1:1", "sb_publishable_x").unwrap().build().table("t")
}

fn decoded(query: &Select) -> String {
    url::form_urlencoded::parse(query.url_query().as_bytes())
        .map(|(name, value)| format!("{name}={value}"))
        .filter(|pair| pair != "select=*")
        .collect::<Vec<_>>()
        .join("&")
}

#[test]
fn values_are_quoted_by_the_place_they_stand_in() {
    let cases = [
        (Filter::eq("a", "\"q\""), r#"a=eq."q""#),
        (Filter::is_in("a", ["a,b", "x\"y", "p\\q", "(z)", ""]), r#"a=in.("a,b","x\"y","p\\q","(z)","")"#),
        (Filter::is_in("a", ["plain", "with-dash_1"]), "a=in.(plain,with-dash_1)"),
        (Filter::is_in("a", ["Hebdon, John", "Double O Seven(007)"]), r#"a=in.("Hebdon, John","Double O Seven(007)")"#),
        (Filter::is_in("a", ["Double\"Quote\"McGraw\"", "\\"]), r#"a=in.("Double\"Quote\"McGraw\"","\\")"#),
        (Filter::is_in::<&str>("a", []), "a=in.()"),
        (Filter::is_in::<&str>("a", []).not(), "a=not.in.()"),
        // One empty text is not an empty list.
        (Filter::is_in("a", [""]), r#"a=in.("","")"#),
        (Filter::is_null("a").not(), "a=not.is.null"),
        (Filter::is_bool("a", true), "a=is.true"),
        (Filter::any([Filter::eq("id", 1), Filter::eq("id", 2)]), "or=(id.eq.1,id.eq.2)"),
        (
            Filter::any([
                Filter::all([Filter::eq("name", "entity 2"), Filter::eq("id", 2)]),
                Filter::is_in("e", [1, 2]).not(),
            ]),
            r#"or=(and(name.eq."entity 2",id.eq.2),e.not.in.(1,2))"#,
        ),
        (
            Filter::any([Filter::eq("name", "(grandchild,entity,4)"), Filter::eq("name", "x")]),
            r#"or=(name.eq."(grandchild,entity,4)",name.eq.x)"#,
        ),
        (Filter::any([Filter::eq("a", 1)]).not(), "not.or=(a.eq.1)"),
        (
            Filter::all([Filter::eq("id", 1), Filter::any([Filter::eq("id", 2), Filter::eq("id", 3)]).not()]),
            "and=(id.eq.1,not.or(id.eq.2,id.eq.3))",
        ),
        (Filter::any([Filter::eq("and_starting_col", "smth")]), "or=(and_starting_col.eq.smth)"),
        // What a user typed stays one operand.
        (
            Filter::any([Filter::ilike("name", "%zzz%,name.ilike.%zoom%")]),
            r#"or=(name.ilike."%zzz%,name.ilike.%zoom%")"#,
        ),
        (Filter::eq("messages.role", "user"), "messages.role=eq.user"),
        (Filter::any([Filter::eq("m.s.role", 1), Filter::eq("m.s.x", 2)]).not(), "m.s.not.or=(role.eq.1,x.eq.2)"),
        (Filter::is_null("messages"), "messages=is.null"),
        (Filter::eq("data->>k", "v"), "data->>k=eq.v"),
        (Filter::eq("data->list->-1->>a.b", "v"), r#"data->list->-1->>"a.b"=eq.v"#),
        (Filter::eq(Column::named("data").key("0").index(0).index_text(-2), 1), r#"data->"0"->0->>-2=eq.1"#),
        (Filter::eq(Column::named("a.b->c").of("r"), 1), r#"r."a.b->c"=eq.1"#),
        (Filter::eq("odd col(1)", "v"), r#""odd col(1)"=eq.v"#),
        (Filter::eq("order", "v"), r#""order"=eq.v"#),
    ];
    for (filter, expected) in cases {
        assert_eq!(decoded(&table().select(["*"]).filter(filter)), expected);
    }
}

/// Vector 29 among them.
#[test]
fn every_operator_has_its_word_and_its_opposite() {
    let cases = [
        (Filter::eq("a", 1), "eq.1"),
        (Filter::neq("a", 1), "neq.1"),
        (Filter::gt("a", 1), "gt.1"),
        (Filter::gte("a", 1), "gte.1"),
        (Filter::lt("a", 1), "lt.1"),
        (Filter::lte("a", 1), "lte.1"),
        (Filter::like("a", "x*"), "like.x*"),
        (Filter::ilike("a", "x*"), "ilike.x*"),
        (Filter::matches("a", "^x"), "match.^x"),
        (Filter::imatches("a", "^x"), "imatch.^x"),
        (Filter::is_distinct("a", 1), "isdistinct.1"),
        (Filter::is_unknown("a"), "is.unknown"),
        (Filter::is_bool("a", false), "is.false"),
        (Filter::contains("a", ["a,b", "c"]), r#"cs.{"a,b",c}"#),
        (Filter::contains("a", serde_json::json!({"k": ["v"]})), r#"cs.{"k":["v"]}"#),
        (Filter::contained_in("a", vec![1, 2]), "cd.{1,2}"),
        (Filter::overlaps("a", 1..5), "ov.[1,5)"),
        (Filter::overlaps("a", Array::default()), "ov.{}"),
        (Filter::left_of("a", 1..=5), "sl.[1,5]"),
        (Filter::right_of("a", ..5), "sr.(,5)"),
        (Filter::not_beyond("a", 1..), "nxr.[1,)"),
        (Filter::not_before("a", ..=5), "nxl.(,5]"),
        (Filter::adjacent_to("a", (Bound::Excluded("a b"), Bound::Unbounded)), r#"adj.("a b",)"#),
        (Filter::contains("a", ..), "cs.(,)"),
        (Filter::any_of("a", Compare::Like, ["a*", "*b"]), r#"like(any).{"a*","*b"}"#),
        (Filter::all_of("a", Compare::Gte, [1, 2]), "gte(all).{1,2}"),
        (Filter::any_of("a", Compare::Eq, ["", "NULL", "x\"y"]), r#"eq(any).{"","NULL","x\"y"}"#),
        (Filter::search("a", Search::query("fat & !rat").language("english")), "fts(english).fat & !rat"),
        (Filter::search("a", Search::words("fat rat")), "plfts.fat rat"),
        (
            Filter::search("a", Search::phrase("fat rat").language("pg_catalog simple")),
            "phfts(pg_catalog simple).fat rat",
        ),
        (Filter::search("a", Search::web("-rat")), "wfts.-rat"),
    ];
    for (filter, expected) in cases {
        assert_eq!(decoded(&table().select(["*"]).filter(filter.clone())), format!("a={expected}"));
        assert_eq!(decoded(&table().select(["*"]).filter(filter.not())), format!("a=not.{expected}"));
    }
    let typed = Search::web("\"fat, (old) cat\" -rat\\").language("english");
    let quoted = Filter::any([Filter::search("a", typed).not(), Filter::search("b", Search::words(""))]);
    let expected = r#"or=(a.not.wfts(english)."\"fat, (old) cat\" -rat\\",b.plfts."")"#;
    assert_eq!(decoded(&table().select(["*"]).filter(quoted)), expected);
    let words = [Compare::Eq, Compare::Gt, Compare::Gte, Compare::Lt, Compare::Lte, Compare::Like, Compare::Ilike];
    let words = words.into_iter().chain([Compare::Match, Compare::Imatch]).map(Compare::word);
    assert_eq!(words.collect::<Vec<_>>(), ["eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch"]);
}

/// Vector 31.
#[test]
fn a_cursor_survives_the_query_string() {
    let query = table().select(["id"]).gt("created_at", "2023-03-23T15:50:30.511743+00:00").url_query();
    assert!(query.ends_with("created_at=gt.2023-03-23T15%3A50%3A30.511743%2B00%3A00"), "{query}");
}

#[test]
fn embeds_orders_and_limits_make_their_text() {
    let query = table()
        .select(["org_id", "role"])
        .embed(Embed::new("organizations", ["*"]).alias("org").inner().embed(Embed::new("owner", ["id"])))
        .order(Order::desc("joined_at").nulls_last())
        .order("id")
        .limit(1)
        .offset(2);
    let expected = "select=org_id,role,org%3Aorganizations!inner(*,owner(id))&order=joined_at.desc.nullslast,id.asc&limit=1&offset=2";
    assert_eq!(query.url_query(), expected);

    let sub = Embed::new("sub", ["x"]).filter(Filter::any([Filter::eq("a", 1), Filter::is_null("b")]).not()).offset(4);
    let emb = Embed::new("emb", ["y"]).alias("e").hint("left_fk").embed(sub).eq("role", "user").order("seq").limit(3);
    assert_eq!(
        decoded(&table().select(["id"]).embed(emb)),
        "select=id,e:emb!\"left_fk\"(y,sub(x))&e.role=eq.user&e.order=seq.asc&e.limit=3\
         &e.sub.not.or=(a.eq.1,b.is.null)&e.sub.offset=4"
    );
    let joined = table().select(["id"]).having(Embed::join("a").eq("x", 1)).lacking(Embed::join("b").alias("c"));
    assert_eq!(decoded(&joined), "select=id,a(),c:b()&a=not.is.null&c=is.null&a.x=eq.1");
}

#[test]
fn select_items_make_their_text() {
    let cases: [(Item, &str); 11] = [
        (Field::new("a").alias("b").into(), "b:a"),
        (Field::new("a").cast("int").sum().cast("text").alias("x y").into(), r#""x y":a::int.sum()::text"#),
        (Field::new("a").avg().into(), "a.avg()"),
        (Field::new("a").min().into(), "a.min()"),
        (Field::new("a").max().into(), "a.max()"),
        (Field::new("a").count().into(), "a.count()"),
        (Field::count_rows().alias("n").cast("text").into(), "n:count()::text"),
        (Field::new("d->k->>0").into(), "d->k->>0"),
        (Embed::new("r", ["d->0", "d->>0"]).into(), "r(d->0::jsonb,d->>0::text)"),
        (Embed::new("r", ["a"]).hint("fk").inner().spread().into(), "...r!fk!inner(a)"),
        (Column::named("*").into(), r#""*""#),
    ];
    for (item, expected) in cases {
        assert_eq!(decoded(&table().select([item])), format!("select={expected}"));
    }
}

#[tokio::test]
async fn what_the_grammar_cannot_say_is_refused_before_anything_is_sent() {
    let any = |column: &str, other: &str| Filter::any([Filter::eq(column, 1), Filter::eq(other, 1)]);
    let reads = [
        table().select(["*"]).filter(Filter::any([])),
        table().select(["*"]).filter(Filter::any([Filter::all([]).not()])),
        table().select(["*"]).filter(any("a", "r.a")),
        table().select(["*"]).filter(any("not.a", "not.b")),
        table().select(["*"]).filter(Filter::search("a", Search::web("x").language("x).y"))),
        table().select(["*"]).filter(Filter::any([Filter::search("a", Search::web("x").language(""))])),
        table().select(["r.a"]),
        table().select(["*"]).column(Field::new("a").cast("int,secret")),
        table().select(["*"]).column(Field::new("a").sum().cast("")),
        table().select(["*"]).order("a.b.c"),
        table().select(["*"]).order("r.a->0"),
        table().select(["*"]).embed(Embed::new("r", ["*"]).spread().alias("s")),
        table().select(["*"]).embed(Embed::new("count", ["*"])),
        table().select(["*"]).embed(Embed::new("r", ["*"]).filter(Filter::any([]))),
        table().select(["*"]).embed(Embed::new("r", ["s.x"])),
        table().select(["*"]).is_in("id", (0..2000).map(|n| n.to_string())),
        Client::builder("http://127.0.0.1:1", "sb_publishable_x")
            .unwrap()
            .build()
            .schema("a\nb")
            .table("t")
            .select(["*"]),
    ];
    for read in reads {
        let error = read.fetch::<serde_json::Value>().await.unwrap_err();
        assert_eq!(error.code().as_str(), "rest.query_invalid", "{}", read.url_query());
    }
    let code = |result: Result<(), Error>| result.unwrap_err().code().as_str();
    let values = serde_json::json!({});
    assert_eq!(code(table().delete().send().await), "rest.unfiltered_write");
    assert_eq!(code(table().update(&values).send().await), "rest.unfiltered_write");
    assert_eq!(code(table().delete().filter(Filter::any([])).send().await), "rest.query_invalid");
    // The server would leave these filters out of account and take the whole table.
    assert_eq!(code(table().delete().eq("other.id", 1).send().await), "rest.query_invalid");
    assert_eq!(code(table().update(&values).filter(any("r.a", "r.b")).send().await), "rest.query_invalid");
    assert_eq!(code(table().replace(&values).send().await), "rest.query_invalid");
}
