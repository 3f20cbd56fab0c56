//! The same requests to PostgREST on PostgreSQL and to the development cloud, answer by answer.
//!
//! `requests.txt`, seeded generators and a grid of searches → both sides, one after the other → [`answer::Answer`] each →
//! differences → [`explained::RULES`] → verdict. The real side has the schema of `supabase/migrations`, so this
//! also compares that schema with the development cloud's.
//! Wire source: PostgREST 12.0.2 on PostgreSQL 15, as they answer.

mod answer;
mod explained;
mod random;
mod request;
mod searches;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cloud_dev::CloudDev;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use self::{
    answer::{Answer, Known, Part},
    explained::RULES,
    random::Generator,
    request::Request,
};
use crate::{
    lane::skip,
    postgres::{
        JWT_SECRET, Server,
        demo::{self, Account},
        http,
    },
};

/// Seeds of the generator, and how many requests it makes of each.
const SEEDS: std::ops::Range<u64> = 0..4;
const REQUESTS_PER_SEED: usize = 60;

/// The fewest requests that are a comparison.
const AT_LEAST: usize = 2_300;

/// One side: where the tables are, and what every request to it carries.
struct Side {
    base: String,
    key: Option<String>,
}

#[tokio::test]
async fn the_development_cloud_answers_as_postgrest_does() {
    let server = match Server::start().await {
        Ok(server) => server,
        Err(reason) => return skip("the comparison with PostgREST", reason),
    };
    let cloud = CloudDev::builder().jwt_secret(JWT_SECRET).start().await.unwrap();
    let http = http();
    let eve = demo::sign_up(&http, &cloud, "eve@example.com").await;
    let tables = server.tables(&demo::copy(&http, &cloud, &[&eve]).await).await;
    let real = Side { base: tables.url.clone(), key: None };
    let ours = Side { base: format!("{}/rest/v1", cloud.url()), key: Some(cloud.publishable_key().to_owned()) };

    let data = cloud.demo();
    let [ada, grace] = data.people.each_ref().map(|person| person.user_id.clone());
    let agent = demo::first_id(&http, &cloud, &Account::of(&cloud.demo().people[0]), "cloud_agents").await;
    let eve_org = demo::first_id(&http, &cloud, &eve, "organizations").await;
    let tokens = tokens(&ada, &grace, &eve.id);
    let names = HashMap::from([
        ("ada", ada),
        ("grace", grace),
        ("eve", eve.id),
        ("eveorg", eve_org),
        ("org", data.org_id.clone()),
        ("ws", data.workspace_id.clone()),
        ("agent", agent),
    ]);
    let mut requests = request::read(include_str!("requests.txt"), &names);
    for seed in SEEDS {
        let mut generator = Generator::new(seed, &data.workspace_id);
        requests.extend((0..REQUESTS_PER_SEED).map(|_| generator.request()));
    }

    requests.extend(searches::all(&names));

    let now = jiff::Timestamp::now();
    let day = |time: jiff::Timestamp| time.strftime("%Y-%m-%d").to_string();
    let mut known = Known { ids: HashSet::new(), days: [day(now), day(now + jiff::SignedDuration::from_hours(1))] };
    names.values().for_each(|id| known.learn(id));
    requests.iter().for_each(|request| known.learn(&request.line()));

    let mut verdict = Verdict::default();
    for request in &requests {
        let token = tokens.get(&*request.who).unwrap_or_else(|| panic!("nobody is called {}", request.who));
        let real = real.ask(&http, request, token.as_deref(), &known).await;
        let ours = ours.ask(&http, request, token.as_deref(), &known).await;
        verdict.judge(request, &real, &ours);
    }
    verdict.end(requests.len());
    cloud.shutdown().await;
}

/// A token per identity; `None` for nobody.
fn tokens(ada: &str, grace: &str, eve: &str) -> HashMap<&'static str, Option<String>> {
    let now = jiff::Timestamp::now().as_second();
    let person = |sub: &str, expires: i64| json!({ "sub": sub, "role": "authenticated", "exp": now + expires });
    let signed = |claims: &Value| Some(sign(JWT_SECRET, claims));
    HashMap::from([
        ("ada", signed(&person(ada, 3600))),
        ("grace", signed(&person(grace, 3600))),
        ("eve", signed(&person(eve, 3600))),
        ("anon", None),
        ("nobody", signed(&json!({ "role": "anon", "exp": now + 3600 }))),
        ("expired", signed(&person(ada, -3600))),
        ("foreign", Some(sign("the secret of somebody else, long enough", &person(ada, 3600)))),
        ("unsigned", Some(format!("{}.", sign("", &person(ada, 3600)).rsplit_once('.').unwrap().0))),
        ("garbage", Some("garbage".to_owned())),
    ])
}

fn sign(secret: &str, claims: &Value) -> String {
    let parts = [json!({ "alg": "HS256", "typ": "JWT" }), claims.clone()];
    let [header, claims] = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{header}.{claims}").as_bytes());
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

impl Side {
    async fn ask(&self, http: &reqwest::Client, request: &Request, token: Option<&str>, known: &Known) -> Answer {
        let is_12 = self.key.is_none();
        let target = if is_12 { searches::for_12(&request.target) } else { request.target.clone() };
        let url = format!("{}/{target}", self.base);
        let mut call = http.request(request.method.parse().unwrap(), &url);
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        if let Some(body) = &request.body {
            if request.header("content-type").is_empty() {
                call = call.header("content-type", "application/json");
            }
            call = call.body(body.clone());
        }
        if let Some(key) = &self.key {
            call = call.header("apikey", key);
        }
        if let Some(token) = token {
            call = call.bearer_auth(token);
        }
        let answer = call.send().await.unwrap_or_else(|error| panic!("{}: {error}", request.line()));
        let (status, mut headers) = (answer.status().as_u16(), answer.headers().clone());
        if is_12 && let Some(location) = headers.get_mut("content-location") {
            *location = searches::of_12(location.to_str().unwrap()).parse().unwrap();
        }
        Answer::new(status, &headers, &answer.text().await.unwrap(), known, request.is_ordered())
    }
}

/// What the comparison has found so far.
#[derive(Default)]
struct Verdict {
    equal: usize,
    explained: usize,
    used: BTreeMap<&'static str, usize>,
    unexplained: String,
    failures: usize,
}

impl Verdict {
    fn judge(&mut self, request: &Request, real: &Answer, ours: &Answer) {
        let mut left = real.differences(ours);
        if left.is_empty() {
            self.equal += 1;
            return;
        }
        for rule in RULES.iter().filter(|rule| (rule.applies)(request, real, ours)) {
            let before = left.len();
            left.retain(|part: &Part| !rule.explains.contains(part));
            if left.len() < before {
                *self.used.entry(rule.name).or_default() += 1;
            }
        }
        if left.is_empty() {
            self.explained += 1;
        } else {
            self.failures += 1;
            let _ = writeln!(self.unexplained, "{}\n  {left:?}\n  real {real}\n  ours {ours}", request.line());
        }
    }

    fn end(self, requests: usize) {
        println!("{requests} requests: {} equal, {} explained", self.equal, self.explained);
        for rule in RULES {
            println!("  {:>4} {}", self.used.get(rule.name).copied().unwrap_or(0), rule.name);
        }
        assert!(self.unexplained.is_empty(), "{} unexplained:\n{}", self.failures, self.unexplained);
        let idle: Vec<_> = RULES.iter().map(|rule| rule.name).filter(|name| !self.used.contains_key(name)).collect();
        assert!(idle.is_empty(), "no difference needs these explanations any more: {idle:?}");
        assert!(requests >= AT_LEAST, "{requests} requests");
    }
}
