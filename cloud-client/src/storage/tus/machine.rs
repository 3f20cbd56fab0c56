//! The course of a resumable upload, without any I/O: what to do next, given what happened so far.
//!
//! [`Machine::next`] says what to do, [`Machine::on`] takes what came of it. Both are total: any event in any state has
//! an outcome, and every course ends, because failures without a new byte and fresh starts are counted.
//!
//! ```text
//! Creating ──Created──► Open(k) ──Accepted──► Open(k') … ──all──► Done
//!    │                   │  ▲                                       ▲
//!  Unsure           Unsure  └──────At(offset)────── Asking          │
//!    ▼               Conflict ───► Pausing ──────────►│             │
//! Pausing                                  Gone or all there, and the│
//!                                          last answer was lost      │
//!                                                     └► Verifying ─┘
//! ```
//!
//! After anything uncertain the server is asked how much it has; nothing is ever sent on a guess. Wire source: TUS 1.0.0
//! core and creation, with the answers of Supabase Storage.

/// Failures in a row, without a byte more on the server, before it is given up.
const PATIENCE: u32 = 6;
/// Fresh starts of an upload that the server forgot.
const RESTARTS: u32 = 2;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Create the upload on the server, and send this much with it: everything, or nothing.
    Create { len: u64 },
    /// Send this range.
    Patch { from: u64, len: u64 },
    /// Ask how much the server has.
    Ask,
    /// Wait, longer the more failures there were in a row.
    Pause { failures: u32 },
    /// See whether the object is there, whole and with these bytes.
    Verify,
    /// Nothing: the object is there.
    Done,
    /// Nothing: it will not be.
    Fail(Failure),
}

/// Why an upload ended without its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Too many failures in a row.
    Exhausted,
    /// The server forgot the upload again and again.
    Lost,
    /// The key is taken.
    Exists,
    /// The server refused for good.
    Refused,
}

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The upload exists, with this much in it.
    Created { offset: u64 },
    /// A range was taken; the server has this much.
    Accepted { offset: u64 },
    /// The server has this much, of this whole.
    At { offset: u64, total: Option<u64> },
    /// No answer, or one that promises better times.
    Unsure,
    /// The one who acted was stopped in the middle.
    Interrupted,
    /// The server has another offset than we think.
    Conflict,
    /// The server does not know the upload.
    Gone,
    /// The key is taken.
    Exists,
    /// Whether the object is there with these bytes.
    Verified(bool),
    /// The wait is over.
    Paused,
    /// Refused for good.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Creating,
    Open,
    Asking,
    Pausing(Then),
    Verifying(Doubt),
    Done,
    Failed(Failure),
}

/// What follows a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Create,
    Ask,
    Verify(Doubt),
}

/// Why the object is looked for: the server no longer tells, or the key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Gone,
    Exists,
}

/// One upload.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    total: u64,
    chunk: u64,
    state: State,
    at: u64,
    /// The most that this upload ever had on the server.
    reached: u64,
    failures: u32,
    restarts: u32,
    /// The answer to a last chunk was lost: the object may be there already.
    maybe_done: bool,
    /// The server takes bytes with the creation.
    at_once: bool,
}

impl Machine {
    /// An upload of `total` bytes that does not exist yet.
    pub(super) fn new(total: u64, chunk: u64) -> Self {
        Self {
            total,
            chunk: chunk.max(1),
            state: State::Creating,
            at: 0,
            reached: 0,
            failures: 0,
            restarts: 0,
            maybe_done: false,
            at_once: false,
        }
    }

    /// Sends content of one chunk with the creation, from now on. More than one chunk has to be found again after a cut,
    /// so its place on the server is learned first.
    pub(super) fn send_at_once(&mut self) {
        self.at_once = true;
    }

    /// What goes out with a creation.
    fn with_creation(&self) -> u64 {
        if self.at_once && self.total <= self.chunk { self.total } else { 0 }
    }

    /// An upload that was left at `at`, perhaps with a chunk on its way.
    pub(super) fn resumed(total: u64, chunk: u64, at: u64) -> Self {
        let mut machine = Self::new(total, chunk);
        (machine.at, machine.state) = (at.min(total), State::Asking);
        machine.maybe_done = machine.is_last();
        machine
    }

    /// How much the server is known to have.
    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    fn len(&self) -> u64 {
        self.chunk.min(self.total.saturating_sub(self.at))
    }

    fn is_last(&self) -> bool {
        self.at.saturating_add(self.len()) >= self.total
    }

    pub(super) fn next(&self) -> Action {
        match self.state {
            State::Creating => Action::Create { len: self.with_creation() },
            State::Open => Action::Patch { from: self.at, len: self.len() },
            State::Asking => Action::Ask,
            State::Pausing(_) => Action::Pause { failures: self.failures },
            State::Verifying(_) => Action::Verify,
            State::Done => Action::Done,
            State::Failed(failure) => Action::Fail(failure),
        }
    }

    pub(super) fn on(&mut self, event: Event) {
        match (self.state, event) {
            (State::Done | State::Failed(_), _) => {}
            (_, Event::Refused) if self.state == State::Asking => self.forgotten(),
            (_, Event::Refused) => self.state = State::Failed(Failure::Refused),

            // What was not sent cannot be in it.
            (State::Creating, Event::Created { offset }) if offset <= self.with_creation() => self.reach(offset),
            // A place that does not know the upload before it was made does not know the bucket.
            (State::Creating, Event::Gone) => self.state = State::Failed(Failure::Refused),
            (State::Creating, Event::Exists) => self.taken(),
            (State::Creating, event) => {
                self.maybe_done |= self.with_creation() > 0;
                if event != Event::Interrupted {
                    self.fail(Then::Create);
                }
            }

            (State::Open, Event::Accepted { offset }) if offset > self.at && offset - self.at <= self.len() => {
                self.reach(offset);
            }
            (State::Open, Event::Gone) => self.forgotten(),
            (State::Open, Event::Exists) => self.taken(),
            (State::Open, event) => {
                self.maybe_done |= self.is_last();
                if event == Event::Interrupted { self.state = State::Asking } else { self.fail(Then::Ask) }
            }

            (State::Asking, Event::At { offset, total }) => {
                if total.is_some_and(|total| total != self.total) || offset > self.total {
                    // Another upload altogether.
                    self.restart();
                } else if offset == self.total {
                    // Every byte arrived, but whether an object was made of them is not said: the key may be taken.
                    self.at = offset;
                    self.state = State::Verifying(Doubt::Gone);
                } else {
                    self.reach(offset);
                }
            }
            (State::Asking, Event::Gone) => self.forgotten(),
            (State::Asking, Event::Exists) => self.taken(),
            (State::Asking, Event::Interrupted) => {}
            (State::Asking, _) => self.fail(Then::Ask),

            (State::Verifying(_), Event::Verified(true)) => self.state = State::Done,
            (State::Verifying(Doubt::Gone), Event::Verified(false)) => self.restart(),
            (State::Verifying(Doubt::Exists), Event::Verified(false)) => {
                self.state = State::Failed(Failure::Exists);
            }
            (State::Verifying(_), Event::Interrupted) => {}
            (State::Verifying(doubt), _) => self.fail(Then::Verify(doubt)),

            (State::Pausing(_), Event::Interrupted) => {}
            (State::Pausing(then), _) => {
                self.state = match then {
                    Then::Create => State::Creating,
                    Then::Ask => State::Asking,
                    Then::Verify(doubt) => State::Verifying(doubt),
                };
            }
        }
    }

    /// The server has this much.
    fn reach(&mut self, offset: u64) {
        self.at = offset;
        if offset > self.reached {
            (self.reached, self.failures) = (offset, 0);
        }
        self.state = if offset >= self.total { State::Done } else { State::Open };
    }

    fn fail(&mut self, then: Then) {
        self.failures += 1;
        let spent = self.failures > PATIENCE;
        self.state = if spent { State::Failed(Failure::Exhausted) } else { State::Pausing(then) };
    }

    /// The server does not know the upload: finished and tidied away, or lost.
    fn forgotten(&mut self) {
        if self.maybe_done {
            self.state = State::Verifying(Doubt::Gone);
        } else {
            self.restart();
        }
    }

    /// The key is taken: by ourselves, or by somebody else.
    fn taken(&mut self) {
        self.state = if self.maybe_done { State::Verifying(Doubt::Exists) } else { State::Failed(Failure::Exists) };
    }

    fn restart(&mut self) {
        self.restarts += 1;
        if self.restarts > RESTARTS {
            self.state = State::Failed(Failure::Lost);
        } else {
            // What may have been finished once may still turn up as a key that is taken.
            (self.state, self.at, self.reached, self.failures) = (State::Creating, 0, 0, 0);
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
