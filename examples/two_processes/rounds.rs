//! The rounds: time passes, everybody calls, somebody is killed.
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use cloud_dev::{CloudDev, Refreshes, Running};
use cloud_sdk::{
    auth::{
        Auth,
        store::{FileStore, SecretStoreHandle},
    },
    client::Client,
};
use futures::future::join_all;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::{
    args::Args,
    member::{ORDERS, Orders},
    table,
};

/// The longest a member may take for one call: another one may hold the lock for ten seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A kill comes at most this long after the order: a refresh takes some milliseconds.
const KILL_WITHIN_MICROS: u64 = 25_000;

/// What happened, as the members and the cloud tell it.
#[derive(Debug)]
pub struct Outcome {
    pub members: u8,
    pub expiries: u32,
    pub kills: u32,
    /// Calls that were answered.
    pub calls: u64,
    pub sign_outs: Vec<String>,
    pub failures: Vec<String>,
    pub server: Refreshes,
    pub took: Duration,
}

impl Outcome {
    /// What should not have happened.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.sign_outs.iter().map(|status| format!("signed out: {status}")).collect();
        faults.extend(self.failures.iter().map(|failure| format!("a call failed: {failure}")));
        if self.server.doubled > 0 {
            faults.push(format!("{} tokens were spent twice", self.server.doubled));
        }
        if self.server.refused > 0 {
            faults.push(format!("{} refreshes were refused", self.server.refused));
        }
        // A reply that died with its process may be asked for again, and nothing else.
        if self.server.repeated > u64::from(self.kills) {
            faults.push(format!("{} refreshes were repeated after {} kills", self.server.repeated, self.kills));
        }
        faults
    }
}

struct Member {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

struct Team<'a> {
    orders: Orders,
    itself: &'a [&'a str],
}

impl Team<'_> {
    fn start(&self) -> Result<Member, String> {
        let told = |error: std::io::Error| format!("a member could not be started: {error}");
        let orders = serde_json::to_string(&self.orders).map_err(|error| error.to_string())?;
        let mut command = Command::new(std::env::current_exe().map_err(told)?);
        command.args(self.itself).env(ORDERS, orders).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(told)?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a member has no pipes".to_owned());
        };
        Ok(Member { child, orders, answers: BufReader::new(answers).lines() })
    }

    /// One order and its answer; with `kill`, the member dies so long after the order, and another one gets it.
    async fn call(&self, member: &mut Member, kill: Option<Duration>) -> Result<String, String> {
        member.order().await?;
        if let Some(after) = kill {
            sleep(after).await;
            member.child.kill().await.map_err(|error| format!("a member could not be killed: {error}"))?;
            *member = self.start()?;
            member.order().await?;
        }
        member.answer().await
    }
}

impl Member {
    async fn order(&mut self) -> Result<(), String> {
        self.orders.write_all(b"hour\n").await.map_err(|error| format!("a member is gone: {error}"))
    }

    async fn answer(&mut self) -> Result<String, String> {
        let next = async {
            while let Ok(Some(line)) = self.answers.next_line().await {
                if let Some(answer) = line.strip_prefix('@') {
                    return Ok(answer.to_owned());
                }
            }
            Err("a member ended by itself".to_owned())
        };
        timeout(ANSWER_LIMIT, next).await.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_LIMIT:?}")))
    }
}

/// Plays all rounds. `itself` are the arguments that members are started with.
pub async fn run(args: &Args, itself: &[&str], visible: bool) -> Result<Outcome, String> {
    let begun = Instant::now();
    // A token that was spent is no good for anybody but whom its reply was lost to.
    let cloud = CloudDev::builder().refresh_reuse_interval(Duration::ZERO).discard_data().start().await;
    let cloud = cloud.map_err(|error| format!("the cloud could not be started: {error}"))?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let login = folder.path().join("login");
    sign_in(&cloud, &login).await.map_err(|error| format!("nobody could be signed in: {error}"))?;
    let (url, key) = (cloud.url().to_owned(), cloud.publishable_key().to_owned());
    let team = Team { orders: Orders { url, key, login: login.to_string_lossy().into_owned() }, itself };
    let mut members = (0..args.members).map(|_| team.start()).collect::<Result<Vec<_>, _>>()?;
    let mut random = fastrand::Rng::with_seed(args.seed);
    let mut outcome = Outcome {
        members: args.members,
        expiries: args.expiries,
        kills: 0,
        calls: 0,
        sign_outs: Vec::new(),
        failures: Vec::new(),
        server: cloud.refreshes(),
        took: Duration::ZERO,
    };
    let bar = table::bar(args.expiries, visible);
    for _ in 0..args.expiries {
        cloud.expire_access_tokens();
        let victim = (random.u8(..100) < args.kill_percent).then(|| random.usize(..members.len()));
        let after = Duration::from_micros(random.u64(..KILL_WITHIN_MICROS));
        outcome.kills += u32::from(victim.is_some());
        let calls = members.iter_mut().enumerate().map(|(n, member)| {
            let kill = (victim == Some(n)).then_some(after);
            team.call(member, kill)
        });
        for answer in join_all(calls).await {
            let answer = answer?;
            outcome.calls += u64::from(answer == "ok");
            if let Some(status) = answer.strip_prefix("out ") {
                outcome.sign_outs.push(status.to_owned());
            } else if let Some(code) = answer.strip_prefix("failed ") {
                outcome.failures.push(code.to_owned());
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    for mut member in members {
        drop(member.orders);
        let _ = timeout(ANSWER_LIMIT, member.child.wait()).await;
    }
    outcome.server = cloud.refreshes();
    outcome.took = begun.elapsed();
    cloud.shutdown().await;
    Ok(outcome)
}

async fn sign_in(cloud: &Running, login: &std::path::Path) -> Result<(), cloud_sdk::Error> {
    let client = Client::builder(cloud.url(), cloud.publishable_key())?.build();
    let auth = Auth::builder(client, SecretStoreHandle::new(FileStore::new(login))).open();
    let ada = &cloud.demo().people[0];
    auth.sign_in_with_password(&ada.email, ada.password.clone().into()).await?;
    auth.close(Duration::from_secs(5)).await;
    Ok(())
}
