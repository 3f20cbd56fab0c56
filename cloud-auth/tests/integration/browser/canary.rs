//! The secrets of a browser sign-in, and every place where none of them may turn up.
use cloud_auth::store::MemoryStore;
use cloud_client::testing::Scripted;

use super::Asked;
use crate::world::{grant, no_profile, open, refusal};

#[tokio::test]
async fn a12_neither_code_nor_verifier_nor_flow_is_ever_shown() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut shown = String::new();
    let mut secrets = vec!["canary".to_owned()];
    for answers in [vec![refusal(400, "bad_code_verifier")], vec![grant(1)]] {
        cloud.then(answers);
        let builder = auth.sign_in_with_browser("github");
        shown += &format!("{builder:?}");
        let mut attempt = builder.begin().await.unwrap();
        let asked = Asked::of(&attempt);
        shown += &format!("{attempt:?} {auth:?} {store:?}");
        let (result, page) = tokio::join!(attempt.wait(), asked.come_back("code=canary-code&error_description="));
        shown += &format!("{result:?} {page} {attempt:?}");
        if let Err(error) = &result {
            shown += &format!("{error} {error:#?} {:?}", std::error::Error::source(error));
        }
        shown += &format!("{:?}", attempt.complete("app://x?code=canary-code&sb_flow_id=canary-flow").await);
        shown += &format!("{:?}", auth.complete("app://x?code=canary-code&sb_flow_id=canary-flow").await);
        shown += &format!("{:?}", auth.complete("app://canary?nothing").await);
        secrets.extend([asked.flow(), asked.challenge()]);
    }
    cloud.then(no_profile());
    for sent in cloud.sent() {
        if let Ok(body) = serde_json::from_str::<serde_json::Value>(&sent.body) {
            secrets.extend(body["code_verifier"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(secrets.len(), 7, "two flows, their challenges and their verifiers");
    for secret in secrets {
        assert!(!shown.contains(&secret), "{secret} in {shown}");
    }
    assert!(shown.contains("auth.code_verifier") && shown.contains("u1"), "the sink is real: {shown}");
}
