//! What a connection keeps in memory: signed out, idle with one channel, and with 1,000 channels that each have a listener.
//!
//! Resident memory of this process as Linux tells it, above what it had before; the server has a process of its own.
//! Without TLS. Aims: 1.5 MiB before anything is asked for, 6 MiB connected; the exit code says whether they were
//! reached.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
mod message;
mod server;

use std::process::ExitCode;

use cloud_client::Client;
use cloud_realtime::{
    Realtime, Topic,
    changes::{Changes, ChangesEvent},
    continuity::Continuity,
    join::{ChangesRequest, JoinConfig, RowEvent},
};
use message::Message;

const CHANNELS: usize = 1_000;

/// KiB of memory that this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn live(realtime: &Realtime, name: &str) -> (cloud_realtime::Channel, Changes<Message>) {
    let request = ChangesRequest::table(RowEvent::INSERT, "public", "messages");
    let config = JoinConfig::new().changes(request.clone());
    let channel = realtime.channel(Topic::realtime(name).unwrap()).config(config).open().await.unwrap();
    let mut changes = Changes::of(&channel, &request);
    while !matches!(changes.next().await.unwrap(), ChangesEvent::Continuity(Continuity::Live)) {}
    (channel, changes)
}

async fn measure(url: &str) -> bool {
    let mut good = true;
    let start = resident();
    let client = Client::builder(url, "sb_publishable_bench").unwrap().build();
    let realtime = Realtime::builder(&client).max_channels(CHANNELS + 1).joins_per_second(100_000).open();
    tokio::task::yield_now().await;
    let mut say = |what: &str, limit: usize| {
        let used = resident() - start;
        good &= used <= limit;
        println!("{what}: {used} KiB (aim: at most {limit}){}", if used > limit { " MISSED" } else { "" });
        used
    };
    say("signed out", 1_536);
    let one = live(&realtime, "first").await;
    let connected = say("connected, one channel", 6 * 1024);
    let mut many = Vec::new();
    for number in 0..CHANNELS {
        many.push(live(&realtime, &format!("room-{number}")).await);
    }
    let all = resident() - start;
    let (bytes, sum) = ((all - connected) * 1024 / CHANNELS, all);
    println!("connected, {CHANNELS} channels more: {sum} KiB, {bytes} bytes a channel with its listener");
    drop((one, many));
    good
}

fn main() -> ExitCode {
    if server::Alone::was_it() {
        return ExitCode::SUCCESS;
    }
    let server = server::Alone::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if runtime.block_on(measure(&server.url)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
