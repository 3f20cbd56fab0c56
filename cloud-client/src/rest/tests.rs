//! The texts that builders make, against the grammar's own vectors.
use super::*;

fn table() -> Table {
    Client::builder("http://127.0.0.1:1", "sb_publishable_x").unwrap().build().table("t")
}

fn decoded(query: &Select) -> String {
    url::form_urlencoded::parse(query.url_query().as_bytes())
        .map(|(name, value)| format!("{name}={value}"))
        .filter(|pair| !pair.starts_with("select="))
        .collect::<Vec<_>>()
        .join("&")
}

#[test]
fn values_are_quoted_by_the_place_they_stand_in() {
    let cases = [
        (Filter::eq("a", "\"q\""), r#"a=eq."q""#),
        (Filter::is_in("a", ["a,b", "x\"y", "p\\q", "(z)", ""]), r#"a=in.("a,b","x\"y","p\\q","(z)","")"#),
        (Filter::is_in("a", ["plain", "with-dash_1"]), "a=in.(plain,with-dash_1)"),
        (Filter::is_in::<&str>("a", []), "a=in.()"),
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
        (Filter::any([Filter::eq("a", 1)]).not(), "not.or=(a.eq.1)"),
        // What a user typed stays one operand.
        (
            Filter::any([Filter::ilike("name", "%zzz%,name.ilike.%zoom%")]),
            r#"or=(name.ilike."%zzz%,name.ilike.%zoom%")"#,
        ),
        (Filter::eq("messages.role", "user"), "messages.role=eq.user"),
        (Filter::eq("data->>k", "v"), "data->>k=eq.v"),
        (Filter::eq("odd col(1)", "v"), r#""odd col(1)"=eq.v"#),
    ];
    for (filter, expected) in cases {
        assert_eq!(decoded(&table().select(["*"]).filter(filter)), expected);
    }
}

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
}

#[tokio::test]
async fn writes_without_a_filter_and_empty_trees_are_refused_before_anything_is_sent() {
    let code = |result: Result<(), Error>| result.unwrap_err().code().as_str();
    assert_eq!(code(table().delete().send().await), "rest.unfiltered_write");
    assert_eq!(code(table().update(&serde_json::json!({})).send().await), "rest.unfiltered_write");
    assert_eq!(code(table().delete().filter(Filter::any([])).send().await), "rest.query_invalid");
    let long = table().select(["*"]).is_in("id", (0..2000).map(|n| n.to_string()));
    assert_eq!(code(long.fetch::<serde_json::Value>().await.map(|_| ())), "rest.query_invalid");
}
