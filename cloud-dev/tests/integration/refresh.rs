//! The refresh token family, as `supabase/auth: internal/api/token_test.go` describes it.

use std::time::Duration;

use cloud_dev::CloudDev;
use futures::future::join_all;

use crate::caller::Caller;

async fn strict() -> Caller {
    Caller::with(CloudDev::builder().refresh_reuse_interval(Duration::ZERO)).await
}

#[tokio::test]
async fn a_token_two_generations_old_ends_the_family() {
    let caller = strict().await;
    let mut tokens = vec![caller.sign_in(0).await.text_at("/refresh_token")];
    for _ in 0..3 {
        let newest = tokens.last().unwrap();
        let answer = caller.refresh(newest).await;
        assert_eq!((answer.status, answer.header("sb-auth-refresh-token-rotated")), (200, Some("true")));
        assert_ne!(&answer.text_at("/refresh_token"), newest);
        tokens.push(answer.text_at("/refresh_token"));
    }
    assert!(tokens.iter().all(|token| token.len() == 12));
    for token in &tokens {
        let answer = caller.refresh(token).await;
        assert_eq!((answer.status, answer.text_at("/error_code").as_str()), (400, "refresh_token_already_used"));
        assert_eq!(answer.text_at("/msg"), "Invalid Refresh Token: Already Used");
    }
}

#[tokio::test]
async fn the_predecessor_answers_with_the_current_token() {
    let caller = strict().await;
    let first = caller.sign_in(0).await.text_at("/refresh_token");
    let second = caller.refresh(&first).await.text_at("/refresh_token");
    for _ in 0..2 {
        let again = caller.refresh(&first).await;
        assert_eq!((again.status, again.text_at("/refresh_token")), (200, second.clone()));
        assert_eq!(again.header("sb-auth-refresh-token-rotated"), Some("false"));
    }
    assert_eq!(caller.refresh(&second).await.status, 200);
}

#[tokio::test]
async fn an_old_token_within_the_interval_gets_a_token_of_its_own() {
    let caller = Caller::with(CloudDev::builder().refresh_reuse_interval(Duration::from_secs(600))).await;
    let first = caller.sign_in(0).await.text_at("/refresh_token");
    let second = caller.refresh(&first).await.text_at("/refresh_token");
    let third = caller.refresh(&second).await.text_at("/refresh_token");
    let forked = caller.refresh(&first).await;
    assert_eq!(forked.status, 200);
    assert!(![first, second, third.clone()].contains(&forked.text_at("/refresh_token")));
    assert_eq!(caller.refresh(&third).await.status, 200, "the other branch lives on");
}

#[tokio::test]
async fn callers_that_refresh_at_once_end_with_one_token() {
    let caller = strict().await;
    let first = caller.sign_in(0).await.text_at("/refresh_token");
    let answers = join_all((0..8).map(|_| caller.refresh(&first))).await;
    let mut tokens: Vec<String> = answers.iter().map(|answer| answer.text_at("/refresh_token")).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn a_refused_refresh_says_which_way() {
    let caller = Caller::start().await;
    for (token, code) in [("elevenchars", "validation_failed"), ("not a token at all", "validation_failed")] {
        assert_eq!(caller.refresh(token).await.text_at("/error_code"), code, "{token}");
    }
    let unknown = caller.refresh("abcdefghijkl").await;
    assert_eq!((unknown.status, unknown.text_at("/error_code").as_str()), (400, "refresh_token_not_found"));
    let session = caller.sign_in(1).await;
    let email = caller.cloud.demo().people[1].email.clone();
    assert!(caller.cloud.revoke_user(&email).await);
    let revoked = caller.refresh(&session.text_at("/refresh_token")).await;
    assert_eq!(revoked.text_at("/error_code"), "refresh_token_not_found");
    let user = caller.get("/auth/v1/user", Some(&session.text_at("/access_token"))).await;
    assert_eq!((user.status, user.text_at("/error_code").as_str()), (403, "session_not_found"));
}
