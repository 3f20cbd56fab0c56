//! SQL functions that do what SQLite's own operators do differently.
//!
//! Registered once per connection. All are deterministic and give null for null, so they can stand in any
//! condition. A failure carries a PostgreSQL code in front of its text; [`decode`] takes it apart again.
//! Wire source: PostgreSQL operators `LIKE`, `~`, `@>`, `->`, `@@`, and casts.

use rusqlite::{
    Connection, Error,
    functions::{Context, FunctionFlags},
    types::{Value, ValueRef},
};

use super::{
    error::ApiError,
    json::Json,
    scan::{Key, Step},
    text_search::{Configuration, Form, Recent, Search},
    value,
};
use crate::core::schema::PgType;

const FLAGS: FunctionFlags =
    FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_DETERMINISTIC).union(FunctionFlags::SQLITE_INNOCUOUS);

/// Adds the functions that conditions and results use.
pub(crate) fn register(conn: &Connection) -> rusqlite::Result<()> {
    conn.create_scalar_function(
        "pg_instant",
        1,
        FLAGS,
        |ctx| Ok(text(ctx, 0)?.and_then(|text| value::instant(&text))),
    )?;
    conn.create_scalar_function("pg_like", 3, FLAGS, |ctx| {
        let (Some(text), Some(pattern)) = (text(ctx, 0)?, text(ctx, 1)?) else { return Ok(None) };
        let fold = ctx.get::<bool>(2)?;
        Ok(Some(if fold { like(&text.to_lowercase(), &pattern.to_lowercase()) } else { like(&text, &pattern) }))
    })?;
    conn.create_scalar_function("pg_regex", 3, FLAGS, |ctx| {
        let Some(text) = text(ctx, 0)? else { return Ok(None) };
        let fold = ctx.get::<bool>(2)?;
        let regex =
            ctx.get_or_create_aux(1, |pattern| -> Result<regex::Regex, Box<dyn std::error::Error + Send + Sync>> {
                Ok(compile(pattern.as_str()?, fold)?)
            })?;
        Ok(Some(regex.is_match(&text)))
    })?;
    conn.create_scalar_function("pg_json_compare", 2, FLAGS, |ctx| {
        Ok(json(ctx, 0)?.zip(json(ctx, 1)?).map(|(a, b)| a.compare(&b) as i64))
    })?;
    conn.create_scalar_function("pg_json_contains", 2, FLAGS, |ctx| {
        Ok(json(ctx, 0)?.zip(json(ctx, 1)?).map(|(whole, part)| whole.contains(&part)))
    })?;
    // (document, step, is it an index, wanted as text)
    conn.create_scalar_function("pg_json_step", 4, FLAGS, |ctx| {
        let Some(document) = json(ctx, 0)? else { return Ok(None) };
        let found = if ctx.get::<bool>(2)? {
            document.element(ctx.get(1)?)
        } else {
            document.member(&text(ctx, 1)?.unwrap_or_default())
        };
        Ok(found.and_then(
            |found| if ctx.get(3).unwrap_or(false) { found.as_plain_text() } else { Some(found.to_string()) },
        ))
    })?;
    // (document, is it JSON, form of the query, configuration, query)
    let recent = Recent::default();
    conn.create_scalar_function("pg_search", 5, FLAGS, move |ctx| {
        let search = ctx.get_or_create_aux(4, |query| -> Result<Search, Box<dyn std::error::Error + Send + Sync>> {
            let unknown = "unknown form of a search";
            let form = Form::of(&ctx.get::<String>(2)?).ok_or(unknown)?;
            let configuration = Configuration::named(Some(&ctx.get::<String>(3)?)).map_err(|error| error.message)?;
            Ok(Search::read(form, configuration, query.as_str()?).map_err(|error| error.message)?)
        })?;
        let (Some(stored), is_json) = (text(ctx, 0)?, ctx.get::<bool>(1)?) else { return Ok(None) };
        let found = recent.matches(&search, is_json, stored, |stored| match is_json {
            true => Ok(search.document(parsed(stored)?.texts())),
            false => Ok(search.document([stored])),
        });
        found.map(Some)
    })?;
    // (value, type it has, type wanted)
    conn.create_scalar_function("pg_cast", 3, FLAGS, |ctx| {
        let (Some(from), Some(to)) = (type_named(&ctx.get::<String>(1)?), type_named(&ctx.get::<String>(2)?)) else {
            return Err(user_error(&ApiError::database("XX000", "unknown type in a cast")));
        };
        let Some(shown) = shown(ctx, from)? else { return Ok(Value::Null) };
        value::from_text(to, &shown).map_err(|error| user_error(&error))
    })
}

/// One JSON step as SQL over `document`.
pub(crate) fn step_sql(document: &str, step: &Step, mut bind: impl FnMut(Value) -> String) -> String {
    let (key, is_index) = match &step.key {
        Key::Name(name) => (bind(Value::Text(name.clone())), 0),
        Key::Index(index) => (bind(Value::Integer(*index)), 1),
    };
    format!("pg_json_step({document}, {key}, {is_index}, {})", i64::from(step.as_text))
}

/// The type a cast names.
pub(crate) fn type_named(name: &str) -> Option<PgType> {
    Some(match name.to_ascii_lowercase().as_str() {
        "text" | "varchar" | "character varying" => PgType::Text,
        "int" | "int4" | "integer" => PgType::Int4,
        "int8" | "bigint" => PgType::Int8,
        "bool" | "boolean" => PgType::Bool,
        "uuid" => PgType::Uuid,
        "json" | "jsonb" => PgType::Jsonb,
        "timestamptz" | "timestamp with time zone" => PgType::Timestamptz,
        _ => return None,
    })
}

/// Compiles a pattern of the `match` operators.
pub(crate) fn compile(pattern: &str, fold: bool) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).case_insensitive(fold).size_limit(1 << 20).build()
}

fn text(ctx: &Context<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(match ctx.get_raw(index) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(_) | ValueRef::Blob(_) => Some(ctx.get(index)?),
    })
}

fn json(ctx: &Context<'_>, index: usize) -> rusqlite::Result<Option<Json>> {
    text(ctx, index)?.map(|text| parsed(&text)).transpose()
}

fn parsed(text: &str) -> rusqlite::Result<Json> {
    Json::parse(text).map_err(|_| user_error(&ApiError::bad_value("json", text)))
}

/// The text that PostgreSQL's output function gives for a stored value.
fn shown(ctx: &Context<'_>, ty: PgType) -> rusqlite::Result<Option<String>> {
    let Some(text) = text(ctx, 0)? else { return Ok(None) };
    Ok(Some(match ty {
        PgType::Bool => if text == "0" { "false" } else { "true" }.to_owned(),
        PgType::Timestamptz => text.replace('T', " ").replace("+00:00", "+00"),
        _ => text,
    }))
}

fn user_error(error: &ApiError) -> Error {
    Error::UserFunctionError(format!("{}\u{1f}{}", error.code, error.message).into())
}

/// The PostgreSQL failure that one of these functions reported, if `error` is one.
pub(crate) fn decode(error: &Error) -> Option<ApiError> {
    let Error::SqliteFailure(_, Some(text)) = error else { return None };
    let (code, message) = text.split_once('\u{1f}')?;
    let code = ["22P02", "22003", "22007", "22008", "22P05"].into_iter().find(|known| *known == code)?;
    Some(ApiError::database(code, message))
}

/// `LIKE`: `%` any run, `_` any character, `\` takes the next one literally.
pub(crate) fn like(text: &str, pattern: &str) -> bool {
    enum Part {
        Any,
        One,
        Exactly(char),
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(next) = chars.next() {
        parts.push(match next {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Exactly(chars.next().unwrap_or('\\')),
            other => Part::Exactly(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Greedy with one place to return to: the latest `%` and how much it has taken.
    let (mut at, mut part, mut star) = (0, 0, None);
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                star = Some((part, at));
                part += 1;
                continue;
            }
            Some(Part::One) => {}
            Some(Part::Exactly(wanted)) if text.get(at) == Some(wanted) => {}
            _ => match star {
                Some((star_part, taken)) => {
                    star = Some((star_part, taken + 1));
                    (part, at) = (star_part + 1, taken + 1);
                    continue;
                }
                None => return false,
            },
        }
        at += 1;
        part += 1;
    }
    parts.iter().skip(part).all(|part| matches!(part, Part::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_follows_postgresql() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "ABC", false),
            ("abc", "", false),
            ("", "%", true),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("aXbXc", "a%b%c", true),
            ("mississippi", "%issip%", true),
            ("größe", "gr__e", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn functions_give_null_for_null() {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        for call in [
            "pg_instant(NULL)",
            "pg_like(NULL, 'a', 0)",
            "pg_like('a', NULL, 0)",
            "pg_regex(NULL, 'a', 0)",
            "pg_json_compare(NULL, '1')",
            "pg_json_contains('1', NULL)",
            "pg_json_step(NULL, 'a', 0, 0)",
            "pg_json_step('{\"a\":null}', 'a', 0, 1)",
            "pg_cast(NULL, 'int4', 'text')",
            "pg_search(NULL, 0, 'fts', 'simple', 'a')",
            "pg_search(NULL, 1, 'fts', 'simple', 'a')",
        ] {
            let null: bool = conn.query_row(&format!("SELECT {call} IS NULL"), [], |row| row.get(0)).unwrap();
            assert!(null, "{call}");
        }
    }

    #[test]
    fn a_failed_cast_is_postgresql_s_failure() {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        let error = conn.query_row("SELECT pg_cast('x', 'text', 'int4')", [], |_| Ok(())).unwrap_err();
        let error = decode(&error).unwrap();
        assert_eq!((error.code, &*error.message), ("22P02", "invalid input syntax for type integer: \"x\""));
    }
}
