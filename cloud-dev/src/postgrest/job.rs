//! One request to a table, from its text to its answer.
//!
//! [`Job::prepare`] reads path, query, headers and body, in the order in which PostgREST would complain about
//! them; [`Job::run`] does the rest inside a transaction. What is checked only on the result (one object,
//! the most rows a write may touch) is an error like any other, so the caller's rollback undoes the write.
//! Wire source: PostgREST 14, "Tables and views".

use http::{Method, StatusCode};
use rusqlite::{Connection, Transaction, TransactionBehavior, types::Value};

use super::{
    RestRequest, Settings,
    error::{ApiError, Outcome},
    filter::{Filter, Operator, Test, Tree},
    headers::{self, Applies, Preferences, Resolution, Return, Shape},
    payload::Payload,
    plan::Node,
    read,
    request::{self, Query},
    respond::Answer,
    sql::{Sql, aliased},
    value,
    write::{self, Conflict, Known, Writer, Written},
};
use crate::core::{
    Identity,
    policy::Action,
    schema::{self, Table},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Insert,
    Put,
    Update,
    Delete,
}

/// A request whose text has been read; what is left needs the database.
#[derive(Debug)]
pub(super) struct Job<'r> {
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
    /// Reads everything that can be read without the database.
    pub(super) fn prepare(
        identity: &'r Identity,
        request: &RestRequest,
        settings: Settings,
        name: &str,
    ) -> Outcome<Self> {
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

    /// How the transaction of this job begins.
    pub(super) const fn behavior(&self) -> TransactionBehavior {
        match self.kind {
            Kind::Read => TransactionBehavior::Deferred,
            Kind::Insert | Kind::Put | Kind::Update | Kind::Delete => TransactionBehavior::Immediate,
        }
    }

    /// Answers the request; on an error the caller rolls the transaction back.
    pub(super) fn run(self, transaction: &Transaction<'_>) -> Outcome<Answer> {
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
            // The window of limit and offset, cut to the one of the header.
            let start = node.offset.unwrap_or(0);
            let bound = |position: u64| i64::try_from(position).unwrap_or(i64::MAX - 1);
            let ends = [node.limit.map(|limit| start.saturating_add(limit)), last.map(|last| bound(last) + 1)];
            let offset = start.max(bound(first));
            if let Some(end) = ends.into_iter().flatten().min() {
                if end < offset {
                    return Err(ApiError::bad_range("Limit should be greater than or equal to zero."));
                }
                node.limit = Some(end - offset);
            }
            node.offset = Some(offset);
        }
        if node.limit == Some(0) && node.offset.is_some_and(|offset| offset > 0) {
            // Nothing at all is a window only at the start.
            return Err(ApiError::bad_range("Limit should be greater than or equal to zero."));
        }
        let location = self.location(&self.query.canonical);
        let applied = self.preferences.applied(Applies::default());
        let page = read::page(conn, self.identity, &node, self.preferences.count.is_some()).map_err(|mut error| {
            if let Some(range) = &mut error.range {
                range.content_location = Some(location.clone());
                range.preference_applied.clone_from(&applied);
            }
            error
        })?;
        let mut answer = Answer::new(page.status());
        answer.content_range = Some(page.content_range());
        answer.content_location = Some(location);
        answer.preference_applied = applied;
        answer.show(self.shape, &page.columns, page.rows)?;
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
        let shown = || read::touched(conn, self.identity, node, &written.rows);
        self.finish(answer, node, &written.rows, shown, applies)
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
        let shown = || read::touched(conn, self.identity, node, &written.rows);
        let mut answer = self.finish(
            Answer::new(status),
            node,
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
        let shown = || read::touched(conn, self.identity, node, &rows);
        let applies = Applies { missing: true, representation: true, max_affected: true, ..Applies::default() };
        let mut answer = self.finish(Answer::new(self.changed_status()), node, &rows, shown, applies)?;
        let total = self.preferences.counts_writes().then_some(rows.len() as u64);
        answer.content_range = Some(read::content_range(0, rows.len(), total));
        Ok(answer)
    }

    fn delete(&self, conn: &Connection, node: &Node<'_>) -> Outcome<Answer> {
        let rows = read::chosen(conn, self.identity, node, Action::Delete)?;
        // What will be gone afterwards is read before.
        let returned = self.preferences.representation == Some(Return::Representation);
        let shown = if returned { read::touched(conn, self.identity, node, &rows)? } else { Vec::new() };
        self.writer(conn).delete(&rows)?;
        self.check_affected(rows.len())?;
        let applies = Applies { representation: true, max_affected: true, ..Applies::default() };
        self.finish(Answer::new(self.changed_status()), node, &rows, || Ok(shown), applies)
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
        node: &Node<'_>,
        rows: &[i64],
        shown: impl FnOnce() -> Outcome<Vec<String>>,
        applies: Applies,
    ) -> Outcome<Answer> {
        answer.preference_applied = self.preferences.applied(applies);
        let total = self.preferences.counts_writes().then_some(rows.len() as u64);
        answer.content_range = Some(read::content_range(0, 0, total));
        if self.preferences.representation == Some(Return::Representation) {
            answer.show(self.shape, &read::columns(self.identity, node)?, shown()?)?;
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
            known: Known::default(),
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
