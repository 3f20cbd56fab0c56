//! Known secrets, and every place where none of them may turn up.
use std::{fmt::Write as _, time::Duration};

use cloud_auth::{Scope, context::OrganizationId, store::MemoryStore};
use cloud_client::{
    TokenSource as _,
    events::Heard,
    testing::{Scripted, Step},
};

use crate::world::{grant, open, pass, refusal, signed_in};

#[tokio::test(start_paused = true)]
async fn a12_no_token_or_password_is_ever_shown() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let mut shown = String::new();
    let auth = open(&cloud, &store);
    let mut events = auth.events();
    let mut show = |text: String| shown.push_str(&text);
    cloud.then([refusal(400, "invalid_credentials")]);
    let error = auth.sign_in_with_password("ada@example.com", "hunter2-canary".into()).await.unwrap_err();
    show(format!("{error} {error:?}"));
    cloud.then([grant(1)]);
    cloud.then([Step::json(200, r#"[{"id":"u1","display_name":"Ada"}]"#), Step::json(200, "[]")]);
    let user = auth.sign_in_with_password("ada@example.com", "hunter2-canary".into()).await.unwrap();
    pass(0).await;
    show(format!("{user:?} {}", serde_json::to_string(&user).unwrap()));
    let token = auth.token().await.unwrap().unwrap();
    show(format!("{token:?} {auth:?} {:?} {:?}", auth.client(), store));
    show(format!("{:?} {}", auth.status(), serde_json::to_string(&auth.status()).unwrap()));
    show(format!("{:?} {}", auth.user_context(), serde_json::to_string(&*auth.user_context().unwrap()).unwrap()));
    cloud.then([Step::json(500, r#"{"msg":"rt-1 and at-1"}"#), grant(2)]);
    let error = auth.refresh().await.unwrap_err();
    show(format!("{error} {error:?}"));
    auth.refresh().await.unwrap();
    let error = auth.set_active_organization(&OrganizationId::new("o9")).await.unwrap_err();
    show(format!("{error:?}"));
    let outcome = auth.sign_out(Scope::Local).await.unwrap();
    show(format!("{outcome:?}"));
    let mut heard = 0;
    while let Some(Heard::Event(event)) = events.try_next() {
        heard += 1;
        assert_eq!(event.sequence, heard, "events are numbered without gaps");
        write!(shown, "{event:?} {}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    assert!(heard >= 4, "{heard}");
    for secret in ["at-1", "at-2", "rt-1", "rt-2", "hunter2", "canary"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("Ada") && shown.contains("auth.invalid_credentials"), "the sink is real: {shown}");
}

#[tokio::test(start_paused = true)]
async fn l20_no_secret_reaches_the_environment() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    auth.close(Duration::from_secs(1)).await;
    assert!(std::env::vars().all(|(name, value)| !value.contains("rt-1") && !name.contains("REFRESH_TOKEN")));
}

#[tokio::test(start_paused = true)]
async fn a17_the_context_loads_behind_the_sign_in_and_survives_an_offline_start() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let slow = Duration::from_secs(20);
    cloud.then([
        grant(1),
        Step::json(200, r#"[{"id":"u1","display_name":"Ada","plan":"x"}]"#).after(slow),
        Step::json(
            200,
            r#"[{"org_id":"o1","role":"owner","organizations":{"id":"o1","name":"One","slug":"one"}},
                {"org_id":"o2","role":"member","organizations":{"id":"o2","name":"Two"}}]"#,
        ),
    ]);
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    assert!(auth.user_context().is_none(), "signed in before anything was looked up");
    pass(21).await;
    let context = auth.user_context().unwrap();
    assert_eq!(context.profile.as_ref().unwrap().display_name.as_deref(), Some("Ada"));
    assert_eq!(context.active_organization().unwrap().id.as_str(), "o1");
    let queries: Vec<_> = cloud.sent().into_iter().map(|sent| sent.target).collect();
    assert_eq!(queries[1], "GET /rest/v1/profiles?select=*&id=eq.u1&limit=2");
    assert_eq!(
        queries[2],
        "GET /rest/v1/org_memberships?select=org_id,role,organizations(*)&user_id=eq.u1&order=joined_at.asc"
    );
    auth.set_active_organization(&OrganizationId::new("o2")).await.unwrap();
    pass(0).await;
    auth.close(Duration::from_secs(1)).await;

    let auth = open(&Scripted::default(), &store);
    assert!(auth.settled().await.is_signed_in());
    let context = auth.user_context().unwrap();
    assert_eq!(context.active_organization().unwrap().name.as_deref(), Some("Two"));
    assert!(context.profile.as_ref().unwrap().extra.contains_key("plan"));
}

#[tokio::test(start_paused = true)]
async fn a17_a_cloud_without_profiles_does_not_hinder_a_sign_in() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    cloud.then([grant(1), Step::json(404, r#"{"code":"PGRST205","message":"no such table"}"#)]);
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(3000).await;
    assert!(auth.status().is_signed_in() && auth.user_context().is_none());
    assert_eq!(cloud.sent().len(), 2, "not asked again and again");
    cloud.then([Step::json(200, "[]"), Step::json(200, "[]")]);
    assert!(auth.load_context().await.unwrap().memberships.is_empty(), "but when somebody asks");
}
