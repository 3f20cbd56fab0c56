//! Who publishes and who reads is for the server to say.
use cloud_client::call::Speaker;

use super::*;

#[tokio::test]
async fn only_a_service_publishes() {
    let (place, control) = cloud(options()).await;
    let ada = place.ada().await;
    let message = json!({ "organization": place.organization(), "data": 7 });
    let publish = || host(Method::POST, "publish").json(&message).unwrap();
    let refused = ada.client.send(publish()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let service = AccessToken::new(control.publish_key().to_owned().into(), 1);
    ada.client.send(publish().speaker(Speaker::Token(service))).await.unwrap();
    let mut feed = ada.feed(Shape::Events, place.organization(), None);
    Store::default().until(&mut feed, 7).await;
}

#[tokio::test]
async fn a_stranger_is_refused_in_every_shape_and_hears_nothing() {
    let (place, control) = cloud(options()).await;
    let eve = place.eve().await;
    control.publish(place.organization(), None, "1").unwrap();
    for shape in SHAPES {
        let mut feed = eve.feed(shape, place.organization(), None);
        let refused = caught_up(&mut feed).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{shape:?}: {refused:?}");
        if matches!(shape, Shape::Events | Shape::Polling) {
            assert!(soon("the end", feed.next()).await.is_none(), "{shape:?}");
        }
    }
    assert!(place.server.add_member("eve@example.com").await);
    for shape in SHAPES {
        let mut feed = eve.feed(shape, place.organization(), None);
        Store::default().until(&mut feed, 1).await;
    }
}

#[tokio::test]
async fn one_conversation_is_read_without_the_others() {
    let (place, control) = cloud(options()).await;
    let ada = place.ada().await;
    let organization = place.organization();
    let channel = ada.socket().channel(Topic::parse(&format!("feed:{organization}:c1")).unwrap());
    let source = ChannelSource::replaying(channel, JsonDialect::new());
    let audience = Audience::organization(organization).conversation("c1");
    let mut feed = Feed::<u64>::new(&ada.live, source).audience(audience);
    caught_up(&mut feed).await.unwrap();
    for (n, conversation) in [(1, None), (2, Some("c1")), (3, Some("c2")), (4, Some("c1"))] {
        control.publish(organization, conversation, &n.to_string()).unwrap();
    }
    let mut store = Store::default();
    store.until(&mut feed, 4).await;
    assert_eq!(store.items, [2, 4]);
}
