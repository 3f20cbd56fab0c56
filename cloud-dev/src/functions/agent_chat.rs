//! One turn with an agent of the caller's organisation.
//!
//! Question → agent (visible to the caller?) → conversation (visible to the caller?) → model, with the
//! agent's instructions → answer, stored as the agent's message by the same insert that everybody uses, so
//! it gets its place and time from the same triggers.
//! Wire source: the `agent-chat` function, camelCase body.

use axum::{
    Json,
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use rusqlite::{Connection, OptionalExtension as _, named_params};
use serde_json::{Map, Value, json};

use super::{Caller, ai_proxy, error, model::Message, usage};
use crate::{
    cloud::Cloud,
    core::{
        Identity,
        policy::{self, Action},
    },
};

/// How many earlier messages the model is given.
const MAX_HISTORY: usize = 50;

/// What was asked.
#[derive(Debug)]
struct Turn {
    agent_slug: String,
    conversation: Option<String>,
    messages: Vec<Message>,
}

/// Who answers.
#[derive(Debug)]
struct Agent {
    id: String,
    name: String,
    instructions: String,
    model: Option<String>,
}

enum Found {
    Agent(Agent),
    NoAgent,
    NoConversation,
}

/// Answers one turn.
pub(crate) async fn handle(cloud: &Cloud, caller: &Caller, body: Body) -> Response {
    let turn = match super::object(body)
        .await
        .and_then(|body| read(&body).map_err(|message| (StatusCode::BAD_REQUEST, message)))
    {
        Ok(turn) => turn,
        Err((status, message)) => return error(status, message),
    };
    let Turn { agent_slug, conversation, mut messages } = turn;
    let (identity, place) = (caller.identity.clone(), conversation.clone());
    let found = cloud.db.call(move |conn| find(conn, &identity, &agent_slug, place.as_deref())).await;
    let agent = match found {
        Ok(Found::Agent(agent)) => agent,
        Ok(Found::NoAgent) => return error(StatusCode::NOT_FOUND, "Agent not found"),
        Ok(Found::NoConversation) => return error(StatusCode::NOT_FOUND, "Conversation not found"),
        Err(error) => return usage::broken(&error),
    };
    if !agent.instructions.is_empty() {
        messages.insert(0, Message { role: "system".to_owned(), content: agent.instructions.clone() });
    }
    let content = match ai_proxy::ask(cloud, caller, agent.model.as_deref(), &messages).await {
        Ok(content) => content,
        Err(response) => return response,
    };
    let message_id = uuid::Uuid::new_v4().to_string();
    let answer = json!({ "content": content, "messageId": message_id, "agentName": agent.name });
    if let Some(conversation) = conversation {
        let stored = cloud.db.call(move |conn| store(conn, &message_id, &conversation, &agent, &content)).await;
        if let Err(error) = stored {
            return usage::broken(&error);
        }
    }
    Json(answer).into_response()
}

fn read(body: &Map<String, Value>) -> Result<Turn, &'static str> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let agent_slug = text("agentSlug").ok_or("agentSlug is required")?.to_owned();
    let question = text("userMessage").ok_or("userMessage is required")?;
    let conversation = match body.get("conversationId") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if uuid::Uuid::try_parse(id).is_ok() => Some(id.to_lowercase()),
        Some(_) => return Err("conversationId must be a UUID"),
    };
    let history = match body.get("messageHistory") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(history)) => history.as_slice(),
        Some(_) => return Err("messageHistory must be a list"),
    };
    let earlier = |value: &Value| {
        let role = value.get("role")?.as_str().filter(|role| ["user", "assistant", "system", "tool"].contains(role))?;
        Some(Message { role: role.to_owned(), content: value.get("content")?.as_str()?.to_owned() })
    };
    let recent = history.iter().skip(history.len().saturating_sub(MAX_HISTORY));
    let mut messages: Vec<Message> =
        recent.map(earlier).collect::<Option<_>>().ok_or("messageHistory needs a role and a content each")?;
    messages.push(Message { role: "user".to_owned(), content: question.to_owned() });
    Ok(Turn { agent_slug, conversation, messages })
}

fn find(conn: &Connection, caller: &Identity, slug: &str, conversation: Option<&str>) -> rusqlite::Result<Found> {
    let user = caller.user_id.as_deref().unwrap_or_default();
    if let Some(conversation) = conversation {
        let visible = policy::CONVERSATIONS.predicate(caller, Action::Select, "c");
        let sql = format!("SELECT 1 FROM conversations c WHERE ?1 IS NOT NULL AND c.id = ?2 AND {visible}");
        if !conn.prepare_cached(&sql)?.exists([user, conversation])? {
            return Ok(Found::NoConversation);
        }
    }
    let visible = policy::CLOUD_AGENTS.predicate(caller, Action::Select, "a");
    // Of several agents with one name, the one of the conversation's organisation.
    let sql = format!(
        "SELECT a.id, a.name, a.system_prompt, a.model_config FROM cloud_agents a
         WHERE ?1 IS NOT NULL AND a.slug = ?2 AND {visible}
         ORDER BY a.org_id = (SELECT w.org_id FROM workspaces w JOIN conversations c ON c.workspace_id = w.id
                              WHERE c.id = ?3) DESC, a.created_at LIMIT 1"
    );
    let agent = conn
        .prepare_cached(&sql)?
        .query_row((user, slug, conversation), |row| {
            let config: Option<String> = row.get(3)?;
            let config: Option<Value> = config.and_then(|config| serde_json::from_str(&config).ok());
            Ok(Agent {
                id: row.get(0)?,
                name: row.get(1)?,
                instructions: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                model: config.and_then(|config| Some(config.get("model")?.as_str()?.to_owned())),
            })
        })
        .optional()?;
    Ok(agent.map_or(Found::NoAgent, Found::Agent))
}

fn store(conn: &Connection, id: &str, conversation: &str, agent: &Agent, content: &str) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO messages (id, conversation_id, role, content, sender_agent_id, model_used)
         VALUES (:id, :conversation, 'assistant', :content, :agent, :model)",
        named_params! {
            ":id": id,
            ":conversation": conversation,
            ":content": content,
            ":agent": agent.id,
            ":model": agent.model.as_deref().unwrap_or(super::model::NAME),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_checked() {
        let read = |body: Value| match body {
            Value::Object(body) => read(&body).map(|turn| turn.messages.len()),
            _ => unreachable!(),
        };
        let history = json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }]);
        assert_eq!(read(json!({ "agentSlug": "h", "userMessage": "hi", "messageHistory": history })), Ok(3));
        for bad in [
            json!({}),
            json!({ "agentSlug": "h" }),
            json!({ "agentSlug": "h", "userMessage": " " }),
            json!({ "agentSlug": 1, "userMessage": "hi" }),
            json!({ "agentSlug": "h", "userMessage": "hi", "conversationId": "no-uuid" }),
            json!({ "agentSlug": "h", "userMessage": "hi", "messageHistory": "x" }),
            json!({ "agentSlug": "h", "userMessage": "hi", "messageHistory": [{ "role": "boss", "content": "" }] }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
