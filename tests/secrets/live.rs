//! The live connection: the key that opens the socket, and the token that goes with every join.
use std::time::Duration;

use crate::{
    search::find,
    server,
    sinks::{Log, Sinks},
};
use cloud_dev::CloudDev;
use cloud_sdk::{
    Error, ExposeSecret as _, SecretString,
    auth::{
        Auth,
        store::{MemoryStore, SecretStoreHandle},
    },
    client::{Client, TokenSource as _},
    realtime::{
        ChannelEvent, Realtime, Topic,
        credentials::{Attempt, CredentialSource, Credentials},
        realtime::{Endpoint, KeyPlacement},
    },
};

/// A ticket for each attempt.
#[derive(Debug)]
struct Tickets;

#[async_trait::async_trait]
impl CredentialSource for Tickets {
    async fn acquire(&self, _: Attempt) -> Result<Credentials, Error> {
        let secret = |text: &str| SecretString::from(text);
        let ticket = Credentials::new().header("x-ticket", secret("canary-ticket-header"));
        Ok(ticket.query("ticket", secret("canary-ticket-query")).subprotocol(secret("canary-ticket-protocol")))
    }
}

#[tokio::test]
async fn a12_neither_the_sockets_key_nor_the_joins_token_comes_out() {
    let mut sinks = Sinks::new();
    let server = server::start(CloudDev::builder()).await;
    let person = &server.demo().people[0];
    let client = Client::builder(server.url(), server.publishable_key()).unwrap().build();
    let auth = Auth::builder(client.clone(), SecretStoreHandle::new(MemoryStore::new())).open();
    auth.sign_in_with_password(&person.email, person.password.clone().into()).await.unwrap();
    let mut secrets = vec![server.publishable_key().to_owned(), person.password.clone()];
    for placement in [KeyPlacement::Header, KeyPlacement::Query] {
        let builder = Realtime::builder(&auth.client()).key_placement(placement);
        sinks.debug(&builder);
        let realtime = builder.open();
        let channel = realtime.channel(Topic::realtime("canary").unwrap()).open().await.unwrap();
        let mut events = channel.events();
        let mut lives = 0;
        while lives < 2 {
            let event = client.clock().within(Duration::from_secs(20), events.next()).await.unwrap().unwrap();
            sinks.debug(&event);
            if matches!(event, ChannelEvent::Live) {
                lives += 1;
                let token = auth.token().await.unwrap().unwrap();
                secrets.push(token.secret.expose_secret().to_owned());
                auth.refresh().await.unwrap();
                realtime.session_changed();
                if lives == 1 {
                    server.realtime().cut();
                }
            }
        }
        sinks.text("debug", format!("{realtime:?} {channel:?} {:?} {:?}", realtime.status(), channel.state()));
        assert!(realtime.close(Duration::from_secs(5)).await);
    }
    // Tickets, shown to a server that is not there.
    let nowhere = url::Url::parse("ws://127.0.0.1:9/socket").unwrap();
    let realtime = Realtime::builder(&client).endpoint(Endpoint::Url(nowhere)).credentials(Tickets).open();
    let channel = realtime.channel(Topic::realtime("canary").unwrap()).open().await.unwrap();
    let mut status = realtime.watch_status();
    let failed = status.until(|status| status.last_error.is_some());
    let failed = client.clock().within(Duration::from_secs(20), failed).await.unwrap().unwrap();
    sinks.debug(&failed);
    sinks.error(&failed.last_error.unwrap());
    sinks.debug(&channel);
    realtime.close(Duration::from_secs(5)).await;
    secrets.extend(["header", "query", "protocol"].map(|place| format!("canary-ticket-{place}")));
    // The search finds what is there: the server's side writes out what it gets.
    let servers = Log::of_the_server().text();
    assert!(secrets.iter().any(|secret| find(&servers, secret).is_some()));
    sinks.hold_none_of(&secrets);
    server.shutdown().await;
}
