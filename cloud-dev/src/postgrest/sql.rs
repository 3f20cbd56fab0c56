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
    filter::{Filter, Joiner, Operator, Quantifier, Test, Tree, Truth, parse_array},
    functions::{self, decode},
    near::nearest,
    plan::{Embedded, Node, Output},
    scan::{Field, Key},
    select::{Item, OrderTerm},
    value,
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
type Typed = (String, PgType);

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
        for output in &node.outputs {
            match output {
                Output::Item(Item::Every) => {
                    for column in node.table.columns {
                        let expression = printed((named(&node.row, column.name), column.ty));
                        parts.push(format!("'{}', {expression}", column.name));
                    }
                }
                Output::Item(Item::Column { field, alias, cast }) => {
                    let key = alias.as_deref().unwrap_or_else(|| output_name(field)).to_owned();
                    let typed = self.typed(node, field)?;
                    let typed = cast.as_deref().map_or(Ok(typed.clone()), |wanted| cast_to(typed, wanted))?;
                    parts.push(format!("{}, {}", self.bind(Value::Text(key)), printed(typed)));
                }
                Output::Embed(position) => {
                    let Some(embed) = node.embeds.get(*position) else { continue };
                    let value = self.embed(node, embed)?;
                    parts.push(format!("{}, {value}", self.bind(Value::Text(embed.name.clone()))));
                }
                Output::Item(Item::Embed(_) | Item::Aggregate) => {}
            }
        }
        if parts.len() > MAX_OUTPUTS {
            return Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "54011",
                format!("target lists can have at most {MAX_OUTPUTS} entries"),
            ));
        }
        Ok(format!("json_object({})", parts.join(", ")))
    }

    fn embed(&mut self, parent: &Node<'_>, embed: &Embedded<'_>) -> Outcome<String> {
        let node = &embed.node;
        let source = self.joined(parent, embed)?;
        if !embed.link.is_to_one() && node.counts_rows() {
            return Ok(format!("json((SELECT json_array(json_object('count', count(*))) {source}))"));
        }
        let object = self.object(node)?;
        if embed.link.is_to_one() {
            return Ok(format!("json((SELECT {object} {source} LIMIT 1))"));
        }
        let order = self.order(node)?;
        let (limit, offset) = (self.bind(Value::Integer(node.limit.unwrap_or(-1))), node.offset.unwrap_or(0));
        let offset = self.bind(Value::Integer(offset));
        Ok(format!(
            "json((SELECT json_group_array(json(o)) FROM \
             (SELECT {object} AS o {source} ORDER BY {order} LIMIT {limit} OFFSET {offset})))"
        ))
    }

    /// `FROM … WHERE …` of the children of one parent row.
    fn joined(&mut self, parent: &Node<'_>, embed: &Embedded<'_>) -> Outcome<String> {
        let conditions = self.conditions(&embed.node)?;
        Ok(format!(
            "FROM {} WHERE {} AND {conditions}",
            aliased(embed.node.table, &embed.node.row),
            join_condition(parent, embed)
        ))
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

    fn tree(&mut self, node: &Node<'_>, tree: &Tree) -> Outcome<String> {
        match tree {
            Tree::Leaf(filter) => {
                let test = self.filter(node, filter)?;
                Ok(if filter.negated { format!("(NOT {test})") } else { test })
            }
            Tree::Group { negated, joiner, items } => {
                let items = items.iter().map(|item| self.tree(node, item)).collect::<Outcome<Vec<_>>>()?;
                let joiner = match joiner {
                    Joiner::And => " AND ",
                    Joiner::Or => " OR ",
                };
                Ok(format!("({}({}))", if *negated { "NOT " } else { "" }, items.join(joiner)))
            }
        }
    }

    fn filter(&mut self, node: &Node<'_>, filter: &Filter) -> Outcome<String> {
        if let (Test::Is(truth @ (Truth::Null | Truth::NotNull)), []) = (&filter.test, filter.field.path.as_slice())
            && node.table.column(&filter.field.name).is_none()
            && let Some(embed) = node.embed(&filter.field.name)
        {
            let not = if *truth == Truth::Null { "NOT " } else { "" };
            return Ok(format!("({not}EXISTS (SELECT 1 {}))", self.joined(node, embed)?));
        }
        let typed = self.typed(node, &filter.field)?;
        match &filter.test {
            Test::Compare { operator, quantifier: None, value } => self.compare(&typed, *operator, value),
            Test::Compare { operator, quantifier: Some(quantifier), value } => {
                if operator.is_for_text() && typed.1 != PgType::Text {
                    return Err(no_operator(typed.1, *operator));
                }
                let items = parse_array(value).ok_or_else(|| malformed_array(value))?;
                let mut tests = Vec::new();
                for item in items {
                    tests.push(match item {
                        Some(item) => self.compare(&typed, *operator, &item)?,
                        None => "NULL".to_owned(),
                    });
                }
                let (joiner, empty) = match quantifier {
                    Quantifier::Any => (" OR ", "0"),
                    Quantifier::All => (" AND ", "1"),
                };
                Ok(if tests.is_empty() { empty.to_owned() } else { format!("({})", tests.join(joiner)) })
            }
            Test::In(items) => {
                if matches!(items.as_slice(), [only] if only.is_empty()) {
                    return Ok("0".to_owned());
                }
                if typed.1 == PgType::Jsonb {
                    let tests = items
                        .iter()
                        .map(|item| self.compare(&typed, Operator::Eq, item))
                        .collect::<Outcome<Vec<_>>>()?;
                    return Ok(format!("({})", tests.join(" OR ")));
                }
                let mut places = Vec::new();
                for item in items {
                    let value = comparable(typed.1, item)?;
                    places.push(self.bind(value));
                }
                Ok(format!("({} IN ({}))", sortable(typed), places.join(", ")))
            }
            Test::Is(truth) => is(&typed, *truth),
            Test::IsDistinct(text) => {
                let place = comparable(typed.1, text)?;
                let place = self.bind(place);
                Ok(format!("({} IS NOT {place})", sortable(typed)))
            }
            Test::Unsupported(name) => {
                Err(ApiError::new(StatusCode::BAD_REQUEST, "PGRST127", "Feature not implemented")
                    .details(format!("The operator '{name}' is not offered by the development cloud.")))
            }
        }
    }

    fn compare(&mut self, typed: &Typed, operator: Operator, text: &str) -> Outcome<String> {
        let (expression, ty) = typed;
        match operator {
            Operator::Like | Operator::Ilike if *ty == PgType::Text => {
                let pattern = self.bind(value::from_text(PgType::Text, &text.replace('*', "%"))?);
                Ok(format!("pg_like({expression}, {pattern}, {})", i64::from(operator == Operator::Ilike)))
            }
            Operator::Match | Operator::Imatch if *ty == PgType::Text => {
                let fold = operator == Operator::Imatch;
                if functions::compile(text, fold).is_err() {
                    return Err(ApiError::database("2201B", "invalid regular expression"));
                }
                let pattern = self.bind(Value::Text(text.to_owned()));
                Ok(format!("pg_regex({expression}, {pattern}, {})", i64::from(fold)))
            }
            Operator::Contains | Operator::ContainedIn if *ty == PgType::Jsonb => {
                let place = self.bind(value::from_text(PgType::Jsonb, text)?);
                Ok(if operator == Operator::Contains {
                    format!("pg_json_contains({expression}, {place})")
                } else {
                    format!("pg_json_contains({place}, {expression})")
                })
            }
            Operator::Eq | Operator::Neq | Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
                let place = comparable(*ty, text)?;
                let place = self.bind(place);
                Ok(match ty {
                    PgType::Jsonb => format!("(pg_json_compare({expression}, {place}) {} 0)", operator.symbol()),
                    _ => format!("({} {} {place})", sortable(typed.clone()), operator.symbol()),
                })
            }
            _ => Err(no_operator(*ty, operator)),
        }
    }

    fn typed(&mut self, node: &Node<'_>, field: &Field) -> Outcome<Typed> {
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
fn sortable((expression, ty): Typed) -> String {
    if ty == PgType::Timestamptz { format!("pg_instant({expression})") } else { expression }
}

/// A value in the form that [`sortable`] expressions are compared with.
fn comparable(ty: PgType, text: &str) -> Outcome<Value> {
    Ok(match (ty, value::from_text(ty, text)?) {
        (PgType::Timestamptz, Value::Text(stored)) => value::instant(&stored).map_or(Value::Null, Value::Integer),
        (_, value) => value,
    })
}

/// PostgreSQL has many types with `<@` and cannot choose; of the others it knows none that fits.
fn no_operator(ty: PgType, operator: Operator) -> ApiError {
    let symbol = operator.symbol();
    if operator == Operator::ContainedIn {
        let message = format!("operator is not unique: {} {symbol} unknown", ty.name());
        return ApiError::database("42725", message)
            .hint("Could not choose a best candidate operator. You might need to add explicit type casts.");
    }
    let message = format!("operator does not exist: {} {symbol} unknown", ty.name());
    ApiError::database("42883", message)
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn malformed_array(text: &str) -> ApiError {
    let error = ApiError::database("22P02", format!("malformed array literal: \"{text}\""));
    if text.trim_start().starts_with('{') {
        return error;
    }
    error.details("Array value must start with \"{\" or dimension information.")
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
    Ok((format!("pg_cast({expression}, '{}', '{}')", short_name(from), short_name(to)), to))
}

const fn short_name(ty: PgType) -> &'static str {
    match ty {
        PgType::Uuid => "uuid",
        PgType::Text => "text",
        PgType::Bool => "bool",
        PgType::Int4 => "int4",
        PgType::Int8 => "int8",
        PgType::Timestamptz => "timestamptz",
        PgType::Jsonb => "jsonb",
    }
}

fn is((expression, ty): &Typed, truth: Truth) -> Outcome<String> {
    let (name, test) = match truth {
        Truth::Null => return Ok(format!("({expression} IS NULL)")),
        Truth::NotNull => return Ok(format!("({expression} IS NOT NULL)")),
        Truth::True => ("TRUE", "IS 1"),
        Truth::False => ("FALSE", "IS 0"),
        Truth::Unknown => ("UNKNOWN", "IS NULL"),
    };
    if *ty != PgType::Bool {
        let message = format!("argument of IS {name} must be type boolean, not type {}", ty.name());
        return Err(ApiError::database("42804", message));
    }
    Ok(format!("({expression} {test})"))
}
