//! The demo data of a development cloud, as SQL for a PostgreSQL.
//!
//! Read from the cloud itself through its API, so that the two never drift apart.

use cloud_dev::{DemoPerson, Running};
use reqwest::Client;
use serde_json::{Value, json};

/// Tables with demo data, parents first. Profiles come with the accounts.
const TABLES: [&str; 5] = ["organizations", "org_memberships", "workspaces", "cloud_agents", "workspace_members"];

/// Somebody with an account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    email: String,
    password: String,
}

/// Makes an account, which begins with an organization of its own.
pub(crate) async fn sign_up(http: &Client, cloud: &Running, email: &str) -> Account {
    let password = "a long password";
    let session = post(http, cloud, "/auth/v1/signup", &json!({ "email": email, "password": password })).await;
    let id = session["user"]["id"].as_str().unwrap().to_owned();
    Account { id, email: email.to_owned(), password: password.to_owned() }
}

/// SQL that adds to an empty database what the people of the demo data, and `others`, see in `cloud`.
pub(crate) async fn copy(http: &Client, cloud: &Running, others: &[&Account]) -> String {
    let (mut accounts, mut data) = (String::new(), String::new());
    let people = cloud.demo().people.each_ref().map(Account::of);
    for account in people.iter().chain(others.iter().copied()) {
        let token = token(http, cloud, account).await;
        let own = rows(http, cloud, &token, &format!("profiles?id=eq.{}", account.id)).await;
        let named = json!({ "display_name": own[0]["display_name"] }).to_string();
        let values = [&account.id, &account.email, &named].map(|text| quoted(text)).join(", ");
        accounts += &format!("insert into auth.users values ({values});\n");
        for table in TABLES {
            let rows = quoted(&rows(http, cloud, &token, table).await.to_string());
            let records = format!("jsonb_populate_recordset(null::public.{table}, {rows})");
            data += &format!("insert into public.{table} select * from {records} on conflict do nothing;\n");
        }
    }
    format!("{accounts}delete from public.organizations;\n{data}")
}

/// The id of the first row that `account` sees in a table.
pub(crate) async fn first_id(http: &Client, cloud: &Running, account: &Account, table: &str) -> String {
    let token = token(http, cloud, account).await;
    rows(http, cloud, &token, table).await[0]["id"].as_str().unwrap().to_owned()
}

impl Account {
    pub(crate) fn of(person: &DemoPerson) -> Self {
        Self { id: person.user_id.clone(), email: person.email.clone(), password: person.password.clone() }
    }
}

async fn token(http: &Client, cloud: &Running, account: &Account) -> String {
    let credentials = json!({ "email": account.email, "password": account.password });
    let session = post(http, cloud, "/auth/v1/token?grant_type=password", &credentials).await;
    session["access_token"].as_str().unwrap().to_owned()
}

/// Everything that somebody sees at a target of the tables.
async fn rows(http: &Client, cloud: &Running, token: &str, target: &str) -> Value {
    let url = format!("{}/rest/v1/{target}", cloud.url());
    let answer = http.get(url).header("apikey", cloud.publishable_key()).bearer_auth(token).send().await.unwrap();
    answer.error_for_status().unwrap().json().await.unwrap()
}

async fn post(http: &Client, cloud: &Running, path: &str, body: &Value) -> Value {
    let url = format!("{}{path}", cloud.url());
    let answer = http.post(url).header("apikey", cloud.publishable_key()).json(body).send().await.unwrap();
    answer.error_for_status().unwrap().json().await.unwrap()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
