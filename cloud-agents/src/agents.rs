//! The agents that an organisation has set up in its cloud: list them, and ask one.
//!
//! Persona, instructions and model of an agent live in the cloud; this end sends a message and the recent turns.
//! `GET /rest/v1/cloud_agents` → [`Agent`]; [`Invocation`] → `POST /functions/v1/agent-chat` → [`AgentReply`]. A turn is
//! sent once (G3). What a host was told by its own instructions or tools never leaves with it (O9).
use std::time::Duration;

use cloud_client::{Client, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::{
    codes::{UNKNOWN_AGENT, UNKNOWN_CONVERSATION, of_question, recode},
    message::{ChatMessage, Role},
    open_name::open_name,
};

/// How many earlier turns an agent is told.
const HISTORY_LIMIT: usize = 20;
/// The longest wait for an answer: functions are stopped after 150 s without one.
const ANSWER_LIMIT: Duration = Duration::from_secs(150);

open_name! {
    /// What an agent is doing.
    AgentStatus {
        /// Nothing.
        IDLE = "idle",
        /// It is at work.
        ACTIVE = "active",
    }
}

/// An agent as its organisation sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Agent {
    /// The agent's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What [`Invocation`] calls it.
    pub slug: String,
    /// Its sort, as the organisation's dashboard names it.
    #[serde(default)]
    pub agent_type: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// What it is doing.
    #[serde(default)]
    pub status: Option<AgentStatus>,
    /// Its picture.
    #[serde(default)]
    pub avatar_url: Option<String>,
}

/// One turn with an agent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invocation {
    /// Which agent.
    pub slug: String,
    /// What it is asked.
    pub message: String,
    /// The conversation in the cloud that question and answer belong to, if any.
    pub conversation_id: Option<String>,
    /// Earlier turns, oldest first. Only what people and models said is sent, and of that the last 20 turns.
    pub history: Vec<ChatMessage>,
}

impl Invocation {
    /// Asks the agent called `slug`, outside any conversation and without history.
    pub fn new(slug: impl Into<String>, message: impl Into<String>) -> Self {
        Self { slug: slug.into(), message: message.into(), conversation_id: None, history: Vec::new() }
    }

    /// Asks within a conversation of the cloud.
    #[must_use]
    pub fn conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation_id = Some(id.into());
        self
    }

    /// Tells the agent what was said before.
    #[must_use]
    pub fn history(mut self, turns: impl IntoIterator<Item = ChatMessage>) -> Self {
        self.history.extend(turns);
        self
    }

    fn wire(&self) -> WireInvocation<'_> {
        let said = |turn: &ChatMessage| {
            let role = [Role::USER, Role::ASSISTANT].into_iter().find(|role| *role == turn.role)?;
            let content = turn.content.text();
            (!content.is_empty()).then_some(WireTurn { role, content })
        };
        let mut history: Vec<_> = self.history.iter().rev().filter_map(said).take(HISTORY_LIMIT).collect();
        history.reverse();
        WireInvocation {
            agent_slug: &self.slug,
            conversation_id: self.conversation_id.as_deref(),
            user_message: &self.message,
            message_history: history,
        }
    }
}

/// What an agent answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AgentReply {
    /// Its words.
    pub content: String,
    /// The id of the message in the cloud, where one was stored.
    #[serde(default)]
    pub message_id: Option<String>,
    /// What people call the agent.
    #[serde(default)]
    pub agent_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireInvocation<'a> {
    agent_slug: &'a str,
    conversation_id: Option<&'a str>,
    user_message: &'a str,
    message_history: Vec<WireTurn>,
}

#[derive(Serialize)]
struct WireTurn {
    role: Role,
    content: String,
}

/// A handle on the agents of a cloud. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Agents {
    client: Client,
}

impl Agents {
    /// The agents of the cloud that `client` speaks to.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The agents of an organisation, by name.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn list(&self, org_id: &str) -> Result<Vec<Agent>, Error> {
        let columns = ["id", "name", "slug", "agent_type", "description", "status", "avatar_url"];
        let agents = self.client.table("cloud_agents").select(columns).eq("org_id", org_id).order("name");
        Ok(agents.fetch().await?.into_vec())
    }

    /// Asks an agent and waits for its answer.
    ///
    /// # Errors
    ///
    /// `agents.unknown_agent` and `agents.unknown_conversation` for what this user cannot see,
    /// `ai.sign_in_required` when nobody is signed in, `ai.quota` when the allowance is used up, otherwise as
    /// [`Client::send`]. After `net.*` the agent may have answered all the same: look into the conversation before
    /// asking again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; the agent may answer all the same.
    pub async fn invoke(&self, invocation: &Invocation) -> Result<AgentReply, Error> {
        const OPERATION: &str = "invoking an agent";
        let function = self.client.function("agent-chat").timeout(ANSWER_LIMIT);
        function.invoke(&invocation.wire()).await.map_err(|error| {
            if error.kind() != ErrorKind::NotFound {
                return of_question(error, OPERATION);
            }
            // Both come as a bare 404; the words are all there is to tell them apart.
            let about_conversation =
                error.detail().is_some_and(|said| said.to_ascii_lowercase().contains("conversation"));
            let place = invocation.conversation_id.is_some() && about_conversation;
            recode(error, if place { UNKNOWN_CONVERSATION } else { UNKNOWN_AGENT }, OPERATION)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn o09_instructions_and_tool_results_never_leave_with_a_turn() {
        let turns = [
            ChatMessage::system("secret instructions"),
            ChatMessage::user("a"),
            ChatMessage::tool_use([crate::ToolCall::new("c", "read_file", r#"{"path":"secret"}"#)]),
            ChatMessage::tool_result("c", "secret result"),
            ChatMessage::new(Role::from("developer"), "secret too"),
            ChatMessage::assistant("b"),
        ];
        let sent = serde_json::to_value(Invocation::new("helper", "c").history(turns).wire()).unwrap();
        let expected = json!({
            "agentSlug": "helper",
            "conversationId": null,
            "userMessage": "c",
            "messageHistory": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        });
        assert_eq!(sent, expected);
    }

    #[test]
    fn the_last_twenty_turns_that_may_be_sent_are_sent_in_order() {
        let turns = (0..60).map(|n| match n % 3 {
            0 => ChatMessage::system(format!("s{n}")),
            1 => ChatMessage::user(format!("u{n}")),
            _ => ChatMessage::assistant(format!("a{n}")),
        });
        let invocation = Invocation::new("helper", "x").history(turns).conversation("c1");
        let sent = invocation.wire();
        let said: Vec<_> = sent.message_history.iter().map(|turn| turn.content.as_str()).collect();
        assert_eq!((said.len(), said[0], said[19]), (20, "u31", "a59"));
        assert_eq!(sent.conversation_id, Some("c1"));
    }
}
