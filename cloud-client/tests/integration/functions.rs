//! How functions are invoked: methods, bodies, regions and headers, as they go over the wire.
use cloud_client::{
    error::codes,
    functions::Function,
    testing::{Scripted, Sent, Step},
};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::client;

fn scripted() -> Scripted {
    Scripted::new((0..8).map(|_| Step::json(200, "{}")))
}

fn told(sent: &Sent) -> (&str, &str, &str) {
    (&sent.target, sent.header("content-type"), &sent.body)
}

#[tokio::test(start_paused = true)]
async fn every_method_goes_out_with_the_body_it_may_have() {
    let scripted = scripted();
    let own = || client(&scripted).function("own/items");
    own().invoke::<Value>(&json!({"a": 1})).await.unwrap();
    for method in [Method::PUT, Method::PATCH] {
        own().method(method).invoke_text("ключ").await.unwrap();
    }
    let octets = HeaderValue::from_static("application/octet-stream");
    own().invoke_bytes(octets, vec![0, 159, 146, 150]).await.unwrap();
    own().method(Method::DELETE).invoke_empty().await.unwrap();
    own().read::<Value>().await.unwrap();
    let sent = scripted.sent();
    let found: Vec<_> = sent.iter().map(told).collect();
    let (text, octets) = ("text/plain;charset=UTF-8", "application/octet-stream");
    assert_eq!(found[0], ("POST /functions/v1/own/items", "application/json", r#"{"a":1}"#));
    assert_eq!(found[1], ("PUT /functions/v1/own/items", text, "ключ"));
    assert_eq!(found[2], ("PATCH /functions/v1/own/items", text, "ключ"));
    assert_eq!((found[3].1, &*sent[3].bytes), (octets, &[0, 159, 146, 150][..]));
    assert_eq!(found[4], ("DELETE /functions/v1/own/items", "", ""));
    assert_eq!(found[5], ("GET /functions/v1/own/items", "", ""));
}

#[tokio::test(start_paused = true)]
async fn t02_only_get_is_repeated_unless_the_host_says_so() {
    for (method, repeatable, expected) in [
        (Method::GET, false, 2),
        (Method::PUT, false, 1),
        (Method::DELETE, false, 1),
        (Method::DELETE, true, 2),
        (Method::POST, false, 1),
    ] {
        let scripted = Scripted::new([Step::fail(codes::CUT), Step::json(200, "{}")]);
        let own = client(&scripted).function("own").method(method.clone());
        let own = if repeatable { own.repeatable() } else { own };
        assert_eq!(own.invoke_empty().await.is_ok(), expected == 2, "{method}");
        assert_eq!(scripted.sent().len(), expected, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_is_pinned_by_header_and_parameter_and_headers_cannot_replace_ours() {
    let scripted = scripted();
    let own = || client(&scripted).function("own");
    let header = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let with = |own: Function, (name, value)| own.header(name, value);
    let own_headers = with(with(own().region("eu-central-1"), header("x-tenant", "a")), header("apikey", "other"));
    with(own_headers, header("content-type", "text/html")).invoke::<Value>(&json!({})).await.unwrap();
    own().region("any").invoke_empty().await.unwrap();
    let sent = scripted.sent();
    assert_eq!(sent[0].target, "POST /functions/v1/own?forceFunctionRegion=eu-central-1");
    let headers = ["x-region", "x-tenant", "apikey", "content-type"].map(|name| sent[0].header(name));
    assert_eq!(headers, ["eu-central-1", "a", "sb_publishable_key", "application/json"]);
    assert_eq!((sent[1].target.as_str(), sent[1].header("x-region")), ("POST /functions/v1/own", ""));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_before_anything_is() {
    let scripted = scripted();
    let own = || client(&scripted).function("own");
    for refused in [
        own().method(Method::GET).invoke_raw(&json!({})).await,
        own().method(Method::TRACE).invoke_empty().await,
        own().region("eu central").invoke_empty().await,
        own().region("a&b=c").invoke_empty().await,
        own().region("").invoke_empty().await,
    ] {
        assert_eq!(refused.unwrap_err().code(), codes::SETTING_INVALID);
    }
    assert!(scripted.sent().is_empty());
}
