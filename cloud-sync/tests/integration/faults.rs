//! Every request of a story broken in every way, one at a time; then seeded runs with faults everywhere.
use std::collections::BTreeMap;

use cloud_client::random::Random;
use cloud_dev::{Fault, Running};
use cloud_sync::NewMessage;
use serde_json::{Value, json};

use crate::devices::{Device, cloud};

/// The ways in which a request can go wrong.
const LOSE_REPLY: fn() -> Fault = Fault::lose_reply;
const LOSE_REQUEST: fn() -> Fault = Fault::lose_request;
const CUT: fn() -> Fault = || Fault::cut_body(3);
const AWAY: fn() -> Fault = || Fault::answer(503);
const FAILING: fn() -> Fault = || Fault::answer(500);
const INTERCEPTED: fn() -> Fault = || Fault::answer(200).body("text/html", "<html>hotel</html>");
const WAYS: [fn() -> Fault; 6] = [LOSE_REPLY, LOSE_REQUEST, CUT, AWAY, FAILING, INTERCEPTED];

async fn story(device: &Device, round: usize) -> Result<(), cloud_client::Error> {
    device.workspace.set("current_step", format!("step {round}")).await.unwrap();
    device
        .chat()
        .await
        .append_all((0..3).map(|n| NewMessage::user(format!("round {round} line {n}"))).collect())
        .await
        .unwrap();
    device.workspace.sync().await.map(|_| ())
}

/// Breaks every request of the story in this way, one at a time; after each, the process starts again.
async fn at_every_request(way: fn() -> Fault) {
    for at in 0.. {
        let cloud = cloud().await;
        let (ada, grace) = Device::pair(&cloud).await;
        cloud.inject(way().on("/rest/v1/").after(at).times(1));
        let first = story(&ada, 1).await;
        let ada = ada.restart().await;
        // What the fault did not reach in the first sync must not reach the second.
        cloud.clear_faults();
        story(&ada, 2).await.unwrap();
        grace.workspace.sync().await.unwrap();

        let expected: Vec<_> =
            (1..=2).flat_map(|round| (0..3).map(move |n| format!("round {round} line {n}"))).collect();
        assert_eq!(ada.texts_in_cloud().await, expected, "at request {at}");
        assert_eq!(ada.texts().await, expected);
        assert_eq!(grace.texts().await, expected);
        assert_eq!(grace.field("current_step").await, "step 2");
        assert!(ada.workspace.conflicts().await.unwrap().is_empty(), "alone, there is nothing to clash with");
        if first.is_ok() {
            // The story was over before the fault's turn came.
            assert!(at >= 7, "{at} requests");
            return;
        }
    }
}

#[tokio::test]
async fn h03_a_lost_answer_to_any_request_and_a_restart_lose_and_double_nothing() {
    at_every_request(LOSE_REPLY).await;
}

#[tokio::test]
async fn h03_a_lost_request_and_a_restart_lose_and_double_nothing() {
    at_every_request(LOSE_REQUEST).await;
}

#[tokio::test]
async fn h03_an_answer_that_is_cut_and_a_restart_lose_and_double_nothing() {
    at_every_request(CUT).await;
}

#[tokio::test]
async fn h03_a_cloud_that_is_away_and_a_restart_lose_and_double_nothing() {
    at_every_request(AWAY).await;
}

#[tokio::test]
async fn h03_a_cloud_that_fails_and_a_restart_lose_and_double_nothing() {
    at_every_request(FAILING).await;
}

#[tokio::test]
async fn h03_an_intercepted_request_and_a_restart_lose_and_double_nothing() {
    at_every_request(INTERCEPTED).await;
}

/// One run: two devices write and sync in an order and with faults that `seed` decides; then the faults end.
async fn run(seed: u64) {
    let cloud: Running = cloud().await;
    let random = Random::seeded(seed);
    let pick = |n: usize| (random.fraction() * n as f64) as usize;
    let (ada, grace) = Device::pair(&cloud).await;
    let mut devices = [Some(ada), Some(grace)];
    let mut appended: [Vec<String>; 2] = Default::default();
    let mut set: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for step in 0..40 {
        let who = pick(2);
        let device = devices[who].take().unwrap();
        match pick(5) {
            0 | 1 => {
                let text = format!("{who}-{step}");
                device.chat().await.append(NewMessage::user(&text)).await.unwrap();
                appended[who].push(text);
            }
            2 => {
                let (field, value) =
                    [("task_goal", json!(format!("{who}-{step}"))), ("next_steps", json!([who, step]))][pick(2)]
                        .clone();
                device.workspace.set(field, value.clone()).await.unwrap();
                set.entry(field).or_default().push(value);
            }
            3 => cloud.inject(WAYS[pick(WAYS.len())]().on("/rest/v1/").after(pick(6) as u32).times(1)),
            _ => {}
        }
        let _ = device.workspace.sync().await;
        devices[who] = Some(if pick(6) == 0 { device.restart().await } else { device });
    }
    cloud.clear_faults();
    for _ in 0..3 {
        for device in devices.iter().flatten() {
            device.workspace.sync().await.unwrap();
        }
    }

    let [ada, grace] = devices.map(Option::unwrap);
    let everywhere = ada.texts_in_cloud().await;
    assert_eq!((ada.texts().await, grace.texts().await), (everywhere.clone(), everywhere.clone()), "seed {seed}");
    // Each device's messages, each once, in the order in which it wrote them (O2, O4, O7).
    for (who, own) in appended.iter().enumerate() {
        let seen: Vec<_> = everywhere.iter().filter(|text| text.starts_with(&format!("{who}-"))).cloned().collect();
        assert_eq!(seen, *own, "seed {seed}");
    }
    // Both devices agree (W6), on a value that somebody set.
    for (field, values) in set {
        let value = ada.field(field).await;
        assert_eq!(value, grace.field(field).await, "seed {seed}");
        assert!(values.contains(&value), "seed {seed}: {value} was never set");
    }
}

#[tokio::test]
async fn o02_o04_o07_p01_w06_seeded_runs_with_faults_end_with_everybody_alike() {
    // A longer night: CLOUD_SYNC_SEEDS=1000.
    let seeds = std::env::var("CLOUD_SYNC_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    for seed in 0..seeds {
        run(seed).await;
    }
}
