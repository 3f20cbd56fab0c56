//! When each line was written, and when each of the others heard it.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// One ledger for everybody in the room: all of them are in this process, so one clock tells.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Shared>);

#[derive(Default)]
struct Shared {
    entries: Mutex<BTreeMap<String, Entry>>,
    news: Notify,
}

#[derive(Default)]
struct Entry {
    written: Option<Instant>,
    heard: BTreeMap<String, Instant>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn written(&self, id: &str, at: Instant) {
        self.lock().entry(id.to_owned()).or_default().written = Some(at);
    }

    /// The first time counts: a hint may come twice.
    pub fn heard(&self, id: &str, who: &str) {
        self.lock().entry(id.to_owned()).or_default().heard.entry(who.to_owned()).or_insert_with(Instant::now);
        self.0.news.notify_one();
    }

    /// Waits until `count` people have heard the line. One at a time may wait.
    pub async fn heard_by(&self, id: &str, count: usize) {
        while self.arrivals(id).len() < count {
            self.0.news.notified().await;
        }
    }

    /// Who heard the line live, and how long after it was written.
    pub fn arrivals(&self, id: &str) -> Vec<(String, Duration)> {
        let ledger = self.lock();
        let Some(Entry { written: Some(written), heard }) = ledger.get(id) else { return Vec::new() };
        heard.iter().map(|(who, at)| (who.clone(), at.saturating_duration_since(*written))).collect()
    }

    /// How long lines took, shortest first.
    pub fn latencies(&self, ids: &[String]) -> Vec<Duration> {
        let mut all: Vec<_> = ids.iter().flat_map(|id| self.arrivals(id)).map(|(_, took)| took).collect();
        all.sort();
        all
    }
}

/// The value below which `percent` of the sorted values lie.
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<_> = (1..=10).map(Duration::from_millis).collect();
        let at = |percent| percentile(&values, percent).unwrap().as_millis();
        assert_eq!((at(50), at(90), at(99), at(100)), (5, 9, 10, 10));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_line_heard_before_its_writer_noted_it_still_has_a_time() {
        let ledger = Ledger::default();
        let begun = Instant::now();
        ledger.heard("id", "Grace");
        assert!(ledger.arrivals("id").is_empty());
        ledger.written("id", begun);
        ledger.heard("id", "Grace");
        assert_eq!(ledger.latencies(&["id".to_owned(), "other".to_owned()]).len(), 1);
    }
}
