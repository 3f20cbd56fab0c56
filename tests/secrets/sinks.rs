//! Every place where a secret might come out, as named texts.
//!
//! The log of this process, of every thread and crate and by both ways to log, at its finest, and its panics, are kept
//! once for all tests; the rest each test adds. The server's own log is another program's, which here happens to share
//! the process: it is left out.
use std::{
    fmt,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cloud_sdk::Error;
use serde::Serialize;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter, layer::SubscriberExt as _};

use crate::{search::find, server};

static LOG: OnceLock<Log> = OnceLock::new();
static BESIDE: OnceLock<Beside> = OnceLock::new();

/// Keeps what is logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The one of this process, installed by the first who asks.
    pub(crate) fn of_this_process() -> &'static Self {
        LOG.get_or_init(|| {
            let log = Self::default();
            let lines = tracing_subscriber::fmt::layer().without_time().with_ansi(false).with_writer(log.clone());
            let ours = tracing_subscriber::filter::filter_fn(|line| !line.target().starts_with("cloud_dev"));
            let lines = tracing_subscriber::Layer::with_filter(lines, ours);
            let everything = tracing_subscriber::registry().with(LevelFilter::TRACE).with(lines);
            tracing::subscriber::set_global_default(everything).unwrap();
            log::set_logger(BESIDE.get_or_init(|| Beside { log: log.clone(), servers: Self::default() })).unwrap();
            log::set_max_level(log::LevelFilter::Trace);
            let kept = log.clone();
            std::panic::set_hook(Box::new(move |panic| {
                kept.add(&format!("{panic}"));
                eprintln!("{panic}");
            }));
            log
        })
    }

    fn add(&self, line: &str) {
        writeln!(self.clone(), "{line}").unwrap();
    }

    /// What the server's threads wrote by the other way to log.
    pub(crate) fn of_the_server() -> &'static Self {
        &BESIDE.get().unwrap().servers
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What comes by the other way to log.
struct Beside {
    log: Log,
    servers: Log,
}

impl log::Log for Beside {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let log = if server::is_here() { &self.servers } else { &self.log };
        log.add(&format!("{} {}: {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// Where secrets are looked for.
pub(crate) struct Sinks(Vec<(&'static str, String)>);

impl Sinks {
    pub(crate) fn new() -> Self {
        Log::of_this_process();
        Self(Vec::new())
    }

    pub(crate) fn text(&mut self, sink: &'static str, text: impl fmt::Display) {
        self.0.push((sink, text.to_string()));
    }

    pub(crate) fn debug(&mut self, value: &impl fmt::Debug) {
        self.text("debug", format!("{value:?} {value:#?}"));
    }

    pub(crate) fn json(&mut self, value: &impl Serialize) {
        self.text("json", serde_json::to_string(value).unwrap());
    }

    /// An error with its whole chain, its words for people, and the panic of somebody who did not expect it.
    pub(crate) fn error(&mut self, error: &Error) {
        self.text("error", format!("{error} {error:?} {error:#?} {} {:?}", error.advice(), error.detail()));
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(one) = cause {
            self.text("error chain", format!("{one} {one:?}"));
            cause = one.source();
        }
        let unexpected = || panic!("called `Result::unwrap()` on an `Err` value: {error:?}");
        assert!(catch_unwind(AssertUnwindSafe(unexpected)).is_err());
    }

    /// Every file below `root` but `store`, which must be its owner's alone.
    pub(crate) fn files(&mut self, root: &Path, store: &Path) {
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path == store {
                    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                    assert_eq!(mode, 0o600, "the store of secrets is its owner's alone");
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    self.text("file", format!("{} {}", path.display(), String::from_utf8_lossy(&bytes)));
                }
            }
        }
    }

    /// Where each of `secrets` came out.
    pub(crate) fn hits(mut self, secrets: &[String]) -> Vec<String> {
        let arguments = std::env::args().chain(std::env::vars().map(|(name, value)| format!("{name}={value}")));
        self.text("arguments", arguments.collect::<Vec<_>>().join("\n"));
        self.text("arguments", std::fs::read_to_string("/proc/self/cmdline").unwrap_or_default());
        self.text("log", Log::of_this_process().text());
        let all = self.0.iter().flat_map(|(sink, text)| secrets.iter().map(move |secret| (sink, text, secret)));
        all.filter_map(|(sink, text, secret)| find(text, secret).map(|around| format!("{sink}: {around}"))).collect()
    }

    /// None of them came out.
    pub(crate) fn hold_none_of(self, secrets: &[String]) {
        let hits = self.hits(secrets);
        assert!(hits.is_empty(), "{} secrets came out:\n{}", hits.len(), hits.join("\n"));
    }
}

#[test]
fn a12_a_leak_that_is_planted_is_found_in_every_sink() {
    let secret = "planted-9f2c-canary";
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("secrets.json");
    for path in [&store, &home.path().join("notes")] {
        std::fs::write(path, secret).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut sinks = Sinks::new();
    tracing::trace!(hidden = secret, "by the one way");
    log::trace!("by the other: {}", secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
    sinks.debug(&Some(secret));
    sinks.json(&[secret]);
    let cause = io::Error::other(format!("https://x.example/?token={secret}"));
    sinks.error(&Error::new(cloud_sdk::client::error::codes::CONNECT).with_detail(secret).with_source(cause));
    sinks.files(home.path(), &store);
    let hits = sinks.hits(&[secret.to_owned()]);
    for (sink, count) in [("debug", 1), ("json", 1), ("error", 1), ("error chain", 1), ("file", 1), ("log", 1)] {
        let found = hits.iter().filter(|hit| hit.starts_with(&format!("{sink}: "))).count();
        assert!(found >= count, "{sink}: {hits:?}");
    }
    let log = Log::of_this_process().text();
    assert!(log.contains("by the one way") && log.contains("by the other"), "both ways to log are heard");
    let loose = home.path().join("loose");
    std::fs::write(&loose, "").unwrap();
    std::fs::set_permissions(&loose, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(catch_unwind(|| Sinks::new().files(home.path(), &loose)).is_err(), "a store that others can read");
}
