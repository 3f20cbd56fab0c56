//! A [`Filter`] → the SQL condition that holds for the same rows as PostgreSQL's.
//!
//! What an operator means depends on the type of what it is asked of; where PostgreSQL has no such operator, its error
//! comes back. No column here is a range, so the operators of ranges end there. Called by [`Sql::conditions`] alone.
//! Wire source: PostgREST 14, "Operators"; PostgreSQL operator errors.

use rusqlite::types::Value;

use super::{
    error::{ApiError, Outcome},
    filter::{Filter, Joiner, Operator, Quantifier, Test, Tree, Truth, parse_array},
    functions,
    plan::Node,
    sql::{Sql, Typed, sortable},
    text_search::{BadSearch, Configuration, Form, Search},
    value,
};
use crate::core::schema::PgType;

impl Sql<'_> {
    pub(super) fn tree(&mut self, node: &Node<'_>, tree: &Tree) -> Outcome<String> {
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
            Test::Search { form, configuration, text } => self.search(&typed, *form, configuration.as_deref(), text),
        }
    }

    /// As since PostgREST 13: the configuration is that of the column and of the query.
    fn search(&mut self, typed: &Typed, form: Form, configuration: Option<&str>, text: &str) -> Outcome<String> {
        let (expression, ty) = typed;
        if !matches!(ty, PgType::Text | PgType::Jsonb) {
            let first = if configuration.is_some() { "unknown, " } else { "" };
            let message = format!("function to_tsvector({first}{}) does not exist", ty.name());
            return Err(ApiError::database("42883", message).hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            ));
        }
        let query = value::from_text(PgType::Text, text)?;
        let bad = |error: BadSearch| ApiError::database(error.code, error.message);
        let configuration = Configuration::named(configuration).map_err(bad)?;
        Search::read(form, configuration, text).map_err(bad)?;
        let (query, is_json) = (self.bind(query), i64::from(*ty == PgType::Jsonb));
        Ok(format!("pg_search({expression}, {is_json}, '{}', '{}', {query})", form.word(), configuration.name()))
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
    if matches!(operator, Operator::LeftOf | Operator::RightOf) && matches!(ty, PgType::Int4 | PgType::Int8) {
        // On numbers these are shifts, whose result is no condition.
        let message = format!("argument of WHERE must be type boolean, not type {}", ty.name());
        return ApiError::database("42804", message);
    }
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
