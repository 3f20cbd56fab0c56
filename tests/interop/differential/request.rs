//! One request of the comparison, and the table they are written in.
//!
//! `requests.txt` → lines → [`Request`], with the names of people and rows replaced by their ids.

use std::collections::HashMap;

/// A request, the same for both sides.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Whose token it carries.
    pub(super) who: String,
    pub(super) method: String,
    /// Path below the tables, and query.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
}

impl Request {
    /// Reads one line of the table.
    pub(super) fn read(line: &str, names: &HashMap<&str, String>) -> Self {
        let line = expand(line, names);
        let (line, mut body) = match line.strip_suffix(" |") {
            Some(line) => (line.to_owned(), Some(String::new())),
            None => (line, None),
        };
        let mut parts = line.split(" | ");
        let mut head = parts.next().unwrap().splitn(3, ' ').map(str::to_owned);
        let [who, method, target] = [(); 3].map(|()| head.next().unwrap_or_else(|| panic!("{line}")));
        let mut headers = Vec::new();
        for part in parts {
            match part.split_once(": ") {
                Some((name, value)) if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') => {
                    headers.push((name.to_owned(), value.to_owned()));
                }
                _ => body = Some(part.to_owned()),
            }
        }
        // Lines of a body that has lines are written as one.
        let is_csv = headers.iter().any(|(name, value)| name == "content-type" && value == "text/csv");
        let body = if is_csv { body.map(|body| body.replace("\\n", "\n")) } else { body };
        Self { who, method, target, headers, body }
    }

    /// Whether the rows of the answer have an order of their own.
    pub(super) fn is_ordered(&self) -> bool {
        self.target.contains("order=")
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// As a line of the table, for messages.
    pub(super) fn line(&self) -> String {
        let mut line = format!("{} {} {}", self.who, self.method, self.target);
        for (name, value) in &self.headers {
            line += &format!(" | {name}: {value}");
        }
        self.body.iter().for_each(|body| line += &format!(" | {body}"));
        line
    }
}

/// All requests of `table`.
pub(super) fn read(table: &str, names: &HashMap<&str, String>) -> Vec<Request> {
    table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Request::read(line, names))
        .collect()
}

/// The id of `$c1`: one letter from a to f, then a number.
pub(super) fn made_up_id(kind: char, number: u32) -> String {
    format!("{kind}0000000-0000-4000-8000-{number:012}")
}

/// Puts ids in place of `$name`; a `$` before anything else stays.
fn expand(line: &str, names: &HashMap<&str, String>) -> String {
    let mut parts = line.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        let mut letters = name.chars();
        let kind = letters.next().filter(|letter| ('a'..='f').contains(letter));
        if let Some(id) = names.get(name) {
            expanded += id;
        } else if let (Some(kind), Ok(number)) = (kind, letters.as_str().parse()) {
            expanded += &made_up_id(kind, number);
        } else {
            expanded.push('$');
            expanded += name;
        }
        expanded += rest;
    }
    expanded
}

#[test]
fn a_line_is_a_request() {
    let names = HashMap::from([("ws", "W".to_owned())]);
    let [request]: [Request; 1] =
        read("# x\n\nada POST t?a=match.^p$&b=eq.$ws | prefer: a, b | {\"id\":\"$b7\"}", &names).try_into().unwrap();
    assert_eq!((&*request.who, &*request.method, &*request.target), ("ada", "POST", "t?a=match.^p$&b=eq.W"));
    assert_eq!(request.header("prefer"), "a, b");
    assert_eq!(request.body.as_deref(), Some(r#"{"id":"b0000000-0000-4000-8000-000000000007"}"#));
    assert_eq!(read("ada POST t |", &names)[0].body.as_deref(), Some(""));
}
