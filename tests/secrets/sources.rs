//! Tokens and keys of backends with one tenant.
use std::time::Duration;

use cloud_dev::CloudDev;
use cloud_sdk::{
    auth::source::{ApiKeySource, Jwt, JwtSource},
    client::{Client, Error, error::codes::INTERNAL},
};
use serde_json::Value;

use crate::{server, sinks::Sinks};

#[tokio::test]
async fn a12_no_token_or_key_of_a_hosts_own_comes_out() {
    let mut sinks = Sinks::new();
    let server = server::start(CloudDev::builder()).await;
    let client = Client::builder(server.url(), server.publishable_key()).unwrap().build();
    let hosts = "hosts-own.canary-token.signed";
    let source = JwtSource::new(&client, move || async move { Ok(Jwt::new(hosts.into(), Duration::from_secs(3600))) });
    let failing = JwtSource::new(&client, || async { Err(Error::new(INTERNAL).during("asking the company")) });
    let (key, named) = ("sk-canary-key-of-a-tenant", "sk-canary-key-in-a-header");
    let bare = ApiKeySource::new(&client, key.into());
    let header = ApiKeySource::new(&client, named.into()).header(http::HeaderName::from_static("x-tenant-key"));
    sinks.debug(&Jwt::new(hosts.into(), Duration::from_secs(1)));
    sinks.text("debug", format!("{source:?} {failing:?} {bare:?} {header:?}"));
    let mut failures = 0;
    for client in [source.client(), failing.client(), bare.client(), header.client()] {
        sinks.debug(&client);
        for table in ["workspaces", "no_such_table"] {
            if let Err(error) = client.table(table).select(["id"]).fetch::<Value>().await {
                failures += 1;
                sinks.error(&error);
            }
        }
    }
    assert!(failures >= 5, "{failures}: a foreign token is refused, and so is what has none");
    sinks.hold_none_of(&[hosts, key, named, server.publishable_key()].map(str::to_owned));
    server.shutdown().await;
}
