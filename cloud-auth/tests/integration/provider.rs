//! The provider's own tokens: given once, to whoever signed in, and kept nowhere.
use cloud_auth::{ProviderTokens, Scope, store::MemoryStore};
use cloud_client::testing::{Scripted, Step};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{
    disk::Disk,
    world::{client, grant, grant_for, no_profile, open, pass},
};

fn with_tokens(user: &str, n: u32) -> Step {
    let session = json!({
        "access_token": format!("at-{n}"), "expires_in": 3600, "refresh_token": format!("rt-{n}"),
        "provider_token": format!("gho-{n}"), "provider_refresh_token": format!("ghr-{n}"),
        "user": { "id": user, "email": format!("{user}@example.com") },
    });
    Step::json(200, &session.to_string())
}

fn texts(tokens: &ProviderTokens) -> (&str, Option<&str>) {
    (tokens.access_token.expose_secret(), tokens.refresh_token.as_ref().map(|token| token.expose_secret()))
}

#[tokio::test(start_paused = true)]
async fn a_providers_tokens_are_given_once_and_never_stored() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth =
        cloud_auth::Auth::builder(client(&cloud), cloud_auth::store::SecretStoreHandle::new(disk.clone())).open();
    cloud.then([with_tokens("u1", 1)]);
    cloud.then(no_profile());
    auth.exchange_code("c0de".into(), "verifier".into()).await.unwrap();
    pass(0).await;
    let shown = format!("{auth:?} {:?}", auth.status());
    let tokens = auth.clone().take_provider_tokens().unwrap();
    assert_eq!(texts(&tokens), ("gho-1", Some("ghr-1")));
    assert!(auth.take_provider_tokens().is_none(), "once");
    assert!(!format!("{shown} {tokens:?} {}", disk.text()).contains("gh"), "{shown} {tokens:?}");
    assert!(disk.text().contains("rt-1"));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_the_tokens_of_somebody_who_has_left() {
    for case in ["sign-out", "another", "refreshed"] {
        let (cloud, store) = (Scripted::default(), MemoryStore::new());
        let auth = open(&cloud, &store);
        cloud.then([with_tokens("u1", 1)]);
        cloud.then(no_profile());
        auth.exchange_code("c0de".into(), "verifier".into()).await.unwrap();
        pass(0).await;
        match case {
            "sign-out" => drop(auth.sign_out(Scope::Local).await.unwrap()),
            "another" => {
                cloud.then([grant_for("u2", 2)]);
                cloud.then(no_profile());
                auth.sign_in_with_password("u2@example.com", "secret".into()).await.unwrap();
            }
            _ => {
                cloud.then([grant(2)]);
                auth.refresh().await.unwrap();
            }
        }
        assert_eq!(auth.take_provider_tokens().is_some(), case == "refreshed", "{case}");
    }
}
