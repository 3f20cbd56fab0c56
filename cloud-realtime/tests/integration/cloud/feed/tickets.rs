//! Tickets against a server that takes each once.
use cloud_client::error::codes::FORBIDDEN;
use cloud_dev::Fault;
use cloud_realtime::status::ConnectionState;

use super::*;

const SOCKET: &str = "/feed/v1/socket";
const TICKETS: &str = "/feed/v1/tickets";

#[tokio::test]
async fn every_attempt_has_a_ticket_of_its_own_and_none_is_shown_twice() {
    let (place, control) = cloud(options()).await;
    let ada = place.ada().await;
    let mut feed = ada.feed(Shape::Replaying, place.organization(), None);
    place.server.inject(Fault::answer(503).on(SOCKET).times(2));
    caught_up(&mut feed).await.unwrap();
    for round in 0..4 {
        if round % 2 == 0 {
            control.cut()
        } else {
            control.restart()
        }
        let last = control.publish(place.organization(), None, &round.to_string());
        assert!(last.is_some());
        Store::default().until(&mut feed, round).await;
    }
    let (minted, shown) = (place.server.requests(TICKETS), place.server.requests(SOCKET));
    assert_eq!((minted, shown), (7, 7));
}

#[tokio::test]
async fn a_ticket_that_runs_out_before_the_upgrade_is_replaced() {
    let (place, _) = cloud(options().ticket_lifetime(Duration::from_millis(200))).await;
    let ada = place.ada().await;
    place.server.inject(Fault::delay(Duration::from_millis(400)).on(SOCKET));
    let mut feed = ada.feed(Shape::Replaying, place.organization(), None);
    caught_up(&mut feed).await.unwrap();
    assert_eq!((place.server.requests(TICKETS), place.server.requests(SOCKET)), (2, 2));
}

#[tokio::test]
async fn an_expired_session_is_renewed_once_and_a_refused_mint_stops() {
    let (place, _) = cloud(options()).await;
    let ada = place.ada().await;
    place.server.expire_access_tokens();
    let before = ada.login.current().generation;
    let mut feed = ada.feed(Shape::Replaying, place.organization(), None);
    caught_up(&mut feed).await.unwrap();
    assert_eq!(ada.login.current().generation, before + 1);

    place.server.inject(Fault::answer(403).on(TICKETS));
    let realtime = ada.socket();
    let channel = realtime.channel(Topic::parse("feed:x").unwrap()).open().await.unwrap();
    let mut status = realtime.watch_status();
    let stopped = soon("it stops", status.until(|status| status.connection == ConnectionState::Stopped)).await.unwrap();
    assert_eq!(stopped.last_error.unwrap().code(), FORBIDDEN);
    drop(channel);
}
