//! One client against one cloud: starts both, shows the checks, judges the outcome.
//!
//! Cloud → its address and people as variables → script → lines → [`Seen`] → verdict. A script passes when
//! it ends by itself, with success, after as many good checks as it announces and as the test asks for: one
//! that stops early, or checks nothing, does not.

use std::{
    fmt,
    io::{self, Write as _},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use cloud_dev::{Builder, Running};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
    time::timeout,
};

use crate::clients::Clients;

/// How long a script may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The variable that says whether skipping is allowed.
const INTEROP: &str = "CLOUD_SDK_INTEROP";

/// A script, and how many checks it makes at least.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) script: &'static str,
    pub(crate) checks: usize,
}

impl Lane {
    /// Runs the script with Node against a cloud of its own.
    ///
    /// # Panics
    ///
    /// If a check fails, or if the script cannot be run although it is required.
    pub(crate) async fn run(&self, cloud: Builder) {
        match Clients::install().await {
            Ok(clients) => self.judge(clients.script(self.script), cloud).await,
            Err(reason) => skip(self.script, reason),
        }
    }

    /// Runs `program`, which is the script, against a cloud of its own.
    ///
    /// # Panics
    ///
    /// If a check fails.
    pub(crate) async fn judge(&self, program: Command, cloud: Builder) {
        let cloud = cloud.start().await.unwrap();
        self.judge_on(program, &cloud).await;
        cloud.shutdown().await;
    }

    /// Runs `program`, which is the script, against this cloud.
    ///
    /// # Panics
    ///
    /// If a check fails.
    pub(crate) async fn judge_on(&self, program: Command, cloud: &Running) {
        let started = now();
        let mut seen = Seen::default();
        let end = timeout(LIMIT, run(program, self.script, cloud, &mut seen)).await;
        println!("{}: {} checks in {:.1} s", self.script, seen.good, started.elapsed().as_secs_f64());
        let end = end.unwrap_or_else(|_| panic!("{} was not done after {LIMIT:?}", self.script));
        if let Err(reason) = seen.verdict(end.success(), self.checks) {
            panic!("{}: {reason} ({end})", self.script);
        }
    }
}

/// Says that `what` was not run, or fails where it has to.
pub(crate) fn skip(what: &str, reason: impl fmt::Display) {
    let required = std::env::var(INTEROP).is_ok_and(|value| value == "required");
    assert!(!required, "{INTEROP}=required, but {reason}");
    // Past the capture of test output: nobody should take this for a test that ran.
    let _ = writeln!(io::stderr(), "skipped: {reason}; {what} was not run");
}

async fn run(mut program: Command, script: &str, cloud: &Running, seen: &mut Seen) -> ExitStatus {
    let demo = cloud.demo();
    let people = demo
        .people
        .each_ref()
        .map(|person| json!({ "email": person.email, "password": person.password, "user_id": person.user_id }));
    let demo = json!({
        "org_id": demo.org_id,
        "workspace_id": demo.workspace_id,
        "agent_slug": demo.agent_slug,
        "bucket": demo.bucket,
        "people": people,
    });
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    program.env("CLOUD_URL", cloud.url()).env("CLOUD_KEY", cloud.publishable_key());
    program.env("CLOUD_ANON_KEY", cloud.anon_key()).env("CLOUD_DEMO", demo.to_string());
    let mut child = program.spawn().unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let checks = each_line(out, |line| {
        println!("{script}: {line}");
        seen.line(line);
    });
    let errors = each_line(err, |line| println!("{script}: {line}"));
    let ((), (), end) = tokio::join!(checks, errors, child.wait());
    end.unwrap()
}

async fn each_line(from: impl AsyncRead + Unpin, mut take: impl FnMut(&str)) {
    let mut lines = BufReader::new(from).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        take(&line);
    }
}

#[expect(clippy::disallowed_methods, reason = "the time a script took is for people to read")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What a script has said so far.
#[derive(Debug, Default)]
struct Seen {
    good: usize,
    bad: Vec<String>,
    announced: Option<usize>,
}

impl Seen {
    fn line(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("not ok - ") {
            self.bad.push(name.to_owned());
        } else if line.starts_with("ok - ") {
            self.good += 1;
        } else if let Some(number) = line.strip_prefix("1..") {
            self.announced = number.parse().ok();
        }
    }

    fn verdict(&self, success: bool, at_least: usize) -> Result<(), String> {
        if !self.bad.is_empty() {
            return Err(format!("{} checks failed: {}", self.bad.len(), self.bad.join("; ")));
        }
        match self.announced {
            None => Err("stopped before its last check".to_owned()),
            Some(number) if number != self.good => Err(format!("announced {number} checks and made {}", self.good)),
            Some(number) if number < at_least => Err(format!("made {number} checks instead of {at_least}")),
            Some(_) if !success => Err("failed after its last check".to_owned()),
            Some(_) => Ok(()),
        }
    }
}

#[test]
fn a_script_passes_only_when_all_its_checks_were_made_and_good() {
    for (lines, success, verdict) in [
        ("ok - a\nok - b\n1..2", true, Ok(())),
        ("ok - a\nwarning\nok - b\nok - c\n1..3", true, Ok(())),
        ("ok - a\nnot ok - b\n  reason\n1..2", true, Err("1 checks failed: b")),
        ("not ok - a\nnot ok - b\n1..2", false, Err("2 checks failed: a; b")),
        ("ok - a\nok - b", true, Err("stopped before its last check")),
        ("ok - a\nok - b\n1..3", true, Err("announced 3 checks and made 2")),
        ("ok - a\n1..1", true, Err("made 1 checks instead of 2")),
        ("ok - a\nok - b\n1..2", false, Err("failed after its last check")),
        ("", true, Err("stopped before its last check")),
    ] {
        let mut seen = Seen::default();
        lines.lines().for_each(|line| seen.line(line));
        assert_eq!(seen.verdict(success, 2), verdict.map_err(str::to_owned), "{lines:?}");
    }
}
