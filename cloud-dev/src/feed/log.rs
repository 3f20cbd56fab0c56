//! What was published, in order, and from where it can be read. Pure.
//!
//! A position is `{epoch}-{number}` and stands for "everything up to that message". The newest messages can be replayed;
//! pages reach back to the oldest that is kept.
use std::collections::VecDeque;

use serde_json::{json, value::RawValue};

use super::{reader::Reader, secret};

/// Most messages that are kept at all; the oldest go first.
const MAX_KEPT: usize = 100_000;

/// All messages.
#[derive(Debug)]
pub(super) struct Log {
    epoch: String,
    /// The number of the first one in `kept`; the very first is 1.
    first: u64,
    kept: VecDeque<Message>,
    /// How many of the newest are replayed.
    replayed: usize,
    /// What was published before is replayed no more.
    forgotten: u64,
}

#[derive(Debug)]
pub(super) struct Message {
    id: String,
    pub(super) organization: String,
    pub(super) conversation: Option<String>,
    data: Box<RawValue>,
}

/// What one look at the log found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Number, and envelope as JSON text.
    pub(super) messages: Vec<(u64, String)>,
    /// The number that comes after the last one looked at.
    pub(super) next: u64,
    /// Whether there are more behind it.
    pub(super) more: bool,
}

/// What comes after a position is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooOld;

impl Log {
    pub(super) fn new(replayed: usize) -> Self {
        Self { epoch: secret(), first: 1, kept: VecDeque::new(), replayed, forgotten: 0 }
    }

    pub(super) fn publish(
        &mut self,
        organization: String,
        conversation: Option<String>,
        data: Box<RawValue>,
    ) -> String {
        let id = secret();
        self.kept.push_back(Message { id: id.clone(), organization, conversation, data });
        if self.kept.len() > MAX_KEPT {
            self.kept.pop_front();
            self.first += 1;
        }
        id
    }

    /// The number of the newest message; 0 before the first.
    pub(super) fn head(&self) -> u64 {
        self.first + self.kept.len() as u64 - 1
    }

    /// The position of everything up to `number`.
    pub(super) fn position(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch)
    }

    /// Replays nothing of what is there.
    pub(super) fn forget_replay(&mut self) {
        self.forgotten = self.head();
    }

    /// Keeps the messages and forgets every position that was ever given out.
    pub(super) fn forget_positions(&mut self) {
        self.epoch = secret();
    }

    /// The number from which a replay after `position` begins.
    pub(super) fn replay_after(&self, position: &str) -> Result<u64, TooOld> {
        let next = self.read_after(position)?;
        let oldest = self.head().saturating_sub(self.replayed as u64).max(self.forgotten) + 1;
        if next < oldest { Err(TooOld) } else { Ok(next) }
    }

    /// The number from which a page after `position` begins.
    pub(super) fn read_after(&self, position: &str) -> Result<u64, TooOld> {
        let number = position.strip_prefix(self.epoch.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let number = number.and_then(|number| number.parse::<u64>().ok()).filter(|number| *number <= self.head());
        let next = number.ok_or(TooOld)? + 1;
        if next < self.first { Err(TooOld) } else { Ok(next) }
    }

    /// The oldest number.
    pub(super) const fn oldest(&self) -> u64 {
        self.first
    }

    /// Up to `limit` messages for `reader` from the number `from` on, all marked as a replay up to `replayed`. Where a
    /// replay is read, nothing behind its end is read with it: the word that it is over comes between.
    pub(super) fn read(&self, from: u64, reader: &Reader, limit: usize, replayed: Option<u64>) -> Found {
        let mut found = Found { next: from.max(self.first), ..Found::default() };
        let skipped = usize::try_from(found.next - self.first).unwrap_or(usize::MAX);
        for message in self.kept.iter().skip(skipped) {
            if replayed.is_some_and(|end| found.next > end) || found.messages.len() == limit {
                found.more = true;
                break;
            }
            let number = found.next;
            found.next += 1;
            if reader.may_hear(message) {
                found.messages.push((number, self.envelope(message, number, replayed.is_some())));
            }
        }
        found
    }

    fn envelope(&self, message: &Message, number: u64, replayed: bool) -> String {
        let Message { id, organization, conversation, data } = message;
        let audience = json!({ "organization": organization, "conversation": conversation });
        let position = self.position(number);
        format!(r#"{{"id":"{id}","position":"{position}","audience":{audience},"replayed":{replayed},"data":{data}}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(messages: usize, replayed: usize) -> Log {
        let mut log = Log::new(replayed);
        for n in 0..messages {
            let conversation = (n % 2 == 0).then(|| "c1".to_owned());
            log.publish("o1".into(), conversation, RawValue::from_string(n.to_string()).unwrap());
        }
        log
    }

    #[test]
    fn a_replay_begins_exactly_behind_its_position_or_not_at_all() {
        let mut log = log(10, 4);
        let after = |log: &Log, n: u64| log.replay_after(&log.position(n));
        assert_eq!((after(&log, 10), after(&log, 6), after(&log, 5)), (Ok(11), Ok(7), Err(TooOld)));
        assert_eq!(log.read_after(&log.position(0)), Ok(1));
        for nonsense in ["", "7", "x-7", &format!("{}-x", log.epoch), &log.position(11)] {
            assert_eq!(log.replay_after(nonsense), Err(TooOld), "{nonsense}");
        }
        let newest = log.position(9);
        log.forget_replay();
        assert_eq!((after(&log, 9), after(&log, 10)), (Err(TooOld), Ok(11)));
        log.forget_positions();
        assert_eq!(log.read_after(&newest), Err(TooOld));
    }

    #[test]
    fn pages_pass_over_what_is_for_others_and_say_where_they_end() {
        let log = log(10, 4);
        let all = Reader::new("o1", None);
        let page = log.read(1, &all, 4, None);
        assert_eq!((page.messages.len(), page.next, page.more), (4, 5, true));
        let read = |from, replayed| {
            let found = log.read(from, &Reader::new("o1", Some("c1")), 100, replayed);
            let marked = found.messages.iter().map(|(number, text)| (*number, text.contains(r#""replayed":true"#)));
            (marked.collect::<Vec<_>>(), found.next, found.more)
        };
        assert_eq!(read(2, Some(6)), (vec![(3, true), (5, true)], 7, true), "it ends with the replay");
        assert_eq!(read(7, None), (vec![(7, false), (9, false)], 11, false));
        assert_eq!(read(11, Some(10)), (vec![], 11, false));
        assert!(log.read(1, &Reader::new("o2", None), 100, None).messages.is_empty());
    }
}
