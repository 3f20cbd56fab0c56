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
