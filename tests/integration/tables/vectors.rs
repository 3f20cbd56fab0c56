//! The published cases of the table protocol, end to end. Numbers are those of the description's list of cases.
//!
//! What a builder cannot say, such as a broken tree, goes as a call of its own; the SDK still classifies the answer. Rows
//! are files of a workspace: `version` is the number of a case, `file_path` the name.
//!
//! | Case   | Here                       | Else                                                              |
//! |--------|----------------------------|-------------------------------------------------------------------|
//! | 1–11   | `…trees…`, `…lists…`       | `postgrest::{filter, tests::vectors}` of cloud-dev                |
//! | 12, 19 | no such columns or tables  | `postgrest::tests` of cloud-dev                                   |
//! | 13–15  | `…pages…`                  | `pages_tell_their_place`; the builder has no negative numbers     |
//! | 16–25  | `…upserts…` to `…objects…` | `postgrest::tests::writes`; `rest::tests::wire` of cloud-client   |
//! | 26     | the SDK refuses it unsent  | `what_the_grammar_cannot_say…` of cloud-client                    |
//! | 27, 33 | not offered: times are UTC | `now_pg` and `instant` of cloud-dev                               |
//! | 28–32  | `super`                    | `rest::tests` of cloud-client                                     |
//! | 34, 35 | `super`                    | `rows_that_share_a_time…`, `a_head_request…`                      |
use cloud_sdk::{
    Error,
    client::{
        call::{Call, Reply},
        error::Service,
        rest::Filter,
    },
};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::Story;

const FILES: &str = "workspace_files";

impl Story {
    fn file(&self, version: i64, path: &str) -> Json {
        let workspace = &self.server.demo().workspace_id;
        json!({"workspace_id": workspace, "file_path": path, "storage_path": "s", "version": version})
    }

    /// A story with one file for each of `paths`, numbered from 1.
    async fn with_files(paths: &[&str]) -> Self {
        let story = Self::begin(&[]).await;
        let rows: Vec<_> = paths.iter().zip(1..).map(|(path, version)| story.file(version, path)).collect();
        story.client().table(FILES).insert(&rows).send().await.unwrap();
        story
    }

    /// One request as it is written.
    async fn raw(
        &self,
        method: Method,
        query: &[(&str, &str)],
        headers: &[(&'static str, &'static str)],
        body: &Json,
    ) -> Result<Reply, Error> {
        self.raw_at(FILES, method, query, headers, body).await
    }

    async fn raw_at(
        &self,
        table: &str,
        method: Method,
        query: &[(&str, &str)],
        headers: &[(&'static str, &'static str)],
        body: &Json,
    ) -> Result<Reply, Error> {
        let mut call = Call::new(Service::Rest, method).segment(table);
        for (name, value) in query {
            call = call.query(name, value);
        }
        if !body.is_null() {
            call = call.json(body)?;
        }
        for (name, value) in headers {
            call = call.header(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        self.client().send(call).await
    }

    /// The numbers of the files that `key=value` chooses.
    async fn chosen(&self, key: &str, value: &str) -> Vec<i64> {
        let query = [("select", "version"), ("order", "version"), (key, value)];
        let reply = self.raw(Method::GET, &query, &[], &Json::Null).await;
        versions(&reply.unwrap_or_else(|error| panic!("{key}={value}: {error}")).json::<Vec<Json>>().unwrap())
    }

    async fn built(&self, filter: Filter) -> Vec<i64> {
        let rows = self.client().table(FILES).select(["version"]).filter(filter).order("version").fetch::<Json>().await;
        versions(&rows.unwrap())
    }

    async fn versions(&self) -> Vec<i64> {
        self.built(Filter::is_not_null("id")).await
    }
}

fn versions(rows: &[Json]) -> Vec<i64> {
    rows.iter().map(|row| row["version"].as_i64().unwrap()).collect()
}

/// Status, code and message of a refusal.
fn refusal(result: Result<Reply, Error>) -> (u16, String, String) {
    let error = result.unwrap_err();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (error.status().unwrap(), text(error.server_code()), text(error.detail()))
}

fn refused(status: u16, code: &str, message: &str) -> (u16, String, String) {
    (status, code.to_owned(), message.to_owned())
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn vectors_1_to_7_trees_choose_the_same_rows_written_and_built() {
    let paths = ["entity 1", "entity 2", "entity 3", "(grandchild,entity,4)", "(grandchild,entity,5)"];
    let story = Story::with_files(&paths).await;
    let v = |version: i64| Filter::eq("version", version);
    let named = |name: &str, version: i64| Filter::all([Filter::eq("file_path", name), v(version)]);
    let cases: Vec<(&str, &str, Filter, &[i64])> = vec![
        ("or", "(version.eq.1,version.eq.2)", Filter::any([v(1), v(2)]), &[1, 2]),
        ("not.or", "(version.eq.1,version.eq.2)", Filter::any([v(1), v(2)]).not(), &[3, 4, 5]),
        (
            "or",
            "(and(file_path.eq.entity 2,version.eq.2),and(file_path.eq.entity 1,version.eq.1))",
            Filter::any([named("entity 2", 2), named("entity 1", 1)]),
            &[1, 2],
        ),
        (
            "and",
            "( and ( version.in.( 1, 2, 3 ) , version.eq.3 ) , or ( version.eq.2 , version.eq.3 ) )",
            Filter::all([Filter::all([Filter::is_in("version", [1, 2, 3]), v(3)]), Filter::any([v(2), v(3)])]),
            &[3],
        ),
        (
            "and",
            "( version.eq.1, not.or(version.eq.2, version.eq.3), version.in.(1,4), or(version.eq.1, version.eq.4) )",
            Filter::all([
                v(1),
                Filter::any([v(2), v(3)]).not(),
                Filter::is_in("version", [1, 4]),
                Filter::any([v(1), v(4)]),
            ]),
            &[1],
        ),
        (
            "or",
            r#"(file_path.eq."(grandchild,entity,4)",file_path.eq."(grandchild,entity,5)")"#,
            Filter::any([Filter::eq("file_path", paths[3]), Filter::eq("file_path", paths[4])]),
            &[4, 5],
        ),
    ];
    for (key, tree, filter, expected) in cases {
        assert_eq!(story.chosen(key, tree).await, expected, "{key}={tree}");
        assert_eq!(story.built(filter.clone()).await, expected, "{filter:?}");
    }
    assert_eq!(story.chosen("and", "(version.eq.1,version.neq.2))").await, [1], "7: an extra parenthesis is read over");
    let empty = story.raw(Method::GET, &[("or", "()")], &[], &Json::Null).await;
    let message = "\"failed to parse logic tree (())\" (line 1, column 4)";
    assert_eq!(refusal(empty), refused(400, "PGRST100", message));
    let nothing = story.client().table(FILES).select(["id"]).filter(Filter::any([])).fetch::<Json>().await;
    assert_eq!(nothing.unwrap_err().code().as_str(), "rest.query_invalid", "6: built of nothing, it is not sent");
    story.end().await;
}

#[tokio::test]
async fn vectors_8_to_11_lists_choose_by_their_elements_however_they_are_quoted() {
    let names =
        ["Hebdon, John", "Williams, Mary", "David White", "Double O Seven(007)", "Double\"Quote\"McGraw\"", "\\", "\""];
    let story = Story::with_files(&names).await;
    for (list, expected) in [
        (r#"in.("Hebdon, John","Williams, Mary")"#, &[1, 2][..]),
        (r#"in.(David White,"Hebdon, John")"#, &[1, 3]),
        (r#"in.("Double O Seven(007)")"#, &[4]),
        (r#"in.("Double\"Quote\"McGraw\"")"#, &[5]),
        (r#"in.("\\")"#, &[6]),
        (r#"in.("D\a\vid W\h\ite")"#, &[3]),
        (r#"in.(")"#, &[7]),
        (r"in.(\)", &[6]),
        (r#"in.(Double"Quote"McGraw")"#, &[5]),
    ] {
        assert_eq!(story.chosen("file_path", list).await, expected, "{list}");
    }
    for (name, version) in names.into_iter().zip(1..) {
        assert_eq!(story.built(Filter::is_in("file_path", [name])).await, [version], "{name}");
    }
    for (list, expected) in [("in.()", &[][..]), ("not.in.()", &[1, 2, 3, 4, 5, 6, 7]), ("in.(    )", &[])] {
        assert_eq!(story.chosen("version", list).await, expected, "{list}");
    }
    assert!(story.built(Filter::is_in::<i64>("version", [])).await.is_empty());
    assert_eq!(story.built(Filter::is_in::<i64>("version", []).not()).await.len(), 7);
    let gap = story.raw(Method::GET, &[("version", "in.( ,3,4)")], &[], &Json::Null).await;
    assert_eq!(refusal(gap), refused(400, "22P02", "invalid input syntax for type integer: \"\""));
    story.end().await;
}

#[tokio::test]
async fn vectors_13_to_15_pages_beyond_the_end_and_backwards_are_refused() {
    let paths: Vec<_> = (1..=15).map(|n| n.to_string()).collect();
    let story = Story::with_files(&paths.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let files = story.client().table(FILES);
    let beyond = files.select(["id"]).offset(100).count().fetch::<Json>().await.unwrap_err();
    assert_eq!(
        (beyond.code().as_str(), beyond.status(), beyond.server_code()),
        ("rest.range_invalid", Some(416), Some("PGRST103"))
    );
    let empty = files.select(["id"]).eq("version", 99).offset(1).count().fetch::<Json>().await.unwrap_err();
    assert_eq!(empty.code().as_str(), "rest.range_invalid");
    let some = files.select(["id"]).limit(10).offset(5).count().fetch::<Json>().await.unwrap();
    assert_eq!((some.len(), some.total()), (10, Some(15)));
    for (query, headers) in [(&[("limit", "-1")][..], &[][..]), (&[], &[("range", "1-0")])] {
        let error = story.raw(Method::GET, query, headers, &Json::Null).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.status()), ("rest.range_invalid", Some(416)), "{query:?}");
    }
    story.end().await;
}

#[tokio::test]
async fn vectors_16_to_18_upserts_tell_what_was_made_and_what_was_there() {
    let story = Story::with_files(&["a", "b"]).await;
    let upsert = async |prefer: &'static str, rows: Json| {
        let query = [("on_conflict", "workspace_id,file_path"), ("select", "file_path,version"), ("order", "version")];
        story.raw(Method::POST, &query, &[("prefer", prefer)], &rows).await.unwrap()
    };
    let merge = "resolution=merge-duplicates, return=representation";
    let mixed = upsert(merge, json!([story.file(11, "a"), story.file(12, "b"), story.file(13, "c")])).await;
    assert_eq!((mixed.status.as_u16(), header(&mixed, "preference-applied")), (201, merge));
    let existing = upsert(merge, json!([story.file(21, "a"), story.file(22, "b")])).await;
    assert_eq!((existing.status.as_u16(), header(&existing, "preference-applied")), (200, merge));
    assert_eq!(upsert(merge, json!([])).await.status.as_u16(), 200);
    let ignore = "resolution=ignore-duplicates, return=representation";
    let ignored = upsert(ignore, json!([story.file(99, "a")])).await;
    assert_eq!((ignored.status.as_u16(), ignored.json::<Json>().unwrap()), (201, json!([])));
    assert_eq!(story.versions().await, [13, 21, 22]);

    // 18: named columns, defaults for what a row lacks, through the builder.
    let mut whole = story.file(5, "d");
    whole["unknown"] = json!(1);
    let mut lacking = story.file(0, "e");
    lacking.as_object_mut().unwrap().remove("version");
    let files = story.client().table(FILES);
    let insert = files.insert(&[whole, lacking]).columns(["workspace_id", "file_path", "storage_path", "version"]);
    let made: Vec<Json> = insert
        .default_missing()
        .on_conflict(["workspace_id", "file_path"])
        .merge_duplicates()
        .fetch(["version"])
        .await
        .unwrap();
    assert_eq!(versions(&made), [5, 1]);
    story.end().await;
}

#[tokio::test]
async fn vectors_20_and_21_what_names_no_row_or_no_column_is_refused() {
    let story = Story::with_files(&["a"]).await;
    let body = story.file(1, "a");
    let id = "id=eq.d0000000-0000-4000-8000-0000000000f1";
    for query in ["version=eq.1", "id=not.eq.x", "id=in.(x)", "and=(id.eq.x)", "version=eq.1&id=eq.x"] {
        let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let (status, code, message) = refusal(story.raw(Method::PUT, &pairs, &[], &body).await);
        assert_eq!((status, code.as_str()), (405, "PGRST105"), "{query}: {message}");
    }
    let limited = [id.split_once('=').unwrap(), ("limit", "1")];
    assert_eq!(refusal(story.raw(Method::PUT, &limited, &[], &body).await).1, "PGRST114");

    let files = story.client().table(FILES);
    let unknown = files.insert(&[json!({"a": 1})]).columns(["helicopter"]).send().await.unwrap_err();
    let message = "Could not find the 'helicopter' column of 'workspace_files' in the schema cache";
    assert_eq!((unknown.server_code(), unknown.detail()), (Some("PGRST204"), Some(message)));
    let nowhere = story.client().table("garlic").insert(&json!({})).send().await.unwrap_err();
    let message = "Could not find the table 'public.garlic' in the schema cache";
    assert_eq!((nowhere.status(), nowhere.detail()), (Some(404), Some(message)));
    assert_eq!(nowhere.code().as_str(), "api.schema_mismatch");
    let empty = story.raw(Method::POST, &[("columns", "")], &[], &json!([])).await;
    assert_eq!(refusal(empty).1, "PGRST100");
    story.end().await;
}

#[tokio::test]
async fn vectors_22_to_25_changes_tell_their_number_and_stop_at_their_limits() {
    let paths: Vec<_> = (1..=15).map(|n| n.to_string()).collect();
    let story = Story::with_files(&paths.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let files = story.client().table(FILES);
    let change = json!({"checksum": "x"});
    let one = story.raw(Method::PATCH, &[("version", "eq.1")], &[], &change).await.unwrap();
    assert_eq!((one.status.as_u16(), header(&one, "content-range"), header(&one, "content-type")), (204, "0-0/*", ""));
    assert_eq!(files.update(&change).eq("version", 99).affected().await.unwrap(), 0);
    assert!(files.update(&change).eq("version", 99).fetch::<Json>(["id"]).await.unwrap().is_empty());

    let gone = story.raw(Method::DELETE, &[("version", "eq.1")], &[], &Json::Null).await.unwrap();
    assert_eq!((gone.status.as_u16(), header(&gone, "content-range")), (204, "*/*"));
    let prefer = [("prefer", "return=representation, count=exact")];
    let query = [("version", "eq.2"), ("select", "version")];
    let shown = story.raw(Method::DELETE, &query, &prefer, &Json::Null).await.unwrap();
    assert_eq!((shown.status.as_u16(), header(&shown, "content-range")), (200, "*/1"));
    assert_eq!(shown.json::<Json>().unwrap(), json!([{"version": 2}]));

    let many = files.delete().filter(Filter::lt("version", 15)).max_affected(10).send().await.unwrap_err();
    assert_eq!((many.code().as_str(), many.server_code()), ("rest.too_many_rows", Some("PGRST124")));
    assert_eq!(story.versions().await.len(), 13, "and nothing is gone");
    let lenient = [("prefer", "handling=lenient, max-affected=10")];
    let gone = story.raw(Method::DELETE, &[("version", "lt.12")], &lenient, &Json::Null).await.unwrap();
    assert_eq!(gone.status.as_u16(), 204);
    assert_eq!(story.versions().await, [12, 13, 14, 15]);

    let change = json!({"version": 99});
    let all = files.update(&change).filter(Filter::gt("version", 0)).fetch_one::<Json>(["id"]).await.unwrap_err();
    assert_eq!((all.code().as_str(), all.status()), ("rest.not_one_row", Some(406)));
    let none = files.update(&change).eq("version", 1).fetch_one::<Json>(["id"]).await.unwrap_err();
    assert_eq!((none.code().as_str(), none.status()), ("rest.no_row", Some(406)));
    assert_eq!(story.versions().await, [12, 13, 14, 15], "nothing was changed");
    story.end().await;
}
