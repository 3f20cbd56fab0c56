//! What tracing and metrics see of a call.
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use cloud_client::{
    Client,
    error::codes,
    random::Random,
    testing::{Scripted, Step},
};
use serde_json::Value;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _, registry::LookupSpan};

use super::{client, rows};

/// The fields of every span, by the order of their beginning.
#[derive(Clone, Debug, Default)]
struct Spans(Arc<Mutex<Vec<Fields>>>);

#[derive(Clone, Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "cloud.call" {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            self.0.lock().unwrap().push(fields);
        }
    }

    fn on_record(&self, _: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        // Calls of these tests follow one another.
        values.record(self.0.lock().unwrap().last_mut().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn t07_each_call_is_one_span_that_says_how_it_ended_and_no_secret() {
    let spans = Spans::default();
    // With a single subscriber, a test that calls first on another thread, where there is none, would turn the span off
    // for all. With two, tracing asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    let scripted = Scripted::new([
        Step::json(503, "{}"),
        Step::json(200, "[]").header("x-request-id", "srv-1"),
        Step::json(403, r#"{"code":"42501","message":"secret row"}"#),
        Step::fail(codes::CUT),
    ]);
    let client = client(&scripted);
    let table = client.table("messages");
    table.select(["*"]).eq("content", "private words").fetch::<Value>().await.unwrap();
    table.select(["*"]).fetch::<Value>().await.unwrap_err();
    table.insert(&serde_json::json!({"content": "private words"})).send().await.unwrap_err();

    let spans = spans.0.lock().unwrap();
    let field = |n: usize, name: &str| spans[n].0.get(name).cloned().unwrap_or_default();
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert_eq!(field(0, "operation"), "GET /rest/v1/{table}");
    assert_eq!(
        ["service", "attempts", "status", "request_id"].map(|name| field(0, name)),
        ["rest", "2", "200", "srv-1"]
    );
    assert!(field(0, "elapsed_ms").parse::<u64>().is_ok());
    assert_eq!((field(1, "status"), field(1, "code")), ("403".into(), String::new()));
    assert_eq!((field(2, "status"), field(2, "code")), (String::new(), "net.cut".into()));
    assert_eq!(field(2, "request_id").len(), 36);
    let all = format!("{spans:?}");
    for secret in ["private", "secret row", "sb_publishable"] {
        assert!(!all.contains(secret), "{secret} leaked into {all}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_hosts_trace_goes_along_with_every_attempt() {
    let scripted = Scripted::new([Step::json(503, "{}"), Step::json(200, "[]"), Step::json(200, "[]")]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = Client::builder("https://cloud.example", "sb_publishable_key")
        .unwrap()
        .transport(scripted.shared())
        .random(Random::seeded(7))
        .trace_context(|| Some(parent.to_owned()))
        .build();
    rows(&traced).await.unwrap();
    rows(&client(&scripted)).await.unwrap();
    let sent = scripted.sent();
    let parents: Vec<_> = sent.iter().map(|sent| sent.header("traceparent")).collect();
    assert_eq!(parents, [parent, parent, ""]);
}

#[cfg(feature = "metrics")]
mod figures {
    use metrics::{
        Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::*;

    /// Keeps the sum of every figure, by name and labels.
    #[derive(Clone, Debug, Default)]
    struct Sums(Arc<Mutex<BTreeMap<String, u64>>>);

    struct Sum(Sums, String);

    impl CounterFn for Sum {
        fn increment(&self, by: u64) {
            *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += by;
        }

        fn absolute(&self, value: u64) {
            self.0.0.lock().unwrap().insert(self.1.clone(), value);
        }
    }

    impl HistogramFn for Sum {
        fn record(&self, _: f64) {
            self.increment(1);
        }
    }

    impl Sums {
        fn sum(&self, key: &Key) -> Arc<Sum> {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(Sum(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
        }
    }

    impl Recorder for Sums {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.sum(key))
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.sum(key))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_times_and_retries_are_counted_by_template_and_status() {
        let sums = Sums::default();
        let _guard = metrics::set_default_local_recorder(&sums);
        let scripted = Scripted::new([
            Step::json(503, "{}"),
            Step::json(200, "[]"),
            Step::json(200, "[]"),
            Step::json(404, "{}"),
            Step::fail(codes::CUT),
        ]);
        let client = client(&scripted);
        rows(&client).await.unwrap();
        rows(&client).await.unwrap();
        rows(&client).await.unwrap_err();
        client.table("t").insert(&serde_json::json!({})).send().await.unwrap_err();
        let sums: Vec<_> = sums.0.lock().unwrap().iter().map(|(key, sum)| format!("{key} {sum}")).collect();
        assert_eq!(
            sums,
            [
                "cloud_client_call_seconds operation=GET /rest/v1/{table} service=rest status=2xx 2",
                "cloud_client_call_seconds operation=GET /rest/v1/{table} service=rest status=4xx 1",
                "cloud_client_call_seconds operation=POST /rest/v1/{table} service=rest status=none 1",
                "cloud_client_calls_total operation=GET /rest/v1/{table} service=rest status=2xx 2",
                "cloud_client_calls_total operation=GET /rest/v1/{table} service=rest status=4xx 1",
                "cloud_client_calls_total operation=POST /rest/v1/{table} service=rest status=none 1",
                "cloud_client_retries_total operation=GET /rest/v1/{table} service=rest 1",
            ]
        );
    }
}
