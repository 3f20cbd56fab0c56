//! The same crate against a whole development cloud, over real HTTP on this machine.
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cloud_agents::{Agents, Ai, AiChunk, AiRequest, ChatMessage, Invocation, ai::Outcome};
use cloud_client::{
    AccessToken, Client, Error, TokenSource,
    call::{Call, Speaker},
    error::Service,
};
use cloud_dev::{CloudDev, Fault, Running};
use http::Method;
use serde_json::{Value, json};

/// Signs in with a password, and again when a token is refused.
#[derive(Debug)]
struct Password {
    client: Client,
    body: Value,
    current: Mutex<Option<AccessToken>>,
}

impl Password {
    async fn sign_in(&self, generation: u64) -> Result<AccessToken, Error> {
        let call = Call::new(Service::Auth, Method::POST).segment("token").query("grant_type", "password");
        let reply = self.client.send(call.json(&self.body)?.speaker(Speaker::Nobody)).await?;
        let answer: Value = reply.json()?;
        let token = AccessToken::new(answer["access_token"].as_str().unwrap().to_owned().into(), generation);
        *self.current.lock().unwrap() = Some(token.clone());
        Ok(token)
    }
}

#[async_trait]
impl TokenSource for Password {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        let current = self.current.lock().unwrap().clone();
        match current {
            Some(token) => Ok(Some(token)),
            None => self.sign_in(0).await.map(Some),
        }
    }

    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.sign_in(refused.generation + 1).await.map(Some)
    }
}

fn nobody(cloud: &Running) -> Client {
    Client::builder(cloud.url(), cloud.publishable_key()).unwrap().build()
}

fn ada(cloud: &Running) -> Client {
    let [ada, _] = &cloud.demo().people;
    let client = nobody(cloud);
    let body = json!({"email": ada.email, "password": ada.password});
    client.with_token_source(Arc::new(Password { client: client.clone(), body, current: Mutex::default() }))
}

fn ask(text: &str) -> AiRequest {
    AiRequest::new([ChatMessage::user(text)])
}

#[tokio::test]
async fn the_demo_agent_is_listed_and_answers() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let agents = Agents::new(ada(&cloud));
    let listed = agents.list(&cloud.demo().org_id).await.unwrap();
    assert_eq!((listed.len(), listed[0].slug.as_str()), (1, cloud.demo().agent_slug.as_str()));
    assert_eq!((listed[0].name.as_str(), listed[0].avatar_url.as_deref()), ("Helper", None));

    let turn = Invocation::new(&listed[0].slug, "what is 20 + 22?")
        .history([ChatMessage::user("hello"), ChatMessage::assistant("hi")]);
    let reply = agents.invoke(&turn).await.unwrap();
    assert!(reply.content.contains("20 + 22 = 42") && reply.content.contains("turn 2"), "{}", reply.content);
    assert_eq!(reply.agent_name.as_deref(), Some("Helper"));

    let unknown = agents.invoke(&Invocation::new("nobody", "hi")).await.unwrap_err();
    assert_eq!(unknown.code().as_str(), "agents.unknown_agent");
    let nowhere = turn.conversation("d0000000-0000-4000-8000-0000000000ff");
    assert_eq!(agents.invoke(&nowhere).await.unwrap_err().code().as_str(), "agents.unknown_conversation");
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_streamed_answer_says_what_a_whole_one_says() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let ai = Ai::new(ada(&cloud));
    let request = ask("count to 30").model("dev-model").workspace_id(&cloud.demo().workspace_id);
    let whole = ai.complete(&request).await.unwrap();
    assert!(whole.text.contains("28, 29, 30"), "{}", whole.text);

    let mut stream = ai.stream(&request).await.unwrap();
    let (mut words, mut pieces) = (String::new(), 0);
    while let Some(chunk) = stream.next().await {
        if let AiChunk::Text(text) = chunk.unwrap() {
            words.push_str(&text);
            pieces += 1;
        }
    }
    assert!(matches!(stream.outcome(), Outcome::Completed) && pieces > 30, "{pieces} pieces");
    assert_eq!((words.as_str(), stream.usage(), stream.text()), (whole.text.as_str(), whole.usage.as_ref(), &*words));
    assert_eq!((stream.partial().model.as_str(), whole.model.as_str()), ("dev-model", "dev-model"));
    assert_eq!(stream.partial().finish_reason, whole.finish_reason);
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_goes_back() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let ai = Ai::new(ada(&cloud));
    let weather = json!({"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}});
    let request = ask("use weather in \"Köln\"").tools([weather]);
    let whole = ai.complete(&request).await.unwrap();
    let mut stream = ai.stream(&request).await.unwrap();
    let reply = stream.finish().await.unwrap();
    assert_eq!((reply.tool_calls.len(), reply.finish_reason.unwrap().as_str()), (1, "tool_calls"));
    let call = &reply.tool_calls[0];
    assert_eq!((call.name.as_str(), &call.arguments), ("weather", &whole.tool_calls[0].arguments));
    assert_eq!(call.parse::<Value>().unwrap(), json!({"city": "use weather in \"Köln\"", "days": 1}));

    let mut next = request;
    next.messages.extend([ChatMessage::tool_use([call.clone()]), ChatMessage::tool_result(&call.id, "rain")]);
    let answer = ai.complete(&next).await.unwrap();
    assert!(answer.text.contains("The tool returned: \"rain\""), "{}", answer.text);
    cloud.shutdown().await;
}

#[tokio::test]
async fn an_answer_cut_on_its_way_is_never_taken_for_a_whole_one() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let ai = Ai::new(ada(&cloud));
    let whole = ai.stream(&ask("hi")).await.unwrap().finish().await.unwrap();
    let mut cut_in_words = 0;
    for bytes in [0, 100, 500, 900, 2000, 5000] {
        cloud.inject(Fault::cut_body(bytes).on("/functions/v1/ai-proxy"));
        let mut stream = match ai.stream(&ask("hi")).await {
            Ok(stream) => stream,
            // Without a byte of the body, the cut may come before the head is read.
            Err(error) => {
                assert_eq!(bytes, 0, "{error}");
                continue;
            }
        };
        let error = stream.finish().await.unwrap_err();
        assert_eq!(error.code().as_str(), "net.cut", "{bytes} bytes: {error}");
        assert!(whole.text.starts_with(stream.text()) && stream.text() != whole.text);
        cut_in_words += usize::from(!stream.text().is_empty());
    }
    assert!(cut_in_words >= 3, "{cut_in_words}");
    assert_eq!(cloud.requests("/functions/v1/ai-proxy"), 7, "G3: each question was sent once");
    cloud.shutdown().await;
}

#[tokio::test]
async fn nobody_signed_in_an_old_token_and_a_used_up_allowance_are_three_things() {
    let cloud = CloudDev::builder().daily_tokens(120).start().await.unwrap();
    let anonymous = Ai::new(nobody(&cloud));
    let keyed = Ai::new(Client::builder(cloud.url(), cloud.anon_key()).unwrap().build());
    for (what, error) in [
        ("whole", anonymous.complete(&ask("hi")).await.unwrap_err()),
        ("stream", anonymous.stream(&ask("hi")).await.unwrap_err()),
        ("usage", anonymous.usage().await.unwrap_err()),
        ("an old kind of key", keyed.complete(&ask("hi")).await.unwrap_err()),
    ] {
        assert_eq!(error.code().as_str(), "ai.sign_in_required", "{what}: {error}");
    }

    let ai = Ai::new(ada(&cloud));
    ai.complete(&ask("hi")).await.unwrap();
    cloud.expire_access_tokens();
    ai.stream(&ask("hi")).await.unwrap().finish().await.unwrap();

    let allowance = ai.usage().await.unwrap();
    assert_eq!((allowance.limit, allowance.tier.as_deref()), (Some(120), Some("free")));
    assert!(allowance.used > Some(0) && allowance.period.is_some(), "{allowance:?}");
    let mut asked = 0;
    let error = loop {
        asked += 1;
        assert!(asked < 20, "the allowance ends");
        if let Err(error) = ai.complete(&ask("count to 20")).await {
            break error;
        }
    };
    assert_eq!((error.code().as_str(), error.status()), ("ai.quota", Some(429)));
    assert_eq!(ai.stream(&ask("hi")).await.unwrap_err().code().as_str(), "ai.quota");
    let turn = Invocation::new(&cloud.demo().agent_slug, "hi");
    assert_eq!(Agents::new(ada(&cloud)).invoke(&turn).await.unwrap_err().code().as_str(), "ai.quota");
    assert_eq!(ai.usage().await.unwrap().remaining, Some(0));
    cloud.shutdown().await;
}

#[tokio::test]
async fn the_catalogue_names_the_model_that_answers() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let ai = Ai::new(ada(&cloud));
    let models = ai.models().await.unwrap();
    let model = &models[0];
    assert_eq!((model.id.as_str(), model.supports_streaming), ("dev-model", Some(true)));
    assert_eq!(ai.complete(&ask("hi").model(&model.id)).await.unwrap().model, model.id);
    cloud.shutdown().await;
}
