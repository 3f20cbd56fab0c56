//! A process that dies at every point between hearing a message and having its position on disk.
use cloud_realtime::feed::{FeedSource, Opening, Place, Signal};

use super::*;

const MESSAGES: u64 = 6;

/// A server with a log, which replays from the place on.
#[derive(Debug, Default)]
struct Replayer {
    waiting: Option<VecDeque<Signal<u64>>>,
}

#[async_trait]
impl FeedSource<u64> for Replayer {
    async fn next(&mut self, place: &Place) -> Option<Signal<u64>> {
        let waiting = self.waiting.get_or_insert_with(|| {
            let from = place.position().map_or(0, |position| position.as_str().parse::<u64>().unwrap().wrapping_add(1));
            let entry = |n: u64| Entry::new(n).id(format!("id-{n}")).position(Position::new(n.to_string())).replayed();
            let mut signals = VecDeque::from([Signal::Opened(Opening::Replay)]);
            signals.extend((from..MESSAGES).map(|n| Signal::Item(entry(n))));
            signals.push_back(Signal::Replayed(None));
            signals
        });
        waiting.pop_front()
    }

    fn reopen(&mut self) {
        self.waiting = None;
    }
}

/// What is on disk.
#[derive(Debug, Default)]
struct Disk {
    items: Vec<u64>,
    position: Option<Position>,
    repeats: u32,
}

/// Runs until the `fatal`th step; whether it came to the end.
async fn run(disk: &mut Disk, fatal: u32, step: &mut u32) -> bool {
    let client = Script::default().client();
    // Without a position the server would begin with now: this log begins with the first message.
    let after = disk.position.clone().unwrap_or_else(|| Position::new("18446744073709551615"));
    let mut feed = Feed::new(&client, Replayer::default()).after(after);
    let mut dies = || {
        *step += 1;
        *step == fatal
    };
    while let Some(event) = next(&mut feed).await {
        let FeedEvent::Item { item, position, .. } = event else { continue };
        if dies() {
            return false; // heard
        }
        if disk.items.contains(&item) {
            disk.repeats += 1;
        } else {
            disk.items.push(item);
        }
        if dies() {
            return false; // stored, its position not yet
        }
        disk.position.clone_from(&position);
        if dies() {
            return false; // both stored, the feed not told
        }
        feed.applied(position.as_ref());
        if dies() {
            return false;
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn r12_a_crash_at_any_point_repeats_at_most_one_message_and_loses_none() {
    let all: Vec<u64> = (0..MESSAGES).collect();
    for fatal in 1..=MESSAGES as u32 * 4 {
        let (mut disk, mut step) = (Disk::default(), 0);
        assert!(!run(&mut disk, fatal, &mut step).await, "it dies");
        assert!(run(&mut disk, u32::MAX, &mut step).await);
        assert_eq!(disk.items, all, "crash at step {fatal}");
        assert_eq!(disk.repeats, u32::from(fatal % 4 == 2), "crash at step {fatal}");
    }
}
