//! The outbox against its limits, as ratios in one run.
//!
//! `append/N`: a durable append of N messages at once, against the same rows written by SQLite alone with the same
//! settings (aim: at least 0.6x its rate). `push/N`: N waiting messages to the embedded cloud over loopback, against one
//! request for each, which is what a client without arrays would send (aim: at least 10x its rate). `push/far`: the same with
//! 20 ms before each answer (aim: at least 80x its rate; the line for one request each sends fewer, so compare rates).
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking, and has no API")]
use std::{hint::black_box, time::Duration};

use cloud_client::{Client, call::Call, error::Service};
use cloud_dev::{CloudDev, Fault};
use cloud_sync::{Engine, NewMessage, Workspace};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// 500 bytes, as a message of a conversation usually has.
fn text(n: usize) -> String {
    format!("{n:08} {}", "lorem ipsum dolor ".repeat(27)).chars().take(500).collect()
}

struct Bench {
    cloud: cloud_dev::Running,
    client: Client,
    user: String,
    workspace: Workspace,
    _home: TempDir,
}

#[derive(Debug)]
struct Fixed(cloud_client::AccessToken);

#[async_trait::async_trait]
impl cloud_client::TokenSource for Fixed {
    async fn token(&self) -> Result<Option<cloud_client::AccessToken>, cloud_client::Error> {
        Ok(Some(self.0.clone()))
    }

    async fn replace(
        &self,
        _: &cloud_client::AccessToken,
    ) -> Result<Option<cloud_client::AccessToken>, cloud_client::Error> {
        Ok(None)
    }
}

async fn open() -> Bench {
    let cloud = CloudDev::builder().start().await.unwrap();
    let person = &cloud.demo().people[0];
    let client = Client::builder(cloud.url(), cloud.publishable_key()).unwrap().build();
    let call = Call::new(Service::Auth, http::Method::POST).segment("token").query("grant_type", "password");
    let call = call.json(&json!({"email": person.email, "password": person.password})).unwrap();
    let session: Value = client.send(call).await.unwrap().json().unwrap();
    let token = session["access_token"].as_str().unwrap().to_owned();
    let client = client.with_token_source(std::sync::Arc::new(Fixed(cloud_client::AccessToken::new(token.into(), 0))));
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("project")).unwrap();
    let engine = Engine::open(client.clone(), home.path().join("sync.db")).await.unwrap();
    let workspace =
        engine.link(&home.path().join("project"), &person.user_id, &cloud.demo().workspace_id).await.unwrap();
    Bench { user: person.user_id.clone(), client, workspace, _home: home, cloud }
}

fn bare() -> (Connection, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let connection = Connection::open(home.path().join("bare.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection
        .execute_batch(
            "CREATE TABLE messages (n INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER, id TEXT, role TEXT, content TEXT,
             sender TEXT, written TEXT, state TEXT, UNIQUE (conversation, id)) STRICT;
             CREATE INDEX outbox ON messages (conversation, state, n)",
        )
        .unwrap();
    (connection, home)
}

fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(open());
    let chat = runtime.block_on(bench.workspace.conversation("append")).unwrap();
    let (mut connection, _home) = bare();
    for size in [1_usize, 100, 1000] {
        let mut group = criterion.benchmark_group(format!("append/{size}"));
        group.throughput(Throughput::Elements(size as u64)).sample_size(20).measurement_time(Duration::from_secs(3));
        group.bench_function("ours", |bencher| {
            let messages = || (0..size).map(|n| NewMessage::user(text(n))).collect::<Vec<_>>();
            bencher.iter_batched(
                messages,
                |messages| runtime.block_on(chat.append_all(messages)).unwrap(),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("sqlite alone", |bencher| {
            bencher.iter_batched(
                || (0..size).map(text).collect::<Vec<_>>(),
                |texts| {
                    let transaction = connection.transaction().unwrap();
                    let mut insert = transaction
                        .prepare_cached(
                            "INSERT INTO messages (conversation, id, role, content, sender, written, state)
                             VALUES (1, ?1, 'user', ?2, 'd0000000-0000-4000-8000-000000000002', '2026-01-01T00:00:00Z', 'pending')",
                        )
                        .unwrap();
                    for text in texts {
                        insert.execute(params![uuid::Uuid::new_v4().to_string(), text]).unwrap();
                    }
                    drop(insert);
                    transaction.commit().unwrap();
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

fn push(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(open());
    let chat = runtime.block_on(bench.workspace.conversation("push")).unwrap();
    let conversation = runtime.block_on(chat.cloud_id()).unwrap();
    let size = 500_usize;
    let mut group = criterion.benchmark_group(format!("push/{size}"));
    group.throughput(Throughput::Elements(size as u64)).sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function("ours", |bencher| {
        let waiting =
            || runtime.block_on(chat.append_all((0..size).map(|n| NewMessage::user(text(n))).collect())).unwrap();
        bencher.iter_batched(waiting, |_| black_box(runtime.block_on(chat.push()).unwrap()), BatchSize::PerIteration);
    });
    group.bench_function("one request each", |bencher| {
        bencher.iter(|| runtime.block_on(one_by_one(&bench, &conversation, size)));
    });
    group.finish();
}

/// As [`push`], with the cloud 20 ms away.
fn push_far(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(open());
    let chat = runtime.block_on(bench.workspace.conversation("far")).unwrap();
    let conversation = runtime.block_on(chat.cloud_id()).unwrap();
    bench.cloud.inject(Fault::delay(Duration::from_millis(20)).on("/rest/v1/").times(u32::MAX));
    let mut group = criterion.benchmark_group("push/far");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(500));
    group.bench_function("ours", |bencher| {
        let waiting =
            || runtime.block_on(chat.append_all((0..500).map(|n| NewMessage::user(text(n))).collect())).unwrap();
        bencher.iter_batched(waiting, |_| black_box(runtime.block_on(chat.push()).unwrap()), BatchSize::PerIteration);
    });
    group.throughput(Throughput::Elements(20));
    group.bench_function("one request each", |bencher| {
        bencher.iter(|| runtime.block_on(one_by_one(&bench, &conversation, 20)));
    });
    group.finish();
}

/// What a client without arrays would send.
async fn one_by_one(bench: &Bench, conversation: &str, messages: usize) {
    for n in 0..messages {
        let row =
            json!({"conversation_id": conversation, "role": "user", "content": text(n), "sender_user_id": bench.user});
        bench.client.table("messages").insert(&row).send().await.unwrap();
    }
}

criterion_group!(benches, append, push, push_far);
criterion_main!(benches);
