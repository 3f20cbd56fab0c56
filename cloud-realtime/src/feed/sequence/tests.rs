//! One step after the other: what is told, asked for and held back.
use cloud_client::error::codes::{FORBIDDEN, UNREADABLE};

use super::*;
use crate::feed::{MAX_HELD, Position};

fn place(n: usize) -> Position {
    Position::new(n.to_string())
}

fn entry(n: usize) -> Entry<usize> {
    Entry::new(n).id(format!("id-{n}")).position(place(n))
}

fn pulling() -> Sequence<usize> {
    let mut sequence = Sequence::new();
    sequence.set_catches_up();
    sequence
}

fn told(sequence: &mut Sequence<usize>, step: Step<usize>, at: Option<usize>) -> String {
    let mut effects = Vec::new();
    sequence.step(step, at.map(place), &mut effects);
    let shown = effects.iter().map(|effect| match effect {
        Effect::Tell(FeedEvent::Item { item, replayed, .. }) => format!("{item}{}", if *replayed { "r" } else { "" }),
        Effect::Tell(FeedEvent::Gap { anew: true, .. }) => "anew".into(),
        Effect::Tell(FeedEvent::Gap { after, .. }) => format!("gap after {after:?}").replace("Position", ""),
        Effect::Tell(FeedEvent::CaughtUp { position: Some(position) }) => format!("caught up to {position}"),
        Effect::Tell(FeedEvent::CaughtUp { position: None }) => "caught up".into(),
        Effect::Tell(FeedEvent::Refused(error)) => format!("refused {}", error.code()),
        Effect::Tell(FeedEvent::Unreadable(error)) => format!("unreadable {}", error.code()),
        Effect::Pull(after) => format!("pull {}", after.as_ref().map_or("all", Position::as_str)),
        Effect::StopPulling => "stop".into(),
        Effect::PullLater => "pull all later".into(),
        Effect::Reopen => "reopen".into(),
        Effect::ReopenLater(wish) => format!("reopen after {wish:?}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

const fn signal(signal: Signal<usize>) -> Step<usize> {
    Step::Signal(signal)
}

fn page(entries: impl IntoIterator<Item = usize>, position: usize, more: bool) -> Step<usize> {
    Step::Pulled(Ok(Page::Items {
        entries: entries.into_iter().map(entry).map(Ok).collect(),
        position: Some(place(position)),
        more,
    }))
}

#[test]
fn live_messages_wait_for_the_replay_and_for_the_pages_and_come_once() {
    let mut sequence = pulling();
    let sequence = &mut sequence;
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Replay)), Some(4)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(7))), Some(4)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(5).replayed())), Some(4)), "5r");
    assert_eq!(told(sequence, signal(Signal::Item(entry(6).replayed())), Some(5)), "6r");
    assert_eq!(told(sequence, signal(Signal::Item(entry(7).replayed())), Some(6)), "7r");
    assert_eq!(told(sequence, signal(Signal::Replayed(None)), Some(7)), "caught up");
    assert_eq!(told(sequence, signal(Signal::Item(entry(7))), Some(7)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(8))), Some(7)), "8");

    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(8)), r#"gap after Some(("8")), pull 8"#);
    assert_eq!(told(sequence, signal(Signal::Item(entry(11))), Some(8)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(12))), Some(8)), "");
    assert_eq!(told(sequence, page([9, 10], 10, true), Some(8)), "9r, 10r, pull 10");
    assert_eq!(told(sequence, page([11], 11, false), Some(10)), "11r, 12, caught up");
}

#[test]
fn a_position_that_is_too_old_is_asked_of_the_pages_and_then_everything_comes_again() {
    let mut sequence = pulling();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::TooOld), Some(1)), r#"gap after Some(("1")), pull 1"#);
    assert_eq!(told(sequence, signal(Signal::Replayed(None)), Some(1)), "", "it is not caught up yet");
    assert_eq!(told(sequence, Step::Pulled(Ok(Page::TooOld)), Some(1)), "anew, pull all");
    assert_eq!(told(sequence, page([0, 1, 2], 2, false), None), "0r, 1r, 2r, caught up to 2");
}

#[test]
fn without_a_catch_up_a_gap_is_told_and_the_feed_goes_on() {
    let mut sequence = Sequence::new();
    let sequence = &mut sequence;
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), None), "caught up");
    told(sequence, signal(Signal::Item(entry(1))), None);
    assert_eq!(told(sequence, signal(Signal::Lost), Some(1)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(2))), Some(1)), "", "a rest of the old one");
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1)), r#"gap after Some(("1")), caught up"#);
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::TooOld), Some(1)), r#"gap after Some(("1")), caught up"#);
    assert_eq!(told(sequence, signal(Signal::Item(entry(9))), Some(1)), "9");
}

#[test]
fn what_cannot_be_held_back_is_caught_up_with_again() {
    let mut first = pulling();
    told(&mut first, signal(Signal::Opened(Opening::Fresh)), Some(0));
    (10..11 + MAX_HELD).for_each(|n| assert_eq!(told(&mut first, signal(Signal::Item(entry(n))), Some(0)), ""));
    assert_eq!(told(&mut first, page([1], 1, false), Some(0)), "1r, pull 1");
    assert_eq!(told(&mut first, page([2], 2, false), Some(1)), "2r, caught up to 2");

    let mut replaying = pulling();
    told(&mut replaying, signal(Signal::Opened(Opening::Replay)), Some(0));
    let full = (10..11 + MAX_HELD).map(|n| told(&mut replaying, signal(Signal::Item(entry(n))), Some(0)));
    assert_eq!(full.last().unwrap(), r#"gap after Some(("0")), pull 0"#);
}

#[test]
fn without_a_catch_up_what_was_missed_is_replayed_once_more_and_then_left_to_the_application() {
    let mut sequence = Sequence::new();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), "reopen");
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), "", "nothing is open");
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), r#"gap after Some(("1")), caught up"#);
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), "reopen", "that one was caught up with");
}

#[test]
fn what_is_for_others_is_dropped_wherever_it_comes_from_and_not_remembered() {
    let (mine, other) = (Audience::organization("o1").conversation("c1"), Audience::organization("o2"));
    let mut sequence = pulling();
    sequence.set_audience(Some(mine.clone()));
    let foreign = [other.clone(), other.conversation("c1"), Audience::organization("o1"), Audience::default()];
    told(&mut sequence, signal(Signal::Opened(Opening::Replay)), Some(0));
    for audience in &foreign {
        let item = Signal::Item(entry(1).audience(audience.clone()).replayed());
        assert_eq!(told(&mut sequence, signal(item), Some(0)), "", "{audience:?}");
    }
    told(&mut sequence, signal(Signal::TooOld), Some(0));
    let everyone = foreign.iter().chain([&mine]);
    let entries = everyone.map(|audience| Ok(entry(1).audience(audience.clone()))).collect();
    let pulled = Step::Pulled(Ok(Page::Items { entries, position: None, more: false }));
    assert_eq!(told(&mut sequence, pulled, Some(0)), "1r, caught up to 0");
    assert_eq!(told(&mut sequence, signal(Signal::Item(entry(2).audience(Audience::organization("o2")))), Some(1)), "");
    assert_eq!(told(&mut sequence, signal(Signal::Item(entry(2).audience(mine))), Some(1)), "2");
}

#[test]
fn starting_over_forgets_what_was_told_and_what_is_on_its_way() {
    let mut sequence = pulling();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Fresh)), None);
    assert_eq!(told(sequence, page([1], 1, false), None), "1r, caught up to 1");
    assert_eq!(told(sequence, Step::StartOver, None), "reopen");
    assert_eq!(told(sequence, signal(Signal::Item(entry(2))), None), "");
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), None), "pull all");
    assert_eq!(told(sequence, Step::StartOver, None), "stop, reopen");
    told(sequence, signal(Signal::Opened(Opening::Fresh)), None);
    assert_eq!(told(sequence, page([1], 1, false), None), "1r, caught up to 1");
}

#[test]
fn a_catch_up_that_leads_nowhere_ends() {
    let mut sequence = pulling();
    told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), Some(1));
    assert_eq!(told(&mut sequence, page([], 1, true), Some(1)), "caught up to 1");
    told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), None);
    let refused = told(&mut sequence, Step::Pulled(Ok(Page::TooOld)), None);
    assert_eq!(refused, "refused realtime.feed_broken, reopen after 0ns");
    assert_eq!(told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), None), "pull all");
}

#[test]
fn an_interrupted_catch_up_goes_on_where_it_was() {
    let mut sequence = pulling();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1));
    assert_eq!(told(sequence, Step::Pulled(Ok(Page::TooOld)), Some(1)), "anew, pull all");
    assert_eq!(told(sequence, signal(Signal::Lost), Some(1)), "stop");
    // The place is from before everything was to come again: the application is slow.
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Replay)), Some(9)), "pull all");
    assert_eq!(told(sequence, page([0, 1], 1, true), Some(9)), "0r, 1r, pull 1");
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(9)), "stop, pull 1");
    assert_eq!(told(sequence, page([2], 2, false), Some(9)), "2r, caught up to 2");
}

#[test]
fn a_page_that_is_refused_is_told_and_asked_for_again_once_the_source_is_open_anew() {
    let mut sequence = pulling();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1));
    assert_eq!(told(sequence, page([2], 2, true), Some(1)), "2r, pull 2");
    told(sequence, signal(Signal::Item(entry(4))), Some(1));
    let refusal = Error::new(FORBIDDEN).with_retry_after(Duration::from_secs(7));
    assert_eq!(told(sequence, Step::Pulled(Err(refusal)), Some(1)), "refused api.forbidden, reopen after 7s");
    assert_eq!(told(sequence, signal(Signal::Item(entry(5))), Some(1)), "", "a rest of the old one");
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1)), "pull 2");
    assert_eq!(told(sequence, page([3, 4, 5], 5, false), Some(2)), "3r, 4r, 5r, caught up to 5");
}

#[test]
fn a_message_of_a_page_that_cannot_be_read_is_told_in_its_place() {
    let mut sequence = pulling();
    told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), Some(0));
    let entries = vec![Ok(entry(1)), Err(Error::new(UNREADABLE)), Ok(entry(3))];
    let pulled = Step::Pulled(Ok(Page::Items { entries, position: Some(place(3)), more: false }));
    assert_eq!(told(&mut sequence, pulled, Some(0)), "1r, unreadable net.unreadable, 3r, caught up to 3");
}

#[test]
fn pages_that_are_too_old_again_and_again_are_asked_for_slowly_and_then_refused() {
    let mut sequence = pulling();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1));
    for after in ["anew, pull all", "anew, pull all later", "anew, pull all later"] {
        assert_eq!(told(sequence, Step::Pulled(Ok(Page::TooOld)), Some(1)), after);
        assert_eq!(told(sequence, page([1], 1, true), Some(1)), "1r, pull 1");
    }
    let refused = "anew, refused realtime.feed_broken, reopen after 0ns";
    assert_eq!(told(sequence, Step::Pulled(Ok(Page::TooOld)), Some(1)), refused);
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1)), "pull all");
    assert_eq!(told(sequence, page([1], 1, false), Some(1)), "1r, caught up to 1");
    told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1));
    assert_eq!(told(sequence, Step::Pulled(Ok(Page::TooOld)), Some(1)), "anew, pull all", "that was long ago");
}

#[test]
fn r12_what_was_held_back_is_told_before_the_position_that_may_count_it_in() {
    let mut sequence = pulling();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(4));
    told(sequence, signal(Signal::Item(entry(6))), Some(4));
    told(sequence, signal(Signal::Item(entry(5).replayed())), Some(4));
    assert_eq!(told(sequence, signal(Signal::Replayed(Some(place(6)))), Some(4)), "6, caught up");
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(6));
    told(sequence, signal(Signal::Item(entry(6))), Some(6));
    assert_eq!(told(sequence, signal(Signal::Replayed(Some(place(6)))), Some(6)), "caught up to 6", "only a repeat");
}

#[test]
fn without_a_place_everything_comes_again_only_where_somebody_can_bring_it() {
    for (catches_up, opened) in [(true, "anew, pull all"), (false, "gap after None, caught up")] {
        let mut sequence = if catches_up { pulling() } else { Sequence::new() };
        told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), None);
        if catches_up {
            let nothing = Page::Items { entries: Vec::new(), position: None, more: false };
            assert_eq!(told(&mut sequence, Step::Pulled(Ok(nothing)), None), "caught up");
        }
        assert_eq!(told(&mut sequence, signal(Signal::Lost), None), "");
        assert_eq!(told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), None), opened);
    }
}
