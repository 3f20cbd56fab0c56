//! A host app with its own directory, and a clock on which waiting takes a fiftieth of the time.
use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use cloud_dev::{CloudDev, DemoPerson, Running};
use cloud_sdk::{
    Cloud, CloudBuilder, Config,
    client::clock::{Clock, SharedClock, SystemClock},
};
use tempfile::TempDir;

#[derive(Debug, Default)]
struct Hurried(SystemClock);

#[async_trait::async_trait]
impl Clock for Hurried {
    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * 50
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration / 50).await;
    }
}

pub fn hurried() -> SharedClock {
    SharedClock::new(Hurried::default())
}

pub async fn cloud() -> Running {
    CloudDev::builder().start().await.unwrap()
}

/// An installation of a host app.
pub struct App {
    pub home: TempDir,
    pub config: Config,
}

impl App {
    pub fn new(cloud: &Running) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("project")).unwrap();
        Self { home, config: Config::new(cloud.url(), cloud.publishable_key()) }
    }

    pub fn folder(&self) -> PathBuf {
        self.home.path().join("project")
    }

    pub fn builder(&self) -> CloudBuilder {
        Cloud::builder(self.home.path().join("state")).config(self.config.clone())
    }

    /// The process starts.
    pub async fn start(&self) -> Cloud {
        self.builder().clock(hurried()).open().await.unwrap().unwrap()
    }

    pub async fn start_signed_in(&self, person: &DemoPerson) -> Cloud {
        let cloud = self.start().await;
        sign_in(&cloud, person).await.unwrap();
        cloud
    }
}

pub async fn sign_in(cloud: &Cloud, person: &DemoPerson) -> Result<(), cloud_sdk::Error> {
    cloud.auth().sign_in_with_password(&person.email, person.password.clone().into()).await.map(|_| ())
}

/// Ends the process in good order.
pub async fn stop(cloud: Cloud) {
    assert!(cloud.close(Duration::from_secs(250)).await, "something was still running");
}
