//! The storage over HTTP: objects, and what is done with many of them.
//!
//! [`Files`] is a cloud with somebody signed in; resumable uploads use it too.

mod manage;
mod objects;

use std::path::Path;

use cloud_dev::CloudDev;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::caller::{Answer, Caller, send};

const OBJECT: &str = "/storage/v1/object";
const LIST: &str = "/storage/v1/object/list";

/// A cloud with somebody signed in, and addresses in the demo workspace.
pub(crate) struct Files {
    pub(crate) caller: Caller,
    pub(crate) token: String,
}

impl Files {
    pub(crate) async fn start() -> Self {
        Self::with(CloudDev::builder()).await
    }

    pub(crate) async fn with(builder: cloud_dev::Builder) -> Self {
        let caller = Caller::with(builder).await;
        let token = caller.token().await;
        Self { caller, token }
    }

    /// The key of a file in the demo workspace.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.caller.cloud.demo().workspace_id)
    }

    /// `bucket/key` of a file in the demo workspace.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("workspace-files/{}", self.key(name))
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.caller.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn put(&self, place: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.ask(Method::POST, &format!("{OBJECT}/{place}")).header("content-type", "text/plain");
        send(request.body(body)).await
    }

    pub(crate) async fn get(&self, place: &str) -> Answer {
        send(self.ask(Method::GET, &format!("{OBJECT}/{place}"))).await
    }

    pub(crate) async fn json(&self, path: &str, body: Value) -> Answer {
        send(self.ask(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn info(&self, place: &str) -> Answer {
        send(self.ask(Method::GET, &format!("{OBJECT}/info/{place}"))).await
    }

    /// Makes a bucket that belongs to whoever is signed in.
    pub(crate) async fn bucket(&self, body: Value) {
        let made = self.json("/storage/v1/bucket", body).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
}

/// Status, meant status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String, String) {
    (answer.status, answer.text_at("/statusCode"), answer.text_at("/code"))
}

fn refused(status: u16, meant: &str, code: &str) -> (u16, String, String) {
    (status, meant.to_owned(), code.to_owned())
}

pub(crate) fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory.join("storage")).unwrap().count()
}
