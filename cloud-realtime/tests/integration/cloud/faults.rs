//! Each fault of the development cloud: afterwards what is joined is what was wanted, and everything has come.
use cloud_realtime::{
    Version,
    broadcast::{BroadcastEvent, Broadcasts},
    continuity::Continuity,
    presence::{Members, Tracker},
};

use super::*;

/// Three channels of different kinds over one socket, and what has been written.
struct Story {
    place: Place,
    ada: Person,
    realtime: Realtime,
    rows: Channel,
    paths: Paths,
    members: Members<Value>,
    room: Channel,
    private: Channel,
    _tracker: Tracker,
    written: u32,
}

impl Story {
    async fn begin(version: Version) -> Self {
        let place = Place::new().await;
        let ada = place.ada().await;
        let realtime = ada.builder().version(version).open();
        let rows = open(&realtime, "rows", JoinConfig::new().changes(files(RowEvent::INSERT))).await;
        let paths = Paths::of(&rows, &ada);
        let room = open(&realtime, "room", JoinConfig::new().presence("ada")).await;
        let members = Members::of(&room);
        let tracker = Tracker::of(&room);
        tracker.track(&json!({ "at": "desk" })).unwrap();
        let private = open(&realtime, &format!("workspace-{}", place.workspace()), JoinConfig::new().private()).await;
        let mut story =
            Self { place, ada, realtime, rows, paths, members, room, private, _tracker: tracker, written: 0 };
        story.heals("the beginning").await;
        story
    }

    async fn write(&mut self) {
        self.written += 1;
        self.ada.write(self.place.workspace(), &format!("f{}", self.written)).await;
    }

    /// Everything is as it was wanted, and what was written meanwhile has come.
    async fn heals(&mut self, after: &str) {
        self.place.control().heal();
        self.realtime.wake();
        self.write().await;
        all_live(&self.realtime).await;
        for n in 1..=self.written {
            self.paths.until(&format!("f{n}")).await;
        }
        // After the rejoin the server shows this member again.
        let place = self.place.control();
        let told = async {
            while self.members.roster().of("ada").next().is_none() || !self.members.roster().is_synced() {
                self.members.next().await.unwrap();
            }
        };
        soon(&format!("presence after {after}"), told).await;
        assert_eq!((place.stale_pushes(), place.malformed_frames()), (0, 0), "after {after}");
    }
}

#[tokio::test]
async fn r02_after_every_fault_the_joined_set_is_the_wanted_one_and_nothing_is_missing() {
    for version in [Version::V2, Version::V1] {
        let mut story = Story::begin(version).await;
        let control = story.place.control();
        control.cut();
        story.write().await;
        story.heals("a cut").await;
        for code in [1000, 1001, 1002, 1009, 1011, 1012, 4000] {
            control.close(code);
            story.write().await;
            story.heals(&format!("close {code}")).await;
        }
        control.drain();
        story.write().await;
        story.heals("a drain").await;

        control.freeze();
        story.write().await;
        // The half-open socket is found by silence alone; the next one is not answered either.
        let mut status = story.realtime.watch_status();
        let left = status.until(|status| status.connection != cloud_realtime::status::ConnectionState::Open);
        soon("half-open found", left).await.unwrap();
        story.write().await;
        control.thaw();
        story.heals("a freeze").await;

        control.restart_changes(Duration::from_millis(50));
        story.write().await;
        story.heals("a restart of the feed").await;
        for channel in [&story.rows, &story.room, &story.private] {
            assert_eq!(channel.state(), ChannelState::Live);
        }
        assert_eq!(control.channels(), 3);
    }
}

#[tokio::test]
async fn r02_joins_whose_replies_are_lost_late_or_too_early_end_in_the_wanted_set() {
    let mut story = Story::begin(Version::V2).await;
    let control = story.place.control();
    control.lose_replies(2);
    control.cut();
    story.write().await;
    story.realtime.wake();
    // Two of the three joins are given up and made anew.
    all_live(&story.realtime).await;
    story.heals("lost replies").await;

    control.delay_replies(3, Duration::from_millis(1_500));
    control.cut();
    story.write().await;
    story.realtime.wake();
    all_live(&story.realtime).await;
    story.heals("late replies").await;

    control.delay_joins(Duration::from_millis(100));
    control.set_early_success(true);
    control.cut();
    story.write().await;
    story.realtime.wake();
    all_live(&story.realtime).await;
    story.heals("slow joins").await;
}

#[tokio::test]
async fn r14_refused_upgrades_are_waited_out_each_by_its_kind() {
    let mut story = Story::begin(Version::V2).await;
    for (status, times) in [(503, 3), (429, 1)] {
        story.place.control().refuse_upgrades(status, times);
        story.place.control().cut();
        let mut shown = story.realtime.watch_status();
        let failed =
            shown.until(|shown| shown.last_error.as_ref().and_then(cloud_client::Error::status) == Some(status));
        soon("refused", failed).await.unwrap();
        story.write().await;
        story.heals(&format!("{status}")).await;
        story.place.server.clear_faults();
    }
}

#[tokio::test]
async fn r02_random_faults_end_in_the_wanted_set() {
    for seed in 1..=4 {
        let version = if seed % 2 == 0 { Version::V1 } else { Version::V2 };
        let mut story = Story::begin(version).await;
        for _ in 0..10 {
            story.place.control().disturb(seed, 200);
            for _ in 0..5 {
                story.write().await;
            }
            story.realtime.wake();
            // Lost frames of a socket that lives on are nobody's to find; a cut ends that.
            story.place.control().heal();
            story.place.control().cut();
            story.heals(&format!("seed {seed}")).await;
        }
    }
}

#[tokio::test]
async fn r08_a_flood_is_told_to_the_listener_that_missed_it_and_costs_no_channel() {
    let mut story = Story::begin(Version::V2).await;
    let mut slow = Broadcasts::<Value>::of(&story.room, "flood");
    let mut quick = story.room.events();
    story.place.control().flood("room", 10_000);
    let mut heard = 0;
    soon("the flood", async {
        while heard < 10_000 {
            match quick.next().await.unwrap() {
                cloud_realtime::ChannelEvent::Message(_) => heard += 1,
                cloud_realtime::ChannelEvent::Lagged { missed } => heard += missed,
                _ => {}
            }
        }
    })
    .await;
    let first = soon("the word", slow.next()).await.unwrap();
    assert!(matches!(first, BroadcastEvent::Continuity(Continuity::Lagged { missed: 1.. })), "{first:?}");
    story.heals("a flood").await;
}
