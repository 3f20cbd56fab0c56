//! The AI proxy in front of LiteLLM, a gateway that many hosts run. Only when it is asked for: it takes minutes and
//! three quarters of a gigabyte to install.
//!
//! SDK → AI proxy of the cloud → LiteLLM with models that have their answer ready → back.
//!
//! ```text
//! CLOUD_SDK_INTEROP_LITELLM=1 cargo test -p cloud-sdk --test interop -- --nocapture litellm
//! ```
//!
//! Wire source: LiteLLM proxy 1.106, `mock_response`.

use std::{fs, io::Write as _, process::Stdio, time::Duration};

use cloud_dev::CloudDev;
use cloud_sdk::agents::{AiRequest, ChatMessage};
use serde_json::json;
use tokio::time::{interval, timeout};

use crate::{
    lane::skip,
    proxies::{Way, free_port},
    python::Environment,
};

/// The variable that asks for this test.
const WANTED: &str = "CLOUD_SDK_INTEROP_LITELLM";

/// How long LiteLLM may take to be there.
const START_LIMIT: Duration = Duration::from_secs(120);

const ANSWER: &str = "Ein Wörterbuch hat viele Wörter, 日本語 auch, and this sentence ends here.";

const KEY: &str = "sk-of-this-test";

#[tokio::test]
async fn litellm_answers_through_the_proxy() {
    if std::env::var_os(WANTED).is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: {WANTED} is not set; LiteLLM was not run");
        return;
    }
    let environment = match Environment::install("interop-litellm", "litellm[proxy]==1.106.2\n").await {
        Ok(environment) => environment,
        Err(reason) => return skip("LiteLLM", reason),
    };
    let folder = tempfile::tempdir().unwrap();
    let model = |name: &str, answer: &str| {
        let parameters = json!({ "model": "openai/fake", "api_key": "none", "mock_response": answer });
        json!({ "model_name": name, "litellm_params": parameters })
    };
    // JSON is YAML.
    let settings = json!({
        "model_list": [model("talker", ANSWER), model("limited", "litellm.RateLimitError")],
        "general_settings": { "master_key": KEY },
    });
    fs::write(folder.path().join("config.yaml"), settings.to_string()).unwrap();
    let (port, log) = (free_port(), fs::File::create(folder.path().join("log")).unwrap());
    let mut litellm = environment.program("litellm");
    litellm.args(["--config", "config.yaml", "--host", "127.0.0.1", "--telemetry", "False", "--port"]);
    litellm.arg(port.to_string()).env("LITELLM_LOCAL_MODEL_COST_MAP", "True").current_dir(&folder);
    litellm.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    let _running = litellm.spawn().unwrap();
    let (http, health) = (crate::postgres::http(), format!("http://127.0.0.1:{port}/health/liveliness"));
    let there = async {
        let mut turns = interval(Duration::from_millis(200));
        while !http.get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) {
            turns.tick().await;
        }
    };
    let there = timeout(START_LIMIT, there).await;
    there.unwrap_or_else(|_| panic!("{}", fs::read_to_string(folder.path().join("log")).unwrap()));

    let upstream = CloudDev::builder().ai_upstream(format!("http://127.0.0.1:{port}/v1")).ai_upstream_key(KEY);
    let cloud = upstream.start().await.unwrap();
    let (app, _home) = Way::new(&cloud, cloud.url()).sign_in().await;
    let question = |model: &str| AiRequest::new([ChatMessage::user("say it")]).model(model);

    let (mut stream, mut chunks) = (app.ai().stream(&question("talker")).await.unwrap(), 0);
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
        chunks += 1;
    }
    assert_eq!(stream.text(), ANSWER);
    assert!(chunks > 5, "{chunks}");
    assert_eq!(app.ai().complete(&question("talker")).await.unwrap().text, ANSWER);
    // It answers a question for a stream with plain JSON and 429, before any event. The development cloud does not pass
    // on why its models refuse.
    let error = match app.ai().stream(&question("limited")).await {
        Err(error) => error,
        Ok(mut stream) => stream.finish().await.unwrap_err(),
    };
    println!("{chunks} chunks; a limit of LiteLLM is {}", error.code().as_str());
    assert_eq!((error.code().as_str(), error.status()), ("server.unavailable", Some(502)), "{error}");
    cloud.shutdown().await;
}
