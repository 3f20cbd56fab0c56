//! Requests that nobody thought of: reads with random filters, trees, orders and windows, and random writes.
//!
//! Seed → requests. Everything generated is well formed or nearly so: what is compared is what a request
//! means, not how far a parser gets. Every read orders its rows by a key.

use serde_json::{Value, json};

use super::request::{Request, made_up_id};

/// A column, its type, and values to compare it with.
struct Column {
    name: &'static str,
    operators: &'static [&'static str],
    values: &'static [&'static str],
}

const ORDERED: &[&str] = &["eq", "neq", "gt", "gte", "lt", "lte", "isdistinct"];
const TEXT: &[&str] = &["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "isdistinct"];

const FILE_COLUMNS: &[Column] = &[
    Column {
        name: "file_path",
        operators: TEXT,
        values: &["r0", "r1", "R2", "r*", "*1*", "r_", "^r[0-3]$", "Z", "ä/b", "", "%", "r\\"],
    },
    Column { name: "storage_path", operators: TEXT, values: &["s/1", "S*", "s.", "s/", "s%2F3", "[a-z]/"] },
    Column { name: "checksum", operators: TEXT, values: &["c1", "null", "c*", "c"] },
    Column { name: "file_size", operators: ORDERED, values: &["0", "-1", "12", "4294967296", "9223372036854775807"] },
    Column { name: "version", operators: ORDERED, values: &["1", "2", "3", "0", "-5", "2147483647", " 2"] },
    Column { name: "is_deleted", operators: &["eq", "neq", "is", "not.is"], values: &["true", "false"] },
    Column { name: "mime_type", operators: &["is", "not.is"], values: &["null"] },
];

/// A source of random requests; the same seed gives the same ones.
#[derive(Debug)]
pub(super) struct Generator {
    random: fastrand::Rng,
    workspace: String,
}

impl Generator {
    pub(super) fn new(seed: u64, workspace: &str) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), workspace: workspace.to_owned() }
    }

    /// The next request: a write now and then, so that there is something to read.
    pub(super) fn request(&mut self) -> Request {
        if self.random.u8(..10) < 3 { self.write() } else { self.read() }
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.random.usize(..from.len())]
    }

    fn who(&mut self) -> String {
        self.pick(&["ada", "ada", "ada", "grace", "grace", "eve", "anon"]).to_owned()
    }

    fn read(&mut self) -> Request {
        let mut query = Vec::new();
        let all = ["file_path", "storage_path", "checksum", "file_size", "version", "is_deleted", "mime_type"];
        let shown: Vec<&str> = all.into_iter().filter(|_| self.random.bool()).collect();
        query.push(format!("select={}", if shown.is_empty() { "file_path".to_owned() } else { shown.join(",") }));
        for _ in 0..self.random.u8(..3) {
            query.push(if self.random.u8(..3) == 0 {
                let group = self.pick(&["or", "and", "not.or", "not.and"]);
                format!("{group}={}", self.group(2))
            } else {
                let (column, test) = self.test(false);
                format!("{column}={test}")
            });
        }
        let mut order = Vec::new();
        for column in ["version", "mime_type", "file_size"] {
            if self.random.u8(..4) == 0 {
                let direction = self.pick(&["", ".asc", ".desc"]);
                order.push(format!("{column}{direction}{}", self.pick(&["", ".nullsfirst", ".nullslast"])));
            }
        }
        order.push(format!("file_path{}", self.pick(&["", ".desc"])));
        query.push(format!("order={}", order.join(",")));
        if self.random.u8(..3) == 0 {
            query.push(format!("limit={}", self.random.u8(..6)));
        }
        if self.random.u8(..4) == 0 {
            query.push(format!("offset={}", self.random.u8(..6)));
        }
        let mut headers = Vec::new();
        if self.random.u8(..3) == 0 {
            headers.push(("prefer".to_owned(), "count=exact".to_owned()));
        }
        if self.random.u8(..6) == 0 {
            let first = self.random.u8(..5);
            headers.push(("range".to_owned(), format!("{first}-{}", first + self.random.u8(..5))));
        }
        let method = if self.random.u8(..10) == 0 { "HEAD" } else { "GET" };
        let target = format!("workspace_files?{}", query.join("&"));
        Request { who: self.who(), method: method.to_owned(), target, headers, body: None }
    }

    /// A column and `operator.value`; quoted and escaped inside of a tree.
    fn test(&mut self, in_tree: bool) -> (&'static str, String) {
        let column = &FILE_COLUMNS[self.random.usize(..FILE_COLUMNS.len())];
        let not = if self.random.u8(..4) == 0 { "not." } else { "" };
        if self.random.u8(..5) == 0 && column.operators.len() > 4 {
            let count = self.random.usize(..4);
            let values: Vec<String> = (0..count).map(|_| quoted(self.pick(column.values))).collect();
            return (column.name, format!("{not}in.({})", values.join(",")));
        }
        let operator = self.pick(column.operators);
        let not = if operator.starts_with("not.") { "" } else { not };
        let value = self.pick(column.values);
        let value = if in_tree { quoted(value) } else { encoded(value) };
        let value = if operator.ends_with("is") { value.replace("%22", "") } else { value };
        (column.name, format!("{not}{operator}.{value}"))
    }

    fn group(&mut self, depth: u8) -> String {
        let members: Vec<String> = (0..self.random.u8(1..4))
            .map(|_| {
                if depth > 0 && self.random.u8(..3) == 0 {
                    format!("{}{}", self.pick(&["or", "and", "not.or", "not.and"]), self.group(depth - 1))
                } else {
                    let (column, test) = self.test(true);
                    format!("{column}.{test}")
                }
            })
            .collect();
        format!("({})", members.join(","))
    }

    fn write(&mut self) -> Request {
        let key = self.random.u32(..8);
        let path = self.pick(&["r0", "r1", "R2", "r3", "ä/b", "Z"]);
        let mut prefer =
            vec![self.pick(&["return=representation", "return=minimal", "return=headers-only"]).to_owned()];
        if self.random.bool() {
            prefer.push("count=exact".to_owned());
        }
        let mut fields = serde_json::Map::new();
        fields.insert("version".into(), json!(self.random.u8(..4)));
        if self.random.bool() {
            let size = [json!(0), json!(12), json!(4_294_967_296_i64), json!("12"), Value::Null];
            fields.insert("file_size".into(), size[self.random.usize(..size.len())].clone());
        }
        if self.random.bool() {
            fields.insert("checksum".into(), json!(self.pick(&["c1", "c2", "null", ""])));
        }
        if self.random.u8(..3) == 0 {
            fields.insert("is_deleted".into(), json!(self.random.bool()));
        }
        let shown = "select=file_path,storage_path,checksum,file_size,version,is_deleted";
        let (method, target) = match self.random.u8(..10) {
            0..5 => {
                let id = made_up_id('f', 100 + key);
                fields.insert("workspace_id".into(), json!(self.workspace));
                fields.insert("file_path".into(), json!(path));
                fields.insert("storage_path".into(), json!(self.pick(&["s/1", "S/2", "s/3"])));
                if self.random.bool() {
                    fields.insert("id".into(), json!(id));
                }
                if self.random.u8(..4) != 0 {
                    prefer.push(self.pick(&["resolution=merge-duplicates", "resolution=ignore-duplicates"]).to_owned());
                }
                let key =
                    self.pick(&["on_conflict=workspace_id,file_path&", "on_conflict=workspace_id,file_path&", ""]);
                ("POST", format!("workspace_files?{key}{shown}"))
            }
            5..9 => {
                let (column, test) = self.test(false);
                ("PATCH", format!("workspace_files?file_path=like.r*&{column}={test}&{shown}"))
            }
            _ => {
                fields.clear();
                ("DELETE", format!("workspace_files?file_path=eq.{}&{shown}", encoded(path)))
            }
        };
        Request {
            who: self.who(),
            method: method.to_owned(),
            target,
            headers: vec![("prefer".to_owned(), prefer.join(","))],
            body: (!fields.is_empty()).then(|| Value::from(fields).to_string()),
        }
    }
}

/// As an element of a list or a tree: quoted, then encoded.
pub(super) fn quoted(value: &str) -> String {
    encoded(&format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Everything but letters, digits and what needs no encoding as `%XX`.
pub(super) fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_requests() {
    let lines = |seed| {
        let mut generator = Generator::new(seed, "w");
        (0..50).map(|_| generator.request().line()).collect::<Vec<_>>()
    };
    assert_eq!(lines(1), lines(1));
    assert_ne!(lines(1), lines(2));
}
