//! curl, the plainest client: framing, connections and failures as it reports them.
//!
//! Its exit codes tell apart what a library hides: 18 for a body that stopped early, 52 for no answer at all.

use std::{io, process::Stdio, time::Duration};

use cloud_dev::{CloudDev, Running};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::lane::skip;

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The file that forgets what is written to it.
const NOWHERE: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// What one call of curl came to.
#[derive(Debug)]
struct Outcome {
    exit: Option<i32>,
    text: String,
}

/// Calls curl with the key of `cloud`; `None` if there is no curl.
async fn curl(cloud: &Running, arguments: &[&str]) -> Option<Outcome> {
    let key = format!("apikey: {}", cloud.publishable_key());
    let mut command = Command::new("curl");
    command.args(["--silent", "--noproxy", "*", "--header", &key]).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(LIMIT, command.output()).await.expect("curl should be done by now") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    Some(Outcome { exit: output.status.code(), text: String::from_utf8(output.stdout).unwrap() })
}

/// `Authorization` of the first demo person, got as anybody would.
async fn sign_in(cloud: &Running) -> Option<String> {
    let [ada, _] = &cloud.demo().people;
    let url = format!("{}/auth/v1/token?grant_type=password", cloud.url());
    let body = json!({ "email": ada.email, "password": ada.password }).to_string();
    let answer = curl(cloud, &[&url, "-H", "content-type: application/json", "-d", &body]).await?;
    let session: Value = serde_json::from_str(&answer.text).unwrap();
    Some(format!("authorization: Bearer {}", session["access_token"].as_str().unwrap()))
}

#[tokio::test]
async fn curl_gets_whole_answers_over_one_connection() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let Some(bearer) = sign_in(&cloud).await else { return skip("curl", "curl is not installed") };
    let files = format!("{}/rest/v1/workspace_files", cloud.url());
    let one = format!("{files}?file_path=eq.a");
    let key = format!("apikey: {}", cloud.publishable_key());
    let file = json!({ "workspace_id": cloud.demo().workspace_id, "file_path": "a", "storage_path": "a" }).to_string();
    let shared = ["-w", "%{http_code} %{num_connects}\n", "-H", "content-type: application/json", "-H", &bearer];
    // Created, changed, deleted, asked for its head, then read: a stray byte would spoil the next answer.
    let mut arguments = vec![files.as_str(), "-d", &file];
    arguments.extend(shared);
    for more in [&["-X", "PATCH", "-d", r#"{"version":2}"#][..], &["-X", "DELETE"], &["-I"], &[]] {
        arguments.extend(["--next", "--silent", "--noproxy", "*", "-H", &key, "-o", NOWHERE, &one]);
        arguments.extend(shared.iter().chain(more));
    }
    let outcome = curl(&cloud, &arguments).await.unwrap();
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert_eq!(outcome.text, "201 1\n204 0\n204 0\n200 0\n200 0\n");
    let read = curl(&cloud, &[&one, "-H", &bearer]).await.unwrap();
    assert_eq!(read.text, "[]");
    cloud.shutdown().await;
}

#[tokio::test]
async fn curl_shows_a_stream_event_by_event() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let Some(bearer) = sign_in(&cloud).await else { return skip("curl", "curl is not installed") };
    let url = format!("{}/functions/v1/ai-proxy", cloud.url());
    let body = json!({ "messages": [{ "role": "user", "content": "Count to 12" }], "stream": true }).to_string();
    let outcome = curl(&cloud, &["-N", &url, "-H", &bearer, "-d", &body]).await.unwrap();
    assert_eq!(outcome.exit, Some(0));
    let events: Vec<&str> = outcome.text.split("\n\n").collect();
    let [middle @ .., done, ""] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(*done, "data: [DONE]");
    assert!(middle.len() > 12, "{middle:?}");
    let words = middle.iter().map(|event| {
        let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        event.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default().to_owned()
    });
    assert!(words.collect::<String>().contains("10, 11, 12\n"), "{middle:?}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn curl_tells_the_faults_of_a_network_apart() {
    let cloud = CloudDev::builder().heed_fault_header().start().await.unwrap();
    let Some(bearer) = sign_in(&cloud).await else { return skip("curl", "curl is not installed") };
    let url = format!("{}/rest/v1/workspaces", cloud.url());
    for (fault, exit, text) in [
        ("cut=10", Some(18), "[{\"id\":\"d0"),
        ("lose-request", Some(52), ""),
        ("lose-reply", Some(52), ""),
        ("html", Some(0), "<html></html>"),
    ] {
        let fault = format!("x-cloud-dev-fault: {fault}");
        let outcome = curl(&cloud, &[&url, "-H", &bearer, "-H", &fault]).await.unwrap();
        assert_eq!((outcome.exit, outcome.text.as_str()), (exit, text), "{fault}");
    }
    let again = ["--retry", "1", "--fail", &url, "-H", &bearer];
    cloud.inject(cloud_dev::Fault::answer(503).retry_after("0").on("/rest/v1/"));
    let outcome = curl(&cloud, &again).await.unwrap();
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    cloud.shutdown().await;
}
