//! Somebody sets the clock of the machine while a session is open: two hours forward, then a day back.
//!
//! This test program starts itself again under libfaketime, whose time-stamp file moves the wall clock of a running
//! process and leaves its monotonic clock alone. The process has a session with a cloud in here, which counts what it is
//! asked for: no sign-out, and no storm of refreshes (A9, A10).

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cloud_dev::CloudDev;
use cloud_sdk::{
    auth::{
        Auth,
        store::{FileStore, SecretStoreHandle},
    },
    client::Client,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::lane::skip;

/// The variable with which this program is somebody who has a session: `url|key|file of the login`.
const SESSION: &str = "CLOUD_SDK_CLOCK_SESSION";
const LIMIT: Duration = Duration::from_secs(40);

/// Calls when told to, and says how that went and what time it is.
async fn session(orders: &str) {
    let mut orders = orders.split('|');
    let mut next = || orders.next().unwrap();
    let client = Client::builder(next(), next()).unwrap().build();
    let auth = Auth::builder(client, SecretStoreHandle::new(FileStore::new(next()))).open();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        auth.settled().await;
        let calls: usize = line.parse().unwrap();
        let mut good = 0;
        for _ in 0..calls {
            let call = auth.client().table("workspaces").select(["id"]).fetch::<serde_json::Value>().await;
            good += usize::from(call.is_ok());
        }
        let wall = auth.client().clock().wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        println!("@{good} {} {wall}", auth.status().is_signed_in());
    }
    auth.close(Duration::from_secs(5)).await;
}

/// Only of use as the other process; otherwise there is nothing to do but to say so.
#[tokio::test]
async fn somebody_has_a_session() {
    match std::env::var(SESSION) {
        Ok(orders) => session(&orders).await,
        Err(_) => assert!(std::env::var_os(SESSION).is_none()),
    }
}

fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime"];
    folders.iter().map(|folder| Path::new(folder).join("libfaketime.so.1")).find(|path| path.is_file())
}

#[tokio::test]
async fn a09_a10_a_wall_clock_that_is_set_under_a_running_session_costs_one_refresh_at_most_and_no_login() {
    let Some(library) = library() else {
        return skip("the moved clock", "libfaketime is not installed (Debian: faketime)");
    };
    let cloud = CloudDev::builder().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (login, stamp) = (folder.path().join("login"), folder.path().join("time"));
    std::fs::write(&stamp, "+0").unwrap();
    let client = Client::builder(cloud.url(), cloud.publishable_key()).unwrap().build();
    let auth = Auth::builder(client, SecretStoreHandle::new(FileStore::new(&login))).open();
    let ada = &cloud.demo().people[0];
    auth.sign_in_with_password(&ada.email, ada.password.clone().into()).await.unwrap();
    auth.close(Duration::from_secs(5)).await;

    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "clocks::somebody_has_a_session", "--nocapture"]).kill_on_drop(true);
    command.env(SESSION, format!("{}|{}|{}", cloud.url(), cloud.publishable_key(), login.display()));
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &stamp);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut orders, mut lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let (mut walls, mut refreshes) = (Vec::new(), Vec::new());
    for time in ["+0", "+2h", "-1d", "+0", "+2h", "-1d", "+365d"] {
        std::fs::write(&stamp, time).unwrap();
        orders.write_all(b"20\n").await.unwrap();
        let answer = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(answer) = line.strip_prefix('@') {
                    return answer.to_owned();
                }
            }
            panic!("the session ended by itself")
        };
        let answer = timeout(LIMIT, answer).await.expect("an answer in time");
        let said: Vec<_> = answer.split(' ').collect();
        assert_eq!(said[..2], ["20", "true"], "at {time}: all calls were answered, and nobody was signed out");
        walls.push(said[2].parse::<i64>().unwrap());
        refreshes.push(cloud.refreshes().rotated);
    }
    println!("refreshes so far: {refreshes:?}");
    assert!(walls[1] - walls[0] > 7000 && walls[2] - walls[0] < -80_000, "the clock really moved: {walls:?}");
    assert!(refreshes.windows(2).all(|pair| pair[1] - pair[0] <= 1), "one a jump at most: {refreshes:?}");
    assert!(*refreshes.last().unwrap() <= 5, "{refreshes:?}");
    assert_eq!((cloud.refreshes().refused, cloud.refreshes().doubled), (0, 0));
    drop(orders);
    assert!(timeout(LIMIT, child.wait()).await.unwrap().unwrap().success());
    cloud.shutdown().await;
}
