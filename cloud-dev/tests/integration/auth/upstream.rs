//! Signing in through an OpenID provider outside: a small strict one of the test's own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::any,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use cloud_dev::{CloudDev, OidcProvider, StartError};
use reqwest::{StatusCode, Url};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Browser, CHALLENGE, LOOPBACK, VERIFIER, ok, query};
use crate::caller::Caller;

/// What the provider expects of its one client, and what it saw.
#[derive(Clone)]
struct Provider {
    issuer: String,
    key: Arc<Ed25519KeyPair>,
    /// The challenge and the redirect of the flow whose code is `code`.
    flow: Arc<Mutex<Option<(String, String)>>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = Arc::new(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());
        let provider = Self { issuer, key, flow: Arc::default() };
        let service = Router::new().fallback(any(answer)).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
        provider
    }

    fn for_builder(&self) -> OidcProvider {
        OidcProvider::new("Corp", format!("{}/", self.issuer), "cloud dev", "s&cret")
    }

    fn sign(&self, claims: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"one"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What a browser does here: the person agrees, and goes back with a code.
    fn agree(&self, address: &Url) -> Url {
        let asked = query(address);
        assert_eq!((asked["client_id"].as_str(), asked["response_type"].as_str()), ("cloud dev", "code"));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["scope"], "openid email profile calendar");
        *self.flow.lock().unwrap() = Some((asked["code_challenge"].clone(), asked["redirect_uri"].clone()));
        let answer = [("code", "code"), ("state", &asked["state"])];
        Url::parse_with_params(&asked["redirect_uri"], answer).unwrap()
    }
}

async fn answer(State(provider): State<Provider>, request: Request) -> Response {
    let issuer = &provider.issuer;
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    match path.as_str() {
        "/.well-known/openid-configuration" => Json(json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/me"),
            "jwks_uri": format!("{issuer}/keys"),
        }))
        .into_response(),
        "/keys" => {
            let x = URL_SAFE_NO_PAD.encode(provider.key.public_key());
            Json(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x }] })).into_response()
        }
        "/token" => {
            let basic = format!("Basic {}", STANDARD.encode("cloud+dev:s%26cret"));
            let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
            let body = Url::parse(&format!("x:?{}", std::str::from_utf8(&body).unwrap())).unwrap();
            let body: BTreeMap<String, String> = body.query_pairs().into_owned().collect();
            let Some((challenge, redirect_uri)) = provider.flow.lock().unwrap().take() else {
                return (StatusCode::BAD_REQUEST, "the code is spent").into_response();
            };
            let answered = URL_SAFE_NO_PAD.encode(Sha256::digest(&body["code_verifier"])) == challenge;
            if authorization != Some(basic) || body["redirect_uri"] != redirect_uri || !answered {
                return (StatusCode::UNAUTHORIZED, "not for you").into_response();
            }
            Json(json!({ "access_token": "of-corp", "refresh_token": "more-of-corp", "token_type": "Bearer" }))
                .into_response()
        }
        "/me" if authorization.as_deref() == Some("Bearer of-corp") => {
            let person = json!({ "sub": 42, "email": "Lin@Corp.example", "email_verified": true, "name": "Lin" });
            Json(person).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_person_of_another_provider_signs_in_here() {
    let provider = Provider::start().await;
    let caller = Caller::with(CloudDev::builder().oauth_upstream(provider.for_builder())).await;
    let browser = Browser::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let address = browser
            .follow(&caller.authorize(&[
                ("provider", "corp"),
                ("redirect_to", LOOPBACK),
                ("scopes", "calendar"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "s256"),
            ]))
            .await;
        assert!(address.as_str().starts_with(&format!("{}/authorize?", provider.issuer)), "{address}");
        assert_ne!(
            query(&address)["code_challenge"],
            CHALLENGE,
            "our flow with the provider has a challenge of its own"
        );
        let end = browser.follow(provider.agree(&address).as_str()).await;
        let session = ok(caller.exchange(&query(&end)["code"], VERIFIER).await);
        assert_eq!(session.text_at("/provider_token"), "of-corp");
        assert_eq!(session.text_at("/provider_refresh_token"), "more-of-corp");
        let user = &session.json()["user"];
        assert_eq!((&user["email"], &user["user_metadata"]["full_name"]), (&json!("lin@corp.example"), &json!("Lin")));
        assert_eq!(user["identities"][0]["id"], "42");
        ids.push(user["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(caller.get("/auth/v1/settings", None).await.json()["external"]["corp"], true);
}

#[tokio::test]
async fn a_code_that_the_provider_refuses_is_told_to_the_application() {
    let provider = Provider::start().await;
    let caller = Caller::with(CloudDev::builder().oauth_upstream(provider.for_builder())).await;
    let browser = Browser::new();
    let address = caller.authorize(&[("provider", "corp"), ("redirect_to", LOOPBACK), ("scopes", "calendar")]);
    let back = provider.agree(&browser.follow(&address).await);
    provider.flow.lock().unwrap().take();
    let end = browser.follow(back.as_str()).await;
    assert!(end.as_str().starts_with(LOOPBACK), "{end}");
    assert_eq!(query(&end)["error"], "server_error");
    assert_eq!(query(&end)["error_description"], "Unable to exchange external code: code");
}

#[tokio::test]
async fn a_token_that_the_provider_signed_is_taken() {
    let provider = Provider::start().await;
    let caller = Caller::with(CloudDev::builder().oauth_upstream(provider.for_builder())).await;
    let now = jiff::Timestamp::now().as_second();
    let good = json!({
        "iss": provider.issuer, "aud": ["cloud dev"], "sub": "42", "exp": now + 60, "email": "lin@corp.example",
        "email_verified": true,
    });
    let grant = async |token: String| {
        caller.auth("/token?grant_type=id_token", json!({ "provider": "corp", "id_token": token })).await
    };
    let token = provider.sign(&good);
    assert_eq!(ok(grant(token.clone()).await).text_at("/user/email"), "lin@corp.example");
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        provider.sign(&claims)
    };
    let (start, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{start}.{}", signature.chars().rev().collect::<String>());
    for (token, description) in [
        (changed("iss", json!("http://evil.example")), "Bad ID token"),
        (changed("exp", json!(now - 1)), "Bad ID token"),
        (changed("aud", json!("another")), "Unacceptable audience in id_token: [another]"),
        (forged, "Bad ID token"),
    ] {
        let answer = grant(token).await;
        assert_eq!((answer.status, answer.text_at("/error_description").as_str()), (400, description));
    }
}

#[tokio::test]
async fn a_provider_that_is_none_is_refused() {
    let odd = CloudDev::builder().oauth_upstream(OidcProvider::new("corp", "not an address", "id", "secret"));
    assert!(matches!(odd.start().await, Err(StartError::OauthUpstream { .. })));
    let silent = OidcProvider::new("corp", "http://127.0.0.1:9", "id", "secret");
    let caller = Caller::with(CloudDev::builder().oauth_upstream(silent)).await;
    let answer = Browser::new().open(&caller.authorize(&[("provider", "corp")])).await;
    assert_eq!((answer.status, answer.text_at("/error_code").as_str()), (500, "unexpected_failure"));
}
