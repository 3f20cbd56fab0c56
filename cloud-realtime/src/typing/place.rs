//! Where people are: the current file and the cursor in it, or whatever the application calls a place.
//!
//! Moves → [`PlaceSender`]: at most one each [`PLACE_EVERY`], the newest wins → others: [`Whereabouts`]. A
//! sequence number keeps an old place from covering a newer one; a newcomer hears the place again within
//! [`PLACE_TTL`] at the latest, because it is repeated before it would end.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{MAX_PEOPLE, MAX_PERSON_BYTES};

/// The broadcast's event name.
pub const PLACE_EVENT: &str = "place";
/// Places are sent at most this often.
pub const PLACE_EVERY: Duration = Duration::from_millis(200);
/// How long a place counts when nothing follows; it is repeated after half of this.
pub const PLACE_TTL: Duration = Duration::from_secs(30);

/// What is broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place<T> {
    /// Who. A claim of the sender's, like everything in a public channel.
    pub person: String,
    /// One of the person's devices or windows; each has its own numbers.
    pub instance: String,
    /// Grows with each move.
    pub number: u64,
    /// Where; `None` when nowhere any more.
    pub place: Option<T>,
}

/// The own side: moves in, broadcasts out.
#[derive(Clone, Debug)]
pub struct PlaceSender<T> {
    person: String,
    instance: String,
    number: u64,
    place: Option<T>,
    is_told: bool,
    last_sent: Option<Duration>,
}

impl<T: Clone + PartialEq> PlaceSender<T> {
    /// For `person` at `instance`, which should be another name each time, such as a random one. Nowhere yet.
    pub fn new(person: impl Into<String>, instance: impl Into<String>) -> Self {
        let (person, instance) = (person.into(), instance.into());
        Self { person, instance, number: 0, place: None, is_told: true, last_sent: None }
    }

    /// The person is at `place` now, or nowhere. What to broadcast at once, if anything.
    pub fn moved(&mut self, place: Option<T>, now: Duration) -> Option<Place<T>> {
        if self.place != place {
            (self.place, self.is_told) = (place, false);
            self.number += 1;
        }
        self.tick(now)
    }

    /// Time passed. What to broadcast, if anything.
    pub fn tick(&mut self, now: Duration) -> Option<Place<T>> {
        if self.next_tick()? > now {
            return None;
        }
        (self.is_told, self.last_sent) = (true, Some(now));
        let (person, instance) = (self.person.clone(), self.instance.clone());
        Some(Place { person, instance, number: self.number, place: self.place.clone() })
    }

    /// When [`Self::tick`] has something to do; `None` when there is nothing to tell or repeat.
    pub fn next_tick(&self) -> Option<Duration> {
        let Some(last) = self.last_sent else { return (!self.is_told).then_some(Duration::ZERO) };
        if self.is_told {
            self.place.is_some().then(|| last.saturating_add(PLACE_TTL / 2))
        } else {
            Some(last.saturating_add(PLACE_EVERY))
        }
    }
}

/// The others' side: broadcasts in, places out.
#[derive(Clone, Debug)]
pub struct Whereabouts<T> {
    /// Person and instance → the number of the place, the place, and until when. Nowhere is remembered as well, so that
    /// an older place that comes late does not come back.
    held: BTreeMap<(String, String), (u64, Option<T>, Duration)>,
}

impl<T> Default for Whereabouts<T> {
    fn default() -> Self {
        Self { held: BTreeMap::new() }
    }
}

impl<T: PartialEq> Whereabouts<T> {
    /// Nobody is anywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a broadcast that came at `now`. Whether anything is to be shown differently.
    pub fn heard(&mut self, place: Place<T>, now: Duration) -> bool {
        let Place { person, instance, number, place } = place;
        if person.len() > MAX_PERSON_BYTES || instance.len() > MAX_PERSON_BYTES {
            return false;
        }
        let (key, until) = ((person, instance), now.saturating_add(PLACE_TTL));
        let changed = match self.held.get(&key) {
            Some((held, ..)) if *held > number => return false,
            Some((_, held, _)) => *held != place,
            None => place.is_some(),
        };
        self.held.insert(key, (number, place, until));
        if self.held.len() > MAX_PEOPLE
            && let Some(first) = self.held.iter().min_by_key(|(_, (.., until))| *until).map(|(key, _)| key.clone())
        {
            self.held.remove(&first);
        }
        changed
    }

    /// The person left. Whether anything is to be shown differently.
    pub fn gone(&mut self, person: &str) -> bool {
        let shown = self.seen().count();
        self.held.retain(|(who, _), _| who != person);
        self.seen().count() != shown
    }

    /// Time passed. Whether anything is to be shown differently.
    pub fn tick(&mut self, now: Duration) -> bool {
        let shown = self.seen().count();
        self.held.retain(|_, (.., until)| *until > now);
        self.seen().count() != shown
    }

    /// When [`Self::tick`] has something to do; `None` when nothing is held.
    pub fn next_tick(&self) -> Option<Duration> {
        self.held.values().map(|(.., until)| *until).min()
    }

    /// Every place, in the order of names.
    pub fn seen(&self) -> impl Iterator<Item = (&str, &str, &T)> {
        self.held.iter().filter_map(|((person, instance), (_, place, _))| {
            place.as_ref().map(|place| (person.as_str(), instance.as_str(), place))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn place(number: u64, place: Option<u8>) -> Place<u8> {
        Place { person: "ada".into(), instance: "i".into(), number, place }
    }

    fn numbered(places: Vec<Option<u8>>) -> Vec<Place<u8>> {
        (1..).zip(places).map(|(number, to)| place(number, to)).collect()
    }

    fn shown(whereabouts: &Whereabouts<u8>) -> Vec<u8> {
        whereabouts.seen().map(|(_, _, place)| *place).collect()
    }

    #[test]
    fn a_hundred_moves_in_a_second_are_six_broadcasts_and_the_last_place_comes() {
        let mut sender = PlaceSender::new("ada", "i");
        let mut sent: Vec<_> = (0..100).filter_map(|n| sender.moved(Some(n), at(n * 10))).collect();
        sent.extend(sender.tick(at(1_000)));
        assert_eq!(sent.iter().map(|place| place.place.unwrap()).collect::<Vec<_>>(), [0, 20, 40, 60, 80, 99]);
        assert_eq!(sender.tick(at(1_001)), None);
        assert_eq!(sender.next_tick(), Some(at(1_000) + PLACE_TTL / 2));
    }

    #[test]
    fn a_place_is_repeated_before_it_ends_and_nowhere_is_told_once() {
        let mut sender = PlaceSender::new("ada", "i");
        let first = sender.moved(Some(1), at(0)).unwrap();
        assert_eq!(sender.tick(PLACE_TTL / 2), Some(first));
        let nowhere = sender.moved(None, PLACE_TTL).unwrap();
        assert_eq!((nowhere.place, nowhere.number, sender.next_tick()), (None, 2, None));
        assert_eq!(PlaceSender::<u8>::new("ada", "i").moved(None, at(0)), None);
    }

    #[test]
    fn an_older_place_never_covers_a_newer_one() {
        let mut whereabouts = Whereabouts::new();
        assert!(whereabouts.heard(place(2, Some(2)), at(0)));
        assert!(!whereabouts.heard(place(1, Some(1)), at(0)));
        assert!(!whereabouts.heard(place(2, Some(2)), at(1)), "a repeat changes nothing to be seen");
        assert_eq!(shown(&whereabouts), [2]);
        assert!(whereabouts.heard(place(3, None), at(2)));
        assert!(!whereabouts.heard(place(2, Some(2)), at(3)));
        assert_eq!(shown(&whereabouts), Vec::<u8>::new());
    }

    #[test]
    fn places_end_by_the_clock_or_with_their_person() {
        let mut whereabouts = Whereabouts::new();
        whereabouts.heard(place(1, Some(1)), at(0));
        whereabouts.heard(Place { instance: "other".into(), ..place(1, Some(2)) }, at(10));
        assert_eq!(whereabouts.next_tick(), Some(PLACE_TTL));
        assert!(whereabouts.tick(PLACE_TTL));
        assert_eq!(shown(&whereabouts), [2]);
        assert!(whereabouts.gone("ada"));
        assert!(!whereabouts.gone("ada"));
        assert_eq!((whereabouts.next_tick(), whereabouts.tick(PLACE_TTL)), (None, false));
    }

    #[test]
    fn a_flood_of_names_stays_bounded() {
        let mut whereabouts = Whereabouts::new();
        for n in 0..10_000_u64 {
            whereabouts.heard(Place { person: n.to_string(), ..place(n, Some(1)) }, at(n));
        }
        assert_eq!(whereabouts.seen().count(), MAX_PEOPLE);
        assert!(!whereabouts.heard(Place { person: "x".repeat(MAX_PERSON_BYTES + 1), ..place(1, Some(1)) }, at(0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn whatever_the_order_the_newest_place_is_shown(
            places in prop::collection::vec(prop::option::of(any::<u8>()), 1..12).prop_map(numbered).prop_shuffle(),
        ) {
            let newest = places.iter().max_by_key(|place| place.number).unwrap().place;
            let mut whereabouts = Whereabouts::new();
            for place in places {
                whereabouts.heard(place, at(0));
            }
            prop_assert_eq!(shown(&whereabouts), newest.into_iter().collect::<Vec<_>>());
        }
    }
}
