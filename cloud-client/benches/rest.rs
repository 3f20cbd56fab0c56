//! What a small call costs above the bare HTTP client: one read and one write of a table, ours and plain reqwest.
//!
//! Both send the same headers over one kept connection and read the same rows by serde. Measured is the CPU time of the
//! thread that calls, where the system tells it (Linux), so that neither the server nor a busy machine counts. Compare
//! the two lines of each group; ours should take at most 1.15 times the plain one.
//!
//! Time is unsteady on a shared machine, instructions are not: `REST_BENCH="ours get 2000"` (or `plain`, `post`) makes
//! so many calls and nothing else. `cargo xtask gates` counts and compares them.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
mod server;

use std::time::Duration;

use cloud_client::Client;
use criterion::{Bencher, Criterion, criterion_group};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

const KEY: &str = "sb_publishable_bench";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    id: u64,
    title: String,
    done: bool,
}

fn tasks() -> Vec<Task> {
    (1..=20).map(|id| Task { id, title: format!("Paint the fence, board {id}"), done: false }).collect()
}

async fn read(client: &Client) -> usize {
    let query = client.table("tasks").select(["id", "title", "done"]).eq("done", false).order("id").limit(20);
    query.fetch::<Task>().await.unwrap().len()
}

async fn plain_read(client: &reqwest::Client, url: &str) -> usize {
    let target = format!("{url}/rest/v1/tasks?select=id,title,done&done=eq.false&order=id.asc&limit=20");
    let request = client.get(target).header("accept", "application/json").header("apikey", KEY);
    let answer = request.header("x-request-id", uuid::Uuid::new_v4().to_string()).send().await.unwrap();
    answer.error_for_status().unwrap().json::<Vec<Task>>().await.unwrap().len()
}

async fn write(client: &Client, task: &Task) -> usize {
    client.table("tasks").insert(task).fetch::<Task>(["id", "title", "done"]).await.unwrap().len()
}

async fn plain_write(client: &reqwest::Client, url: &str, task: &Task) -> usize {
    let target = format!("{url}/rest/v1/tasks?select=id,title,done");
    let request = client.post(target).header("accept", "application/json").header("apikey", KEY);
    let request = request.header("prefer", "return=representation").json(task);
    let answer = request.header("x-request-id", uuid::Uuid::new_v4().to_string()).send().await.unwrap();
    answer.error_for_status().unwrap().json::<Vec<Task>>().await.unwrap().len()
}

/// The time that this thread spent on a processor.
fn spent() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn measure(bencher: &mut Bencher, runtime: &Runtime, work: impl AsyncFn() -> usize) {
    if spent().is_none() {
        bencher.iter(|| runtime.block_on(work()));
        return;
    }
    bencher.iter_custom(|times| {
        let before = spent().unwrap();
        runtime.block_on(async {
            for _ in 0..times {
                assert_ne!(std::hint::black_box(work().await), 0);
            }
        });
        spent().unwrap() - before
    });
}

/// Both clients, the server they speak to, and what they send.
struct Sides {
    runtime: Runtime,
    url: String,
    client: Client,
    plain: reqwest::Client,
    task: Task,
}

impl Sides {
    fn new() -> Self {
        // The plain client takes the process-wide provider; another bench of this process may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let rows = serde_json::to_vec(&tasks()).unwrap();
        let url = server::serve(rows, br#"[{"id":1,"title":"Paint the fence","done":false}]"#);
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            client: Client::builder(&url, KEY).unwrap().build(),
            plain: reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap(),
            task: Task { id: 1, title: "Paint the fence".to_owned(), done: false },
            url,
        }
    }

    /// Makes so many calls of one kind: `ours get 2000`.
    fn make(&self, order: &str) {
        let words: Vec<_> = order.split(' ').collect();
        let [who, what, times] = words[..] else { panic!("not an order: {order}") };
        self.runtime.block_on(async {
            for _ in 0..times.parse::<u32>().unwrap() {
                let rows = match (who, what) {
                    ("ours", "get") => read(&self.client).await,
                    ("ours", "post") => write(&self.client, &self.task).await,
                    ("plain", "get") => plain_read(&self.plain, &self.url).await,
                    ("plain", "post") => plain_write(&self.plain, &self.url, &self.task).await,
                    _ => panic!("not an order: {order}"),
                };
                assert_ne!(rows, 0);
            }
        });
    }
}

fn rest(criterion: &mut Criterion) {
    let Sides { runtime, url, client, plain, task } = Sides::new();

    // The first call reads certificates and connects.
    assert_eq!(runtime.block_on(read(&client)), runtime.block_on(plain_read(&plain, &url)));
    let mut group = criterion.benchmark_group("rest/get_20_rows");
    group.bench_function("ours", |bencher| measure(bencher, &runtime, async || read(&client).await));
    group.bench_function("reqwest", |bencher| measure(bencher, &runtime, async || plain_read(&plain, &url).await));
    group.finish();

    let mut group = criterion.benchmark_group("rest/post_1_row");
    group.bench_function("ours", |bencher| measure(bencher, &runtime, async || write(&client, &task).await));
    group.bench_function("reqwest", |bencher| {
        measure(bencher, &runtime, async || plain_write(&plain, &url, &task).await);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
    targets = rest
}

fn main() {
    match std::env::var("REST_BENCH") {
        Ok(order) => Sides::new().make(&order),
        Err(_) => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
