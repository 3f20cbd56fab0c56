//! A sign-in through the browser, for its secrets: the browser is a few lines that log nothing.
use cloud_dev::Running;
use cloud_sdk::{Cloud, ExposeSecret as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::Url;

use crate::sinks::Sinks;

/// Signs in by the cloud's own provider page. Gives what nobody may see, and adds what anybody may see to `sinks`.
pub(crate) async fn sign_in(
    cloud: &Cloud,
    server: &Running,
    stored: impl Fn() -> String,
    sinks: &mut Sinks,
) -> Vec<String> {
    let mut attempt = cloud.auth().sign_in_with_browser("github").begin().await.unwrap();
    let mut secrets = verifiers(&stored());
    assert_eq!(secrets.len(), 1, "the verifier is stored before anything is opened");
    let url = Url::parse(attempt.url()).unwrap();
    let redirect = url.query_pairs().find(|(name, _)| name == "redirect_to").unwrap().1.into_owned();
    let flow = redirect.split_once("sb_flow_id=").unwrap().1.to_owned();
    let email = format!("email={}", server.demo().people[0].email);
    let (user, ended) = tokio::join!(attempt.wait(), browse(url, &email));
    sinks.text("debug", format!("{:?} {attempt:?} {}", user.unwrap(), ended.1));
    let provider = cloud.auth().take_provider_tokens().unwrap();
    sinks.debug(&provider);
    let code = ended.0.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let again = cloud.auth().complete(ended.0.as_str()).await.unwrap_err();
    sinks.error(&again);
    secrets.extend([flow, code, provider.access_token.expose_secret().to_owned()]);
    secrets.extend(provider.refresh_token.map(|token| token.expose_secret().to_owned()));
    secrets
}

pub(crate) fn verifiers(stored: &str) -> Vec<String> {
    let file: serde_json::Value = serde_json::from_str(stored).unwrap();
    let texts = file["secrets"].as_object().unwrap().values().filter_map(serde_json::Value::as_str);
    let lists = texts.filter_map(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let all = lists.flat_map(|list| list["pending"].as_array().cloned().unwrap_or_default());
    all.map(|one| one["verifier"].as_str().unwrap().to_owned()).collect()
}

/// Follows `url` to the page that stays.
pub(crate) async fn browse(mut url: Url, form: &str) -> (Url, String) {
    for _ in 0..10 {
        if url.scheme() != "http" {
            return (url, String::new());
        }
        let (method, body) = if url.path().ends_with("/provider") { ("POST", form) } else { ("GET", "") };
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let request = format!(
            "{method} {}?{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
            url.path(),
            url.query().unwrap(),
            body.len()
        );
        let mut stream = TcpStream::connect(&host).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let next = fields.find(|(name, _)| name.eq_ignore_ascii_case("location"));
        match next {
            Some((_, next)) => url = url.join(next).unwrap(),
            None => return (url, page.to_owned()),
        }
    }
    panic!("going in circles");
}
