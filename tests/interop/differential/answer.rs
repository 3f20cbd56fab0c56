//! What one side answered, in a form that two sides can be compared in.
//!
//! Response → status, the headers a client reads, body. In the body what has to differ is replaced: ids that
//! the database made up, and times of the last day in the form that PostgreSQL prints (any other form stays,
//! and so differs). White space between values goes, since no client sees it; the order of keys stays.

use std::{collections::HashSet, fmt};

use serde_json::value::RawValue;

/// The headers that are compared.
const HEADERS: [&str; 6] =
    ["content-type", "content-range", "preference-applied", "location", "content-location", "www-authenticate"];

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Status,
    Code,
    Message,
    Details,
    Hint,
    Header(&'static str),
    Body,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<Option<String>>,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// The four fields of a failure, as JSON.
    Failure([String; 4]),
    /// Rows, sorted where they have no order of their own.
    Rows(Vec<String>),
    Other(String),
}

impl Answer {
    pub(super) fn new(status: u16, headers: &http::HeaderMap, text: &str, known: &Known, is_ordered: bool) -> Self {
        let headers = HEADERS.map(|name| Some(known.normal(headers.get(name)?.to_str().unwrap_or("?"))));
        Self { status, headers: headers.into(), body: Body::new(status, text, known, is_ordered) }
    }

    /// Whether both hold the same rows, whatever the order of keys.
    pub(super) fn has_same_values(&self, other: &Self) -> bool {
        let values = |answer: &Self| match &answer.body {
            Body::Rows(rows) => rows.iter().map(|row| serde_json::from_str(row).ok()).collect(),
            _ => None::<Vec<serde_json::Value>>,
        };
        values(self).is_some() && values(self) == values(other)
    }

    /// The code of a failure; empty for a success.
    pub(super) fn code(&self) -> &str {
        match &self.body {
            Body::Failure([code, ..]) => code.trim_matches('"'),
            _ => "",
        }
    }

    /// The parts in which two answers differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<Part> {
        let mut parts = Vec::new();
        if self.status != other.status {
            parts.push(Part::Status);
        }
        match (&self.body, &other.body) {
            (Body::Failure(left), Body::Failure(right)) => {
                let fields = [Part::Code, Part::Message, Part::Details, Part::Hint];
                parts.extend(
                    fields.into_iter().zip(left.iter().zip(right)).filter(|(_, (l, r))| l != r).map(|(p, _)| p),
                );
            }
            (left, right) if left != right => parts.push(Part::Body),
            _ => {}
        }
        let headers = HEADERS.into_iter().zip(self.headers.iter().zip(&other.headers));
        parts.extend(headers.filter(|(_, (l, r))| l != r).map(|(name, _)| Part::Header(name)));
        parts
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in HEADERS.iter().zip(&self.headers) {
            value.iter().try_for_each(|value| write!(f, " | {name}: {value}"))?;
        }
        match &self.body {
            Body::Failure(fields) => write!(f, " | failure {}", fields.join(", ")),
            Body::Rows(rows) => write!(f, " | [{}]", rows.join(", ")),
            Body::Other(text) => write!(f, " | {text}"),
        }
    }
}

impl Body {
    fn new(status: u16, text: &str, known: &Known, is_ordered: bool) -> Self {
        if status >= 300
            && let Ok(failure) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
        {
            // Absent and null say the same.
            let field = |name| failure.get(name).unwrap_or(&serde_json::Value::Null).to_string();
            return Self::Failure(["code", "message", "details", "hint"].map(|name| known.normal(&field(name))));
        }
        let Ok(rows) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Self::Other(known.normal(text)) };
        let mut rows: Vec<String> = rows.into_iter().map(|row| known.normal(row.get())).collect();
        if !is_ordered {
            rows.sort();
        }
        Self::Rows(rows)
    }
}

/// What may not be replaced, and what today is.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Ids that somebody chose.
    pub(super) ids: HashSet<String>,
    /// The days that now may fall on, as PostgreSQL begins a time.
    pub(super) days: [String; 2],
}

impl Known {
    /// Adds the ids in `text`.
    pub(super) fn learn(&mut self, text: &str) {
        let found = (0..text.len()).filter_map(|at| uuid_at(text, at)).map(str::to_lowercase);
        self.ids.extend(found);
    }

    /// `text` without what has to differ, and without white space outside of strings.
    fn normal(&self, text: &str) -> String {
        let (mut normal, mut at, mut in_string, mut escaped) = (String::new(), 0, false, false);
        while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
            if let Some(id) = uuid_at(text, at).filter(|id| !self.ids.contains(*id)) {
                normal += "<id>";
                at += id.len();
                continue;
            }
            if let Some(length) = self.time_at(text, at) {
                normal += "<now>";
                at += length;
                continue;
            }
            if next == '"' && !escaped {
                in_string = !in_string;
            }
            escaped = next == '\\' && !escaped;
            if in_string || !next.is_ascii_whitespace() {
                normal.push(next);
            }
            at += next.len_utf8();
        }
        normal
    }

    /// The length of the time of today at `at`: `2024-01-01T00:00:00.123456+00:00`, zeros at the end cut.
    fn time_at(&self, text: &str, at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        let time = self.days.iter().find_map(|day| rest.strip_prefix(day.as_str())?.strip_prefix('T'))?;
        let end = time.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.')?;
        let (clock, fraction) = time.get(..end)?.split_once('.').unwrap_or((time.get(..end)?, "1"));
        let is_good = clock.len() == 8 && fraction.len() <= 6 && !fraction.ends_with('0');
        let zone = time.get(end..)?.starts_with("+00:00");
        (is_good && zone).then(|| rest.len() - time.len() + end + "+00:00".len())
    }
}

/// The id that begins at `at`.
fn uuid_at(text: &str, at: usize) -> Option<&str> {
    let id = text.get(at..at + 36)?;
    let is_id = id.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    is_id.then_some(id)
}

#[test]
fn only_what_has_to_differ_is_replaced() {
    let chosen = "b0000000-0000-4000-8000-000000000001";
    let mut known = Known { ids: HashSet::new(), days: ["2024-02-03".into(), "2024-02-04".into()] };
    known.learn(&format!("x=eq.{chosen}&y"));
    for (text, normal) in [
        (r#"[{"a": "b c", "d" : 1}]"#, r#"[{"a":"b c","d":1}]"#),
        (r#"{"a":"\" b" }"#, r#"{"a":"\" b"}"#),
        (r#""2024-02-03T04:05:06.123+00:00""#, r#""<now>""#),
        (r#""2024-02-04T04:05:06+00:00""#, r#""<now>""#),
        (r#""2024-02-03T04:05:06.120+00:00""#, r#""2024-02-03T04:05:06.120+00:00""#),
        (r#""2024-02-03T04:05:06Z""#, r#""2024-02-03T04:05:06Z""#),
        (r#""2020-02-03T04:05:06+00:00""#, r#""2020-02-03T04:05:06+00:00""#),
        (chosen, chosen),
        ("c0000000-0000-4000-8000-000000000001", "<id>"),
    ] {
        assert_eq!(known.normal(text), normal);
    }
}

#[test]
fn answers_that_differ_anywhere_differ() {
    let known = Known { ids: HashSet::new(), days: ["2024-02-03".into(), "2024-02-04".into()] };
    let answer = |status, range: &str, text, ordered| {
        let headers = http::HeaderMap::from_iter([(http::header::CONTENT_RANGE, range.parse().unwrap())]);
        Answer::new(status, &headers, text, &known, ordered)
    };
    let base = answer(200, "0-1/*", "[1,2]", true);
    let failure = |code, hint| {
        answer(
            400,
            "",
            Box::leak(format!(r#"{{"code":{code},"message":"m","details":null,"hint":{hint}}}"#).into()),
            true,
        )
    };
    for (left, right, parts) in [
        (&base, &answer(200, "0-1/*", "[1, 2]", true), vec![]),
        (&base, &answer(201, "0-1/*", "[1,2]", true), vec![Part::Status]),
        (&base, &answer(200, "0-1/2", "[1,2]", true), vec![Part::Header("content-range")]),
        (&base, &answer(200, "0-1/*", "[2,1]", true), vec![Part::Body]),
        (&answer(200, "0-1/*", "[1,2]", false), &answer(200, "0-1/*", "[2,1]", false), vec![]),
        (&failure("1", "null"), &failure("2", "3"), vec![Part::Code, Part::Hint]),
    ] {
        assert_eq!(left.differences(right), parts);
    }
}
