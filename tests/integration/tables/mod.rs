//! Tables through the builder, against the embedded cloud: what is said in types is what the rows answer to; `vectors` are
//! the published cases.
mod vectors;

use cloud_dev::Running;
use cloud_sdk::{
    Cloud,
    client::{
        Client,
        rest::{Column, Compare, Count, Embed, Field, Filter, Order, Search},
    },
};
use serde_json::{Value as Json, json};

use crate::app::{App, cloud, stop};

/// Texts that mean something somewhere in a query.
const ODD: [&str; 18] = [
    "plain",
    "",
    "a,b",
    "x\"y",
    "p\\q",
    "(z)",
    "{a,b}",
    "\"whole\"",
    " blank ",
    "NULL",
    "null",
    "a),content.neq.(b",
    "%zzz%,content.ilike.%zoom%",
    "1+1=2&x#y",
    "eq.1",
    "größe €",
    "line\nbreak\t",
    "50%2C",
];

struct Story {
    server: Running,
    _app: App,
    cloud: Cloud,
    conversation: String,
}

impl Story {
    /// Ada with one conversation, in which each of `texts` was said.
    async fn begin(texts: &[&str]) -> Self {
        let server = cloud().await;
        let app = App::new(&server);
        let cloud = app.start_signed_in(&server.demo().people[0]).await;
        let demo = server.demo();
        let row = json!({
            "workspace_id": demo.workspace_id, "name": "odd, (very) \"odd\"", "started_by": demo.people[0].user_id,
        });
        let made: Json = cloud.client().table("conversations").insert(&row).fetch_one(["id"]).await.unwrap();
        let story = Self { conversation: made["id"].as_str().unwrap().to_owned(), server, _app: app, cloud };
        let said: Vec<_> = texts.iter().map(|text| story.message(text)).collect();
        let table = story.client().table("messages");
        let written: Vec<Json> = table.insert(&said).all_columns().default_missing().fetch(["content"]).await.unwrap();
        assert_eq!(written.len(), texts.len());
        story
    }

    fn client(&self) -> &Client {
        self.cloud.client()
    }

    fn message(&self, text: &str) -> Json {
        json!({
            "conversation_id": self.conversation, "role": "user", "content": text,
            "sender_user_id": self.server.demo().people[0].user_id,
            "metadata": {"kind": text, "list": [text, "last"], "odd.key": text},
        })
    }

    async fn found(&self, filter: Filter) -> Vec<String> {
        let query = self.client().table("messages").select(["content"]).filter(filter.clone()).order("seq");
        let rows =
            query.fetch::<Json>().await.unwrap_or_else(|error| panic!("{filter:?}: {error} {:?}", error.detail()));
        rows.iter().map(|row| row["content"].as_str().unwrap().to_owned()).collect()
    }

    async fn end(self) {
        stop(self.cloud).await;
    }
}

#[tokio::test]
async fn every_text_finds_itself_and_nothing_else_wherever_it_stands() {
    let story = Story::begin(&ODD).await;
    for text in ODD {
        let me = |filter: Filter| story.found(filter);
        let alone = [
            Filter::eq("content", text),
            Filter::is_in("content", [text]),
            Filter::any([Filter::eq("content", text)]),
            Filter::all([Filter::is_in("content", [text]), Filter::is_not_null("content")]),
            Filter::any_of("content", Compare::Eq, [text]),
            Filter::any([Filter::any_of("content", Compare::Eq, [text])]),
            Filter::is_distinct("content", text).not(),
            Filter::eq("metadata->>kind", text),
            Filter::eq("metadata->list->>0", text),
            Filter::eq("metadata->list->>-2", text),
            Filter::eq(Column::named("metadata").key_text("odd.key"), text),
            Filter::any([Filter::eq(Column::named("metadata").key_text("odd.key"), text)]),
            Filter::contains("metadata", json!({"kind": text})),
            Filter::any([Filter::contains("metadata", json!({"kind": text}))]),
        ];
        for filter in alone {
            assert_eq!(me(filter.clone()).await, [text], "{filter:?}");
        }
        let rest = me(Filter::any([Filter::eq("content", text)]).not()).await;
        assert_eq!(rest.len(), ODD.len() - 1, "{text}");
        assert!(!rest.iter().any(|other| other == text));
    }
    assert_eq!(story.found(Filter::is_in("content", ODD)).await, ODD);
    assert!(story.found(Filter::is_in::<&str>("content", [])).await.is_empty());
    let either = Filter::any_of("content", Compare::Ilike, ["PLA*", "*zoom*"]);
    assert_eq!(story.found(either).await, ["plain", "%zzz%,content.ilike.%zoom%"]);
    assert_eq!(story.found(Filter::matches("content", "^p.a")).await, ["plain"]);
    story.end().await;
}

#[tokio::test]
async fn searches_find_words_and_phrases_alone_and_in_trees() {
    let texts = ["The fat cats sat", "A cat, running", "(Odd) \"quoted, fat\" rats", "ada@example.com"];
    let story = Story::begin(&texts).await;
    for (search, found) in [
        (Search::query("cat & !fat"), &[1][..]),
        (Search::query("fat <-> (cat | rat)"), &[0, 2]),
        (Search::query("cat:*").language("simple"), &[0, 1]),
        (Search::words("runs the cats"), &[1]),
        (Search::phrase("quoted, fat"), &[2]),
        (Search::web("\"fat rat\" or \"fat cat\" -\"x, y)\\"), &[0, 2]),
        (Search::web("ada@example.com").language("simple"), &[3]),
        (Search::words(""), &[]),
    ] {
        let found: Vec<_> = found.iter().map(|index| texts[*index]).collect();
        let alone = Filter::search("content", search);
        let in_tree = Filter::any([alone.clone(), Filter::eq("content", "nothing, (at) all")]);
        for filter in [alone.clone(), in_tree] {
            assert_eq!(story.found(filter).await, found, "{alone:?}");
        }
        assert_eq!(story.found(alone.clone().not()).await.len(), texts.len() - found.len(), "{alone:?}");
    }
    let bad =
        story.client().table("messages").select(["id"]).filter(Filter::search("content", Search::query("fat cat")));
    assert_eq!(bad.fetch::<Json>().await.unwrap_err().server_code(), Some("42601"));
    story.end().await;
}

#[tokio::test]
async fn embeds_are_filtered_sorted_and_cut_on_their_own_and_decide_about_parents() {
    let story = Story::begin(&["one", "two", "three"]).await;
    let conversations = story.client().table("conversations");
    let newest = Embed::new("messages", ["content"])
        .column(Field::new("metadata->list->>0").alias("first"))
        .alias("said")
        .filter(Filter::any([Filter::eq("content", "two"), Filter::eq("content", "one")]))
        .order(Order::desc("seq"))
        .limit(1);
    let by = Embed::new("profiles", ["id"]).hint("conversations_started_by_fkey").alias("by");
    let row: Json =
        conversations.select(["id"]).embed(newest).embed(by).order("by.id").order("id").exactly_one().await.unwrap();
    let ada = &story.server.demo().people[0].user_id;
    assert_eq!(row["said"], json!([{"content": "two", "first": "two"}]));
    assert_eq!(row["by"]["id"], json!(ada));

    let with = |text: &str| Embed::join("messages").eq("content", text);
    let having = |text: &'static str| conversations.select(["id"]).having(with(text));
    let lacking = |text: &'static str| conversations.select(["id"]).lacking(with(text));
    assert_eq!(having("two").fetch::<Json>().await.unwrap().len(), 1);
    assert_eq!(having("four").fetch::<Json>().await.unwrap().len(), 0);
    assert_eq!(lacking("two").fetch::<Json>().await.unwrap().len(), 0);
    assert_eq!(lacking("four").fetch::<Json>().await.unwrap().len(), 1);
    let inner = conversations.select(["id"]).embed(with("four").inner());
    assert!(inner.one::<Json>().await.unwrap().is_none());
    story.end().await;
}

#[tokio::test]
async fn counts_pages_and_lists_see_every_row_once() {
    let texts: Vec<_> = (0..45).map(|n| format!("text {n}")).collect();
    let story = Story::begin(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let messages = story.client().table("messages").select(["id", "created_at", "content"]);
    let some = messages.clone().order("seq").limit(10).count().fetch::<Json>().await.unwrap();
    assert_eq!((some.len(), some.total(), some.is_cut()), (10, Some(45), true));
    assert_eq!(messages.count_rows(Count::Exact).await.unwrap(), 45);
    let far = messages.clone().offset(100).count().fetch::<Json>().await.unwrap_err();
    assert_eq!((far.code().as_str(), far.server_code()), ("rest.range_invalid", Some("PGRST103")));

    let mut seen = Vec::new();
    let mut pages = messages.clone().pages_by::<Json, _>(["created_at", "id"], None, 7);
    while let Some(page) = pages.next().await.unwrap() {
        seen.extend(page.into_iter().map(|row| row["content"].as_str().unwrap().to_owned()));
    }
    seen.sort();
    let mut wanted = texts.clone();
    wanted.sort();
    assert_eq!(seen, wanted);
    let keys = [Order::desc("created_at"), Order::asc("id")];
    let mut back = messages.clone().pages_by::<Json, _>(keys, None, 44);
    let first = back.next().await.unwrap().unwrap();
    let second = back.next().await.unwrap().unwrap();
    assert_eq!((first.len(), second.len(), back.next().await.unwrap()), (44, 1, None));
    assert_eq!(messages.fetch_all::<Json>("id", 45).await.unwrap().len(), 45);
    assert_eq!(messages.fetch_all::<Json>("id", 44).await.unwrap_err().code().as_str(), "net.too_large");

    let many = (0..2000).map(|n| format!("text {n}"));
    let before = story.server.requests("/rest/v1/messages");
    assert_eq!(messages.fetch_in::<Json, _>("content", many).await.unwrap().len(), 45);
    assert_eq!(story.server.requests("/rest/v1/messages") - before, 20);
    story.end().await;
}

#[tokio::test]
async fn writes_give_back_what_they_did_and_stop_at_their_limits() {
    let story = Story::begin(&["a", "b", "c"]).await;
    let client = story.client();
    let files = client.table("workspace_files");
    let file = |path: &str, version: i64| json!({"workspace_id": story.server.demo().workspace_id, "file_path": path, "storage_path": "s", "version": version});
    let key = ["workspace_id", "file_path"];
    let upsert = |rows: Vec<Json>| files.insert(&rows).on_conflict(key);
    let made: Vec<Json> =
        upsert(vec![file("a", 1), file("b,c", 1)]).merge_duplicates().fetch(["file_path"]).await.unwrap();
    assert_eq!(made.len(), 2);
    let kept: Vec<Json> =
        upsert(vec![file("a", 2), file("d", 2)]).ignore_duplicates().fetch(["file_path"]).await.unwrap();
    assert_eq!(kept, [json!({"file_path": "d"})], "what exists is left alone and not given back");
    upsert(vec![file("b,c", 3)]).merge_duplicates().send().await.unwrap();
    let versions = files.select(["file_path", "version"]).order("file_path").fetch::<Json>().await.unwrap();
    let pair = |path: &str, version: i64| json!({"file_path": path, "version": version});
    assert_eq!(*versions, [pair("a", 1), pair("b,c", 3), pair("d", 2)]);

    let code = |error: cloud_sdk::Error| (error.code().as_str(), error.server_code().unwrap_or_default().to_owned());
    let change = json!({"version": 9});
    let all = Filter::gt("version", 0);
    let error = files.update(&change).filter(all.clone()).max_affected(2).send().await.unwrap_err();
    assert_eq!(code(error), ("rest.too_many_rows", "PGRST124".to_owned()));
    let error = files.update(&change).filter(all.clone()).fetch_one::<Json>(["id"]).await.unwrap_err();
    assert_eq!(code(error), ("rest.not_one_row", "PGRST116".to_owned()));
    let error = files.update(&change).eq("version", 7).fetch_one::<Json>(["id"]).await.unwrap_err();
    assert_eq!(code(error), ("rest.no_row", "PGRST116".to_owned()));
    assert_eq!(files.select(["id"]).eq("version", 9).count_rows(Count::Exact).await.unwrap(), 0, "all were undone");
    assert_eq!(files.update(&change).eq("version", 7).affected().await.unwrap(), 0, "no match is a success");
    assert_eq!(files.update(&change).filter(all).max_affected(3).affected().await.unwrap(), 3);
    let won: Vec<Json> =
        files.update(&pair("a", 10)).eq("file_path", "a").eq("version", 9).fetch(["version"]).await.unwrap();
    assert_eq!(won, [json!({"version": 10})]);

    let id = "d0000000-0000-4000-8000-0000000000f1";
    let mut whole = file("put", 1);
    whole["id"] = json!(id);
    files.replace(&whole).key("id", id).send().await.unwrap();
    whole["version"] = json!(2);
    files.replace(&whole).key("id", id).send().await.unwrap();
    let error = files.replace(&whole).key("version", 2).send().await.unwrap_err();
    assert_eq!(code(error), ("api.rejected", "PGRST105".to_owned()));
    let gone: Vec<Json> = files.delete().eq("id", id).max_affected(1).fetch(["version"]).await.unwrap();
    assert_eq!(gone, [json!({"version": 2})]);
    let left = files.delete().eq("version", 9).max_affected(1).send().await.unwrap_err();
    assert_eq!(code(left), ("rest.too_many_rows", "PGRST124".to_owned()));
    assert_eq!(files.delete().eq("version", 9).affected().await.unwrap(), 2);
    assert_eq!(files.select(["id"]).count_rows(Count::Exact).await.unwrap(), 1);

    let messages = client.table("messages");
    let none = messages.select(["id"]).eq("content", "nobody said this").exactly_one::<Json>().await.unwrap_err();
    assert_eq!(code(none), ("rest.no_row", "PGRST116".to_owned()));
    let many = messages.select(["id"]).exactly_one::<Json>().await.unwrap_err();
    assert_eq!(code(many), ("rest.not_one_row", "PGRST116".to_owned()));
    story.end().await;
}

#[tokio::test]
async fn what_the_cloud_lacks_or_does_not_understand_has_a_typed_error() {
    let story = Story::begin(&["a"]).await;
    let client = story.client();
    let code = |result: Result<_, cloud_sdk::Error>| {
        let error: cloud_sdk::Error = result.map(|_: Json| ()).unwrap_err();
        (error.code().as_str(), error.server_code().unwrap_or_default().to_owned())
    };
    let got = |ours: &'static str, theirs: &str| (ours, theirs.to_owned());
    let absent = client.rpc("no_such_function", &json!({"a": 1})).value().await;
    assert_eq!(code(absent), got("api.schema_mismatch", "PGRST202"));
    let absent = client.rpc("no_such_function", &json!({"a": 1})).read_only().value().await;
    assert_eq!(code(absent), got("api.schema_mismatch", "PGRST202"));
    let elsewhere = client.schema("other").table("messages").select(["id"]).exactly_one().await;
    assert_eq!(code(elsewhere), got("api.schema_mismatch", "PGRST106"));
    let messages = client.table("messages");
    assert_eq!(code(messages.select(["no"]).exactly_one().await), got("api.schema_mismatch", "42703"));
    let apart = messages.select(["id"]).eq("conversations.id", "x").exactly_one().await;
    assert_eq!(code(apart), got("rest.query_refused", "PGRST108"));
    let sum = messages.select([Field::new("seq").sum()]).exactly_one().await;
    assert_eq!(code(sum), got("rest.not_offered", "PGRST123"));
    // HEAD has no body: the code comes in a header.
    let head = client.table("garlic").select(["id"]).count_rows(Count::Exact).await.map(Json::from);
    assert_eq!(code(head), got("api.schema_mismatch", "PGRST205"));
    story.end().await;
}
