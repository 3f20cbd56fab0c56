//! What builders send and how they take the answers, over a scripted transport.
use futures::TryStreamExt as _;
use serde_json::{Value as Json, json};

use super::{
    super::*,
    grammar::{self, Condition, Operand},
};
use crate::{
    error::codes,
    testing::{Scripted, Step},
    transport::{Request, Response, SharedTransport, Transport},
};

fn client(transport: SharedTransport) -> Client {
    Client::builder("http://127.0.0.1:1", "sb_publishable_x").unwrap().transport(transport).build()
}

fn scripted(steps: impl IntoIterator<Item = Step>) -> (Scripted, Client) {
    let scripted = Scripted::new(steps);
    let client = client(scripted.shared());
    (scripted, client)
}

fn ok(body: &Json) -> Step {
    Step::json(200, &body.to_string())
}

fn refusal(status: u16, code: &str, details: &str) -> Step {
    Step::json(status, &json!({"code": code, "message": "no", "details": details, "hint": null}).to_string())
}

#[tokio::test(start_paused = true)]
async fn reads_say_in_their_headers_what_they_want() {
    let ranged = |range: &str| ok(&json!([{"id": 1}])).header("content-range", range);
    let (script, client) = scripted([
        ranged("0-0/15"),
        ranged("0-0/*"),
        ok(&json!({"id": 1})),
        Step::json(200, "").header("content-range", "*/7"),
        ok(&json!([])),
    ]);
    let table = client.schema("other").table("t");
    let read = table.select(["id"]).order("id").limit(1);
    let rows = read.clone().counted(Count::Planned).fetch::<Json>().await.unwrap();
    assert_eq!((rows.total(), rows.is_cut(), rows.len()), (Some(15), true, 1));
    let rows = read.clone().without_nulls().fetch::<Json>().await.unwrap();
    assert_eq!((rows.total(), rows.is_cut()), (None, true));
    assert_eq!(read.clone().without_nulls().exactly_one::<Json>().await.unwrap(), json!({"id": 1}));
    assert_eq!(read.count_rows(Count::Estimated).await.unwrap(), 7);
    let rows = client.table("t").select(["id"]).fetch::<Json>().await.unwrap();
    assert!(!rows.is_cut());

    let sent = script.sent();
    let header = |n: usize, name: &str| sent[n].header(name).to_owned();
    assert_eq!((header(0, "prefer"), header(0, "accept-profile")), ("count=planned".into(), "other".into()));
    assert_eq!(header(1, "accept"), "application/vnd.pgrst.array+json;nulls=stripped");
    assert_eq!(header(2, "accept"), "application/vnd.pgrst.object+json;nulls=stripped");
    assert_eq!(
        (sent[3].target.as_str(), header(3, "prefer").as_str()),
        ("HEAD /rest/v1/t?select=id", "count=estimated")
    );
    assert_eq!((header(4, "accept"), header(4, "accept-profile")), ("application/json".into(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn writes_say_in_their_headers_what_they_want() {
    let (script, client) = scripted([
        Step::json(201, "[]"),
        Step::json(201, r#"{"id":1}"#),
        Step::json(204, "").header("content-range", "*/3"),
        ok(&json!([{"id": 2}])),
        Step::json(201, ""),
        Step::json(201, ""),
    ]);
    let table = client.schema("other").table("t");
    let rows = [json!({"id": 1, "name": "a"}), json!({"b c": 2})];
    let upsert = table.insert(&rows).all_columns().on_conflict(["order", "id"]).default_missing();
    upsert.ignore_duplicates().merge_duplicates().fetch::<Json>(["id", "name"]).await.unwrap();
    table.insert(&rows[0]).fetch_one::<Json>(["id"]).await.unwrap();
    assert_eq!(table.update(&json!({"a": 1})).eq("id", 1).max_affected(3).affected().await.unwrap(), 3);
    let gone = table.delete().filter(Filter::any([Filter::eq("id", 2)])).fetch::<Json>(["id"]).await.unwrap();
    assert_eq!(gone, [json!({"id": 2})]);
    table.replace(&rows[0]).key("id", 1).key("limit", "x,y").send().await.unwrap();
    table.insert(&rows[0]).columns(["id", "name"]).send().await.unwrap();

    let sent = script.sent();
    let seen: Vec<_> = sent.iter().map(|sent| (sent.target.replace("/rest/v1/", ""), sent.header("prefer"))).collect();
    let target = "POST t?columns=%22b%20c%22,id,name&on_conflict=%22order%22,id&select=id,name";
    let expected = [
        (target, "missing=default,resolution=merge-duplicates,return=representation"),
        ("POST t?select=id", "return=representation"),
        ("PATCH t?id=eq.1", "handling=strict,max-affected=3,return=minimal,count=exact"),
        ("DELETE t?or=(id.eq.2)&select=id", "return=representation"),
        ("PUT t?id=eq.1&%22limit%22=eq.x,y", "return=minimal"),
        ("POST t?columns=id,name", "return=minimal"),
    ];
    assert_eq!(seen, expected.map(|(target, prefer)| (target.to_owned(), prefer)));
    assert_eq!(sent[1].header("accept"), "application/vnd.pgrst.object+json");
    assert!(
        sent.iter().all(|sent| sent.header("content-profile") == "other" && sent.header("accept-profile").is_empty())
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_about_the_number_of_rows_have_codes_of_their_own() {
    let (_, client) = scripted([
        refusal(406, "PGRST116", "The result contains 0 rows"),
        refusal(406, "PGRST116", "The result contains 4 rows"),
        refusal(400, "PGRST124", "The query affects 14 rows"),
        refusal(416, "PGRST103", "An offset of 100 was requested, but there are only 15 rows."),
        ok(&json!([1, 2])),
        Step::answer(416, "application/json", "").header("proxy-status", "PostgREST; error=PGRST103"),
        Step::answer(404, "application/json", "").header("proxy-status", "PostgREST; error=PGRST205"),
    ]);
    let table = client.table("t");
    let values = json!({"a": 1});
    let code = |error: Error| (error.code(), error.server_code().map(str::to_owned));
    let got = |name: &str| Some(name.to_owned());
    let none = table.select(["*"]).exactly_one::<Json>().await.unwrap_err();
    assert_eq!(code(none), (codes::NO_ROW, got("PGRST116")));
    let many = table.update(&values).eq("a", 2).fetch_one::<Json>(["*"]).await.unwrap_err();
    assert_eq!(code(many), (codes::NOT_ONE_ROW, got("PGRST116")));
    let many = table.delete().eq("a", 2).max_affected(10).send().await.unwrap_err();
    assert_eq!(code(many), (codes::TOO_MANY_ROWS, got("PGRST124")));
    let far = table.select(["*"]).offset(100).count().fetch::<Json>().await.unwrap_err();
    assert_eq!(code(far), (codes::RANGE, got("PGRST103")));
    assert_eq!(table.select(["*"]).one::<Json>().await.unwrap_err().code(), codes::NOT_ONE_ROW);
    // An answer to HEAD has no body: the header alone tells.
    let far = table.select(["*"]).count_rows(Count::Exact).await.unwrap_err();
    assert_eq!(code(far), (codes::RANGE, got("PGRST103")));
    let gone = table.select(["*"]).count_rows(Count::Exact).await.unwrap_err();
    assert_eq!(code(gone), (codes::SCHEMA, got("PGRST205")));
}

#[tokio::test(start_paused = true)]
async fn functions_take_their_arguments_by_body_or_by_query() {
    let (script, client) = scripted([
        ok(&json!(3)),
        Step::json(204, ""),
        ok(&json!([{"id": 1}])),
        ok(&json!({"id": 1})),
        Step::fail(codes::CUT),
        ok(&json!([])),
    ]);
    assert_eq!(client.rpc("add", &json!({"a": 1, "b": 2})).value::<i64>().await.unwrap(), 3);
    client.schema("other").rpc("tidy", &()).run().await.unwrap();
    let arguments = json!({"limit": 5, "tags": ["a,b", null], "grid": [[1], [2]], "deep": {"k": 1}, "text": "x=y&z"});
    let near = client.rpc("near", &arguments).read_only().column("id").eq("open", true).order("id").limit(2);
    let rows = near.counted(Count::Exact).fetch::<Json>().await.unwrap();
    assert_eq!(rows.len(), 1);
    client.rpc("make", &json!({})).max_affected(1).exactly_one::<Json>().await.unwrap();
    let failed = client.rpc("make", &json!({})).fetch::<Json>().await.unwrap_err();
    assert_eq!(failed.code(), codes::CUT, "what may write is sent once");
    assert_eq!(client.rpc("find", &json!({})).repeatable().one::<Json>().await.unwrap(), None);

    let sent = script.sent();
    assert_eq!((sent[0].target.as_str(), sent[0].body.as_str()), ("POST /rest/v1/rpc/add", r#"{"a":1,"b":2}"#));
    assert_eq!((sent[1].body.as_str(), sent[1].header("content-profile")), ("{}", "other"));
    let (path, query) = sent[2].target.split_once('?').unwrap();
    let parameters: Vec<_> =
        url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(path, "GET /rest/v1/rpc/near");
    let expected = [
        r#"deep={"k":1}"#,
        "grid={{1},{2}}",
        r#""limit"=5"#,
        r#"tags={"a,b",NULL}"#,
        "text=x=y&z",
        "select=id",
        "open=eq.true",
        "order=id.asc",
        "limit=2",
    ];
    assert_eq!(parameters, expected);
    assert_eq!((sent[2].body.as_str(), sent[2].header("prefer")), ("", "count=exact"));
    assert_eq!(sent[3].header("accept"), "application/vnd.pgrst.object+json");

    // What would be taken for a filter, or cannot be written, is not sent by GET.
    let count = sent.len();
    for arguments in
        [json!({"a": "eq.1"}), json!({"a": "not.in.(1)"}), json!({"a": "like(any).x"}), json!({"a": null}), json!([1])]
    {
        let error = client.rpc("f", &arguments).read_only().run().await.unwrap_err();
        assert_eq!(error.code(), codes::QUERY_INVALID, "{arguments}");
    }
    assert_eq!(script.sent().len(), count);
}

/// A table of times and ids that answers as a server with a cap does.
#[derive(Debug)]
struct Capped {
    rows: Vec<(String, i64)>,
    cap: usize,
}

impl Capped {
    fn holds(&self, condition: &Condition, row: &(String, i64)) -> bool {
        match condition {
            Condition::Tree { word, parts, .. } if *word == "or" => parts.iter().any(|part| self.holds(part, row)),
            Condition::Tree { parts, .. } => parts.iter().all(|part| self.holds(part, row)),
            Condition::Leaf { place, operator, operand, .. } => {
                let Operand::Text(text) = operand else { panic!("a value") };
                let order = match place.name.as_str() {
                    "created_at" => row.0.as_str().cmp(text),
                    _ => row.1.cmp(&text.parse().unwrap()),
                };
                match operator.as_str() {
                    "eq" => order.is_eq(),
                    "gt" => order.is_gt(),
                    _ => order.is_lt(),
                }
            }
        }
    }
}

#[async_trait::async_trait]
impl Transport for Capped {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let query = grammar::read(request.url.query().unwrap_or_default()).unwrap();
        let mut rows: Vec<_> =
            self.rows.iter().filter(|row| query.conditions.iter().all(|c| self.holds(c, row))).collect();
        rows.sort();
        if query.orders[0].1[0].place.name == "id" {
            rows.sort_by_key(|row| row.1);
        }
        if query.orders[0].1.iter().any(|sorted| sorted.rest == ".desc") {
            rows.reverse();
        }
        rows.truncate(query.limits[0].1.min(self.cap));
        let rows: Vec<_> = rows.into_iter().map(|(time, id)| json!({"created_at": time, "id": id})).collect();
        let answer = Scripted::new([ok(&Json::from(rows))]);
        answer.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn p05_rows_that_share_a_time_are_each_visited_once_whatever_the_page_and_the_cap() {
    let time = |n: i64| format!("2026-01-01T00:00:00.{:06}+00:00", n / 9);
    let rows: Vec<_> = (0..25_i64).map(|n| (time(n), 9_007_199_254_740_993 + n * 7 % 25)).collect();
    let mut sorted = rows.clone();
    sorted.sort();
    for (size, cap) in [(1, 100), (2, 100), (3, 2), (7, 7), (8, 3), (25, 25), (100, 5), (100, 100)] {
        let client = client(SharedTransport::new(Capped { rows: rows.clone(), cap }));
        let all = client.table("t").select(["created_at", "id"]);
        let seen = |rows: Vec<Json>| -> Vec<(String, i64)> {
            rows.into_iter()
                .map(|row| (row["created_at"].as_str().unwrap().into(), row["id"].as_i64().unwrap()))
                .collect()
        };
        let forward = all.clone().pages_by::<Json, _>(["created_at", "id"], None, size).into_rows();
        assert_eq!(seen(forward.try_collect().await.unwrap()), sorted, "{size} {cap}");
        let keys = [Order::desc("created_at"), Order::desc("id")];
        let back: Vec<Vec<Json>> = all.clone().pages_by(keys, None, size).into_stream().try_collect().await.unwrap();
        assert!(seen(back.into_iter().flatten().collect()).iter().eq(sorted.iter().rev()), "{size} {cap}");
        // Going on where another run stopped.
        let mut first = all.clone().pages_by::<Json, _>(["created_at", "id"], None, size);
        let begun = first.next().await.unwrap().unwrap();
        let after = first.position().map(<[Value]>::to_vec);
        let rest = all.pages_by::<Json, _>(["created_at", "id"], after, size).into_rows();
        let both = begun.into_iter().chain(rest.try_collect::<Vec<_>>().await.unwrap()).collect();
        assert_eq!(seen(both), sorted, "{size} {cap}");
    }
    let client = client(SharedTransport::new(Capped { rows, cap: 10 }));
    let all = client.table("t").select(["id"]);
    assert_eq!(all.fetch_all::<Json>("id", 25).await.unwrap().len(), 25);
    assert_eq!(all.fetch_all::<Json>("id", 24).await.unwrap_err().code(), codes::TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn pages_that_cannot_go_on_say_so() {
    let page = || ok(&json!([{"id": 1}]));
    let (_, client) =
        scripted([page(), page(), ok(&json!([{"x": 1}])), ok(&json!([{"id": null}])), Step::json(500, "{}")]);
    let client = client.table("t");
    let mut stuck = client.select(["id"]).pages::<Json>("id", None, 5);
    stuck.next().await.unwrap().unwrap();
    assert_eq!(stuck.next().await.unwrap_err().code(), codes::UNREADABLE, "the same page again");
    for _ in 0..2 {
        let error = client.select(["id"]).pages::<Json>("id", None, 5).next().await.unwrap_err();
        assert_eq!(error.code(), codes::UNREADABLE);
    }
    let none: [&str; 0] = [];
    let error = client.select(["id"]).pages_by::<Json, _>(none, None, 5).next().await.unwrap_err();
    assert_eq!(error.code(), codes::QUERY_INVALID);
    let after = Some(vec![Value::from(1)]);
    let error = client.select(["id"]).pages_by::<Json, _>(["a", "b"], after, 5).next().await.unwrap_err();
    assert_eq!(error.code(), codes::QUERY_INVALID);
    let mut failed = client.select(["id"]).pages::<Json>("id", None, 5).into_stream();
    assert!(failed.try_next().await.is_err());
    assert!(failed.try_next().await.unwrap().is_none(), "a stream is over after its first error");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_large_is_read_in_smaller_ones() {
    let huge = Step::json(200, &format!("[\"{}\"]", "x".repeat(9 << 20)));
    let (script, client) = scripted([huge, ok(&json!([{"id": 1}])), ok(&json!([]))]);
    assert_eq!(client.table("t").select(["id"]).pages::<Json>("id", None, 8).all(9).await.unwrap().len(), 1);
    let limits: Vec<_> = script.sent().iter().map(|sent| sent.target.rsplit('=').next().unwrap().to_owned()).collect();
    assert_eq!(limits, ["8", "4", "4"]);
}

#[tokio::test(start_paused = true)]
async fn long_lists_take_several_requests_and_cut_answers_are_asked_for_in_halves() {
    let answer = |total: usize| ok(&json!([{"id": 1}])).header("content-range", &format!("0-0/{total}"));
    // 150 values: two pieces of 100 and 50; the second comes first and is cut, so its halves follow.
    let (script, client) = scripted([answer(40), answer(1), answer(1), answer(1)]);
    let all = client.table("t").select(["id"]);
    let rows = all.fetch_in::<Json, _>("id", (0..150).chain(0..150)).await.unwrap();
    assert_eq!((rows.len(), script.sent().len()), (3, 4));
    let values: Vec<_> = script.sent().iter().map(|sent| sent.target.matches(',').count() + 1).collect();
    assert_eq!(values, [50, 25, 25, 100]);

    script.then([answer(2)]);
    assert_eq!(all.fetch_in::<Json, _>("id", [1]).await.unwrap_err().code(), codes::TOO_LARGE);
    let ordered =
        [all.clone().order("id"), all.clone().limit(1), all.clone().offset(1), all.column(Field::count_rows())];
    for query in ordered {
        assert_eq!(query.fetch_in::<Json, _>("id", [1]).await.unwrap_err().code(), codes::QUERY_INVALID);
    }
    assert_eq!(script.sent().len(), 5);
}
