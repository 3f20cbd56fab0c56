//! The session itself: a password, refreshes, failures of all kinds, a linked folder, and a sign-in by browser.
use cloud_dev::Fault;
use cloud_sdk::{ExposeSecret as _, client::events::Heard};
use serde_json::Value;

use crate::{
    app::{App, stop},
    browser, server,
    sinks::{Log, Sinks},
};

#[tokio::test]
async fn a12_no_secret_is_in_any_log_error_event_status_or_workspace_file() {
    let mut sinks = Sinks::new();
    let server = server::start(cloud_dev::CloudDev::builder()).await;
    let app = App::new(&server);
    let person = &server.demo().people[0];
    let cloud = app.start_signed_in(person).await;
    let mut events = cloud.events();
    let workspace = cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
    server.expire_access_tokens();
    workspace.set("task_goal", "x").await.unwrap();
    workspace.sync().await.unwrap();
    sinks.text("debug", format!("{cloud:?} {:?} {workspace:?} {:?}", cloud.auth(), cloud.client()));
    for fault in
        [Fault::answer(500), Fault::answer(401), Fault::lose_reply(), Fault::answer(200).body("text/html", "<p>")]
    {
        server.inject(fault.on("/rest/v1/").times(9));
        let failed = cloud.client().table("workspaces").select(["id"]).fetch::<Value>().await.unwrap_err();
        sinks.error(&failed);
        server.clear_faults();
    }
    let wrong = cloud.auth().sign_in_with_password(&person.email, "a wrong canary".into()).await.unwrap_err();
    sinks.error(&wrong);
    sinks.json(&cloud.status());
    sinks.debug(&cloud.auth().status());
    sinks.json(&cloud.auth().status());
    let file = app.home.path().join("state/secrets.json");
    let stored = || std::fs::read_to_string(&file).unwrap();
    let mut secrets = refresh_tokens(&stored());
    secrets.extend(browser::sign_in(&cloud, &server, stored, &mut sinks).await);
    let token = cloud_sdk::client::TokenSource::token(cloud.auth()).await.unwrap().unwrap();
    sinks.debug(&token);
    secrets.push(token.secret.expose_secret().to_owned());
    while let Some(Heard::Event(event)) = events.try_next() {
        sinks.debug(&event);
        sinks.json(&event);
    }
    secrets.extend(refresh_tokens(&stored()));
    stop(cloud).await;
    sinks.files(app.home.path(), &file);
    assert!(Log::of_this_process().text().contains("cloud_client"), "the log was really written");

    assert!(secrets.len() >= 7, "refresh tokens, a verifier, a flow, a code, an access token, a provider's token");
    secrets.extend([person.password.clone(), "a wrong canary".into(), server.publishable_key().to_owned()]);
    // Access tokens are signed: all of this cloud's begin alike.
    let jwt_head = server.anon_key().split('.').next().unwrap().to_owned();
    secrets.push(format!("{jwt_head}."));
    sinks.hold_none_of(&secrets);
}

/// Every `refresh_token` in the store, however deep and however often it was written as text in text.
pub(crate) fn refresh_tokens(text: &str) -> Vec<String> {
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
