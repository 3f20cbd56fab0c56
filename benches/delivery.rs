//! How long a row takes from one person's insert to the other person's change event, through the development cloud.
//!
//! One row after the other, so that none waits for another; both people and the cloud are in this process. `answered` is the
//! insert's own call, `heard` goes from the beginning of that call to the typed change. Nothing here has a limit: what is
//! measured is the way, cloud included, on whatever machine this is.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "time as people feel it is what this measures")]
use std::time::{Duration, Instant};

use cloud_dev::{CloudDev, DemoPerson, Running};
use cloud_sdk::{
    Cloud, Config,
    config::LiveUpdates,
    realtime::{
        Topic,
        changes::{Changes, ChangesEvent, Condition, Filter},
        continuity::Continuity,
        join::{ChangesRequest, JoinConfig, RowEvent},
    },
};
use serde::Deserialize;
use serde_json::json;

const WARM: usize = 50;
const ROWS: usize = 1_000;

#[derive(Deserialize)]
struct Message {
    content: String,
}

#[derive(Deserialize)]
struct Conversation {
    id: String,
}

async fn enter(server: &Running, person: &DemoPerson, home: &std::path::Path) -> Cloud {
    let mut config = Config::new(server.url(), server.publishable_key());
    config.live = LiveUpdates::Off;
    let cloud = Cloud::builder(home).config(config).open().await.unwrap().unwrap();
    cloud.auth().sign_in_with_password(&person.email, person.password.clone().into()).await.unwrap();
    cloud
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!("{what:<9} {:>8.2} {:>8.2} {:>8.2}", at(50), at(90), at(99));
}

#[tokio::main]
async fn main() {
    let server = CloudDev::builder().start().await.unwrap();
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ada, grace] = &server.demo().people;
    let writer = enter(&server, ada, homes[0].path()).await;
    let reader = enter(&server, grace, homes[1].path()).await;

    let row = json!({ "workspace_id": server.demo().workspace_id, "name": "delivery", "started_by": ada.user_id });
    let made: Conversation = writer.client().table("conversations").insert(&row).fetch_one(["id"]).await.unwrap();
    let mine = Filter::all([Condition::eq("conversation_id", made.id.as_str())]).unwrap();
    let request = ChangesRequest::table(RowEvent::INSERT, "public", "messages").filter(mine);
    let config = JoinConfig::new().changes(request.clone());
    let channel = reader.realtime().channel(Topic::realtime("delivery").unwrap()).config(config).open().await.unwrap();
    let mut changes = Changes::<Message>::of(&channel, &request);
    while !matches!(changes.next().await.unwrap(), ChangesEvent::Continuity(Continuity::Live)) {}

    let (mut answered, mut heard) = (Vec::new(), Vec::new());
    for number in 0..WARM + ROWS {
        let text = format!("message {number}");
        let row = json!({ "conversation_id": made.id, "role": "user", "content": text, "sender_user_id": ada.user_id });
        let begun = Instant::now();
        let insert = async {
            writer.client().table("messages").insert(&row).send().await.unwrap();
            begun.elapsed()
        };
        let hear = async {
            let Some(ChangesEvent::Change(change)) = changes.next().await else { panic!("a change") };
            assert_eq!(change.row.unwrap().content, text);
            begun.elapsed()
        };
        let (one, other) = tokio::join!(insert, hear);
        if number >= WARM {
            answered.push(one);
            heard.push(other);
        }
    }
    println!("{:<9} {:>8} {:>8} {:>8}   ms, {ROWS} rows", "", "p50", "p90", "p99");
    show("answered", answered);
    show("heard", heard);
    writer.close(Duration::from_secs(5)).await;
    reader.close(Duration::from_secs(5)).await;
    server.shutdown().await;
}
