//! The body of a write → columns and rows.
//!
//! JSON is taken, and comma-separated values. Without `columns` the keys of the body are the columns and every object must have
//! the same ones; with it, other keys are ignored.
//! Wire source: PostgREST 14, "Insert", "Specifying columns".

use http::HeaderMap;

use super::{
    csv,
    error::{ApiError, Outcome},
    json::Json,
};
use crate::core::schema::{Column, Table};

/// The rows of a body.
#[derive(Debug)]
pub(crate) struct Payload {
    keys: Vec<String>,
    pub(crate) rows: Vec<Json>,
}

impl Payload {
    /// Reads a body; anything that is neither an object nor an array counts as no rows.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8], columns: Option<&[String]>) -> Outcome<Self> {
        if let Some(given) = headers.get("content-type").and_then(|value| value.to_str().ok()) {
            let media = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if media == "text/csv" {
                return Self::csv(body, columns);
            }
            if media != "application/json" && !(media.starts_with("application/") && media.ends_with("+json")) {
                return Err(ApiError::bad_body(format!("Content-Type not acceptable: {media}")));
            }
        }
        let invalid = || ApiError::bad_body("Empty or invalid json");
        let text = std::str::from_utf8(body).map_err(|_| invalid())?;
        let rows = match Json::parse(text).map_err(|_| invalid())? {
            Json::List(rows) => rows,
            row @ Json::Object(_) => vec![row],
            _ => Vec::new(),
        };
        if let Some(columns) = columns {
            if rows.iter().any(|row| !matches!(row, Json::Object(_))) {
                return Err(ApiError::database("22023", "argument of json_to_recordset must be an array of objects"));
            }
            return Ok(Self { keys: columns.to_vec(), rows });
        }
        let uneven = || ApiError::bad_body("All object keys must match");
        let mut keys: Vec<String> = Vec::new();
        for (position, row) in rows.iter().enumerate() {
            let Json::Object(fields) = row else { return Err(uneven()) };
            if position == 0 {
                keys.extend(fields.iter().map(|(key, _)| key.clone()));
            }
            // Rows of one writer have their keys in one order, so a key is mostly found where it is looked for first.
            let mut fields_at = fields.iter().enumerate();
            if fields.len() != keys.len()
                || !fields_at.all(|(at, (key, _))| keys.get(at) == Some(key) || keys.contains(key))
            {
                return Err(uneven());
            }
        }
        Ok(Self { keys, rows })
    }

    /// Reads lines of fields below a line of names.
    fn csv(body: &[u8], columns: Option<&[String]>) -> Outcome<Self> {
        let empty = || ApiError::bad_body("All lines must have same number of fields");
        let (names, lines) = std::str::from_utf8(body).ok().and_then(csv::read).ok_or_else(empty)?;
        let value = |text: String| if text == "NULL" { Json::Null } else { Json::Text(text) };
        let row = |line: Vec<String>| Json::Object(names.iter().cloned().zip(line.into_iter().map(value)).collect());
        let rows = lines.into_iter().map(row).collect();
        Ok(Self { keys: columns.map_or_else(|| names.clone(), <[_]>::to_vec), rows })
    }

    /// The same with no row but the first.
    pub(crate) fn first_only(&self) -> Self {
        Self { keys: self.keys.clone(), rows: self.rows.first().cloned().into_iter().collect() }
    }

    /// The columns of `table` that the body sets.
    pub(crate) fn columns(&self, table: &Table) -> Outcome<Vec<&'static Column>> {
        let mut columns: Vec<&'static Column> = Vec::new();
        for key in &self.keys {
            let column = table.column(key).ok_or_else(|| ApiError::unknown_payload_column(table, key))?;
            if !columns.iter().any(|known| known.name == column.name) {
                columns.push(column);
            }
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_object_or_even_objects() {
        let parse = |body: &str| Payload::parse(&HeaderMap::new(), body.as_bytes(), None);
        assert_eq!(parse(r#"{"a":1}"#).unwrap().rows.len(), 1);
        assert_eq!(parse(r#"[{"a":1,"b":2},{"b":1,"a":2}]"#).unwrap().rows.len(), 2);
        assert_eq!(parse("[]").unwrap().rows.len(), 0);
        assert_eq!(parse("5").unwrap().rows.len(), 0);
        for (body, message) in [
            ("", "Empty or invalid json"),
            ("{", "Empty or invalid json"),
            (r#"[{"a":1},{"b":1}]"#, "All object keys must match"),
            (r#"[{"a":1},{}]"#, "All object keys must match"),
            ("[1]", "All object keys must match"),
        ] {
            let error = parse(body).unwrap_err();
            assert_eq!((error.code, &*error.message), ("PGRST102", message), "{body}");
        }
    }

    #[test]
    fn other_media_types_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/plain".parse().unwrap());
        let error = Payload::parse(&headers, b"{}", None).unwrap_err();
        assert_eq!(&*error.message, "Content-Type not acceptable: text/plain");
    }
}
