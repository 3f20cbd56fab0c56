//! The one place where the parts meet: the session starts and ends the sync, and all events go to one bus.
//!
//! Tasks here belong to the [`Cloud`] and hold it only weakly, so that dropping the last handle ends them.
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use cloud_auth::events::{AuthChange, AuthEvent};
use cloud_client::events::{Heard, Listener};
use cloud_sync::{
    AutoSync, Engine, SyncEvent, SyncState, Workspace,
    link::{LinkRecord, SyncConfig},
};

use crate::{
    Cloud, CloudEvent,
    cloud::{Inner, Wish},
};

/// Passes the session's events on; takes up the folder's link at sign-in, and lets go of it when its user has gone.
pub(crate) fn follow_session(cloud: &Cloud) {
    let events = cloud.auth().events();
    forward(cloud, events, CloudEvent::Auth, |cloud, event: Option<AuthEvent>| async move {
        // By how things stand now: what an event tells may be over, and some are missed (A7).
        cloud.let_go_of_others().await;
        if event.is_none_or(|event| matches!(event.change, AuthChange::SignedIn { .. })) && cloud.user().is_ok() {
            take_up_link(&cloud).await;
        }
        // Whatever happened to the session: the live connection looks at its token now (R7).
        if let Some(realtime) = cloud.0.realtime.get() {
            realtime.session_changed();
        }
    });
    // The session began before anybody listened: a stored login may be taken up already.
    if cloud.auth().status().is_signed_in() {
        let (weak, stop) = (Arc::downgrade(&cloud.0), cloud.0.tasks.stop_signal());
        cloud.0.tasks.spawn(async move {
            if let Some(inner) = weak.upgrade() {
                stop.run_until_cancelled(take_up_link(&Cloud(inner))).await;
            }
        });
    }
}

/// Passes the events of syncing on.
pub(crate) fn follow_sync(cloud: &Cloud, engine: &Engine) {
    forward(cloud, engine.events(), CloudEvent::Sync, |cloud, event: Option<SyncEvent>| async move {
        // The cloud was reached: a live connection that waits before its next attempt need not wait any more.
        if let (Some(SyncEvent::State { state: SyncState::Synced, .. }), Some(realtime)) =
            (event, cloud.0.realtime.get())
            && !realtime.status().is_live()
        {
            realtime.wake();
        }
    });
}

/// Passes `events` on, wrapped, and then does what they ask for; `None` stands for those that were missed.
fn forward<T, F>(cloud: &Cloud, mut events: Listener<T>, wrap: fn(T) -> CloudEvent, act: fn(Cloud, Option<T>) -> F)
where
    T: Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (weak, stop, bus): (Weak<Inner>, _, _) =
        (Arc::downgrade(&cloud.0), cloud.0.tasks.stop_signal(), cloud.0.bus.clone());
    cloud.0.tasks.spawn(async move {
        while let Some(Some(heard)) = stop.run_until_cancelled(events.next()).await {
            let (told, event) = match heard {
                Heard::Missed(count) => (CloudEvent::Missed { count }, None),
                Heard::Event(event) => (wrap(event.clone()), Some(event)),
            };
            bus.send(told);
            let Some(inner) = weak.upgrade() else { return };
            if stop.run_until_cancelled(act(Cloud(inner), event)).await.is_none() {
                return;
            }
        }
    });
}

/// Between two tries to take the folder's link up: the process before may still be letting go of the store.
const HANDOVER: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1)];

/// Takes up the folder that was at hand before, or else the configured one, where nothing of this user's is at hand.
async fn take_up_link(cloud: &Cloud) {
    let mut pauses = HANDOVER.into_iter();
    for folder in cloud.own_folders() {
        while !cloud.has_linked() {
            match cloud.linked_as(&folder, Wish::Nobody).await {
                Ok(Some(_)) => return,
                Ok(None) => break,
                Err(error) => {
                    let pause = pauses.next().filter(|_| error.code() == cloud_sync::codes::STORE_BUSY);
                    let Some(pause) = pause else {
                        tracing::warn!(code = %error.code(), "the folder's link was not taken up");
                        break;
                    };
                    cloud.client().clock().sleep(pause).await;
                }
            }
        }
    }
}

/// Makes `workspace` the one at hand and, unless its settings say otherwise, syncs it from now on.
pub(crate) async fn keep_synced(cloud: &Cloud, workspace: &Workspace, wish: Wish) {
    let folder = workspace.folder().to_owned();
    let record = tokio::task::spawn_blocking(move || LinkRecord::read(&folder).ok().flatten()).await.ok().flatten();
    let wanted = record.map(|record| record.sync_config).unwrap_or_default();
    // The folder's own interval counts where its user has changed it.
    let documented = SyncConfig::default().sync_interval_ms;
    let own = Some(wanted.sync_interval_ms).filter(|interval| *interval != documented && *interval >= 1000);
    let interval = own.map_or(cloud.config().sync_interval, Duration::from_millis);
    let when = wanted.auto_sync.then(|| AutoSync::default().interval(interval));
    cloud.set_linked(workspace.clone(), when, wish).await;
}
