//! What time it is in the cloud, learned from the `Date` header of its answers. Header and moments in, estimate out.
//!
//! A hint for people ("the clock of this machine is wrong") and for logs; nothing here decides whether a token is over.
//! Of the last few answers the quickest half is kept, since a slow one says less about the moment it was written, and
//! the median of those is the offset, so that one wrong server among many does not move it. When the clocks of this
//! machine come apart (sleep, somebody set the time), everything learned before is forgotten. Wire source: RFC 9110,
//! section 6.6.1.
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, header};

use crate::clock::Moment;

/// How many answers are remembered.
const KEPT: usize = 8;
/// An answer that took longer says nothing about when it was written.
const SLOWEST: Duration = Duration::from_secs(10);
/// 2020 to 2100 in seconds: a date outside is a server without a clock.
const PLAUSIBLE: std::ops::Range<u64> = 1_577_836_800..4_102_444_800;

/// One answer: how far the cloud's clock is ahead, and how long it took.
#[derive(Clone, Copy, Debug)]
struct Sample {
    ahead_ms: i64,
    took: Duration,
}

/// The estimate.
#[derive(Debug, Default)]
pub(crate) struct ServerTime {
    samples: VecDeque<Sample>,
    last: Option<Moment>,
    /// The text of the last date and what it says: busy hours bring the same second many times.
    read: Option<(HeaderValue, i64)>,
}

impl ServerTime {
    /// Learns from the head of an answer to a request that left at `sent` and was answered at `received`.
    pub(crate) fn observe(&mut self, headers: &HeaderMap, sent: Moment, received: Moment) {
        self.forget_before_a_jump(received);
        self.last = Some(received);
        let took = received.monotonic.saturating_sub(sent.monotonic);
        // A cache's copy carries the date of the original.
        if took > SLOWEST || received.jumped_since(&sent) || headers.contains_key(header::AGE) {
            return;
        }
        let Some(date) = headers.get(header::DATE).and_then(|date| self.date(date)) else { return };
        let Some(here) = millis(received.wall) else { return };
        if !u64::try_from(date / 1000).is_ok_and(|date| PLAUSIBLE.contains(&date)) {
            return;
        }
        let half = i64::try_from(took.as_millis() / 2).unwrap_or_default();
        // A date is cut to whole seconds, so it is half a second early on average.
        let ahead_ms = date + 500 - (here - half);
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { ahead_ms, took });
    }

    fn date(&mut self, text: &HeaderValue) -> Option<i64> {
        if let Some((_, date)) = self.read.as_ref().filter(|(known, _)| known == text) {
            return Some(*date);
        }
        let date = httpdate::parse_http_date(text.to_str().ok()?).ok().and_then(millis)?;
        self.read = Some((text.clone(), date));
        Some(date)
    }

    /// The cloud's time at `now`; `None` before the first usable answer.
    pub(crate) fn estimate(&mut self, now: Moment) -> Option<SystemTime> {
        self.forget_before_a_jump(now);
        let mut samples: Vec<_> = self.samples.iter().copied().collect();
        samples.sort_by_key(|sample| sample.took);
        samples.truncate(samples.len().div_ceil(2));
        samples.sort_by_key(|sample| sample.ahead_ms);
        let ahead_ms = samples.get(samples.len() / 2)?.ahead_ms;
        let distance = Duration::from_millis(ahead_ms.unsigned_abs());
        if ahead_ms < 0 { now.wall.checked_sub(distance) } else { now.wall.checked_add(distance) }
    }

    fn forget_before_a_jump(&mut self, now: Moment) {
        if self.last.is_some_and(|last| now.jumped_since(&last)) {
            self.samples.clear();
            self.last = None;
        }
    }
}

/// Milliseconds since 1970; `None` before it and far beyond any date.
fn millis(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-01-01.
    const START: u64 = 1_767_225_600_000;

    fn at(wall_ms: u64, monotonic_ms: u64) -> Moment {
        Moment { wall: UNIX_EPOCH + Duration::from_millis(wall_ms), monotonic: Duration::from_millis(monotonic_ms) }
    }

    fn dated(date: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::DATE, date.parse().unwrap())])
    }

    /// An answer of a cloud that is `ahead_ms` ahead, sent `since_ms` after the start and answered after `took_ms`.
    fn learn(time: &mut ServerTime, ahead_ms: i64, since_ms: u64, took_ms: u64) {
        let written = (START + since_ms + took_ms / 2).checked_add_signed(ahead_ms).unwrap();
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(written));
        let end = since_ms + took_ms;
        time.observe(&dated(&date), at(START + since_ms, since_ms), at(START + end, end));
    }

    fn ahead_ms(time: &mut ServerTime, since_ms: u64) -> Option<i64> {
        let estimate = time.estimate(at(START + since_ms, since_ms))?;
        Some(millis(estimate).unwrap() - i64::try_from(START + since_ms).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn the_estimate_is_within_half_a_second_and_half_the_quickest_answers(
            ahead in -400_000_000_i64..400_000_000,
            answers in prop::collection::vec((0_u64..20_000, 0_u64..3_000), 1..20),
        ) {
            let (mut time, mut since, mut slowest) = (ServerTime::default(), 0, 0);
            for (wait, took) in answers {
                since += wait;
                learn(&mut time, ahead, since, took);
                since += took;
                slowest = slowest.max(took);
            }
            let error = (ahead_ms(&mut time, since).unwrap() - ahead).unsigned_abs();
            prop_assert!(error <= 502 + slowest / 2, "{error} ms off");
        }
    }

    #[test]
    fn absurd_dates_and_answers_that_say_nothing_are_not_learned_from() {
        let mut time = ServerTime::default();
        for date in ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            time.observe(&dated(date), at(START, 0), at(START, 0));
        }
        time.observe(&HeaderMap::new(), at(START, 0), at(START, 0));
        let mut cached = dated("Thu, 01 Jan 2026 10:00:00 GMT");
        cached.insert(header::AGE, "5".parse().unwrap());
        time.observe(&cached, at(START, 0), at(START, 0));
        learn(&mut time, 5_000, 0, 10_001); // too slow
        assert_eq!(ahead_ms(&mut time, 11_000), None);
    }

    #[test]
    fn one_wrong_answer_among_many_and_slow_ones_do_not_move_the_estimate() {
        let mut time = ServerTime::default();
        for n in 0..4 {
            learn(&mut time, 60_000, n * 1000, 20);
        }
        learn(&mut time, 900_000_000, 5_000, 10); // quick and wrong
        for n in 0..3 {
            learn(&mut time, -70_000, 6_000 + n * 9_000, 8_000);
        }
        let found = ahead_ms(&mut time, 40_000).unwrap();
        assert!((found - 60_000).abs() <= 500, "{found}");
    }

    #[test]
    fn a_jump_of_the_clocks_forgets_what_was_learned() {
        let mut time = ServerTime::default();
        learn(&mut time, 0, 0, 20);
        assert!(time.estimate(at(START + 3_600_000, 3_600_000)).is_some(), "an hour awake");
        assert_eq!(time.estimate(at(START + 7_200_000, 3_600_000)), None, "an hour asleep");
    }
}
