//! A [`Node`] → SQL that yields one JSON text per row.
//!
//! Values travel as bound parameters, names come from the schema, so no text of a request is ever part of
//! the SQL. Parameter `?1` is always the asking person, for the row policies, which are part of every table
//! that is read, embeds included.
//! Wire source: PostgREST 14 query semantics; PostgreSQL null ordering and operator errors.

use http::StatusCode;
use rusqlite::{Connection, Row, types::Value};

use super::{
    error::{ApiError, Outcome},
    functions::{self, decode},
    near::nearest,
    plan::{Embedded, Node, Output},
    scan::{Field, Key},
    select::{Item, OrderTerm},
};
use crate::core::{
    Identity,
    policy::Action,
    schema::{PgType, Table},
};

/// More columns than this in one row are refused; SQLite takes two arguments for each.
const MAX_OUTPUTS: usize = 400;

/// SQL under construction: the asking person and the values bound so far.
#[derive(Debug)]
pub(crate) struct Sql<'i> {
    identity: &'i Identity,
    values: Vec<Value>,
}

/// An SQL expression and its PostgreSQL type.
pub(crate) type Typed = (String, PgType);

impl<'i> Sql<'i> {
    pub(crate) fn new(identity: &'i Identity) -> Self {
        let user = identity.user_id.clone().map_or(Value::Null, Value::Text);
        Self { identity, values: vec![user] }
    }

    /// Binds a value and returns its place in the SQL text.
    pub(crate) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// Runs `text` and reads every row.
    pub(crate) fn query<T>(
        &self,
        conn: &Connection,
        text: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Vec<T>> {
        let failed = |error: rusqlite::Error| decode(&error).unwrap_or_else(|| ApiError::from(error));
        let mut statement = conn.prepare_cached(text).map_err(failed)?;
        // The person is bound even when no policy in the text asks for one.
        for (position, value) in self.values.iter().enumerate().take(statement.parameter_count()) {
            statement.raw_bind_parameter(position + 1, value).map_err(failed)?;
        }
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(read(row).map_err(failed)?);
        }
        Ok(found)
    }

    /// The JSON object of one row of `node`.
    pub(crate) fn object(&mut self, node: &Node<'_>) -> Outcome<String> {
        let mut parts = Vec::new();
        for (name, typed) in self.shown(node)? {
            parts.push(format!("{}, {}", self.bind(Value::Text(name)), printed(typed)));
        }
        Ok(format!("json_object({})", parts.join(", ")))
    }

    /// The columns of one row of `node`, by name, those of spread embeds among them.
    pub(crate) fn shown(&mut self, node: &Node<'_>) -> Outcome<Vec<(String, Typed)>> {
        let mut shown = Vec::new();
        for output in &node.outputs {
            match output {
                Output::Item(Item::Every) => {
                    let columns = node.table.columns.iter();
                    shown.extend(
                        columns.map(|column| (column.name.to_owned(), (named(&node.row, column.name), column.ty))),
                    );
                }
                Output::Item(Item::Column { field, alias, cast }) => {
                    let name = alias.as_deref().unwrap_or_else(|| output_name(field)).to_owned();
                    let typed = self.typed(node, field)?;
                    shown.push((name, cast.as_deref().map_or(Ok(typed.clone()), |wanted| cast_to(typed, wanted))?));
                }
                Output::Embed(position) => {
                    let Some(embed) = node.embeds.get(*position) else { continue };
                    if embed.spread {
                        shown.extend(self.spread(node, embed)?);
                    } else {
                        shown.push((embed.name.clone(), (self.embed(node, embed)?, PgType::Jsonb)));
                    }
                }
                Output::Item(Item::Embed(_) | Item::Aggregate) => {}
            }
        }
        if shown.len() > MAX_OUTPUTS {
            return Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "54011",
                format!("target lists can have at most {MAX_OUTPUTS} entries"),
            ));
        }
        Ok(shown)
    }

    fn embed(&mut self, parent: &Node<'_>, embed: &Embedded<'_>) -> Outcome<String> {
        let node = &embed.node;
        if !embed.link.is_to_one() && node.counts_rows() {
            let source = self.joined(parent, embed)?;
            return Ok(format!("(SELECT json_array(json_object('count', count(*))) {source})"));
        }
        let object = self.object(node)?;
        if embed.link.is_to_one() {
            return Ok(format!("(SELECT {object} {} LIMIT 1)", self.joined(parent, embed)?));
        }
        let window = self.window(parent, embed)?;
        Ok(format!("(SELECT json_group_array(json(o)) FROM (SELECT {object} AS o {window}))"))
    }

    /// The columns of an embed as columns of its parent: a value each where there is one row, a list each otherwise.
    fn spread(&mut self, parent: &Node<'_>, embed: &Embedded<'_>) -> Outcome<Vec<(String, Typed)>> {
        let mut columns = Vec::new();
        for (name, (expression, ty)) in self.shown(&embed.node)? {
            columns.push(if embed.link.is_to_one() {
                (name, (format!("(SELECT {expression} {} LIMIT 1)", self.joined(parent, embed)?), ty))
            } else {
                let (value, window) = (printed((expression, ty)), self.window(parent, embed)?);
                let list = format!(
                    "(SELECT json_group_array(json(o -> '$[0]')) FROM (SELECT json_array({value}) AS o {window}))"
                );
                (name, (list, PgType::Jsonb))
            });
        }
        Ok(columns)
    }

    /// `FROM … WHERE …` of the children of one parent row.
    pub(super) fn joined(&mut self, parent: &Node<'_>, embed: &Embedded<'_>) -> Outcome<String> {
        let conditions = self.conditions(&embed.node)?;
        Ok(format!(
            "FROM {} WHERE {} AND {conditions}",
            aliased(embed.node.table, &embed.node.row),
            join_condition(parent, embed)
        ))
    }

    /// The same, sorted and cut as the request says.
    fn window(&mut self, parent: &Node<'_>, embed: &Embedded<'_>) -> Outcome<String> {
        let (source, order) = (self.joined(parent, embed)?, self.order(&embed.node)?);
        let limit = self.bind(Value::Integer(embed.node.limit.unwrap_or(-1)));
        let offset = self.bind(Value::Integer(embed.node.offset.unwrap_or(0)));
        Ok(format!("{source} ORDER BY {order} LIMIT {limit} OFFSET {offset}"))
    }

    /// Everything a row of `node` must meet: policy, filters, and a match for every inner embed.
    pub(crate) fn conditions(&mut self, node: &Node<'_>) -> Outcome<String> {
        let mut parts = vec![node.table.security.predicate(self.identity, Action::Select, &node.row)];
        for tree in &node.conditions {
            parts.push(self.tree(node, tree)?);
        }
        for embed in node.embeds.iter().filter(|embed| embed.inner) {
            parts.push(format!("EXISTS (SELECT 1 {})", self.joined(node, embed)?));
        }
        Ok(parts.join(" AND "))
    }

    /// The sort keys of `node`, made total by the order of insertion.
    pub(crate) fn order(&mut self, node: &Node<'_>) -> Outcome<String> {
        let mut keys = Vec::new();
        for term in &node.order {
            let expression = match &term.relation {
                None => sortable(self.typed(node, &term.field)?),
                Some(relation) => self.related(node, relation, term)?,
            };
            let direction = if term.descending { "DESC" } else { "ASC" };
            let nulls = if term.nulls_first.unwrap_or(term.descending) { "FIRST" } else { "LAST" };
            keys.push(format!("{expression} {direction} NULLS {nulls}"));
        }
        keys.push(format!("{}.rowid", node.row));
        Ok(keys.join(", "))
    }

    fn related(&mut self, node: &Node<'_>, relation: &str, term: &OrderTerm) -> Outcome<String> {
        let Some(embed) = node.embed(relation) else { return Err(ApiError::not_embedded(relation)) };
        if !embed.link.is_to_one() {
            let message = format!("A related order on '{relation}' is not possible");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "PGRST118", message).details(format!(
                "'{}' and '{relation}' do not form a many-to-one or one-to-one relationship",
                node.table.name
            )));
        }
        let expression = sortable(self.typed(&embed.node, &term.field)?);
        Ok(format!("(SELECT {expression} {} LIMIT 1)", self.joined(node, embed)?))
    }

    pub(super) fn typed(&mut self, node: &Node<'_>, field: &Field) -> Outcome<Typed> {
        let Some(column) = node.table.column(&field.name) else {
            // PostgREST numbers the tables of embeds, and so do its messages.
            let shown = if node.row == "t0" { node.table.name.to_owned() } else { format!("{}_1", node.table.name) };
            let error = ApiError::unknown_column(&shown, &field.name);
            let near = nearest(node.table.columns.iter().map(|column| column.name), &field.name);
            let near: Vec<String> = near.iter().map(|name| format!("the column \"{shown}.{name}\"")).collect();
            return Err(if near.is_empty() {
                error
            } else {
                error.hint(format!("Perhaps you meant to reference {}.", near.join(" or ")))
            });
        };
        let mut typed = (named(&node.row, column.name), column.ty);
        for step in &field.path {
            if typed.1 != PgType::Jsonb {
                // A scalar has no members: stepping into one gives null, not an error.
                typed.0 = format!("json_quote({})", typed.0);
            }
            let expression = functions::step_sql(&typed.0, step, |value| self.bind(value));
            typed = (expression, if step.as_text { PgType::Text } else { PgType::Jsonb });
        }
        Ok(typed)
    }
}

/// `"table" AS row`
pub(crate) fn aliased(table: &Table, row: &str) -> String {
    format!("\"{}\" AS {row}", table.name)
}

fn named(row: &str, column: &str) -> String {
    format!("{row}.\"{column}\"")
}

fn join_condition(parent: &Node<'_>, embed: &Embedded<'_>) -> String {
    let equal = |(own, other): (&str, &str)| format!("{} = {}", named(&parent.row, own), named(&embed.node.row, other));
    embed.link.pairs().map(equal).collect::<Vec<_>>().join(" AND ")
}

/// The key of a field without alias: the last key of its path, else its column.
fn output_name(field: &Field) -> &str {
    let last_key = field.path.iter().rev().find_map(|step| match &step.key {
        Key::Name(name) => Some(name.as_str()),
        Key::Index(_) => None,
    });
    last_key.unwrap_or(&field.name)
}

/// The expression in a form `json_object` shows as PostgreSQL would.
fn printed((expression, ty): Typed) -> String {
    match ty {
        PgType::Bool => format!("json(CASE {expression} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"),
        PgType::Jsonb => format!("json({expression})"),
        _ => expression,
    }
}

/// The expression in a form whose order and equality are PostgreSQL's.
pub(super) fn sortable((expression, ty): Typed) -> String {
    if ty == PgType::Timestamptz { format!("pg_instant({expression})") } else { expression }
}

fn cast_to((expression, from): Typed, wanted: &str) -> Outcome<Typed> {
    let to = functions::type_named(wanted)
        .ok_or_else(|| ApiError::database("42704", format!("type \"{wanted}\" does not exist")))?;
    if to == from {
        return Ok((expression, from));
    }
    match (from, to) {
        (PgType::Bool, PgType::Int4) | (PgType::Int4, PgType::Int8) => return Ok((expression, to)),
        (PgType::Int4, PgType::Bool) => return Ok((format!("({expression} <> 0)"), to)),
        _ => {}
    }
    // Through text, as the type names themselves are SQL literals of this file's own making.
    Ok((format!("pg_cast({expression}, '{}', '{}')", from.short_name(), to.short_name()), to))
}
