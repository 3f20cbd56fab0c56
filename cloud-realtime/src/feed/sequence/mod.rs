//! From what one shape tells to one sequence, whatever the shape. Pure: no clock, no I/O.
//!
//! ```text
//!           Opened(Replay)                    Replayed
//! Closed ───────────────────► Replaying ───────────────────► Live
//!   ▲ │                          │ TooOld                     ▲ │
//!   │ │ Opened(Fresh)            ▼          last page         │ │ Opened(Fresh)
//!   │ └──────────────────────► Pulling ───────────────────────┘ │
//!   └── Lost, Refused, StartOver      ▲─────────────────────────┘
//! ```
//! A page that is refused closes too, and opens the source again after a pause: nothing stays open that nobody hears.
//! While something older is still to come, live messages are held back (bounded); they follow the catch-up, without what
//! it brought already. A hole in them is closed by another catch-up. Positions are only passed on here: they move when the
//! application has applied what came, so a crash repeats and never loses.
use std::{mem, time::Duration};

use cloud_client::Error;

use super::{
    Audience, Entry, FeedEvent, Opening, Page, Position, Signal,
    catch_up::{MAX_TOO_OLD, broken},
    known::{Held, Known},
};

/// What a feed is made of, step by step.
#[derive(Debug)]
pub(super) struct Sequence<T> {
    audience: Option<Audience>,
    /// Whether somebody can be asked for what is missing.
    catches_up: bool,
    known: Known,
    /// Whether anything was told before: only then there is something to have a gap in.
    begun: bool,
    /// Whether it was opened anew because messages were missed, and has not caught up since.
    retried: bool,
    /// Where a catch-up was interrupted. It goes on there: what it brought is told, and the place may still be one from
    /// before everything was to come again.
    unfinished: Option<Option<Position>>,
    /// How often the pages were too old since it was last caught up.
    too_old: u32,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Closed,
    Replaying(Held<T>),
    Pulling {
        held: Held<T>,
        after: Option<Position>,
        /// Live messages were lost meanwhile: a further catch-up has to follow this one.
        again: bool,
    },
    Live,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Effect<T> {
    /// Tell the application.
    Tell(FeedEvent<T>),
    /// Ask for the page after this position, instead of any that was asked for before.
    Pull(Option<Position>),
    /// Ask for the first page, after a pause.
    PullLater,
    /// No page is wanted any more.
    StopPulling,
    /// Close, and open again behind the present position.
    Reopen,
    /// The same after a pause, which is at least this long.
    ReopenLater(Duration),
}

/// What happens.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// The source tells something.
    Signal(Signal<T>),
    /// The page that was asked for.
    Pulled(Result<Page<T>, Error>),
    /// Nothing that was heard counts any more.
    StartOver,
}

impl<T> Sequence<T> {
    pub(super) fn new() -> Self {
        Self {
            audience: None,
            catches_up: false,
            known: Known::default(),
            begun: false,
            retried: false,
            unfinished: None,
            too_old: 0,
            state: State::Closed,
        }
    }

    pub(super) fn set_audience(&mut self, audience: Option<Audience>) {
        self.audience = audience;
    }

    pub(super) const fn set_catches_up(&mut self) {
        self.catches_up = true;
    }

    /// Takes what happened; `place` is up to where everything is applied.
    pub(super) fn step(&mut self, step: Step<T>, place: Option<Position>, out: &mut Vec<Effect<T>>) {
        match step {
            Step::Signal(Signal::Opened(opening)) => self.opened(opening, place, out),
            Step::Signal(Signal::Item(entry)) => self.item(entry, place, out),
            Step::Signal(Signal::Replayed(position)) => {
                if let State::Replaying(held) = &mut self.state {
                    let held = mem::take(held);
                    self.live(position, held, out);
                }
            }
            Step::Signal(Signal::TooOld) => {
                let held = match mem::replace(&mut self.state, State::Closed) {
                    State::Replaying(held) => held,
                    other => {
                        self.state = other;
                        return;
                    }
                };
                self.gap(held, place, out);
            }
            Step::Signal(Signal::Missed) => self.missed(place, out),
            Step::Signal(Signal::Lost) => self.close(None, out),
            Step::Signal(Signal::Refused(error)) => self.close(Some(Effect::Tell(FeedEvent::Refused(error))), out),
            Step::Signal(Signal::Unreadable(error)) => out.push(Effect::Tell(FeedEvent::Unreadable(error))),
            Step::Pulled(Ok(page)) => self.pulled(page, out),
            Step::Pulled(Err(error)) => {
                if let State::Pulling { after, .. } = mem::replace(&mut self.state, State::Closed) {
                    self.unfinished = Some(after);
                }
                Self::refused(error, out);
            }
            Step::StartOver => {
                self.known.forget();
                self.close(Some(Effect::Reopen), out);
                (self.begun, self.retried, self.unfinished, self.too_old) = (false, false, None, 0);
            }
        }
    }

    /// No page can be had for now. The source would be open with nobody who hears it.
    fn refused(error: Error, out: &mut Vec<Effect<T>>) {
        let wish = error.retry_after().unwrap_or_default();
        out.extend([Effect::Tell(FeedEvent::Refused(error)), Effect::ReopenLater(wish)]);
    }

    fn close(&mut self, effect: Option<Effect<T>>, out: &mut Vec<Effect<T>>) {
        if let State::Pulling { after, .. } = mem::replace(&mut self.state, State::Closed) {
            self.unfinished = Some(after);
            out.push(Effect::StopPulling);
        }
        out.extend(effect);
    }

    fn opened(&mut self, opening: Opening, place: Option<Position>, out: &mut Vec<Effect<T>>) {
        self.close(None, out);
        match (opening, self.unfinished.take()) {
            (Opening::Replay | Opening::New | Opening::Fresh, Some(after)) => self.pull(Held::default(), after, out),
            (opening, _) => self.begin(opening, place, out),
        }
    }

    fn begin(&mut self, opening: Opening, place: Option<Position>, out: &mut Vec<Effect<T>>) {
        match opening {
            Opening::Replay => self.state = State::Replaying(Held::default()),
            // Nothing to replay from, and nothing lost: the source says from where it begins.
            Opening::New if !self.begun && !self.catches_up => self.state = State::Replaying(Held::default()),
            Opening::New | Opening::Fresh => self.gap(Held::default(), place, out),
            Opening::Whole => {
                if self.begun || place.is_some() {
                    self.start_anew(out);
                }
                self.state = State::Replaying(Held::default());
            }
        }
    }

    /// The source does not have what comes after `place`.
    fn gap(&mut self, held: Held<T>, place: Option<Position>, out: &mut Vec<Effect<T>>) {
        match &place {
            None if !self.begun => {}
            None if self.catches_up => self.start_anew(out),
            _ => out.push(Effect::Tell(FeedEvent::Gap { after: place.clone(), anew: false })),
        }
        if self.catches_up {
            self.pull(held, place, out);
        } else {
            self.live(None, held, out);
        }
    }

    fn pull(&mut self, held: Held<T>, after: Option<Position>, out: &mut Vec<Effect<T>>) {
        out.push(Effect::Pull(after.clone()));
        self.state = State::Pulling { held, after, again: false };
    }

    /// There is a hole in what the source told. Another replay may close it where nobody else can; one that is too much
    /// for this side would be so every time.
    fn missed(&mut self, place: Option<Position>, out: &mut Vec<Effect<T>>) {
        match mem::replace(&mut self.state, State::Closed) {
            State::Closed => {}
            State::Pulling { held, after, .. } => self.state = State::Pulling { held, after, again: true },
            _ if !self.catches_up && !mem::replace(&mut self.retried, true) => out.push(Effect::Reopen),
            State::Replaying(held) => self.gap(held, place, out),
            State::Live => self.gap(Held::default(), place, out),
        }
    }

    /// Everything comes again, also what was told before.
    fn start_anew(&mut self, out: &mut Vec<Effect<T>>) {
        self.known.forget();
        out.push(Effect::Tell(FeedEvent::Gap { after: None, anew: true }));
    }

    fn live(&mut self, position: Option<Position>, held: Held<T>, out: &mut Vec<Effect<T>>) {
        (self.begun, self.retried, self.too_old) = (true, false, 0);
        self.state = State::Live;
        let mut told = false;
        for entry in held.take() {
            told |= self.tell(entry, false, out);
        }
        // What was held back says for itself where it is; the position may be ahead of it or behind it.
        let position = position.filter(|_| !told);
        out.push(Effect::Tell(FeedEvent::CaughtUp { position }));
    }

    fn item(&mut self, entry: Entry<T>, place: Option<Position>, out: &mut Vec<Effect<T>>) {
        // Dropped before it is kept, told or remembered, though the server should not have sent it.
        if self.audience.as_ref().is_some_and(|wanted| !wanted.takes(&entry.audience)) {
            return;
        }
        match &mut self.state {
            // A rest of what was opened before.
            State::Closed => {}
            State::Live => {
                self.tell(entry, false, out);
            }
            State::Replaying(_) if entry.replayed => {
                self.tell(entry, true, out);
            }
            State::Replaying(held) => {
                if !held.keep(entry) {
                    self.missed(place, out);
                }
            }
            State::Pulling { held, again, .. } => *again |= !held.keep(entry),
        }
    }

    fn pulled(&mut self, page: Page<T>, out: &mut Vec<Effect<T>>) {
        let (mut held, mut after, mut again) = match mem::replace(&mut self.state, State::Closed) {
            State::Pulling { held, after, again } => (held, after, again),
            other => {
                self.state = other;
                return;
            }
        };
        match page {
            Page::TooOld if after.is_none() => {
                self.unfinished = Some(None);
                return Self::refused(broken("the first page is too old"), out);
            }
            Page::TooOld => {
                self.start_anew(out);
                if self.too_old == MAX_TOO_OLD {
                    self.unfinished = Some(None);
                    return Self::refused(broken("pages are too old again and again"), out);
                }
                self.too_old += 1;
                after = None;
                out.push(if self.too_old == 1 { Effect::Pull(None) } else { Effect::PullLater });
            }
            Page::Items { entries, position, more } => {
                for entry in entries {
                    match entry {
                        Ok(entry) if self.audience.as_ref().is_none_or(|wanted| wanted.takes(&entry.audience)) => {
                            self.tell(entry, true, out);
                        }
                        Ok(_) => {}
                        Err(error) => out.push(Effect::Tell(FeedEvent::Unreadable(error))),
                    }
                }
                // A page that leads nowhere is the last one, whatever it says.
                let moved = position.is_some() && position != after;
                after = position.or(after);
                let further = (more && moved) || mem::take(&mut again);
                if !further {
                    return self.live(after, mem::take(&mut held), out);
                }
                out.push(Effect::Pull(after.clone()));
            }
        }
        self.state = State::Pulling { held, after, again };
    }

    /// Tells `entry` unless it was told; whether it did.
    fn tell(&mut self, entry: Entry<T>, replayed: bool, out: &mut Vec<Effect<T>>) -> bool {
        let new = entry.name().is_none_or(|name| self.known.is_new(name));
        if new {
            self.begun = true;
            let Entry { item, id, position, .. } = entry;
            out.push(Effect::Tell(FeedEvent::Item { item, id, position, replayed }));
        }
        new
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
