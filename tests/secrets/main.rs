//! A12: the tokens of a real session are looked for in everything that comes out.
//!
//! A process of its own, so that the log of every thread and every crate can be kept.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "../integration/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the other stories")]
mod app;
mod browser;

use std::{
    io,
    sync::{Arc, Mutex},
};

use cloud_dev::Fault;
use cloud_sdk::client::events::Heard;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use app::{App, cloud, stop};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a12_no_secret_is_in_any_log_error_event_status_or_workspace_file() {
    let log = Log::default();
    // Everything, from every crate below too.
    let everything = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(everything).unwrap();

    let server = cloud().await;
    let app = App::new(&server);
    let person = &server.demo().people[0];
    let cloud = app.start_signed_in(person).await;
    let mut events = cloud.events();
    let workspace = cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
    server.expire_access_tokens();
    workspace.set("task_goal", "x").await.unwrap();
    workspace.sync().await.unwrap();
    let mut out = vec![format!("{cloud:?} {:?} {workspace:?} {:?}", cloud.auth(), cloud.client())];
    for fault in
        [Fault::answer(500), Fault::answer(401), Fault::lose_reply(), Fault::answer(200).body("text/html", "<p>")]
    {
        server.inject(fault.on("/rest/v1/").times(9));
        let mut error: Option<&dyn std::error::Error> = None;
        let failed = cloud.client().table("workspaces").select(["id"]).fetch::<Value>().await.unwrap_err();
        out.push(format!("{failed} {failed:?} {:?}", failed.detail()));
        error.replace(&failed);
        while let Some(cause) = error {
            out.push(format!("{cause} {cause:?}"));
            error = cause.source();
        }
        server.clear_faults();
    }
    out.push(serde_json::to_string(&cloud.status()).unwrap());
    out.push(format!("{:?} {}", cloud.auth().status(), serde_json::to_string(&cloud.auth().status()).unwrap()));
    while let Some(Heard::Event(event)) = events.try_next() {
        out.push(format!("{event:?} {}", serde_json::to_string(&event).unwrap()));
    }
    let link = std::fs::read_to_string(app.folder().join(".cloud-link.json")).unwrap();
    let file = app.home.path().join("state/secrets.json");
    let stored = || std::fs::read_to_string(&file).unwrap();
    let mut secrets = refresh_tokens(&stored());
    secrets.extend(browser::sign_in(&cloud, &server, stored, &mut out).await);
    stop(cloud).await;
    let database = std::fs::read(app.home.path().join("state/sync.db")).unwrap();
    out.extend([link, String::from_utf8_lossy(&database).into_owned()]);
    out.push(String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned());
    assert!(out.last().unwrap().contains("cloud_client"), "the log was really written");

    secrets.extend(refresh_tokens(&stored()));
    assert!(secrets.len() >= 5, "a refresh token of each sign-in, and a verifier, a flow and a code");
    secrets.extend([person.password.clone(), server.publishable_key().to_owned()]);
    // Access tokens are signed: all of this cloud's begin alike.
    let jwt_head = server.anon_key().split('.').next().unwrap().to_owned();
    secrets.push(format!("{jwt_head}."));
    for (text, secret) in out.iter().flat_map(|text| secrets.iter().map(move |secret| (text, secret))) {
        let found =
            text.find(secret.as_str()).map(|at| text.chars().skip(at.saturating_sub(80)).take(120).collect::<String>());
        assert!(found.is_none(), "a secret came out: …{}…", found.unwrap().replace(secret.as_str(), "SECRET"));
    }
}

/// Every `refresh_token` in the store, however deep and however often it was written as text in text.
fn refresh_tokens(text: &str) -> Vec<String> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match (name.as_str(), value) {
                ("refresh_token", Value::String(token)) => found.push(token.clone()),
                _ => walk(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            Value::String(text) => {
                if let Ok(inner @ Value::Object(_)) = serde_json::from_str(text) {
                    walk(&inner, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(&serde_json::from_str(text).unwrap(), &mut found);
    found
}
