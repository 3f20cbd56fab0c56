//! Private channels and the token: refused, allowed, pushed before its end and after a refresh.
use cloud_realtime::{ChannelEvent, codes::CHANNEL_FORBIDDEN};

use super::*;

#[tokio::test]
async fn a_private_channel_opens_for_members_and_for_nobody_else() {
    let place = Place::new().await;
    let (ada, eve) = (place.ada().await, place.eve().await);
    let name = format!("workspace-{}", place.workspace());
    let (hers, others) = (ada.builder().open(), eve.builder().open());
    let opened = open(&hers, &name, JoinConfig::new().private()).await;
    live(&opened).await;
    let refused = open(&others, &name, JoinConfig::new().private()).await;
    let mut events = refused.events();
    let error = soon("the refusal", async {
        loop {
            if let Some(ChannelEvent::Refused(error)) = events.next().await {
                return error;
            }
        }
    })
    .await;
    assert_eq!((error.code(), refused.state()), (CHANNEL_FORBIDDEN, ChannelState::Refused));
    assert_eq!(place.control().channels(), 1);
}

#[tokio::test]
async fn r07_a_refreshed_token_reaches_the_server_and_rows_go_on() {
    let place = Place::new().await;
    let ada = place.ada().await;
    let realtime = ada.builder().open();
    let channel = open(&realtime, "files", JoinConfig::new().changes(files(RowEvent::INSERT))).await;
    let mut events = channel.events();
    let mut paths = Paths::of(&channel, &ada);
    live(&channel).await;
    ada.login.renew("token").await;
    realtime.session_changed();
    // The server subscribes anew for the new token, without a break.
    soon("the new subscription", async {
        loop {
            match events.next().await.unwrap() {
                ChannelEvent::Resubscribed => break,
                ChannelEvent::Gap(cause) => panic!("{cause:?}"),
                _ => {}
            }
        }
    })
    .await;
    ada.write(place.workspace(), "after").await;
    paths.until("after").await;
}

#[tokio::test]
async fn r07_a_channel_outlives_its_tokens_when_each_is_pushed_before_its_end() {
    let options = RealtimeOptions::default().subscribe_delay(Duration::from_millis(5));
    let lifetime = Duration::from_secs(4);
    let builder = CloudDev::builder().realtime(options).access_token_lifetime(lifetime);
    let place = Place { server: builder.start().await.unwrap() };
    let ada = place.ada().await;
    ada.login.0.always.store(true, Ordering::SeqCst);
    let first = ada.login.0.renewed.borrow().to_owned();
    let realtime = ada.builder().open();
    let channel = open(&realtime, &format!("workspace-{}", place.workspace()), JoinConfig::new().private()).await;
    let mut events = channel.events();
    live(&channel).await;
    // The connection looks every half minute, here every second and a half, and finds another token each time.
    let mut renewed = ada.login.0.renewed.subscribe();
    soon("five tokens", renewed.wait_for(|generation| *generation >= first + 5)).await.unwrap();
    while let Some(event) = events.try_next() {
        assert!(!matches!(event, ChannelEvent::Gap(_) | ChannelEvent::Refused(_)), "{event:?}");
    }
    assert_eq!(channel.state(), ChannelState::Live);
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_the_channel_comes_back() {
    let place = Place::new().await;
    let ada = place.ada().await;
    let realtime = ada.builder().open();
    let channel = open(&realtime, &format!("workspace-{}", place.workspace()), JoinConfig::new().private()).await;
    live(&channel).await;
    let before = *ada.login.0.renewed.borrow();
    let mut events = channel.events();
    place.server.expire_access_tokens();
    soon("the gap", async { while !matches!(events.next().await, Some(ChannelEvent::Gap(_))) {} }).await;
    live(&channel).await;
    assert!(*ada.login.0.renewed.borrow() > before);
}
