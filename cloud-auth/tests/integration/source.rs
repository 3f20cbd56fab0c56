//! Tokens without a session: where they go, how often they are fetched, and that nobody sees them.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloud_auth::{
    codes::REFRESH_PACED,
    source::{ApiKeySource, Jwt, JwtSource},
};
use cloud_client::{
    Client, Error,
    error::codes::CONNECT,
    testing::{Scripted, Step},
};
use futures::future::join_all;
use http::HeaderName;

use crate::world::{client, pass};

/// Calls a table once.
async fn call(client: &Client) -> Result<(), Error> {
    client.table("notes").select(["id"]).fetch::<serde_json::Value>().await.map(drop)
}

fn good(n: usize) -> Vec<Step> {
    (0..n).map(|_| Step::json(200, "[]")).collect()
}

fn refused() -> Step {
    Step::json(401, r#"{"code":"PGRST303","message":"JWT expired"}"#)
}

/// A source that counts: tokens `jwt-1`, `jwt-2`, …, or what `next` says.
fn counting(cloud: &Scripted, lifetime: u64) -> (Client, Arc<AtomicUsize>, Arc<Mutex<Option<Error>>>) {
    let (count, trouble) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Error>)));
    let (counter, failing) = (Arc::clone(&count), Arc::clone(&trouble));
    let source = JwtSource::new(&client(cloud), move || {
        let (n, trouble) =
            (counter.fetch_add(1, Ordering::SeqCst) + 1, failing.lock().expect("nobody panicked").clone());
        async move {
            pass(0).await;
            match trouble {
                Some(error) => Err(error),
                None => Ok(Jwt::new(format!("jwt-{n}").into(), Duration::from_secs(lifetime))),
            }
        }
    });
    (source.client(), count, trouble)
}

#[tokio::test(start_paused = true)]
async fn a11_an_api_key_goes_where_it_was_given_for_and_how() {
    let (cloud, other) = (Scripted::default(), Scripted::default());
    let name = HeaderName::from_static("x-tenant-key");
    for (source, header, expected) in [
        (ApiKeySource::new(&client(&cloud), "canary".into()), "authorization", "Bearer canary"),
        (ApiKeySource::new(&client(&cloud), "canary".into()).header(name.clone()), "x-tenant-key", "canary"),
    ] {
        assert!(!format!("{source:?}").contains("canary"));
        cloud.then(good(1));
        let speaking = source.client();
        call(&speaking).await.unwrap();
        let sent = cloud.sent().pop().unwrap();
        assert_eq!(sent.header(header), expected);
        assert!(header == "authorization" || !sent.headers.contains_key("authorization"), "one way, not both");
        assert!(sent.headers[header].is_sensitive() && !format!("{speaking:?} {:?}", sent.headers).contains("canary"));
    }
    other.then(good(1));
    call(&client(&other)).await.unwrap();
    assert!(!format!("{:?}", other.sent()[0].headers.get(&name)).contains("canary"));
    // A key that is refused is refused: there is no other.
    cloud.then([refused()]);
    let source = ApiKeySource::new(&client(&cloud), "canary".into());
    assert!(call(&source.client()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a01_all_callers_share_one_flight_and_a_token_is_renewed_before_its_end() {
    let cloud = Scripted::default();
    let (client, count, _) = counting(&cloud, 3600);
    cloud.then(good(50));
    join_all((0..50).map(|_| call(&client))).await.into_iter().collect::<Result<(), _>>().unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    pass(3530).await;
    cloud.then(good(1));
    call(&client).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1, "70 s are left");
    pass(20).await;
    cloud.then(good(10));
    join_all((0..10).map(|_| call(&client))).await.into_iter().collect::<Result<(), _>>().unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2, "less than the leeway is left");
    assert_eq!(cloud.sent().pop().unwrap().header("authorization"), "Bearer jwt-2");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_renewed_once_for_all_who_were_refused() {
    let cloud = Scripted::default();
    let (client, count, _) = counting(&cloud, 3600);
    cloud.then([refused(), Step::json(200, "[]")]);
    call(&client).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    cloud.then([refused(), refused()]);
    assert!(call(&client).await.is_err(), "once, not for ever");
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a08_a_caller_that_goes_away_cancels_nothing() {
    let cloud = Scripted::default();
    let (client, count, _) = counting(&cloud, 3600);
    let mut first = Box::pin(call(&client));
    assert!(futures::poll!(&mut first).is_pending());
    drop(first);
    pass(1).await;
    cloud.then(good(1));
    call(&client).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a05_a_failing_source_is_asked_with_pauses_and_a_good_token_serves_meanwhile() {
    let cloud = Scripted::default();
    let (client, count, trouble) = counting(&cloud, 3600);
    cloud.then(good(1));
    call(&client).await.unwrap();
    *trouble.lock().unwrap() = Some(Error::new(CONNECT));
    pass(3550).await;
    cloud.then(good(20));
    for n in 0..20 {
        let served = call(&client).await;
        // The first one waits for the flight and hears of it; later ones get the token that is still good.
        assert!(n == 0 || served.is_ok(), "{served:?}");
    }
    assert!(count.load(Ordering::SeqCst) <= 2, "{count:?}");
    pass(60).await;
    assert_eq!(call(&client).await.unwrap_err().code(), CONNECT, "over, and no other");
    *trouble.lock().unwrap() = None;
    pass(61).await;
    cloud.then(good(1));
    call(&client).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a09_a_cloud_that_refuses_every_token_starts_no_storm() {
    let cloud = Scripted::default();
    let (client, count, _) = counting(&cloud, 3600);
    let mut paced = 0;
    for _ in 0..100 {
        cloud.then([refused(), refused()]);
        let error = call(&client).await.unwrap_err();
        paced += usize::from(error.code() == REFRESH_PACED);
        pass(1).await;
    }
    assert!(count.load(Ordering::SeqCst) <= 12, "{count:?}");
    assert!(paced > 50, "{paced}");
}

#[tokio::test]
async fn a_source_that_panics_is_an_error_for_everybody_and_is_asked_again() {
    let cloud = Scripted::default();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let source = JwtSource::new(&client(&cloud), move || {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            assert!(!first, "the host's own mistake");
            Ok(Jwt::new("jwt".into(), Duration::from_secs(3600)))
        }
    });
    let client = source.client();
    let answers = join_all((0..5).map(|_| call(&client))).await;
    assert!(answers.iter().any(Result::is_err));
    cloud.then(good(1));
    call(&client).await.unwrap();
}
