//! The message that the benches send and read: a row change of 600 bytes, as a chat table sends it.
use cloud_realtime::{Frame, Version};
use serde::Deserialize;

/// The topic that it comes on.
pub(crate) const TOPIC: &str = "realtime:notes";
/// The id that the server gave to the request for such changes.
pub(crate) const ID: u64 = 104_868_189;

pub(crate) const PAYLOAD: &str = r#"{"ids":[104868189],"data":{"schema":"public","table":"messages","type":"INSERT","commit_timestamp":"2025-11-19T00:22:40.877Z","columns":[{"name":"id","type":"uuid"},{"name":"conversation_id","type":"uuid"},{"name":"seq","type":"int8"},{"name":"content","type":"text"}],"record":{"id":"0199c0de-1111-7000-8000-000000000001","conversation_id":"0199c0de-2222-7000-8000-000000000002","seq":4711,"content":"The quick brown fox jumps over the lazy dog, twice, and then it goes home to sleep until the next message comes in."},"errors":null}}"#;

/// The row.
#[derive(Deserialize)]
pub(crate) struct Message {
    id: String,
    conversation_id: String,
    seq: i64,
    content: String,
}

impl Message {
    #[allow(dead_code, reason = "not every bench looks into the row")]
    pub(crate) fn sum(&self) -> usize {
        self.id.len() + self.conversation_id.len() + self.content.len() + usize::try_from(self.seq).unwrap_or_default()
    }
}

/// The message as it comes.
pub(crate) fn frame(version: Version) -> Frame {
    Frame::text(match version {
        Version::V1 => format!(r#"{{"event":"postgres_changes","payload":{PAYLOAD},"ref":null,"topic":"{TOPIC}"}}"#),
        _ => format!(r#"[null,null,"{TOPIC}","postgres_changes",{PAYLOAD}]"#),
    })
}
