//! The table API: `/rest/v1/<table>` over the tables of [`schema`](crate::core::schema).
//!
//! Request → parsed query and headers → plan → SQL in one transaction → answer. The transaction is rolled
//! back on every error, including those that are found only in the answer, such as a second row where one
//! object was asked for. The server calls [`handle`] after it has checked the token; nothing here reads one.
//! Wire source: PostgREST 14 on PostgreSQL.
//!
//! | Module                                | What lives there                          |
//! |---------------------------------------|-------------------------------------------|
//! | [`request`], [`filter`], [`select`]   | the query string, as values               |
//! | [`headers`], [`payload`]              | preferences, media types, bodies          |
//! | [`plan`], [`sql`]                     | names to tables, values to SQL            |
//! | [`read`], [`write`]                   | what runs in the transaction              |
//! | [`value`], [`json`], [`functions`]    | PostgreSQL types and operators on SQLite  |

mod error;
mod filter;
mod functions;
mod headers;
mod json;
mod payload;
mod plan;
mod read;
mod request;
mod respond;
mod scan;
mod select;
mod sql;
mod value;
mod write;

use http::{HeaderMap, Method, StatusCode};
use rusqlite::{Connection, Transaction, TransactionBehavior, types::Value};

use self::{
    error::{ApiError, Outcome},
    filter::{Filter, Operator, Test, Tree},
    headers::{Applies, Preferences, Resolution, Return, Shape},
    payload::Payload,
    plan::Node,
    request::Query,
    respond::Answer,
    sql::{Sql, aliased},
    write::{Conflict, Writer, Written},
};
use crate::core::{
    Identity,
    policy::Action,
    schema::{self, TABLES, Table},
};

pub(crate) use functions::register;

/// A request to the table API.
#[derive(Clone, Debug)]
pub(crate) struct RestRequest {
    pub(crate) method: Method,
    /// What follows `/rest/v1/`, percent-encoded.
    pub(crate) path: String,
    /// What follows `?`, as sent.
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: bytes::Bytes,
}

/// The answer to a [`RestRequest`].
#[derive(Clone, Debug)]
pub(crate) struct RestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What a deployment chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Rows that one read returns at most; a longer result is cut without a word.
    pub(crate) max_rows: Option<u32>,
    /// The tables that can be reached.
    pub(crate) tables: &'static [Table],
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_rows: Some(1000), tables: TABLES }
    }
}

/// Answers `request` as `identity` with the default [`Settings`].
pub(crate) fn handle(conn: &mut Connection, identity: &Identity, request: RestRequest) -> RestResponse {
    handle_with(conn, identity, request, Settings::default())
}

/// Answers `request` as `identity`.
pub(crate) fn handle_with(
    conn: &mut Connection,
    identity: &Identity,
    request: RestRequest,
    settings: Settings,
) -> RestResponse {
    let head = request.method == Method::HEAD;
    let outcome = answer(conn, identity, &request, settings);
    let mut response = outcome.map_or_else(|error| respond::failure(&error), Answer::into_response);
    if head {
        response.body.clear();
    }
    response
}

fn answer(conn: &mut Connection, identity: &Identity, request: &RestRequest, settings: Settings) -> Outcome<Answer> {
    let path = percent_decoded(&request.path);
    let name = match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        [""] => {
            return Err(ApiError::new(StatusCode::NOT_FOUND, "PGRST126", "Root endpoint metadata is disabled"));
        }
        ["rpc", function] => return Err(unknown_function(function, request)),
        [table] => (*table).to_owned(),
        _ => return Err(ApiError::new(StatusCode::NOT_FOUND, "PGRST125", "Invalid path specified in request URL")),
    };
    let job = Job::prepare(identity, request, settings, &name)?;
    let behavior = match job.kind {
        Kind::Read => TransactionBehavior::Deferred,
        _ => TransactionBehavior::Immediate,
    };
    let transaction = conn.transaction_with_behavior(behavior)?;
    let answer = job.run(&transaction)?; // an error drops the transaction, which rolls it back
    transaction.commit()?;
    Ok(answer)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Insert,
    Put,
    Update,
    Delete,
}

/// A request whose text has been read; what is left needs the database.
struct Job<'r> {
    identity: &'r Identity,
    settings: Settings,
    table: &'static Table,
    kind: Kind,
    query: Query,
    preferences: Preferences,
    shape: Shape,
    range: Option<(u64, Option<u64>)>,
    payload: Option<Payload>,
}

impl<'r> Job<'r> {
    fn prepare(identity: &'r Identity, request: &RestRequest, settings: Settings, name: &str) -> Outcome<Self> {
        let headers = &request.headers;
        let kind = match request.method {
            Method::GET | Method::HEAD => Kind::Read,
            Method::POST => Kind::Insert,
            Method::PUT => Kind::Put,
            Method::PATCH => Kind::Update,
            Method::DELETE => Kind::Delete,
            ref other => {
                let message = format!("Unsupported HTTP method: {other}");
                return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "PGRST117", message));
            }
        };
        headers::check_profile(&request.method, headers)?;
        let query = Query::parse(request.query.as_deref().unwrap_or_default())?;
        let range = if request.method == Method::GET { headers::range(headers)? } else { None };
        let bounded = |bounds: &[(request::Path, i64)]| Query::bound(bounds, &[]).is_some();
        if kind == Kind::Put && (bounded(&query.limits) || bounded(&query.offsets)) {
            return Err(ApiError::put_bounds());
        }
        let payload = match kind {
            Kind::Insert | Kind::Put | Kind::Update => {
                Some(Payload::parse(headers, &request.body, query.columns.as_deref())?)
            }
            Kind::Read | Kind::Delete => None,
        };
        let preferences = Preferences::parse(headers)?;
        let table = schema::find(settings.tables, name).ok_or_else(|| ApiError::unknown_table(name))?;
        let shape = Shape::negotiate(headers)?;
        Ok(Self { identity, settings, table, kind, query, preferences, shape, range, payload })
    }

    fn run(self, transaction: &Transaction<'_>) -> Outcome<Answer> {
        if self.kind == Kind::Read {
            return self.read(transaction);
        }
        // Foreign keys are judged after all rows, by the writer; until then SQLite lets them pass.
        transaction.pragma_update(None, "defer_foreign_keys", "ON")?;
        let mut node = Node::plan(self.settings.tables, self.table, &self.query, None)?;
        if !self.table.security.may_write(self.identity) {
            return Err(ApiError::permission_denied(self.table, self.identity));
        }
        match self.kind {
            Kind::Read | Kind::Insert => self.insert(transaction, &mut node),
            Kind::Put => self.put(transaction, &mut node),
            Kind::Update => self.update(transaction, &mut node),
            Kind::Delete => self.delete(transaction, &node),
        }
    }

    fn read(&self, conn: &Connection) -> Outcome<Answer> {
        let max_rows = self.settings.max_rows.map(i64::from);
        let mut node = Node::plan(self.settings.tables, self.table, &self.query, max_rows)?;
        if let Some((first, last)) = self.range {
            let offset = node.offset.unwrap_or(0).max(i64::try_from(first).unwrap_or(i64::MAX));
            if let Some(last) = last {
                let room = i64::try_from(last).unwrap_or(i64::MAX).saturating_sub(offset).saturating_add(1).max(0);
                node.limit = Some(node.limit.map_or(room, |limit| limit.min(room)));
            }
            node.offset = Some(offset);
        }
        let page = read::page(conn, self.identity, &node, self.preferences.count.is_some())?;
        let mut answer = Answer::new(page.status());
        answer.content_range = Some(page.content_range());
        answer.content_location = Some(self.location(&self.query.canonical));
        answer.preference_applied = self.preferences.applied(Applies::default());
        answer.show(self.shape, page.rows)?;
        Ok(answer)
    }

    fn insert(&self, conn: &Connection, node: &mut Node<'_>) -> Outcome<Answer> {
        node.conditions.clear();
        let has_key = !self.table.primary_key.is_empty() || self.query.on_conflict.is_some();
        let resolution = self.preferences.resolution.filter(|_| has_key);
        let conflict = match resolution {
            None => Conflict::Fail,
            Some(resolution) => {
                let key = write::conflict_key(self.table, self.query.on_conflict.as_deref())?;
                match resolution {
                    Resolution::MergeDuplicates => Conflict::Merge(key),
                    Resolution::IgnoreDuplicates => Conflict::Ignore(key),
                }
            }
        };
        let payload = self.payload()?;
        let written = self.writer(conn).insert(payload, &conflict)?;
        let merged_only = resolution == Some(Resolution::MergeDuplicates) && written.inserted == 0;
        let status = if merged_only { StatusCode::OK } else { StatusCode::CREATED };
        let applies =
            Applies { resolution: resolution.is_some(), missing: true, representation: true, ..Applies::default() };
        let mut answer = Answer::new(status);
        if self.preferences.representation == Some(Return::HeadersOnly) {
            answer.location = self.key_location(conn, &written)?;
        }
        let shown = read::touched(conn, self.identity, node, &written.rows);
        self.finish(answer, &written.rows, shown, applies)
    }

    fn put(&self, conn: &Connection, node: &mut Node<'_>) -> Outcome<Answer> {
        let key = self.key_from_filters(&std::mem::take(&mut node.conditions))?;
        let payload = self.payload()?;
        let row = payload.rows.first().ok_or_else(ApiError::put_payload)?;
        for (column, wanted) in &key {
            let given = row.member(column.name).map(|json| value::from_json(column.ty, json)).transpose()?;
            if given != Some(value::from_text(column.ty, wanted)?) {
                return Err(ApiError::put_payload());
            }
        }
        let conflict = Conflict::Merge(self.table.primary_key.to_vec());
        let written = self.writer(conn).insert(&payload.first_only(), &conflict)?;
        let status = match (written.inserted, self.preferences.representation) {
            (1.., _) => StatusCode::CREATED,
            (0, Some(Return::Representation)) => StatusCode::OK,
            (0, _) => StatusCode::NO_CONTENT,
        };
        let shown = read::touched(conn, self.identity, node, &written.rows);
        let mut answer = self.finish(
            Answer::new(status),
            &written.rows,
            shown,
            Applies { representation: true, ..Applies::default() },
        )?;
        answer.content_range = None;
        Ok(answer)
    }

    /// The primary key that the filters spell out, as a single-row upsert demands.
    fn key_from_filters(&self, conditions: &[Tree]) -> Outcome<Vec<(&'static schema::Column, String)>> {
        let mut key = Vec::new();
        for condition in conditions {
            let Tree::Leaf(Filter {
                field,
                negated: false,
                test: Test::Compare { operator: Operator::Eq, quantifier: None, value },
            }) = condition
            else {
                return Err(ApiError::put_filters());
            };
            match self
                .table
                .column(&field.name)
                .filter(|column| field.path.is_empty() && self.table.primary_key.contains(&column.name))
            {
                Some(column) => key.push((column, value.clone())),
                None => return Err(ApiError::put_filters()),
            }
        }
        if key.is_empty() || key.len() != self.table.primary_key.len() {
            return Err(ApiError::put_filters());
        }
        Ok(key)
    }

    fn update(&self, conn: &Connection, node: &mut Node<'_>) -> Outcome<Answer> {
        let payload = self.payload()?;
        // An empty change touches nothing, whatever the filters say.
        let nothing = payload.columns(self.table)?.is_empty();
        let rows = if nothing { Vec::new() } else { read::chosen(conn, self.identity, node, Action::UpdateUsing)? };
        self.writer(conn).update(payload, &rows)?;
        node.conditions.clear();
        self.check_affected(rows.len())?;
        let shown = read::touched(conn, self.identity, node, &rows);
        let applies = Applies { missing: true, representation: true, max_affected: true, ..Applies::default() };
        let mut answer = self.finish(Answer::new(self.changed_status()), &rows, shown, applies)?;
        let total = self.preferences.counts_writes().then_some(rows.len() as u64);
        answer.content_range = Some(read::content_range(0, rows.len(), total));
        Ok(answer)
    }

    fn delete(&self, conn: &Connection, node: &Node<'_>) -> Outcome<Answer> {
        let rows = read::chosen(conn, self.identity, node, Action::Delete)?;
        let shown = read::touched(conn, self.identity, node, &rows);
        self.writer(conn).delete(&rows)?;
        self.check_affected(rows.len())?;
        let applies = Applies { representation: true, max_affected: true, ..Applies::default() };
        self.finish(Answer::new(self.changed_status()), &rows, shown, applies)
    }

    fn changed_status(&self) -> StatusCode {
        match self.preferences.representation {
            Some(Return::Representation) => StatusCode::OK,
            _ => StatusCode::NO_CONTENT,
        }
    }

    /// What every write ends with: the rows if they were asked for, the count, the preferences.
    fn finish(
        &self,
        mut answer: Answer,
        rows: &[i64],
        shown: Outcome<Vec<String>>,
        applies: Applies,
    ) -> Outcome<Answer> {
        answer.preference_applied = self.preferences.applied(applies);
        let total = self.preferences.counts_writes().then_some(rows.len() as u64);
        answer.content_range = Some(read::content_range(0, 0, total));
        if self.preferences.representation == Some(Return::Representation) {
            answer.show(self.shape, shown?)?;
        } else if self.shape.object && rows.len() != 1 {
            return Err(ApiError::not_one_row(rows.len()));
        }
        Ok(answer)
    }

    fn check_affected(&self, rows: usize) -> Outcome<()> {
        if self.preferences.row_limit().is_some_and(|limit| rows > limit) {
            let message = "Query result exceeds max-affected preference constraint";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "PGRST124", message)
                .details(format!("The query affects {rows} rows")));
        }
        Ok(())
    }

    fn payload(&self) -> Outcome<&Payload> {
        self.payload.as_ref().ok_or_else(|| ApiError::bad_body("Empty or invalid json"))
    }

    fn writer<'c>(&self, conn: &'c Connection) -> Writer<'c>
    where
        'r: 'c,
    {
        Writer {
            conn,
            identity: self.identity,
            table: self.table,
            tables: self.settings.tables,
            returning: matches!(self.preferences.representation, Some(Return::Representation | Return::HeadersOnly)),
            missing_default: self.preferences.missing_default == Some(true),
        }
    }

    fn location(&self, query: &str) -> String {
        let question = if query.is_empty() { "" } else { "?" };
        format!("/{}{question}{query}", self.table.name)
    }

    /// Where the only row of an insert can be read.
    fn key_location(&self, conn: &Connection, written: &Written) -> Outcome<Option<String>> {
        let ([rowid], false) = (written.rows.as_slice(), self.table.primary_key.is_empty()) else { return Ok(None) };
        let mut sql = Sql::new(self.identity);
        let id = sql.bind(Value::Integer(*rowid));
        let columns: Vec<String> =
            self.table.primary_key.iter().map(|column| format!("CAST(k.\"{column}\" AS TEXT)")).collect();
        let text = format!("SELECT {} FROM {} WHERE k.rowid = {id}", columns.join(", "), aliased(self.table, "k"));
        let count = columns.len();
        let read = |row: &rusqlite::Row<'_>| (0..count).map(|index| row.get::<_, String>(index)).collect();
        let values: Vec<Vec<String>> = sql.query(conn, &text, read)?;
        let pairs = self.table.primary_key.iter().zip(values.iter().flatten());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs.map(|(column, value)| (column, format!("eq.{value}"))))
            .finish();
        Ok(Some(self.location(&query)))
    }
}

fn percent_decoded(path: &str) -> String {
    let (mut decoded, mut bytes) = (Vec::new(), path.bytes());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit().zip(digit())) {
            (b'%', Some((high, low))) => {
                decoded.extend(u8::try_from(high * 16 + low));
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn unknown_function(name: &str, request: &RestRequest) -> ApiError {
    let mut arguments: Vec<String> = match (&request.method, json::Json::parse(&String::from_utf8_lossy(&request.body)))
    {
        (&Method::POST, Ok(json::Json::Object(fields))) => fields.into_iter().map(|(key, _)| key).collect(),
        (&Method::POST, _) => Vec::new(),
        _ => url::form_urlencoded::parse(request.query.as_deref().unwrap_or_default().as_bytes())
            .map(|(key, _)| key.into_owned())
            .filter(|key| !matches!(key.as_str(), "select" | "order" | "limit" | "offset"))
            .collect(),
    };
    arguments.sort();
    let (signature, with) = if arguments.is_empty() {
        (" without parameters".to_owned(), " without parameters".to_owned())
    } else {
        let list = arguments.join(", ");
        (format!("({list})"), format!(" with parameters {list} or with a single unnamed json/jsonb parameter"))
    };
    let or_without = if arguments.is_empty() && request.method == Method::POST {
        " or with a single unnamed json/jsonb parameter"
    } else {
        ""
    };
    ApiError::new(
        StatusCode::NOT_FOUND,
        "PGRST202",
        format!("Could not find the function public.{name}{signature} in the schema cache"),
    )
    .details(format!(
        "Searched for the function public.{name}{with}{or_without}, but no matches were found in the schema cache."
    ))
}

#[cfg(test)]
mod tests;
