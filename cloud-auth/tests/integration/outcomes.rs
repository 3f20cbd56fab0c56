//! Every kind of answer to a refresh, and whether the session outlives it.
use std::time::Duration;

use cloud_auth::{Auth, Scope, codes::STORE_TIMEOUT, status::AuthStatus, store::SecretStoreHandle};
use cloud_client::{
    ErrorCode, TokenSource as _,
    error::codes::{CONNECT, CUT, INTERCEPTED, SEND, TIMEOUT, TLS, TOO_LARGE, UNKNOWN_HOST},
    testing::{Scripted, Step},
};
use futures::future::join_all;

use crate::{
    disk::{Disk, Trouble},
    world::{client, grant, no_profile, pass},
};

const DEFINITE: [&str; 7] = [
    "refresh_token_not_found",
    "refresh_token_already_used",
    "session_not_found",
    "session_expired",
    "user_not_found",
    "user_banned",
    "invalid_grant",
];

/// Signs in, lets a refresh meet `step`, and tells whether the session is still there, with everything that must hold.
async fn survives(step: Step, case: &str) -> bool {
    let (cloud, disk) = (Scripted::new([grant(1)]), Disk::default());
    cloud.then(no_profile());
    let auth = Auth::builder(client(&cloud), SecretStoreHandle::new(disk.clone())).open();
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.expect("signed in");
    pass(0).await;
    let before = disk.text();
    cloud.then([step]);
    let error = auth.refresh().await.expect_err("a refusal");
    let kept = matches!(auth.status(), AuthStatus::SignedIn(_));
    if kept {
        assert_eq!(disk.text(), before, "{case}: the stored login was touched");
        assert!(auth.token().await.expect("a token").is_some(), "{case}: the good token is withheld");
        // The cloud recovers, and so does the session.
        cloud.then([grant(2)]);
        pass(3600).await;
        assert!(disk.text().contains("rt-2"), "{case}: never tried again");
    } else {
        assert_eq!(error.code().as_str(), "auth.not_signed_in", "{case}");
        assert!(disk.text().is_empty(), "{case}: the dead login is still stored");
        assert!(auth.token().await.expect("an answer").is_none(), "{case}");
    }
    auth.close(Duration::from_secs(1)).await;
    kept
}

#[tokio::test(start_paused = true)]
async fn a05_network_failure_keeps_session() {
    let codes: [ErrorCode; 8] = [CONNECT, CUT, INTERCEPTED, SEND, TIMEOUT, TLS, TOO_LARGE, UNKNOWN_HOST];
    for code in codes {
        assert!(survives(Step::fail(code), code.as_str()).await, "{code}");
    }
    assert!(survives(grant(9).then_cut(), "cut behind the head").await);
}

#[tokio::test(start_paused = true)]
async fn a05_no_passing_answer_touches_the_session() {
    let statuses = [
        200, 201, 301, 307, 400, 401, 402, 403, 404, 405, 406, 408, 409, 413, 418, 422, 425, 429, 451, 499, 500, 501,
        502, 503, 504, 507, 520, 522, 525, 530, 599,
    ];
    let bodies = [
        ("application/json", ""),
        ("application/json", "{}"),
        ("application/json", r#"{"code":"something_new","message":"m"}"#),
        ("application/json", r#"{"code":400,"error_code":"validation_failed","msg":"session_not_found"}"#),
        ("application/json", r#"{"error_code":"session_not_found""#),
        ("application/json", r#"{"message":"Invalid API key"}"#),
        ("text/html", "<html>refresh_token_not_found</html>"),
        ("text/html", r#"{"code":"refresh_token_not_found"}"#),
        ("text/plain", "invalid_grant"),
    ];
    let mut cells = 0;
    for status in statuses {
        for (kind, body) in bodies {
            let case = format!("{status} {kind} {body}");
            assert!(survives(Step::answer(status, kind, body), &case).await, "{case}");
            cells += 1;
        }
    }
    assert_eq!(cells, 279);
}

#[tokio::test(start_paused = true)]
async fn a06_a_definite_code_ends_the_session_at_the_right_status_only() {
    let mut cells = 0;
    for code in DEFINITE {
        for status in [200, 400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 503, 520, 530] {
            let new = Step::json(status, &format!(r#"{{"code":"{code}","message":"m"}}"#));
            let old = Step::json(status, &format!(r#"{{"code":{status},"error_code":"{code}","msg":"m"}}"#));
            let oauth = Step::json(status, &format!(r#"{{"error":"{code}","error_description":"m"}}"#));
            for (shape, step) in
                [("new", new.header("x-supabase-api-version", "2024-01-01")), ("old", old), ("oauth", oauth)]
            {
                let ends = [400, 401, 403].contains(&status);
                let case = format!("{status} {shape} {code}");
                assert_eq!(survives(step, &case).await, !ends, "{case}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 294);
}

#[tokio::test(start_paused = true)]
async fn sign_outs_that_pile_up_behind_a_store_that_hangs_are_turned_away() {
    let (cloud, disk) = (Scripted::new([]), Disk::default());
    let auth = Auth::builder(client(&cloud), SecretStoreHandle::new(disk.clone())).open();
    auth.settled().await;
    disk.break_at(0, Trouble::HangBefore);
    let all = join_all((0..5000).map(|_| auth.sign_out(Scope::Local))).await;
    let (done, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert!(!done.is_empty() && !refused.is_empty(), "{} done, {} refused", done.len(), refused.len());
    assert!(refused.iter().all(|refused| matches!(refused, Err(error) if error.code() == STORE_TIMEOUT)));
    assert!(done.iter().flatten().any(|out| out.removed.is_ok()), "those that waited were served");
}
