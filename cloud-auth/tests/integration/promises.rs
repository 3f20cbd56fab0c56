//! Promises that hold over every command: nobody's going cancels work, nothing is locked while others are told.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloud_auth::{
    Auth, OtpKind, Scope, SecretStore, SendOptions,
    account::FactorId,
    events::AuthChange,
    status::AuthStatus,
    store::{MemoryStore, SecretKey, SecretStoreHandle},
};
use cloud_client::{
    Error, TokenSource as _,
    events::Heard,
    testing::{Scripted, Step},
};
use secrecy::SecretString;

use crate::world::{client, grant, no_profile, open, pass, signed_in};

type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

const SLOW: Duration = Duration::from_secs(2);

/// One command: what the cloud answers, what is called, and whether it has been done.
struct Case {
    name: &'static str,
    signed_in: bool,
    answers: fn() -> Vec<Step>,
    call: for<'a> fn(&'a Auth) -> Work<'a>,
    done: fn(&Auth, &Scripted) -> bool,
}

fn in_as_2(auth: &Auth, _: &Scripted) -> bool {
    matches!(auth.status(), AuthStatus::SignedIn(session) if session.stored && session.verified)
}

fn cases() -> Vec<Case> {
    let slow_grant = || vec![grant(2).after(SLOW)];
    vec![
        Case {
            name: "sign-in",
            signed_in: false,
            answers: slow_grant,
            call: |auth| {
                Box::pin(async move { drop(auth.sign_in_with_password("u1@example.com", "secret".into()).await) })
            },
            done: in_as_2,
        },
        Case {
            name: "sign-up",
            signed_in: false,
            answers: slow_grant,
            call: |auth| {
                Box::pin(
                    async move { drop(auth.sign_up("u1@example.com", "secret".into(), SendOptions::default()).await) },
                )
            },
            done: in_as_2,
        },
        Case {
            name: "code",
            signed_in: false,
            answers: slow_grant,
            call: |auth| {
                Box::pin(async move { drop(auth.verify_code(OtpKind::Email, "u1@example.com", "1".into()).await) })
            },
            done: in_as_2,
        },
        Case {
            name: "refresh",
            signed_in: true,
            answers: slow_grant,
            call: |auth| Box::pin(async move { drop(auth.refresh().await) }),
            done: |_, cloud| cloud.sent().iter().any(|sent| sent.header("authorization") == "Bearer at-2"),
        },
        Case {
            name: "second factor",
            signed_in: true,
            answers: || vec![Step::json(200, r#"{"id":"c1"}"#), grant(2).after(SLOW)],
            call: |auth| Box::pin(async move { drop(auth.mfa().verify_code(&FactorId::new("f1"), "1".into()).await) }),
            done: |_, cloud| cloud.sent().iter().any(|sent| sent.header("authorization") == "Bearer at-2"),
        },
        Case {
            name: "sign-out",
            signed_in: true,
            answers: || vec![Step::answer(204, "text/plain", "").after(SLOW)],
            call: |auth| Box::pin(async move { drop(auth.sign_out(Scope::Local).await) }),
            done: |auth, cloud| {
                !auth.status().is_signed_in() && cloud.sent().iter().any(|sent| sent.target.contains("/logout"))
            },
        },
        Case {
            name: "context",
            signed_in: true,
            answers: || {
                vec![Step::json(200, r#"[{"id":"u1","display_name":"Ada"}]"#).after(SLOW), Step::json(200, "[]")]
            },
            call: |auth| Box::pin(async move { drop(auth.load_context().await) }),
            done: |auth, _| auth.user_context().is_some_and(|context| context.profile.is_some()),
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn a08_whoever_goes_away_at_any_moment_cancels_no_work() {
    let mut cells = 0;
    for case in cases() {
        // Dropped right after it was asked for, while the server answers, and just before it has.
        for patience in [1, 500, 1999] {
            let (cloud, store) = (Scripted::default(), MemoryStore::new());
            let auth = if case.signed_in { signed_in(&cloud, &store).await } else { open(&cloud, &store) };
            auth.settled().await;
            cloud.then((case.answers)());
            let clock = auth.client().clock().clone();
            let gone = clock.within(Duration::from_millis(patience), (case.call)(&auth)).await;
            assert!(gone.is_none(), "{}: the call ended before its caller went", case.name);
            if !case.signed_in {
                cloud.then(no_profile());
            }
            pass(5).await;
            // A token that came meanwhile is used by the next request.
            if case.signed_in && case.name != "sign-out" {
                cloud.then([Step::json(200, "[]")]);
                let _ = auth.client().table("x").select(["id"]).fetch::<serde_json::Value>().await;
            }
            assert!((case.done)(&auth, &cloud), "{} dropped after {patience} ms was cancelled", case.name);
            auth.close(Duration::ZERO).await;
            cells += 1;
        }
    }
    assert_eq!(cells, 21);
}

/// A store whose calls break down in the task that owns the session.
#[derive(Debug)]
struct Breaking(MemoryStore, Arc<AtomicBool>);

#[async_trait]
impl SecretStore for Breaking {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        assert!(!self.1.load(Ordering::Relaxed), "the store breaks down");
        self.0.get(key).await
    }
    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        self.0.put(key, value).await
    }
    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        self.0.delete(key).await
    }
}

#[tokio::test(start_paused = true)]
async fn a08_a_session_task_that_breaks_down_wakes_everybody_who_waits() {
    let (cloud, store) = (Scripted::new([grant(1)]), MemoryStore::new());
    cloud.then(no_profile());
    let broken = Arc::new(AtomicBool::new(false));
    let store = SecretStoreHandle::new(Breaking(store, Arc::clone(&broken)));
    let auth = Auth::builder(client(&cloud), store).open();
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(0).await;
    let refused = auth.token().await.unwrap().unwrap();
    broken.store(true, Ordering::Relaxed);
    let clock = auth.client().clock().clone();
    let all = futures::future::join_all((0..10).map(|_| auth.replace(&refused)));
    let answers = clock.within(Duration::from_secs(1), all).await.expect("nobody hangs");
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.code().as_str() == "client.closed")));
    assert_eq!(auth.token().await.unwrap_err().code().as_str(), "client.closed");
}

/// Listens to the log as a host may, and looks at the session from there.
struct Curious {
    auth: Arc<Mutex<Option<Auth>>>,
    looked: Arc<AtomicUsize>,
}

impl fmt::Debug for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Curious")
    }
}

impl tracing::Subscriber for Curious {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("cloud_auth")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        let auth = self.auth.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(auth) = auth {
            // On a thread of its own: under a lock of the session each of these would wait for ever.
            let (done, looked) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                drop((auth.status(), auth.user_context(), auth.events()));
                let _ = done.send(());
            });
            assert!(looked.recv_timeout(Duration::from_secs(10)).is_ok(), "the session is locked while it is told");
            self.looked.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a13_who_listens_to_the_log_may_look_at_the_session() {
    let (place, looked) = (Arc::default(), Arc::default());
    let listener = Curious { auth: Arc::clone(&place), looked: Arc::clone(&looked) };
    let _guard = tracing::subscriber::set_default(listener);
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(auth.clone());
    auth.settled().await;
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    cloud.then([Step::answer(204, "text/plain", "")]);
    auth.sign_out(Scope::Local).await.unwrap();
    assert!(looked.load(Ordering::Relaxed) >= 3, "signed out, in, and out");
    *place.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

#[tokio::test(start_paused = true)]
async fn events_come_without_gaps_and_only_when_something_changed() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut events = auth.events();
    auth.settled().await;
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(0).await;
    // Nothing of this changes anything.
    cloud.then([Step::json(200, "[]"), Step::json(200, "[]")]);
    auth.load_context().await.unwrap();
    auth.token().await.unwrap();
    let same = r#"{"id":"u1","email":"u1@example.com"}"#;
    cloud.then([Step::json(200, same), Step::json(200, same), Step::json(503, "{}"), grant(2)]);
    auth.account().fetch().await.unwrap();
    auth.account().fetch().await.unwrap();
    assert!(auth.refresh().await.is_err());
    auth.refresh().await.unwrap();
    cloud.then([Step::answer(204, "text/plain", "")]);
    auth.sign_out(Scope::Local).await.unwrap();
    auth.sign_out(Scope::Local).await.unwrap();
    let mut told = Vec::new();
    while let Some(Heard::Event(event)) = events.try_next() {
        assert_eq!(usize::try_from(event.sequence).unwrap(), told.len() + 1);
        told.push(event.change);
    }
    assert!(
        matches!(
            told.as_slice(),
            [
                AuthChange::SignedIn { verified: true, .. },
                AuthChange::ContextChanged,
                AuthChange::TokenRefreshed,
                AuthChange::SignedOut { .. }
            ]
        ),
        "{told:?}"
    );
}
