//! Reads a conversation file whole before anything is sent: a bad line is named, and nothing has happened yet.
use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use cloud_sdk::sync::NewMessage;
use serde::Deserialize;

use crate::report::{Cause, check};

#[derive(Deserialize)]
struct Line {
    role: String,
    content: String,
    created_at: Option<Moment>,
}

/// RFC 3339, or seconds since 1970.
#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    Text(String),
    Seconds(f64),
}

/// A file's conversation.
pub struct ConversationFile {
    pub name: String,
    pub messages: Vec<NewMessage>,
    /// The texts that will be sent, in order.
    pub sendable: Vec<String>,
}

pub fn read(path: &Path) -> Result<ConversationFile, Cause> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|cause| Cause::Check(format!("{shown}: {cause}")))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let (mut messages, mut sendable) = (Vec::new(), Vec::new());
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = number + 1;
        let wrong = |what: &dyn std::fmt::Display| Cause::Check(format!("{shown}, line {number}: {what}"));
        let Line { role, content, created_at } = serde_json::from_slice(line).map_err(|cause| wrong(&cause))?;
        if role.is_empty() || role.len() > 64 {
            return Err(wrong(&"the role must have 1 to 64 bytes"));
        }
        if content.len() > 1024 * 1024 {
            return Err(wrong(&"the content is longer than 1 MiB"));
        }
        if matches!(&*role, "user" | "assistant") {
            sendable.push(content.clone());
        }
        // The line is the message's name within this file: syncing the same file again adds nothing.
        let mut message = NewMessage::new(role, content).imported_as(format!("line {number}"));
        if let Some(moment) = created_at {
            let moment = moment.read().ok_or_else(|| wrong(&"created_at is no time such as 2026-02-19T23:00:00Z"))?;
            message = message.written_at(moment);
        }
        messages.push(message);
    }
    check(!messages.is_empty(), format!("{shown} holds no message"))?;
    let name: String =
        path.file_stem().unwrap_or_default().to_string_lossy().chars().filter(|c| !c.is_control()).take(200).collect();
    Ok(ConversationFile { name: if name.is_empty() { "conversation".into() } else { name }, messages, sendable })
}

impl Moment {
    fn read(self) -> Option<SystemTime> {
        match self {
            Self::Text(text) => text.parse::<jiff::Timestamp>().ok().map(SystemTime::from),
            Self::Seconds(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?),
        }
    }
}
