//! Each way in which a network or a cloud fails has a code of its own, and the stored login outlives all but one.
use cloud_dev::Fault;
use cloud_sdk::{
    Cloud, Error, ErrorKind,
    agents::{AiRequest, ChatMessage},
    auth::status::AuthStatus,
};
use serde_json::Value;

use crate::app::{App, cloud, sign_in, stop};

async fn read(cloud: &Cloud) -> Result<Vec<Value>, Error> {
    Ok(cloud.client().table("workspaces").select(["id"]).fetch().await?.into_vec())
}

#[tokio::test]
async fn every_failure_of_a_call_has_a_typed_error_and_none_ends_the_session() {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start_signed_in(&server.demo().people[0]).await;
    let rest = || Fault::answer(500).on("/rest/v1/workspaces").times(9);
    let cases: [(&str, Fault, &str, ErrorKind); 8] = [
        (
            "401 from elsewhere",
            Fault::answer(401).on("/rest/v1/workspaces").times(9),
            "api.unauthenticated",
            ErrorKind::Unauthenticated,
        ),
        (
            "429",
            Fault::answer(429).retry_after("3000").on("/rest/v1/workspaces").times(9),
            "server.rate_limited",
            ErrorKind::RateLimited,
        ),
        ("500", rest(), "server.fault", ErrorKind::Server),
        ("503", Fault::answer(503).on("/rest/v1/workspaces").times(9), "server.unavailable", ErrorKind::Server),
        (
            "HTML in place of JSON",
            Fault::answer(200)
                .body("text/html", "<html>Welcome to the hotel</html>")
                .on("/rest/v1/workspaces")
                .times(9),
            "net.intercepted",
            ErrorKind::Network,
        ),
        ("a cut body", Fault::cut_body(2).on("/rest/v1/workspaces").times(9), "net.cut", ErrorKind::Network),
        ("a lost answer", Fault::lose_reply().on("/rest/v1/workspaces").times(9), "net.send", ErrorKind::Network),
        (
            "402",
            Fault::answer(402).on("/rest/v1/workspaces").times(9),
            "server.quota_exceeded",
            ErrorKind::QuotaExceeded,
        ),
    ];
    for (name, fault, code, kind) in cases {
        server.inject(fault);
        let error = read(&cloud).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.kind()), (code, kind), "{name}: {error}");
        assert!(!error.advice().is_empty() && error.request_id().is_some(), "{name}");
        server.clear_faults();
        assert!(cloud.auth().status().is_signed_in(), "{name}");
        assert_eq!(read(&cloud).await.unwrap().len(), 1, "{name} is over");
    }
    stop(cloud).await;
    let cloud = app.start().await;
    assert!(cloud.auth().settled().await.is_signed_in());
    stop(cloud).await;
}

#[tokio::test]
async fn an_expired_token_is_renewed_without_the_caller_noticing() {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start_signed_in(&server.demo().people[0]).await;
    server.expire_access_tokens();
    let before = server.requests("/auth/v1/token");
    let (one, two, three) = tokio::join!(read(&cloud), read(&cloud), read(&cloud));
    assert!([one, two, three].into_iter().all(|rows| rows.unwrap().len() == 1));
    // A1: three calls that were refused at once share one exchange.
    assert_eq!(server.requests("/auth/v1/token") - before, 1);
    stop(cloud).await;
}

#[tokio::test]
async fn a_wrong_password_says_so_and_leaves_another_login_alone() {
    let server = cloud().await;
    let app = App::new(&server);
    let [ada, grace] = &server.demo().people;
    let cloud = app.start_signed_in(ada).await;
    let wrong = cloud.auth().sign_in_with_password(&grace.email, "not her password".into()).await.unwrap_err();
    assert_eq!((wrong.code().as_str(), wrong.kind()), ("auth.invalid_credentials", ErrorKind::Unauthenticated));
    assert_eq!(cloud.status().user.unwrap()["email"], *ada.email);
    stop(cloud).await;
}

#[tokio::test]
async fn an_unknown_host_and_a_dead_port_have_codes_of_their_own() {
    let server = cloud().await;
    for (url, code) in [("https://no-such-host.invalid", "net.unknown_host"), ("http://127.0.0.1:9", "net.connect")] {
        let mut app = App::new(&server);
        app.config.url = url.to_owned();
        let cloud = app.start().await;
        let error = sign_in(&cloud, &server.demo().people[0]).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.kind()), (code, ErrorKind::Network));
        stop(cloud).await;
    }
}

#[tokio::test]
async fn a05_no_passing_failure_at_the_start_ends_the_stored_login() {
    let server = cloud().await;
    let app = App::new(&server);
    stop(app.start_signed_in(&server.demo().people[0]).await).await;
    let html = || Fault::answer(200).body("text/html", "<html>hotel</html>");
    let ways: [fn() -> Fault; 9] = [
        || Fault::answer(429).retry_after("5"),
        || Fault::answer(500),
        || Fault::answer(503),
        || Fault::answer(401),
        || Fault::answer(400).body("text/html", "<html>hotel</html>"),
        || Fault::answer(404),
        || Fault::lose_request(),
        || Fault::lose_reply(),
        || Fault::cut_body(5),
    ];
    for way in ways.into_iter().chain([html as fn() -> Fault]) {
        server.inject(way().on("/auth/v1/token").times(1));
        let cloud = app.start().await;
        // Whatever the first refresh met, the person is signed in, and the next one goes through.
        assert!(cloud.auth().settled().await.is_signed_in(), "{:?}", way());
        assert_eq!(wait_until_verified(&cloud).await.unwrap().len(), 1, "{:?}", way());
        stop(cloud).await;
        server.clear_faults();
    }
}

/// Reads until the session has been confirmed: now, and after each thing that happens to it.
async fn wait_until_verified(cloud: &Cloud) -> Result<Vec<Value>, Error> {
    let mut events = cloud.auth().events();
    let mut last = read(cloud).await;
    while last.is_err() || !cloud.status().verified {
        let told = cloud.client().clock().within(std::time::Duration::from_secs(500), events.next()).await;
        told.expect("the session goes on by itself");
        last = read(cloud).await;
    }
    last
}

#[tokio::test]
async fn l01_an_offline_start_keeps_the_login_and_everything_local_works() {
    let server = cloud().await;
    let app = App::new(&server);
    let person = &server.demo().people[0];
    let cloud = app.start_signed_in(person).await;
    cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
    stop(cloud).await;

    server.set_offline(true);
    let cloud = app.start().await;
    let AuthStatus::SignedIn(session) = cloud.auth().settled().await else { panic!("the login is gone") };
    assert_eq!((session.verified, session.user.email.as_deref()), (false, Some(&*person.email)));
    let workspace = cloud.linked(&app.folder()).await.unwrap().unwrap();
    workspace.set("task_goal", "written offline").await.unwrap();
    assert_eq!(workspace.state().await.unwrap().fields["task_goal"], "written offline");
    assert_eq!(workspace.sync().await.unwrap_err().kind(), ErrorKind::Network);
    server.set_offline(false);
    wait_until_verified(&cloud).await.unwrap();
    workspace.sync().await.unwrap();
    assert!(workspace.state().await.unwrap().unsent.is_empty());
    stop(cloud).await;
}

#[tokio::test]
async fn a06_only_a_definite_refusal_signs_out_and_it_says_why() {
    let server = cloud().await;
    let app = App::new(&server);
    let person = &server.demo().people[0];
    stop(app.start_signed_in(person).await).await;
    assert!(server.revoke_user(&person.email).await);
    let cloud = app.start().await;
    cloud.auth().settled().await;
    let error = cloud.auth().refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let AuthStatus::SignedOut { reason } = cloud.auth().status() else { panic!("still signed in") };
    let reason = serde_json::to_string(&reason).unwrap();
    assert!(reason.contains("session_not_found") || reason.contains("refresh_token_not_found"), "{reason}");
    stop(cloud).await;
    let cloud = app.start().await;
    assert!(!cloud.auth().settled().await.is_signed_in());
    stop(cloud).await;
}

#[tokio::test]
async fn s01_a_cut_stream_is_no_finished_answer_and_keeps_what_arrived() {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start_signed_in(&server.demo().people[0]).await;
    server.inject(Fault::cut_body(1500).on("/functions/v1/ai-proxy"));
    let request = AiRequest::new([ChatMessage::user("Tell me about rivers and the sea.")]);
    let mut answer = cloud.ai().stream(&request).await.unwrap();
    let error = answer.finish().await.unwrap_err();
    assert!(["net.cut", "ai.interrupted"].contains(&error.code().as_str()), "{error}");
    assert!(!answer.text().is_empty());
    assert!(cloud.ai().stream(&request).await.unwrap().finish().await.unwrap().text.len() > answer.text().len());

    let signed_out = App::new(&server).start().await;
    let error = signed_out.ai().stream(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    stop(signed_out).await;
    stop(cloud).await;
}
