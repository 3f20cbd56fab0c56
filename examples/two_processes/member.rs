//! One of the processes: opens the shared login and does what it is told, line by line.
//!
//! stdin `hour` → an hour passes, then one call to the cloud → stdout `@ok`, `@failed <code>` or `@out <status>`. Lines
//! without `@` are not for us. The end of stdin is the end of the member.
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use cloud_sdk::{
    auth::{
        Auth,
        store::{FileStore, SecretStoreHandle},
    },
    client::{
        Client,
        clock::{Clock, SharedClock, SystemClock},
    },
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use crate::table::line;

/// The variable that makes a member of this program.
pub const ORDERS: &str = "TWO_PROCESSES_MEMBER";
const HOUR: Duration = Duration::from_secs(3600);

/// Where the cloud and the login are. No secret: the key is the public one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    pub url: String,
    pub key: String,
    pub login: String,
}

/// The machine's clock, and some hours more: waiting takes as long as ever, only the time of day is another.
#[derive(Clone, Debug, Default)]
struct HoursLater {
    clock: SystemClock,
    hours: Arc<AtomicU64>,
}

impl HoursLater {
    fn passed(&self) -> Duration {
        HOUR.saturating_mul(u32::try_from(self.hours.load(Ordering::SeqCst)).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl Clock for HoursLater {
    fn wall(&self) -> SystemTime {
        self.clock.wall() + self.passed()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic() + self.passed()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

/// What this process was started for, if as a member.
pub fn orders() -> Option<Orders> {
    serde_json::from_str(&std::env::var(ORDERS).ok()?).ok()
}

pub async fn run(orders: Orders) -> ExitCode {
    let clock = HoursLater::default();
    let builder = match Client::builder(&orders.url, &orders.key) {
        Ok(builder) => builder.clock(SharedClock::new(clock.clone())),
        Err(error) => {
            line(format_args!("@failed {}", error.code().as_str()));
            return ExitCode::FAILURE;
        }
    };
    let auth = Auth::builder(builder.build(), SecretStoreHandle::new(FileStore::new(&orders.login))).open();
    let client = auth.client();
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(order)) = lines.next_line().await {
        if order == "hour" {
            clock.hours.fetch_add(1, Ordering::SeqCst);
        }
        auth.settled().await;
        let call = client.table("workspaces").select(["id"]).fetch::<serde_json::Value>().await;
        let status = auth.status();
        match call {
            _ if !status.is_signed_in() => line(format_args!("@out {}", serde_json::json!(status))),
            Ok(rows) if rows.is_empty() => line("@failed nothing was to be seen"),
            Ok(_) => line("@ok"),
            Err(error) => line(format_args!("@failed {}", error.code().as_str())),
        }
    }
    auth.close(Duration::from_secs(5)).await;
    ExitCode::SUCCESS
}
