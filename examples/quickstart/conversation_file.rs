//! Reads a conversation file whole before anything is sent: a bad line is named, and nothing has happened yet.
use std::{
    fs::File,
    io::Read as _,
    path::Path,
    time::{Duration, SystemTime},
};

use cloud_sdk::sync::NewMessage;
use jiff::Timestamp;
use serde::Deserialize;

use crate::report::{Cause, check};

#[derive(Deserialize)]
struct Line {
    role: String,
    content: String,
    created_at: Option<Moment>,
}

/// RFC 3339, or seconds or milliseconds since 1970.
#[derive(Deserialize)]
#[serde(untagged, expecting = "created_at is neither a text nor a number")]
enum Moment {
    Text(String),
    Number(f64),
}

/// From here on a number is one of milliseconds: in seconds it would be the year 5138, in milliseconds it is 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// The longest file that is read: it is held in memory as a whole.
const LIMIT_BYTES: u64 = 256 << 20;

/// A file's conversation.
pub struct ConversationFile {
    pub name: String,
    pub messages: Vec<NewMessage>,
    /// The texts that will be sent, in order.
    pub sendable: Vec<String>,
}

pub fn read(path: &Path) -> Result<ConversationFile, Cause> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let whole = File::open(path).and_then(|file| file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes));
    let length = whole.map_err(|cause| Cause::Check(format!("{shown}: {cause}")))?;
    check(length as u64 <= LIMIT_BYTES, format!("{shown} has more than {} MiB: split it", LIMIT_BYTES >> 20))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let (mut messages, mut sendable) = (Vec::new(), Vec::new());
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = number + 1;
        let wrong = |what: &dyn std::fmt::Display| Cause::Check(format!("{shown}, line {number}: {what}"));
        let Line { role, content, created_at } = serde_json::from_slice(line).map_err(|cause| wrong(&said(&cause)))?;
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

/// What is wrong with a line. The parser saw nothing but the line, so of its place only the column tells something.
fn said(cause: &serde_json::Error) -> String {
    let text = cause.to_string();
    let place = format!(" at line {} column {}", cause.line(), cause.column());
    text.strip_suffix(&place).map(|what| format!("{what}, column {}", cause.column())).unwrap_or(text)
}

impl Moment {
    fn read(self) -> Option<SystemTime> {
        let moment = match self {
            Self::Text(text) => return text.parse::<Timestamp>().ok().map(SystemTime::from),
            Self::Number(number) => {
                let seconds = if number < MILLISECONDS_FROM { number } else { number / 1000.0 };
                SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?
            }
        };
        // What RFC 3339 has no year for cannot be sent.
        Timestamp::try_from(moment).is_ok().then_some(moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &[u8]) -> Result<ConversationFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|cause| match cause {
            Cause::Check(text) => text,
            Cause::Sdk(error) => error.to_string(),
        })
    }

    #[test]
    fn a_bad_line_is_named_by_file_line_and_fault() {
        let good = r#"{"role":"user","content":"hi"}"#;
        for (bad, fault) in [
            (r#"{"role":"user","content":"#, "EOF while parsing a value, column 25"),
            (r#"{"content":"x"}"#, "missing field `role`, column 15"),
            (r#"{"role":"user","content":null}"#, "expected a string"),
            (r#"{"role":"user","content":"x","created_at":[1]}"#, "created_at is neither a text nor a number"),
            (r#"{"role":"user","content":"x","created_at":"soon"}"#, "created_at is no time"),
            (r#"{"role":"user","content":"x","created_at":1e18}"#, "created_at is no time"),
            (r#"{"role":"","content":"x"}"#, "the role must have 1 to 64 bytes"),
        ] {
            let error = read_text(format!("{good}\r\n\n{bad}\n{good}").as_bytes()).err().unwrap();
            assert!(error.contains("talk.jsonl, line 3: ") && error.contains(fault), "{bad}: {error}");
        }
        assert!(read_text(b" \n\r\n").err().unwrap().ends_with("holds no message"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_without_an_end_is_not_read_for_ever() {
        let Err(Cause::Check(fault)) = read(Path::new("/dev/zero")) else { panic!("it has no end") };
        assert!(fault.contains("more than 256 MiB"), "{fault}");
    }

    #[test]
    fn a_byte_order_mark_line_ends_and_a_missing_last_one_change_nothing() {
        let lines = [r#"{"role":"user","content":"one"}"#, r#"{"role":"system","content":"secret"}"#];
        for text in [lines.join("\n"), lines.join("\r\n") + "\r\n", format!("\u{feff}{}\n", lines.join("\n"))] {
            let file = read_text(text.as_bytes()).unwrap();
            assert_eq!((file.name.as_str(), file.messages.len(), file.sendable), ("talk", 2, vec!["one".to_owned()]));
        }
    }

    #[test]
    fn one_moment_can_be_written_in_many_ways() {
        let ways = [
            r#""2026-02-19T23:00:00Z""#,
            r#""2026-02-20T01:00:00+02:00""#,
            "1771542000",
            "1771542000.0",
            "1771542000000",
        ];
        let moments = ways.map(|way| serde_json::from_str::<Moment>(way).unwrap().read().unwrap());
        assert!(moments.iter().all(|moment| *moment == moments[0]), "{moments:?}");
        for wrong in [r#""2026-02-19""#, r#""""#, "-5", "1e300", "1e18"] {
            assert!(serde_json::from_str::<Moment>(wrong).unwrap().read().is_none(), "{wrong}");
        }
    }
}
