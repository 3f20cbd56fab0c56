//! Devices whose clocks are years apart, or stand still where it matters.
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use cloud_client::{
    clock::{Clock, SharedClock},
    events::Heard,
};
use cloud_dev::Fault;
use cloud_sync::{AutoSync, NewMessage, SyncEvent, SyncState};

use crate::devices::{Device, cloud};

/// The machine's clock, so many years fast; slow, when below zero.
#[derive(Debug)]
struct Wrong(SharedClock, i32);

#[async_trait]
impl Clock for Wrong {
    fn wall(&self) -> SystemTime {
        let apart = Duration::from_secs(365 * 24 * 3600) * self.1.unsigned_abs();
        if self.1 < 0 { self.0.wall() - apart } else { self.0.wall() + apart }
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[tokio::test]
async fn o12_w02_clocks_that_are_years_apart_change_neither_order_nor_outcome() {
    let cloud = cloud().await;
    let [ada, grace] = &cloud.demo().people;
    let wrong = |years| SharedClock::new(Wrong(SharedClock::default(), years));
    let fast = Device::with_clock(&cloud, ada, wrong(10)).await;
    let slow = Device::with_clock(&cloud, grace, wrong(-10)).await;
    let mut expected = Vec::new();
    for round in 0..3 {
        for (name, device) in [("fast", &fast), ("slow", &slow)] {
            let text = format!("{name} {round}");
            device.chat().await.append(NewMessage::user(&text)).await.unwrap();
            device.workspace.set("current_step", text.clone()).await.unwrap();
            device.workspace.sync().await.unwrap();
            expected.push(text);
        }
    }
    fast.workspace.sync().await.unwrap();
    for device in [&fast, &slow] {
        assert_eq!(device.texts().await, expected);
        // Who wrote later stands in nobody's clock: the first who comes, then whoever saw it.
        assert_eq!(device.field("current_step").await, fast.field("current_step").await);
    }
    // Without having seen each other: the one who came first stands, whatever the clocks say.
    for (first, second) in [(&fast, &slow), (&slow, &fast)] {
        first.workspace.set("task_goal", "came first").await.unwrap();
        second.workspace.set("task_goal", "came second").await.unwrap();
        first.workspace.sync().await.unwrap();
        assert_eq!(second.workspace.sync().await.unwrap().conflicts.len(), 1);
        assert_eq!(second.field("task_goal").await, "came first");
        for device in [first, second] {
            device.workspace.set("task_goal", "for the next round").await.unwrap();
            device.workspace.sync().await.unwrap();
        }
        first.workspace.sync().await.unwrap();
    }
}

/// A clock on which no pause ever ends.
#[derive(Debug)]
struct Endless(SharedClock);

#[async_trait]
impl Clock for Endless {
    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        if !duration.is_zero() {
            std::future::pending::<()>().await;
        }
    }
}

#[tokio::test]
async fn o11_a_host_that_knows_better_ends_the_pause_after_failures() {
    let cloud = cloud().await;
    let clock = SharedClock::new(Endless(SharedClock::default()));
    let device = Device::with_clock(&cloud, &cloud.demo().people[0], clock).await;
    let mut events = device.engine.events();
    let mut until = async |wanted: SyncState| {
        let is_wanted =
            |heard: Heard<_>| matches!(heard, Heard::Event(SyncEvent::State { state, .. }) if state == wanted);
        let told = async { while !is_wanted(events.next().await.unwrap()) {} };
        tokio::time::timeout(Duration::from_secs(30), told).await.expect("the state was not told");
    };
    device.workspace.try_now(); // nothing keeps it synced yet
    cloud.inject(Fault::answer(503).on("/rest/v1/").times(100));
    let _kept = device.workspace.keep_synced(AutoSync::default());
    until(SyncState::Offline).await;
    cloud.clear_faults();
    device.workspace.try_now();
    until(SyncState::Synced).await;
}
