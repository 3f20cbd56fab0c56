//! A request's query string → [`Query`].
//!
//! Parameters are form-decoded, sorted into reserved ones and filters, and parsed; a prefix names the embed
//! a parameter speaks of. Nothing here knows tables.
//! Wire source: PostgREST 14, "URL grammar".

use std::fmt::Write as _;

use super::{
    error::{ApiError, Outcome},
    filter::{self, Filter, Tree},
    scan::{Field, Scanner, name_list},
    select::{self, Item, OrderTerm},
};

/// The embeds a parameter goes through, outermost first; empty for the table itself.
pub(crate) type Path = Vec<String>;

/// A parsed query string.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    /// What to show; `None`, also for a blank list, shows every column.
    pub(crate) select: Option<Vec<Item>>,
    pub(crate) conditions: Vec<(Path, Tree)>,
    pub(crate) orders: Vec<(Path, Vec<OrderTerm>)>,
    pub(crate) limits: Vec<(Path, i64)>,
    pub(crate) offsets: Vec<(Path, i64)>,
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) on_conflict: Option<Vec<String>>,
    /// The parameters in alphabetical order, encoded again.
    pub(crate) canonical: String,
}

impl Query {
    /// Reads the raw text after `?`.
    pub(crate) fn parse(raw: &str) -> Outcome<Self> {
        let mut parameters: Vec<(String, String)> =
            url::form_urlencoded::parse(raw.as_bytes()).map(|(key, value)| (key.into(), value.into())).collect();
        let mut query = Self::default();
        for (key, value) in &parameters {
            query.add(key, value)?;
        }
        parameters.sort();
        let encoded = |(key, value): &(String, String)| format!("{}={}", percent_encoded(key), percent_encoded(value));
        query.canonical = parameters.iter().map(encoded).collect::<Vec<_>>().join("&");
        Ok(query)
    }

    fn add(&mut self, key: &str, value: &str) -> Outcome<()> {
        match key {
            "select" => {
                let items = select::parse_select(value).map_err(|failure| failure.of("select parameter", value))?;
                self.select = Some(items).filter(|items| !items.is_empty());
                return Ok(());
            }
            "columns" => {
                self.columns = Some(name_list(value, "columns parameter")?);
                return Ok(());
            }
            "on_conflict" => {
                self.on_conflict = Some(name_list(value, "on_conflict parameter")?);
                return Ok(());
            }
            _ => {}
        }
        let (prefix, last) = key.rsplit_once('.').map_or(("", key), |(prefix, last)| (prefix, last));
        match last {
            "order" => {
                let terms = select::parse_order(value).map_err(|failure| failure.of("order", value))?;
                self.orders.push((path(prefix)?, terms));
            }
            // A bound that is no number is no bound.
            "limit" => {
                self.limits.extend(value.parse().ok().map(|limit| path(prefix).map(|path| (path, limit))).transpose()?)
            }
            "offset" => {
                self.offsets.extend(value.parse().ok().map(|n| path(prefix).map(|path| (path, n))).transpose()?)
            }
            "and" | "or" => {
                let (prefix, not) = match prefix.strip_suffix("not") {
                    Some("") => ("", "not."),
                    Some(outer) if outer.ends_with('.') => (outer.trim_end_matches('.'), "not."),
                    _ => (prefix, ""),
                };
                let text = format!("{not}{last}{value}");
                let tree = filter::parse_tree(&text).map_err(|failure| failure.of("logic tree", value))?;
                self.conditions.push((path(prefix)?, tree));
            }
            _ => {
                let (path, field) = target(key)?;
                let (negated, test) = filter::parse_value(value).map_err(|failure| failure.of("filter", value))?;
                self.conditions.push((path, Tree::Leaf(Filter { field, negated, test })));
            }
        }
        Ok(())
    }

    /// The last value given for the embed at `path`.
    pub(crate) fn bound(bounds: &[(Path, i64)], path: &[String]) -> Option<i64> {
        bounds.iter().rev().find(|(of, _)| of == path).map(|(_, value)| *value)
    }
}

/// Everything but unreserved characters as `%XX`.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// `a.b` → the embeds `a` and `b`.
fn path(prefix: &str) -> Outcome<Path> {
    if prefix.is_empty() {
        return Ok(Path::new());
    }
    let (mut path, field) = target(prefix)?;
    path.push(field.name);
    Ok(path)
}

/// `a.b.column->key` → the embeds and the field.
fn target(key: &str) -> Outcome<(Path, Field)> {
    let mut scanner = Scanner::new(key);
    let mut read = || {
        let mut path = Path::new();
        loop {
            let field = scanner.field()?;
            if scanner.is_done() {
                return Ok((path, field));
            }
            if !field.path.is_empty() || !scanner.eat('.') {
                return scanner.fail("\".\", \"->\" or end of input");
            }
            path.push(field.name);
        }
    };
    read().map_err(|failure| ApiError::parse("tree path", key, failure.column, failure.details))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_names_the_embed() {
        let query = Query::parse(
            "messages.role=eq.user&messages.order=seq.desc&messages.limit=1&m.sub.not.or=(a.eq.1,b.eq.2)&not.and=(a.eq.1)&a=eq.x%2By+z",
        )
        .unwrap();
        let paths: Vec<String> = query.conditions.iter().map(|(path, _)| path.join("/")).collect();
        assert_eq!(paths, ["messages", "m/sub", "", ""]);
        assert!(matches!(&query.conditions[1].1, Tree::Group { negated: true, .. }));
        assert!(matches!(&query.conditions[2].1, Tree::Group { negated: true, .. }));
        assert_eq!(query.orders[0].0, ["messages"]);
        assert_eq!(Query::bound(&query.limits, &["messages".to_owned()]), Some(1));
        let Tree::Leaf(filter) = &query.conditions[3].1 else { panic!("a filter") };
        assert_eq!(format!("{:?}", filter.test), "Compare { operator: Eq, quantifier: None, value: \"x+y z\" }");
    }

    #[test]
    fn what_cannot_be_read_names_its_parameter() {
        for (raw, message) in [
            ("a=1", "\"failed to parse filter (1)\" (line 1, column 1)"),
            ("select=(", "\"failed to parse select parameter (()\" (line 1, column 1)"),
            ("order=a.up", "\"failed to parse order (a.up)\" (line 1, column 3)"),
            ("columns=", "\"failed to parse columns parameter ()\" (line 1, column 1)"),
            ("or=()", "\"failed to parse logic tree (())\" (line 1, column 4)"),
        ] {
            let error = Query::parse(raw).unwrap_err();
            assert_eq!((error.code, &*error.message), ("PGRST100", message), "{raw}");
        }
    }

    #[test]
    fn a_bound_that_is_no_number_is_ignored() {
        let query = Query::parse("limit=abc&offset=").unwrap();
        assert!(query.limits.is_empty() && query.offsets.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_query_string_makes_the_parser_panic(raw in "[a-z.=&()%0-9,\"-]{0,60}|.{0,60}") {
            let _ = Query::parse(&raw);
        }
    }
}
