//! Rows as comma-separated values, both ways.
//!
//! Body → a head of names and lines of fields, of which a line may have fewer ([`read`]); rows as JSON and the types of their columns → the text that
//! PostgreSQL prints of a record, a line each ([`write`]). `NULL` in a body is null; nothing between two commas is an empty
//! text there and null on the way out.
//! Wire source: RFC 4180; PostgREST 14, "text/csv"; PostgreSQL record output.

use super::json::Json;
use crate::core::schema::PgType;

/// The names and types of the columns of an answer.
pub(crate) type Columns = Vec<(String, PgType)>;

/// Reads a body: the names of its first line, and the fields of the others; `None` when there is no line at all.
pub(crate) fn read(text: &str) -> Option<(Vec<String>, Vec<Vec<String>>)> {
    let mut lines = Vec::new();
    let (mut line, mut field, mut chars) = (Vec::new(), String::new(), text.chars().peekable());
    let mut in_quotes = false;
    while let Some(next) = chars.next() {
        match next {
            '"' if in_quotes && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if in_quotes || field.is_empty() => in_quotes = !in_quotes,
            ',' if !in_quotes => line.push(std::mem::take(&mut field)),
            '\r' if !in_quotes && chars.peek() == Some(&'\n') => {}
            '\n' if !in_quotes => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !line.is_empty() {
        line.push(field);
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let names = lines.next()?;
    Some((names, lines.filter(|line| line.iter().any(|field| !field.is_empty())).collect()))
}

/// Writes rows, each a JSON object with these columns.
pub(crate) fn write(columns: &Columns, rows: &[String]) -> String {
    let head = if rows.is_empty() { String::new() } else { names(columns) };
    let line = |row: &String| {
        let row = Json::parse(row).unwrap_or(Json::Null);
        let fields = columns.iter().map(|(name, ty)| field(row.member(name), *ty));
        fields.collect::<Vec<_>>().join(",")
    };
    format!("{head}\n{}", rows.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn names(columns: &Columns) -> String {
    columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
}

/// One value, as it stands in the text of a record.
fn field(value: Option<&Json>, ty: PgType) -> String {
    let text = match (ty, value) {
        (_, None | Some(Json::Null)) => return String::new(),
        (_, Some(Json::Bool(value))) if ty == PgType::Bool => if *value { "t" } else { "f" }.to_owned(),
        (PgType::Jsonb, Some(json)) => json.to_string(),
        (PgType::Timestamptz, Some(Json::Text(time))) => time.replacen('T', " ", 1).replace("+00:00", "+00"),
        (_, Some(json)) => json.as_plain_text().unwrap_or_default(),
    };
    let plain = |c: char| !c.is_ascii_whitespace() && !"\"\\(),".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_a_head_and_lines_of_fields() {
        let texts = |line: &[&str]| line.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>();
        for (text, names, lines) in [
            ("a,b\n1,2\n", &["a", "b"][..], vec![texts(&["1", "2"])]),
            (
                "a,b\r\n1,\r\n\"x,\"\"y\"\"\n\",NULL",
                &["a", "b"],
                vec![texts(&["1", ""]), texts(&["x,\"y\"\n", "NULL"])],
            ),
            ("a\n", &["a"], vec![]),
        ] {
            assert_eq!(read(text), Some((texts(names), lines)), "{text:?}");
        }
        assert_eq!(read("a,b\n1\n\n2,3,4").unwrap().1, [texts(&["1"]), texts(&["2", "3", "4"])]);
        assert_eq!(read(""), None);
    }

    #[test]
    fn values_are_quoted_as_in_a_record() {
        let columns: Columns =
            [("t", PgType::Text), ("b", PgType::Bool), ("j", PgType::Jsonb), ("at", PgType::Timestamptz)]
                .map(|(name, ty)| (name.to_owned(), ty))
                .into();
        let row = |json: &str| write(&columns, &[json.to_owned()]);
        assert_eq!(
            row(r#"{"t":"a \"b\" (c)","b":true,"j":{"k":1},"at":"2024-01-01T00:00:00.5+00:00"}"#),
            "t,b,j,at\n\"a \"\"b\"\" (c)\",t,\"{\"\"k\"\": 1}\",\"2024-01-01 00:00:00.5+00\""
        );
        assert_eq!(row(r#"{"t":"","b":null,"j":null,"at":null}"#), "t,b,j,at\n\"\",,,");
        assert_eq!(row(r#"{"t":"x\\y","b":false,"j":[],"at":null}"#), "t,b,j,at\n\"x\\\\y\",f,[],");
        assert_eq!(write(&columns, &[]), "\n");
    }
}
