use cloud_agents::{
    Agents, ChatMessage, Invocation,
    agents::AgentStatus,
    codes::{UNKNOWN_AGENT, UNKNOWN_CONVERSATION},
};
use cloud_client::testing::{Scripted, Step};
use serde_json::{Value, json};

use crate::{client, refusals};

#[tokio::test(start_paused = true)]
async fn agents_of_an_organisation_are_listed_with_states_nobody_knows_yet() {
    let rows = json!([
        {"id": "1", "name": "Reviewer", "slug": "code-reviewer", "agent_type": "assistant", "description": null,
         "status": "idle", "avatar_url": null},
        {"id": "2", "name": "Poet", "slug": "poet", "status": "dreaming", "mood": "new column"},
    ]);
    let scripted = Scripted::new([Step::json(200, &rows.to_string())]);
    let agents = Agents::new(client(&scripted)).list("org 1").await.unwrap();
    assert_eq!(agents[0].status, Some(AgentStatus::IDLE));
    assert_eq!(agents[1].status.as_ref().unwrap().as_str(), "dreaming");
    assert_eq!((agents[0].slug.as_str(), agents[0].agent_type.as_deref()), ("code-reviewer", Some("assistant")));
    assert_eq!(
        scripted.sent()[0].target,
        "GET /rest/v1/cloud_agents?select=id,name,slug,agent_type,description,status,avatar_url\
         &org_id=eq.org%201&order=name.asc"
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_carries_slug_conversation_and_history_and_brings_the_answer() {
    let scripted = Scripted::new([
        Step::json(200, r#"{"content":"Fine.","messageId":"m1","agentName":"Code Reviewer","more":1}"#),
        Step::json(200, r#"{"content":"Fine.","messageId":null}"#),
    ]);
    let agents = Agents::new(client(&scripted));
    let turn = Invocation::new("code-reviewer", "Review this")
        .conversation("c1")
        .history([ChatMessage::user("hi"), ChatMessage::assistant("hello")]);
    let reply = agents.invoke(&turn).await.unwrap();
    assert_eq!((reply.content.as_str(), reply.message_id.as_deref()), ("Fine.", Some("m1")));
    assert_eq!(reply.agent_name.as_deref(), Some("Code Reviewer"));
    let sent = &scripted.sent()[0];
    assert_eq!((sent.target.as_str(), sent.header("authorization")), ("POST /functions/v1/agent-chat", "Bearer token"));
    assert_eq!(
        serde_json::from_str::<Value>(&sent.body).unwrap(),
        json!({"agentSlug": "code-reviewer", "conversationId": "c1", "userMessage": "Review this", "messageHistory":
            [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]})
    );
    let reply = agents.invoke(&Invocation::new("poet", "hi")).await.unwrap();
    assert_eq!((reply.message_id, reply.agent_name), (None, None));
}

#[tokio::test(start_paused = true)]
async fn g03_a_turn_is_sent_once_whatever_becomes_of_it() {
    for (what, step, code) in refusals() {
        let scripted = Scripted::new([step, Step::json(200, r#"{"content":"second answer"}"#)]);
        let error = Agents::new(client(&scripted)).invoke(&Invocation::new("poet", "hi")).await.unwrap_err();
        assert_eq!((error.code().as_str(), scripted.sent().len()), (code, 1), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_agent_and_an_unknown_conversation_are_told_apart() {
    let (agent, place) = (r#"{"error":"Agent not found"}"#, r#"{"error":"Conversation not found"}"#);
    let (alone, inside) = (Invocation::new("poet", "hi"), Invocation::new("poet", "hi").conversation("c1"));
    let cases = [
        (&alone, agent, UNKNOWN_AGENT),
        (&alone, "{}", UNKNOWN_AGENT),
        (&inside, agent, UNKNOWN_AGENT),
        (&inside, place, UNKNOWN_CONVERSATION),
    ];
    for (turn, body, code) in cases {
        let scripted = Scripted::new([Step::json(404, body)]);
        let error = Agents::new(client(&scripted)).invoke(turn).await.unwrap_err();
        assert_eq!((error.code(), error.status()), (code, Some(404)), "{body}");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("POST /functions/v1/agent-chat"));
    }
}
