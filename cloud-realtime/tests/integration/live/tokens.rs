//! The token's source in trouble: nobody is joined as somebody else, and nothing is forgotten.
use cloud_client::error::codes::TIMEOUT;
use cloud_realtime::{Realtime, join::JoinConfig};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_had_is_asked_for_again_and_nothing_is_joined_without_it() {
    let session = Session::signed_in(1);
    session.0.failing.store(5, Ordering::SeqCst);
    let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo").unwrap();
    let client = client.random(Random::seeded(7)).build().with_token_source(Arc::new(session.clone()));
    let (connector, mut network) = FakeConnector::new();
    let realtime = Realtime::builder(&client).connector(connector).open();
    let channel = realtime.channel(topic("realtime:r")).config(JoinConfig::new()).open().await.unwrap();
    let mut events = channel.events();
    let mut server = Server::accept(&mut network).await;
    let start = now();
    // The first word on the socket is a join with the token, after five pauses.
    let join = server.join().await;
    assert_eq!(join.4["access_token"], token(1, 1));
    assert!(start.elapsed() >= 5 * Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(session.0.asked.load(Ordering::SeqCst), 6);
    assert_eq!(realtime.status().last_error.unwrap().code(), TIMEOUT);
    until_live(&mut events).await;

    // While it is joined, a question that fails changes nothing.
    session.0.failing.store(1, Ordering::SeqCst);
    realtime.session_changed();
    session.set(1, 2);
    let pushed = server.expect("access_token").await;
    assert_eq!(pushed.4["access_token"], token(1, 2));
    assert!(events.try_next().is_none());
}
