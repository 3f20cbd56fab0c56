//! Database functions: named arguments in, a value, a row or rows out.
//!
//! arguments by serde → JSON body of a `POST`, or, for functions that change nothing, parameters of a `GET` → JSON. A
//! function that gives rows can be filtered, ordered and cut like a table. Wire source: PostgREST "Functions as RPC".
use std::borrow::Cow;

use http::{HeaderValue, Method, header};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Array, Count, Endpoint, Level, Rows, Value, accept, level::level_methods, name::push_name, one_of, prefer,
    push_pair_with, refused,
};
use crate::{Client, Error, call::Reply, error::codes::ENCODE};

const NO_OBJECT: &str = "a function that is called by GET takes its arguments as an object with named fields";
const NO_NULL: &str =
    "a null cannot be an argument of a function called by GET: leave it out or do not call read_only()";
const LIKE_A_FILTER: &str =
    "an argument that begins like an operator (\"eq.\") would be read as a filter: do not call read_only()";

/// A call of a database function.
///
/// ```no_run
/// # use cloud_client::{Client, Error};
/// # use serde_json::{Value, json};
/// # async fn f(client: Client) -> Result<(), Error> {
/// let sum: i64 = client.rpc("add", &json!({"a": 1, "b": 2})).value().await?;
/// client.rpc("tidy_up", &()).run().await?;
/// let near = client.rpc("shops_near", &json!({"place": "Oslo"})).read_only();
/// let open = near.eq("open", true).order("distance").limit(5).fetch::<Value>().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a function is only called by run, value, fetch or one"]
pub struct Rpc {
    endpoint: Endpoint,
    arguments: Result<serde_json::Value, serde_json::Error>,
    level: Level,
    prefer: Vec<Cow<'static, str>>,
    read_only: bool,
    repeatable: bool,
}

impl Rpc {
    pub(crate) fn new<A: Serialize + ?Sized>(client: Client, name: String, arguments: &A) -> Self {
        Self {
            endpoint: Endpoint { client, name, schema: None, function: true },
            arguments: serde_json::to_value(arguments),
            level: Level::default(),
            prefer: Vec::new(),
            read_only: false,
            repeatable: false,
        }
    }

    pub(super) fn inside(mut self, schema: String) -> Self {
        self.endpoint.schema = Some(schema);
        self
    }

    level_methods!();

    /// Calls by `GET`, in a transaction that cannot write: for functions that are `STABLE` or `IMMUTABLE`. May be
    /// repeated safely.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Says that calling it twice has the effect of calling it once. Default: sent once, unless it is read-only.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Fails, and changes nothing, when more than `rows` rows are affected: `rest.too_many_rows`. For functions that
    /// give rows.
    pub fn max_affected(mut self, rows: usize) -> Self {
        self.prefer.push(format!("handling=strict,max-affected={rows}").into());
        self
    }

    /// Counts all rows that the function gives, in this way: [`Rows::total`].
    pub fn counted(mut self, count: Count) -> Self {
        self.prefer.push(count.preference().into());
        self
    }

    async fn send(&self, object: bool) -> Result<Reply, Error> {
        let encode = |cause: &serde_json::Error| Error::new(ENCODE).with_detail(cause.to_string());
        let arguments = self.arguments.as_ref().map_err(encode)?;
        let mut query = String::new();
        if self.read_only {
            push_arguments(&mut query, arguments)?;
        }
        if !self.level.items.is_empty() {
            self.level.push_select(&mut query);
        }
        self.level.push_parameters(&mut query, &mut Vec::new());
        let method = if self.read_only { Method::GET } else { Method::POST };
        let mut call = self.endpoint.call(method, query, self.level.fault(&mut Vec::new()))?;
        if !self.read_only {
            let body = if arguments.is_null() { "{}".to_owned() } else { arguments.to_string() };
            call.body = Some(body.into());
            call = call.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let call = accept(prefer(call, &self.prefer)?, object, false);
        self.endpoint.send(if self.repeatable { call.repeatable() } else { call }).await
    }

    /// Calls a function and does not look at what it gives.
    ///
    /// # Errors
    ///
    /// `api.schema_mismatch` when no function takes these arguments, `rest.ambiguous` when several do, otherwise as
    /// [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; the function may have run.
    pub async fn run(&self) -> Result<(), Error> {
        self.send(false).await.map(|_| ())
    }

    /// Calls a function that gives one value: a scalar, a row, or JSON.
    ///
    /// # Errors
    ///
    /// `net.unreadable` when the value is of another type, otherwise as [`Rpc::run`].
    ///
    /// # Cancel safety
    ///
    /// As [`Rpc::run`].
    pub async fn value<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.send(false).await?.json()
    }

    /// Calls a function that gives rows.
    ///
    /// # Errors
    ///
    /// As [`Rpc::value`].
    ///
    /// # Cancel safety
    ///
    /// As [`Rpc::run`].
    pub async fn fetch<T: DeserializeOwned>(&self) -> Result<Rows<T>, Error> {
        Rows::read(&self.send(false).await?, &self.level)
    }

    /// Calls a function that gives one row, or none.
    ///
    /// # Errors
    ///
    /// `rest.not_one_row` when there are several, otherwise as [`Rpc::value`].
    ///
    /// # Cancel safety
    ///
    /// As [`Rpc::run`].
    pub async fn one<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        one_of(self.fetch::<T>().await?.into_vec())
    }

    /// Calls a function that gives exactly one row; with anything else, nothing is changed.
    ///
    /// # Errors
    ///
    /// `rest.no_row` when there is none, `rest.not_one_row` when there are several, otherwise as [`Rpc::value`].
    ///
    /// # Cancel safety
    ///
    /// As [`Rpc::run`].
    pub async fn exactly_one<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.send(true).await?.json()
    }
}

/// Arguments as query parameters.
fn push_arguments(query: &mut String, arguments: &serde_json::Value) -> Result<(), Error> {
    let fields = match arguments {
        serde_json::Value::Null => return Ok(()),
        serde_json::Value::Object(fields) => fields,
        _ => return Err(refused(NO_OBJECT)),
    };
    for (name, value) in fields {
        let text = argument_text(value).ok_or_else(|| refused(NO_NULL))?;
        if begins_like_a_filter(&text) {
            return Err(refused(LIKE_A_FILTER));
        }
        push_pair_with(query, |out| push_name(out, name), |out| out.push_str(&text));
    }
    Ok(())
}

/// An argument as PostgreSQL reads it; `None` for null.
fn argument_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(elements) => Some(Value::from(array(elements)).as_str().to_owned()),
        other => Some(other.to_string()),
    }
}

fn array(elements: &[serde_json::Value]) -> Array {
    let rows: Option<Vec<_>> = elements.iter().map(serde_json::Value::as_array).collect();
    match rows {
        Some(rows) if !rows.is_empty() => Array::nested(rows.into_iter().map(|row| array(row))),
        _ => elements.iter().fold(Array::default(), |array, element| match argument_text(element) {
            Some(text) => array.push(text),
            None => array.null(),
        }),
    }
}

/// Whether the server would take the text for `operator.value`.
fn begins_like_a_filter(text: &str) -> bool {
    const OPERATORS: [&str; 26] = [
        "not",
        "eq",
        "neq",
        "gt",
        "gte",
        "lt",
        "lte",
        "like",
        "ilike",
        "match",
        "imatch",
        "in",
        "is",
        "isdistinct",
        "cs",
        "cd",
        "ov",
        "sl",
        "sr",
        "nxr",
        "nxl",
        "adj",
        "fts",
        "plfts",
        "phfts",
        "wfts",
    ];
    text.split_once(['.', '(']).is_some_and(|(word, _)| OPERATORS.contains(&word))
}
