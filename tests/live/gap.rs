//! The gap test: a writer commits, the socket is disturbed 200 times, and after each time every row is there once.
use std::time::Duration;

use cloud_dev::{CloudDev, RealtimeOptions};
use cloud_sdk::{
    client::Client,
    realtime::{ChannelEvent, Events, Realtime, channel::MAX_EVENTS, status::Status},
};
use tokio::sync::watch;

use crate::{
    app::{App, hurried, sign_in},
    disturbance::Disturbance,
    reader::{Progress, Reader},
    writer::Writer,
};

/// Disturbances of one run.
const DISTURBANCES: u64 = 200;
/// Rows of one run, unless `CLOUD_SDK_GAP_ROWS` says another number.
const ROWS: u64 = 100_000;
/// Every so many disturbances the host is busy, and misses more than waits for it.
const BETWEEN_BUSY: u64 = 20;
/// Rows that are written while the host is busy: more than the queue of a listener holds.
const WHILE_BUSY: u64 = MAX_EVENTS as u64 + 276;
/// Nothing here may take longer, with the machine busy with other things.
const LIMIT: Duration = Duration::from_secs(40);

fn rows() -> u64 {
    let wished = std::env::var("CLOUD_SDK_GAP_ROWS").ok().and_then(|rows| rows.parse().ok());
    wished.unwrap_or(ROWS).max(DISTURBANCES / BETWEEN_BUSY * WHILE_BUSY + DISTURBANCES * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_after_200_disturbances_every_row_is_held_exactly_once() {
    let options = RealtimeOptions::default().subscribe_delay(Duration::from_millis(5)).outbox_frames(100_000);
    let server = CloudDev::builder().realtime(options).start().await.unwrap();
    let app = App::new(&server);
    // REST keeps real time, so that a busy machine is no timeout; the live connection's waits are short.
    let cloud = app.builder().open().await.unwrap().unwrap();
    let person = &server.demo().people[0];
    sign_in(&cloud, person).await.unwrap();
    let tokens = std::sync::Arc::<dyn cloud_sdk::client::TokenSource>::clone(cloud.client().token_source().unwrap());
    let hurried = Client::builder(server.url(), server.publishable_key()).unwrap().clock(hurried()).build();
    let realtime = Realtime::builder(&hurried.with_token_source(tokens)).open();

    let (control, rows) = (server.realtime(), rows());
    let mut writer = Writer::begin(cloud.client(), &server.demo().workspace_id, &person.user_id, 1).await;
    let reader = Reader::open(&realtime, cloud.client(), writer.conversation()).await;
    let (channel, busy, mut progress) = (reader.channel(), reader.busy(), reader.progress());
    let story = async move {
        let mut random = fastrand::Rng::with_seed(2);
        let undisturbed = DISTURBANCES / BETWEEN_BUSY * WHILE_BUSY;
        let mut done = 0;
        for round in 1..=DISTURBANCES {
            be_live(&realtime).await;
            let more = (rows - undisturbed) / DISTURBANCES;
            let (begin, end) = (done + random.u64(0..more), done + random.u64(0..more));
            let disturbance = Disturbance::any(&mut random);
            // Where the network came back, hosts usually hear of it; some never do.
            let hint = random.u8(0..20) > 0;
            let happens = disturbance.happen(&control, &realtime, writer.written(), (begin, end.max(begin)), hint);
            tokio::join!(writer.write(more), happens);
            done += more;
            whole(&mut progress, done, &realtime, &format!("{round}, {disturbance:?}")).await;
            if round % BETWEEN_BUSY == 0 {
                be_live(&realtime).await;
                busy.send_replace(true);
                let heard = hear(channel.events(), WHILE_BUSY);
                tokio::join!(writer.write(WHILE_BUSY), heard);
                done += WHILE_BUSY;
                busy.send_replace(false);
                whole(&mut progress, done, &realtime, &format!("{round}, busy")).await;
            }
        }
        let end = *progress.borrow();
        println!("{done} rows, {DISTURBANCES} disturbances: {end:?}");
        assert!(end.live > 0 && end.lagged > 0 && end.pulls > DISTURBANCES / 2, "all ways are used: {end:?}");
        channel.leave().await;
    };
    tokio::join!(story, reader.run());
    server.shutdown().await;
}

async fn be_live(realtime: &Realtime) {
    let mut status = realtime.watch_status();
    tokio::time::timeout(LIMIT, status.until(Status::is_live)).await.expect("joined again").unwrap();
}

/// Reads so many messages, or up to a break.
async fn hear(mut events: Events, messages: u64) {
    let mut heard = 0;
    while heard < messages {
        match tokio::time::timeout(LIMIT, events.next()).await.expect("rows come").unwrap() {
            ChannelEvent::Message(_) => heard += 1,
            ChannelEvent::Lagged { missed } => heard += missed,
            ChannelEvent::Gap(_) => return,
            _ => {}
        }
    }
}

/// Waits until every row is held, and looks whether each is held once.
async fn whole(progress: &mut watch::Receiver<Progress>, rows: u64, realtime: &Realtime, when: &str) {
    let whole = tokio::time::timeout(LIMIT, progress.wait_for(|progress| progress.whole == rows)).await.is_ok();
    let now = *progress.borrow();
    assert!(whole, "{when}: a row of {rows} is missing: {now:?} {:?}", realtime.status());
    assert_eq!((now.held, now.wrong), (rows, 0), "{when}: {now:?}");
}
