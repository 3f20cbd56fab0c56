//! Who is there, where they are, and who is writing: told and heard on the private channel, polled beside it.
//!
//! One task: timers, the host's wishes and the channel's events → [`Team`], [`Typists`] → events, pushes, the table of
//! members. The table is written and read at every presence interval while there is no live channel, and every four
//! minutes beside one, so that people whose devices only poll still see this one (they count five minutes as "here"). A
//! failure of the table is not told: the next turn tries again, as documented for the presence heartbeat.
use std::time::Duration;

use cloud_client::clock::SharedClock;
use cloud_realtime::{
    Channel, ChannelEvent,
    broadcast::{Broadcast, Inbox},
    channel::Events,
    continuity::Continuity,
    presence::{Members, PresenceEvent, Tracker},
    typing::{Signal, TYPING_EVENT, TypingSender, Typists},
};
use serde_json::Value;
use tokio::sync::watch;

use super::{Crowd, LiveEvent, Shared, Wishes};
use crate::{
    CloudEvent,
    team::{Team, Teammate, Told},
};

/// Between two turns with the table beside a live channel.
const BESIDE_LIVE: Duration = Duration::from_secs(240);
/// How long one turn with the table may take.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// A typing signal that the socket does not take by then is worth nothing any more.
const SIGNAL_WAIT: Duration = Duration::from_secs(1);
/// A newcomer makes the table be read, but not more often than this.
const NEWCOMER_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct People {
    shared: Shared,
    clock: SharedClock,
    interval: Duration,
    teams: watch::Sender<Vec<Teammate>>,
    own: Told,
    team: Team,
    room: Option<Room>,
    typing: TypingSender,
    typists: Typists,
    heard: Wishes,
    live: bool,
    next_turn: Duration,
    last_turn: Option<Duration>,
}

/// The channel, and what listens to it.
struct Room {
    channel: Channel,
    members: Members<Told>,
    events: Events,
    inbox: Inbox,
    tracker: Tracker,
}

impl Room {
    /// `first` are the events from before the join: who is there is told once.
    fn of(channel: Channel, first: Events) -> Self {
        Self {
            members: Members::new(first),
            events: channel.events(),
            inbox: Inbox::default(),
            tracker: Tracker::of(&channel),
            channel,
        }
    }
}

/// What woke the task.
enum Woken {
    Time,
    Wish,
    Presence(PresenceEvent<Told>),
    Channel(ChannelEvent),
    /// The channel was left, or the host is gone.
    Over,
}

impl People {
    pub(super) fn new(
        shared: Shared,
        opened: Option<(Channel, Events)>,
        own: Told,
        clock: SharedClock,
        interval: Duration,
        teams: watch::Sender<Vec<Teammate>>,
    ) -> Self {
        let room = opened.map(|(channel, first)| Room::of(channel, first));
        let now = clock.monotonic();
        Self {
            typing: TypingSender::new(own.user_id.clone()),
            shared,
            interval,
            teams,
            own,
            team: Team::default(),
            room,
            typists: Typists::new(),
            heard: Wishes::default(),
            live: false,
            next_turn: now,
            last_turn: None,
            clock,
        }
    }

    pub(super) async fn run(mut self, mut wished: watch::Receiver<Wishes>) {
        let stop = self.shared.stop.clone();
        self.track();
        while let Some(woken) = stop.run_until_cancelled(self.woken(&mut wished)).await {
            let step = async {
                match woken {
                    Woken::Over => return false,
                    Woken::Time => self.time_passed().await,
                    Woken::Wish => {
                        let wishes = wished.borrow_and_update().clone();
                        self.wished(wishes).await;
                    }
                    Woken::Presence(event) => self.presence(&event),
                    Woken::Channel(event) => self.heard(&event),
                }
                true
            };
            if stop.run_until_cancelled(step).await != Some(true) {
                return;
            }
        }
    }

    async fn woken(&mut self, wished: &mut watch::Receiver<Wishes>) -> Woken {
        let now = self.clock.monotonic();
        let timers = [self.typing.next_tick(), self.typists.next_tick()];
        let due = timers.into_iter().flatten().fold(self.next_turn, Duration::min);
        let clock = self.clock.clone();
        let room = self.room.as_mut();
        let channel = async {
            let Some(room) = room else { return std::future::pending().await };
            tokio::select! {
                event = room.members.next() => event.map_or(Woken::Over, Woken::Presence),
                event = room.events.next() => event.map_or(Woken::Over, Woken::Channel),
            }
        };
        tokio::select! {
            biased;
            changed = wished.changed() => if changed.is_ok() { Woken::Wish } else { Woken::Over },
            woken = channel => woken,
            () = clock.sleep(due.saturating_sub(now)) => Woken::Time,
        }
    }

    async fn time_passed(&mut self) {
        let now = self.clock.monotonic();
        if let Some(signal) = self.typing.tick(now) {
            self.send(signal).await;
        }
        if self.typists.tick(now) {
            self.tell_typists();
        }
        if self.next_turn <= now {
            self.turn().await;
        }
    }

    async fn wished(&mut self, wishes: Wishes) {
        let before = std::mem::replace(&mut self.heard, wishes.clone());
        if before.place != wishes.place {
            self.own.current_file = wishes.place.as_ref().and_then(|place| place.file.clone());
            self.own.line = wishes.place.as_ref().and_then(|place| place.line);
            self.track();
        }
        let now = self.clock.monotonic();
        let keyed = if before.keys == wishes.keys { None } else { self.typing.key(now) };
        let done = if before.done == wishes.done { None } else { self.typing.stop() };
        // What was done last counts; both at once is a text that was sent.
        if let Some(signal) = done.or(keyed) {
            self.send(signal).await;
        }
    }

    fn track(&self) {
        if let Some(room) = &self.room
            && let Err(error) = room.tracker.track(&self.own)
        {
            tracing::debug!(code = %error.code(), "one's own presence was not told");
        }
    }

    /// One turn with the table: tell, then read.
    async fn turn(&mut self) {
        let now = self.clock.monotonic();
        self.last_turn = Some(now);
        let interval = if self.live { self.interval.max(BESIDE_LIVE) } else { self.interval };
        self.next_turn = now.saturating_add(interval);
        let (workspace, place) = (&self.shared.workspace, self.heard.place.as_ref());
        let turn = async {
            workspace.report_presence(place).await?;
            workspace.members().await
        };
        match self.clock.within(TURN_WAIT, turn).await {
            Some(Ok(members)) => {
                let news = self.team.polled(members);
                self.tell_team(news);
            }
            Some(Err(error)) => tracing::debug!(code = %error.code(), "presence was not exchanged"),
            None => tracing::debug!("presence was not exchanged in time"),
        }
    }

    fn presence(&mut self, event: &PresenceEvent<Told>) {
        match event {
            PresenceEvent::Update(update) if update.instances == 0 => {
                if self.typists.gone(&update.key) {
                    self.tell_typists();
                }
            }
            PresenceEvent::Continuity(Continuity::Gap(_) | Continuity::Refused(_)) => {
                let news = self.team.live(None);
                self.tell_team(news);
                return;
            }
            PresenceEvent::Synced | PresenceEvent::Update(_) => {}
            _ => return,
        }
        let Some(room) = self.room.as_ref().filter(|room| room.members.roster().is_synced()) else { return };
        // The key is what the server was asked to show the member under; of several devices the last one counts.
        let members = room.members.roster().members();
        let crowd: Crowd = members.filter_map(|(key, told)| Some((key.to_owned(), told.last()?.clone()))).collect();
        let newcomer = crowd.keys().any(|user| !self.team.has_member(user));
        let news = self.team.live(Some(crowd));
        self.tell_team(news);
        if newcomer {
            let earliest = self.last_turn.map_or(Duration::ZERO, |last| last.saturating_add(NEWCOMER_PAUSE));
            self.next_turn = self.next_turn.min(earliest.max(self.clock.monotonic()));
        }
    }

    fn heard(&mut self, event: &ChannelEvent) {
        match event {
            ChannelEvent::Live => self.live = true,
            ChannelEvent::Gap(_) | ChannelEvent::Refused(_) => {
                self.live = false;
                let soon = self.last_turn.map_or(Duration::ZERO, |last| last.saturating_add(self.interval));
                self.next_turn = self.next_turn.min(soon);
            }
            ChannelEvent::Message(message) => {
                let Some(room) = &mut self.room else { return };
                let Some(Ok(heard)) = room.inbox.take(message.envelope()) else { return };
                if heard.event == TYPING_EVENT {
                    let Ok(signal) = heard.decode::<Signal>() else { return };
                    if self.typists.heard(signal, self.clock.monotonic()) {
                        self.tell_typists();
                    }
                } else if let Ok(payload) = heard.decode::<Value>() {
                    let (workspace_id, event) = (self.shared.id(), heard.event.into_owned());
                    self.shared.tell(LiveEvent::Broadcast { workspace_id, event, payload });
                }
            }
            _ => {}
        }
    }

    async fn send(&self, signal: Signal) {
        let Some(room) = self.room.as_ref().filter(|_| self.live) else { return };
        let Ok(broadcast) = Broadcast::json(TYPING_EVENT, &signal) else { return };
        // Lost signals are made good by the next one, or by time.
        let _ = self.clock.within(SIGNAL_WAIT, broadcast.send(&room.channel)).await;
    }

    fn tell_team(&self, news: Option<Vec<Teammate>>) {
        if let Some(team) = news {
            self.teams.send_replace(team.clone());
            self.shared.bus.send(CloudEvent::Team { workspace_id: self.shared.id(), team });
        }
    }

    fn tell_typists(&self) {
        let user_ids = self.typists.people().map(str::to_owned).collect();
        self.shared.tell(LiveEvent::Typing { workspace_id: self.shared.id(), user_ids });
    }
}
