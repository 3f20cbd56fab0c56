//! Failures on demand, as a client sees them.

use std::time::{Duration, Instant};

use cloud_dev::{CloudDev, Fault};
use reqwest::Method;
use serde_json::json;

use crate::caller::{Caller, send, try_send};

const HEALTH: &str = "/auth/v1/health";

#[tokio::test]
async fn injected_answers_come_as_often_as_asked_and_to_matching_requests() {
    let caller = Caller::start().await;
    caller.cloud.inject(Fault::answer(429).retry_after("Fri, 31 Dec 1999 23:59:59 GMT").on(HEALTH).times(2));
    caller.cloud.inject(Fault::answer(200).body("text/html", "<html>").on("/auth/v1/settings").method("GET"));
    assert_eq!(caller.get("/auth/v1/.well-known/jwks.json", None).await.status, 200);
    for _ in 0..2 {
        let answer = caller.get(HEALTH, None).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("Fri, 31 Dec 1999 23:59:59 GMT")));
    }
    assert_eq!(caller.get(HEALTH, None).await.status, 200);
    let html = caller.get("/auth/v1/settings", None).await;
    assert_eq!((html.status, html.header("content-type"), html.text.as_str()), (200, Some("text/html"), "<html>"));
    assert_eq!(caller.cloud.requests(HEALTH), 3);
    assert_eq!(caller.cloud.requests("/auth/"), 5);
    caller.cloud.inject(Fault::answer(500).times(9));
    caller.cloud.clear_faults();
    assert_eq!(caller.get(HEALTH, None).await.status, 200);
}

#[tokio::test]
async fn a_lost_reply_was_still_carried_out() {
    let caller = Caller::start().await;
    let first = caller.sign_in(0).await.text_at("/refresh_token");
    caller.cloud.inject(Fault::lose_reply().on("/auth/v1/token"));
    let body = json!({ "refresh_token": first });
    let request = caller.request(Method::POST, "/auth/v1/token?grant_type=refresh_token").json(&body);
    assert!(try_send(request).await.is_err());
    let again = caller.refresh(&first).await;
    assert_eq!((again.status, again.header("sb-auth-refresh-token-rotated")), (200, Some("false")), "already rotated");
}

#[tokio::test]
async fn a_lost_request_was_not_carried_out() {
    let caller = Caller::start().await;
    let first = caller.sign_in(0).await.text_at("/refresh_token");
    caller.cloud.inject(Fault::lose_request().on("/auth/v1/token"));
    let body = json!({ "refresh_token": first });
    let request = caller.request(Method::POST, "/auth/v1/token?grant_type=refresh_token").json(&body);
    assert!(try_send(request).await.is_err());
    assert_eq!(caller.refresh(&first).await.header("sb-auth-refresh-token-rotated"), Some("true"));
}

#[tokio::test]
async fn a_cut_body_ends_after_so_many_bytes() {
    let caller = Caller::start().await;
    for bytes in [0, 1, 40] {
        caller.cloud.inject(Fault::cut_body(bytes).on(HEALTH));
        let mut response = caller.request(Method::GET, HEALTH).send().await.unwrap();
        let mut read = 0;
        let end = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(end.is_err(), "the end is not a clean one");
        assert_eq!(read, bytes);
    }
}

#[tokio::test]
async fn a_delay_comes_before_the_answer() {
    let caller = Caller::start().await;
    caller.cloud.inject(Fault::delay(Duration::from_millis(80)).on(HEALTH));
    let before = Instant::now();
    assert_eq!(caller.get(HEALTH, None).await.status, 200);
    assert!(before.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn offline_cuts_what_runs_and_lets_nothing_in_until_it_ends() {
    let slow = CloudDev::builder().token_pace(Duration::from_millis(50));
    let caller = Caller::with(slow).await;
    let token = caller.token().await;
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "stream": true });
    let request = caller.request(Method::POST, "/functions/v1/ai-proxy").bearer_auth(&token).json(&body);
    let mut running = request.send().await.unwrap();
    assert!(running.chunk().await.unwrap().is_some());
    caller.cloud.set_offline(true);
    let end = loop {
        match running.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(end.is_err(), "a running answer is cut");
    assert!(try_send(caller.request(Method::GET, HEALTH)).await.is_err());
    caller.cloud.set_offline(false);
    assert_eq!(caller.get(HEALTH, None).await.status, 200);
}

#[tokio::test]
async fn the_header_is_heeded_only_where_the_builder_said_so() {
    let deaf = Caller::start().await;
    let open = Caller::with(CloudDev::builder().heed_fault_header()).await;
    for (caller, text, status) in
        [(&deaf, "status=503", 200), (&open, "status=503; retry-after=7", 503), (&open, "nonsense", 400)]
    {
        let request = caller.request(Method::GET, HEALTH).header("x-cloud-dev-fault", text);
        assert_eq!(send(request).await.status, status, "{text}");
    }
}

#[tokio::test]
async fn a_seed_hits_the_same_requests_again() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let caller = Caller::with(CloudDev::builder().faults(11, 400)).await;
        let mut run = Vec::new();
        for _ in 0..30 {
            run.push(try_send(caller.request(Method::GET, HEALTH)).await.map(|answer| answer.status).ok());
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].iter().any(|status| *status != Some(200)) && runs[0].contains(&Some(200)), "{:?}", runs[0]);
}
