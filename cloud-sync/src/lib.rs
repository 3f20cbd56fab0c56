//! A workspace that follows its user: state, conversations, and the durable store that makes both survive anything.
//!
//! [`Engine`] is the handle; clone it freely. Local calls ([`Workspace::set`], [`Conversation::append`]) are durable when
//! they return and need no network; [`Workspace::sync`] brings both sides together, and [`Workspace::keep_synced`] does
//! so from time to time.
//!
//! ```no_run
//! # async fn example(client: cloud_client::Client, user: &str, workspace: &str) -> Result<(), cloud_client::Error> {
//! use cloud_sync::{Engine, NewMessage};
//!
//! let engine = Engine::open(client, "/home/ada/.local/state/app/sync.db").await?;
//! let workspace = engine.link("/home/ada/project".as_ref(), user, workspace).await?;
//! workspace.set("current_step", "Writing tests").await?;
//! workspace.conversation("chat").await?.append(NewMessage::user("Shall we?")).await?;
//! let report = workspace.sync().await?;
//! println!("{} sent, {} received, {} conflicts", report.sent, report.received, report.conflicts.len());
//! # Ok(()) }
//! ```
//!
//! | Module            | What lives there                                               |
//! |-------------------|----------------------------------------------------------------|
//! | [`link`]          | `.cloud-link.json`, the readable pointer in the folder          |
//! | [`workspace`]     | state, its merge and conflict log; members; hints               |
//! | [`conversations`] | messages: append, push with proof, pull by count                |
//! | [`codes`]         | the codes of this crate's errors                                |
pub mod codes;
pub mod conversations;
mod engine;
mod events;
mod ids;
pub mod link;
mod privacy;
mod scope;
mod store;
pub mod workspace;

pub use crate::{
    conversations::{Conversation, Message, MessageState, NewMessage},
    engine::{Engine, WorkspaceSummary},
    events::{SyncEvent, SyncState},
    workspace::{AutoSync, Conflict, Hint, Member, Place, SyncReport, Workspace, WorkspaceState},
};
