//! Requests against the table API, straight on an in-memory database.
//!
//! `vectors`, `embeds` and `writes` run the published cases of the protocol on small tables without policies (`tables`);
//! `rules` is about the tables of the cloud and who may do what with them; `rpc` is about the functions,
//! `searches` about full-text search.

mod embeds;
mod rpc;
mod rules;
mod searches;
mod tables;
mod vectors;
mod writes;

use http::{HeaderMap, Method};
use rusqlite::Connection;
use serde_json::Value as Body;

use super::{RestRequest, RestResponse, Settings, handle_with};
use crate::core::{Identity, Role, db, schema};

/// A database with a way to ask it things.
struct Cloud {
    conn: Connection,
    settings: Settings,
}

/// What came back, ready to compare.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Body,
    text: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    fn range(&self) -> &str {
        self.header("content-range").unwrap_or("")
    }

    /// The values of one key in every row.
    fn column(&self, key: &str) -> Vec<Body> {
        self.body
            .as_array()
            .unwrap_or_else(|| panic!("no rows: {}", self.text))
            .iter()
            .map(|row| row[key].clone())
            .collect()
    }
}

impl Cloud {
    fn new(tables: &'static [schema::Table]) -> Self {
        let conn = Connection::open_in_memory().unwrap();
        db::register(&conn).unwrap();
        schema::create_all(&conn, tables).unwrap();
        Self { conn, settings: Settings { max_rows: Some(1000), tables } }
    }

    fn ask(
        &mut self,
        who: &Identity,
        method: Method,
        target: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Reply {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let request = RestRequest {
            method,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers: map,
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        };
        let RestResponse { status, headers, body } = handle_with(&mut self.conn, who, request, self.settings);
        assert!(self.conn.is_autocommit(), "a transaction was left open");
        let text = String::from_utf8(body).unwrap();
        Reply {
            status: status.as_u16(),
            headers,
            body: if text.is_empty() {
                Body::Null
            } else {
                serde_json::from_str(&text).unwrap_or_else(|_| Body::String(text.clone()))
            },
            text,
        }
    }

    fn get(&mut self, target: &str) -> Reply {
        self.ask(&Identity::service(), Method::GET, target, &[], "")
    }

    fn send(&mut self, method: Method, target: &str, prefer: &str, body: &str) -> Reply {
        let headers: &[(&'static str, &str)] = if prefer.is_empty() { &[] } else { &[("prefer", prefer)] };
        self.ask(&Identity::service(), method, target, headers, body)
    }
}

fn person(id: &str) -> Identity {
    Identity { role: Role::Authenticated, user_id: Some(id.to_owned()), claims: serde_json::json!({}) }
}

const OBJECT: (&str, &str) = ("accept", "application/vnd.pgrst.object+json");
