//! Sign-ins that wait: several of them, for long, over a restart, given up, and finished another way.
use std::time::Duration;

use cloud_auth::{
    Auth, SecretStore,
    codes::STORE_FAILED,
    oauth::Opener,
    store::{MemoryStore, SecretKey, SecretStoreHandle},
};
use cloud_client::{Error, testing::Scripted};
use secrecy::SecretString;

use super::{Asked, SetClock, exchanges, kept, open_at};
use crate::world::{client, grant, grant_for, no_profile, open, refusal};

const LINK: &str = "app://cloud/auth/callback";

fn admits(cloud: &Scripted) {
    cloud.then([grant(1)]);
    cloud.then(no_profile());
}

#[tokio::test(start_paused = true)]
async fn a15_the_verifier_is_durable_before_the_browser_opens() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let seen = store.clone();
    let opener = move |url: &str| {
        assert!(url.contains("code_challenge="), "{url}");
        assert!(kept(&seen).contains("secrets: 1"), "{seen:?}");
        Ok(())
    };
    let attempt = auth.sign_in_with_browser("github").open(&opener).await.unwrap();
    assert!(attempt.opener_error().is_none());
}

#[tokio::test(start_paused = true)]
async fn a15_nothing_opens_when_the_verifier_cannot_be_kept() {
    #[derive(Debug)]
    struct Refusing;
    #[async_trait::async_trait]
    impl SecretStore for Refusing {
        async fn get(&self, _key: &SecretKey) -> Result<Option<SecretString>, Error> {
            Ok(None)
        }
        async fn put(&self, _key: &SecretKey, _value: SecretString) -> Result<(), Error> {
            Err(Error::new(STORE_FAILED))
        }
        async fn delete(&self, _key: &SecretKey) -> Result<(), Error> {
            Ok(())
        }
    }
    let auth = Auth::builder(client(&Scripted::default()), SecretStoreHandle::new(Refusing)).open();
    let opener = |_: &str| unreachable!("nothing is to be opened");
    let error = auth.sign_in_with_browser("github").open(&opener).await.unwrap_err();
    assert_eq!(error.code(), STORE_FAILED);
}

#[tokio::test(start_paused = true)]
async fn an_opener_that_fails_leaves_an_address_to_show() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let opener: &dyn Opener = &|_: &str| Err(std::io::Error::other("no display"));
    let mut attempt = auth.sign_in_with_browser("github").open(opener).await.unwrap();
    assert_eq!(attempt.opener_error().unwrap().code().as_str(), "auth.browser_unavailable");
    assert!(attempt.url().starts_with("https://cloud.example/"));
    admits(&cloud);
    assert!(attempt.complete(&Asked::of(&attempt).back("code=c0de-1")).await.is_ok(), "the whole address, pasted");
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_never_comes_back_is_told_with_what_to_do() {
    // A cloud that does not accept the redirect sends the browser to its own site, and nobody else hears of it.
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let start = tokio_now(&auth);
    let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    let error = attempt.wait().await.unwrap_err();
    assert_eq!(error.code().as_str(), "auth.browser_timeout");
    assert!(error.to_string().contains("http://127.0.0.1:*/**"), "{error}");
    assert_eq!((tokio_now(&auth) - start).as_secs(), 300);
    // What the site's address shows still ends it.
    admits(&cloud);
    assert_eq!(attempt.complete("https://site.example/?code=c0de-1").await.unwrap().id.as_str(), "u1");
    assert_eq!(exchanges(&cloud), [("c0de-1".to_owned(), Asked::of(&attempt).challenge())]);
    let mut short = auth.sign_in_with_browser("github").timeout(Duration::from_secs(7)).begin().await.unwrap();
    let start = tokio_now(&auth);
    assert!(short.wait().await.is_err());
    assert_eq!((tokio_now(&auth) - start).as_secs(), 7);
}

fn tokio_now(auth: &Auth) -> Duration {
    auth.client().clock().monotonic()
}

#[tokio::test]
async fn two_sign_ins_at_once_get_a_code_each() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut one = auth.sign_in_with_browser("github").begin().await.unwrap();
    let mut two = auth.sign_in_with_browser("google").begin().await.unwrap();
    let (first, second) = (Asked::of(&one), Asked::of(&two));
    assert_ne!((first.flow(), first.challenge(), first.host()), (second.flow(), second.challenge(), second.host()));
    // The later one comes first.
    cloud.then([grant_for("u2", 2)]);
    cloud.then(no_profile());
    let (user, _) = tokio::join!(two.wait(), second.come_back("code=c0de-2"));
    assert_eq!(user.unwrap().id.as_str(), "u2");
    let profile_loaded = async {
        while cloud.sent().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    auth.client().clock().within(Duration::from_secs(10), profile_loaded).await.unwrap();
    let error = one.complete(&second.back("code=c0de-2")).await.unwrap_err();
    assert_eq!(error.code().as_str(), "auth.flow_unknown", "an answer of another sign-in");
    admits(&cloud);
    let (user, _) = tokio::join!(one.wait(), first.come_back("code=c0de-1"));
    assert_eq!(user.unwrap().id.as_str(), "u1");
    let expected = [("c0de-2".to_owned(), second.challenge()), ("c0de-1".to_owned(), first.challenge())];
    assert_eq!(exchanges(&cloud), expected);
}

#[tokio::test(start_paused = true)]
async fn a15_a_link_that_comes_after_a_restart_ends_the_sign_in() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let attempt = auth.sign_in_with_browser("github").redirect_to(LINK).begin().await.unwrap();
    let asked = Asked::of(&attempt);
    drop(attempt);
    assert!(auth.close(Duration::from_secs(1)).await);

    let auth = open(&cloud, &store);
    let link = asked.back("code=c0de-1");
    assert!(link.starts_with("app://cloud/auth/callback?sb_flow_id="), "{link}");
    let stray = auth.complete("app://cloud/auth/callback?sb_flow_id=AAAAAAAAAAAAAAAAAAAAAA&code=c0de").await;
    assert_eq!(stray.unwrap_err().code().as_str(), "auth.flow_unknown");
    for invalid in ["app://cloud/auth/callback?code=c0de-1", "app://cloud/settings", ""] {
        assert_eq!(auth.complete(invalid).await.unwrap_err().code().as_str(), "auth.callback_invalid", "{invalid}");
    }
    admits(&cloud);
    assert_eq!(auth.complete(&link).await.unwrap().id.as_str(), "u1");
    assert_eq!(auth.complete(&link).await.unwrap_err().code().as_str(), "auth.flow_unknown", "once");
    assert_eq!(exchanges(&cloud), [("c0de-1".to_owned(), asked.challenge())]);
}

#[tokio::test(start_paused = true)]
async fn a_link_to_the_app_ends_the_wait_of_the_attempt() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut attempt = auth.sign_in_with_browser("github").redirect_to(LINK).begin().await.unwrap();
    let link = Asked::of(&attempt).back("code=c0de-1");
    admits(&cloud);
    let (waited, completed) = tokio::join!(attempt.wait(), auth.complete(&link));
    assert_eq!(waited.unwrap(), completed.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a15_an_answer_counts_for_ten_minutes_whatever_the_clock_does() {
    for (seconds, counts) in [(590, true), (601, false), (-590, true), (-601, false), (1_000_000, false)] {
        let (cloud, store, clock) = (Scripted::default(), MemoryStore::new(), SetClock::default());
        let auth = open_at(&cloud, &store, &clock);
        let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
        clock.shift(seconds);
        admits(&cloud);
        let result = attempt.complete("c0de-1-by-hand").await;
        assert_eq!(result.is_ok(), counts, "{seconds} {result:?}");
        if !counts {
            assert_eq!(result.unwrap_err().code().as_str(), "auth.flow_expired");
            assert!(cloud.sent().is_empty() && kept(&store).contains("secrets: 0"), "{store:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a15_a_sixth_sign_in_takes_the_place_of_the_oldest() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let begin = || auth.sign_in_with_browser("github").redirect_to(LINK).begin();
    let mut oldest = begin().await.unwrap();
    let second = begin().await.unwrap();
    let mut rest = Vec::new();
    for _ in 0..4 {
        rest.push(begin().await.unwrap());
    }
    assert_eq!(oldest.wait().await.unwrap_err().code().as_str(), "auth.flow_unknown");
    admits(&cloud);
    assert!(auth.complete(&Asked::of(&second).back("code=c0de-1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_was_given_up_takes_no_answer() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    let link = Asked::of(&attempt).back("code=c0de-1");
    attempt.cancel().await.unwrap();
    assert!(kept(&store).contains("secrets: 0"), "{store:?}");
    assert_eq!(auth.complete(&link).await.unwrap_err().code().as_str(), "auth.flow_unknown");
    assert!(cloud.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_mistyped_code_may_be_pasted_again() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    assert_eq!(attempt.complete("no code").await.unwrap_err().code().as_str(), "auth.callback_invalid");
    cloud.then([refusal(404, "flow_state_not_found")]);
    assert_eq!(attempt.complete("c0de-mistyped").await.unwrap_err().code().as_str(), "auth.flow_expired");
    admits(&cloud);
    assert!(attempt.complete(" c0de-1-right\n").await.is_ok());
    assert_eq!(attempt.complete("c0de-1-right").await.unwrap_err().code().as_str(), "auth.flow_unknown");
    assert_eq!(exchanges(&cloud).len(), 2);
}
