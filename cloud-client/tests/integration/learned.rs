//! What a client learns of its cloud from ordinary answers.
use std::time::{Duration, SystemTime};

use cloud_client::{
    capability::{Capability, Support, Unsupported},
    error::codes,
    testing::{Scripted, Step},
};
use serde_json::{Value, json};

use super::{client, rows};

#[tokio::test(start_paused = true)]
async fn the_clouds_time_is_learned_from_any_answer() {
    let dated = |ahead: u64| {
        let date = cloud_client::clock::SharedClock::default().wall() + Duration::from_secs(ahead);
        let date = date.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        Step::json(200, "[]").header("date", &http_date(date))
    };
    let scripted = Scripted::new([Step::json(200, "[]"), dated(3600)]);
    let client = client(&scripted);
    rows(&client).await.unwrap();
    assert_eq!(client.server_time(), None);
    rows(&client).await.unwrap();
    let ahead = client.server_time().unwrap().duration_since(client.clock().wall()).unwrap();
    assert!((3595..3605).contains(&ahead.as_secs()), "{ahead:?}");
}

fn http_date(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_not_deployed_is_unsupported_until_it_answers() {
    let missing = || Step::json(404, r#"{"code":"NOT_FOUND","message":"no"}"#).header("sb-error-code", "NOT_FOUND");
    let scripted = Scripted::new([missing(), Step::json(404, r#"{"error":"no such item"}"#), Step::json(200, "{}")]);
    let client = client(&scripted);
    let own = Capability::function("own");
    let invoke = || async { client.function("own").invoke::<Value>(&json!({})).await };
    assert_eq!(client.capabilities().support(&own), Support::Unknown);

    assert_eq!(invoke().await.unwrap_err().code(), codes::SCHEMA);
    let refused = client.capabilities().require(&own).unwrap_err();
    assert_eq!(Unsupported::of(&refused).unwrap().code, "api.schema_mismatch");
    // A 404 of the function's own says nothing about the function.
    assert_eq!(invoke().await.unwrap_err().code(), codes::NOT_FOUND);
    assert!(client.capabilities().require(&own).is_err());

    invoke().await.unwrap();
    assert_eq!(client.clone().capabilities().support(&own), Support::Supported);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_cannot_do_with_tables_and_lists_has_a_name() {
    let no_limit = Step::json(400, r#"{"code":"PGRST122","message":"Invalid preferences given with handling=strict"}"#);
    let no_sums = Step::json(400, r#"{"code":"PGRST123","message":"Use of aggregate functions is not allowed"}"#);
    let no_list = || {
        Step::json(404, r#"{"message":"Route POST:/object/list-v2/b not found","error":"Not Found","statusCode":404}"#)
    };
    let applied = Step::json(204, "").header("preference-applied", "return=minimal, handling=strict, max-affected=1");
    let empty = Step::json(200, r#"{"hasNext":false,"folders":[],"objects":[]}"#);
    let scripted = Scripted::new([no_limit, no_sums, no_list(), applied, empty, Step::json(404, r#"{"error":"x"}"#)]);
    let client = client(&scripted);
    let lacks = |name: &Capability| match client.capabilities().require(name) {
        Ok(()) => None,
        Err(error) => Unsupported::of(&error).map(|lacking| lacking.code.clone()),
    };

    let few = || client.table("tasks").delete().eq("id", 1).max_affected(1).send();
    assert!(few().await.is_err());
    assert_eq!(lacks(&Capability::REST_MAX_AFFECTED).as_deref(), Some("api.rejected"));
    let sum = client.table("tasks").select([cloud_client::rest::Field::new("hours").sum()]);
    assert!(sum.fetch::<Value>().await.is_err());
    assert_eq!(lacks(&Capability::REST_AGGREGATES).as_deref(), Some("rest.not_offered"));
    let files = client.storage().bucket("b");
    let error = files.list("").page().await.unwrap_err();
    assert_eq!(Unsupported::of(&error).unwrap().capability, Capability::STORAGE_LIST_V2);

    few().await.unwrap();
    files.list("").page().await.unwrap();
    for name in [Capability::REST_MAX_AFFECTED, Capability::STORAGE_LIST_V2] {
        assert_eq!(client.capabilities().support(&name), Support::Supported, "{name}");
    }
    // A bucket that is missing says nothing about lists.
    assert!(files.list("").page().await.is_err());
    assert_eq!(lacks(&Capability::STORAGE_LIST_V2), None);
}
