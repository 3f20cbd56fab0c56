//! Tables, views and database functions over PostgREST: typed reads and writes, with quoting done once and right.
//!
//! builder → query text and JSON body → one [`Call`] → rows by serde. The builders only make text
//! and can be looked at without a network (`url_query`); what the grammar cannot say is `rest.query_invalid` before
//! anything is sent. Names and values are data wherever they stand: neither can become another condition. Grammar:
//! PostgREST 16, "Tables and Views" and "Functions as RPC".
//!
//! | To                                   | there is                                                              |
//! |--------------------------------------|-----------------------------------------------------------------------|
//! | read                                 | [`Select`], [`Rows`], [`Pages`], [`Count`]                            |
//! | say which rows, in which order       | [`Filter`], [`Compare`], [`Search`], [`Value`], [`Array`], [`Order`]  |
//! | say what of them                     | [`Column`], [`Field`], [`Embed`], [`Item`]                            |
//! | write                                | [`Insert`], [`Replace`], [`Update`], [`Delete`]                       |
//! | call a function, use another schema  | [`Rpc`], [`Schema`]                                                   |
mod chunk;
mod embed;
mod filter;
mod item;
mod level;
mod name;
mod operator;
mod order;
mod page;
mod read;
mod rows;
mod rpc;
mod value;
mod write;

pub use embed::Embed;
pub use filter::Filter;
pub use item::{Field, Item};
pub use name::Column;
pub use operator::{Compare, Search};
pub use order::Order;
pub use page::{PageStream, Pages, RowStream};
pub use read::Select;
pub use rows::{Count, Rows};
pub use rpc::Rpc;
pub use value::{Array, Value};
pub use write::{Delete, Insert, Replace, Update};

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;

use self::level::Level;
use crate::{
    Client, Error,
    call::{Call, Reply, is_plain, push_query_text},
    capability::{Capability, Support},
    error::{
        Service,
        codes::{NOT_ONE_ROW, QUERY_INVALID},
    },
};

/// The longest query text that is sent, in bytes; gateways refuse longer ones in ways that are hard to tell apart.
const QUERY_LIMIT_BYTES: usize = 6000;
/// Rows a server gives at most when nothing was said; hosted projects cap there without a mark.
const SERVER_CAP: usize = 1000;
const TOO_LONG: &str =
    "the query is longer than 6000 bytes: split a long list of values, by Select::fetch_in or Filter::chunks";

/// One table or view of the cloud.
///
/// ```no_run
/// # use cloud_client::{Client, Error};
/// # use serde_json::{Value, json};
/// # async fn f(client: Client) -> Result<(), Error> {
/// let tasks = client.table("tasks");
/// tasks.insert(&json!({"id": 1, "title": "Paint"})).ignore_duplicates().send().await?;
/// let changed: Vec<Value> = tasks.update(&json!({"done": true})).eq("id", 1).fetch(["id", "done"]).await?;
/// let open = tasks.select(["id", "title"]).eq("done", false).order("id").fetch::<Value>().await?;
/// tasks.delete().eq("id", 1).max_affected(1).send().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a table does nothing until it is read or written"]
pub struct Table {
    endpoint: Endpoint,
}

impl Table {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { endpoint: Endpoint { client, name, schema: None, function: false } }
    }

    /// Reads these columns. `["*"]` reads all.
    pub fn select<I: Into<Item>>(&self, columns: impl IntoIterator<Item = I>) -> Select {
        Select::new(self.endpoint.clone(), columns)
    }

    /// Inserts one row (an object) or several (an array).
    pub fn insert<T: Serialize + ?Sized>(&self, rows: &T) -> Insert {
        Insert::new(self.endpoint.clone(), serde_json::to_vec(rows))
    }

    /// Puts this row in the place of the one that [`Replace::key`] names, or there anew.
    pub fn replace<T: Serialize + ?Sized>(&self, row: &T) -> Replace {
        Replace::new(self.endpoint.clone(), serde_json::to_vec(row))
    }

    /// Changes the rows that the filters match to these values.
    pub fn update<T: Serialize + ?Sized>(&self, values: &T) -> Update {
        Update::new(self.endpoint.clone(), serde_json::to_vec(values))
    }

    /// Deletes the rows that the filters match.
    pub fn delete(&self) -> Delete {
        Delete::new(self.endpoint.clone())
    }
}

/// A schema of the database other than the one that is exposed first.
///
/// ```
/// # use cloud_client::Client;
/// # let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
/// let invoices = client.schema("billing").table("invoices").select(["id"]).eq("paid", false);
/// # Ok::<(), cloud_client::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a schema only names where tables and functions are"]
pub struct Schema {
    client: Client,
    name: String,
}

impl Schema {
    /// Reads and writes of one table or view in it.
    pub fn table(&self, name: impl Into<String>) -> Table {
        let table = Table::new(self.client.clone(), name.into());
        Table { endpoint: Endpoint { schema: Some(self.name.clone()), ..table.endpoint } }
    }

    /// A database function in it, with its named arguments.
    pub fn rpc<A: Serialize + ?Sized>(&self, function: impl Into<String>, arguments: &A) -> Rpc {
        Rpc::new(self.client.clone(), function.into(), arguments).inside(self.name.clone())
    }
}

impl Client {
    /// A database function, with its named arguments (an object; `&()` for none).
    pub fn rpc<A: Serialize + ?Sized>(&self, function: impl Into<String>, arguments: &A) -> Rpc {
        Rpc::new(self.clone(), function.into(), arguments)
    }

    /// The tables and functions of another schema of the database.
    pub fn schema(&self, name: impl Into<String>) -> Schema {
        Schema { client: self.clone(), name: name.into() }
    }
}

/// Where a request goes.
#[derive(Clone, Debug)]
struct Endpoint {
    client: Client,
    name: String,
    schema: Option<String>,
    function: bool,
}

impl Endpoint {
    /// The call for a query, unless there is a `fault` in it.
    fn call(&self, method: Method, query: String, fault: Option<&'static str>) -> Result<Call, Error> {
        if let Some(why) = fault.or_else(|| (query.len() > QUERY_LIMIT_BYTES).then_some(TOO_LONG)) {
            return Err(refused(why));
        }
        let profile =
            if method == Method::GET || method == Method::HEAD { "accept-profile" } else { "content-profile" };
        let mut call = Call::new(Service::Rest, method);
        call = if self.function { call.segment("rpc") } else { call };
        call = call.value_segment(if self.function { "function" } else { "table" }, &self.name);
        if let Some(schema) = &self.schema {
            let name = HeaderValue::from_bytes(schema.as_bytes())
                .map_err(|_| refused("the name of a schema cannot hold control characters"))?;
            call = call.header(HeaderName::from_static(profile), name);
        }
        Ok(if query.is_empty() { call } else { call.encoded_query(query) })
    }
}

impl Endpoint {
    /// Sends a call of this endpoint, and remembers what the answer shows of features that not every server has.
    async fn send(&self, call: Call) -> Result<Reply, Error> {
        let limited = call.header_text("prefer").contains("max-affected");
        let sent = self.client.send(call).await;
        let unsupported = |reason: &str, error: &Error| Support::unsupported(reason, error.code().as_str());
        match &sent {
            Ok(reply) if limited && names_max_affected(reply) => {
                self.client.mark(Capability::REST_MAX_AFFECTED, Support::Supported);
            }
            // A preference that the server does not know, said to one who insists on it.
            Err(error) if limited && error.server_code() == Some("PGRST122") => {
                let reason = "The server cannot limit the rows that a write touches.";
                self.client.mark(Capability::REST_MAX_AFFECTED, unsupported(reason, error));
            }
            Err(error) if error.server_code() == Some("PGRST123") => {
                let reason = "The server does not allow aggregates.";
                self.client.mark(Capability::REST_AGGREGATES, unsupported(reason, error));
            }
            _ => {}
        }
        sent
    }
}

fn names_max_affected(reply: &Reply) -> bool {
    let applied = reply.headers.get("preference-applied").and_then(|value| value.to_str().ok());
    applied.is_some_and(|applied| applied.contains("max-affected"))
}

fn refused(why: &'static str) -> Error {
    Error::new(QUERY_INVALID).during("building a table query").with_detail(why)
}

/// The only row, or none.
fn one_of<T>(mut rows: Vec<T>) -> Result<Option<T>, Error> {
    if rows.len() > 1 {
        return Err(Error::new(NOT_ONE_ROW).during("reading one row").with_detail("several rows match"));
    }
    Ok(rows.pop())
}

/// Says which shape the answer is to have.
fn accept(call: Call, object: bool, without_nulls: bool) -> Call {
    let kind = match (object, without_nulls) {
        (false, false) => return call,
        (false, true) => "application/vnd.pgrst.array+json;nulls=stripped",
        (true, false) => "application/vnd.pgrst.object+json",
        (true, true) => "application/vnd.pgrst.object+json;nulls=stripped",
    };
    call.header(header::ACCEPT, HeaderValue::from_static(kind))
}

fn prefer(call: Call, preferences: &[Cow<'static, str>]) -> Result<Call, Error> {
    let value = match preferences {
        [] => return Ok(call),
        [Cow::Borrowed(only)] => HeaderValue::from_static(only),
        several => HeaderValue::try_from(several.join(",")).map_err(|_| refused("a preference is no header text"))?,
    };
    Ok(call.header(HeaderName::from_static("prefer"), value))
}

/// Adds `name=value` to a query, percent-encoded.
fn push_pair(query: &mut String, name: &str, value: &str) {
    push_pair_with(query, |out| out.push_str(name), |out| out.push_str(value));
}

/// Adds `name=value` to a query, both written by the one who asks and then percent-encoded.
fn push_pair_with(query: &mut String, name: impl FnOnce(&mut String), value: impl FnOnce(&mut String)) {
    if !query.is_empty() {
        query.push('&');
    }
    push_encoded(query, name);
    query.push('=');
    push_encoded(query, value);
}

fn push_encoded(query: &mut String, write: impl FnOnce(&mut String)) {
    let from = query.len();
    write(query);
    // Most of a query is plain and stays as it was written.
    if !query.bytes().skip(from).all(is_plain) {
        let written = query.split_off(from);
        push_query_text(query, &written);
    }
}

#[cfg(test)]
mod tests;
