//! The pieces every grammar of the query string is made of: names, quoted text, JSON paths.
//!
//! Pure: a [`Scanner`] walks the characters of one decoded parameter and never fails by panicking. A
//! [`Failure`] says where and what; the caller knows which parameter it was reading.
//! Wire source: PostgREST 14 query grammar.

use super::error::ApiError;

/// Where a parameter stopped making sense, as a one-based column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) column: usize,
    pub(crate) details: String,
}

impl Failure {
    /// The answer for a parameter called `what`, whose text was `input`.
    pub(crate) fn of(self, what: &str, input: &str) -> ApiError {
        ApiError::parse(what, input, self.column, self.details)
    }
}

pub(crate) type Parsed<T> = Result<T, Failure>;

/// A column, possibly a place inside its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) path: Vec<Step>,
}

/// One `->` or `->>` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) key: Key,
    pub(crate) as_text: bool,
}

/// What a step follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Name(String),
    Index(i64),
}

/// Walks the characters of one parameter.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    chars: Vec<char>,
    at: usize,
}

impl Scanner {
    pub(crate) fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn peek_second(&self) -> Option<char> {
        self.chars.get(self.at + 1).copied()
    }

    pub(crate) fn advance(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a place that [`Self::position`] returned.
    pub(crate) const fn return_to(&mut self, position: usize) {
        self.at = position;
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.at >= self.chars.len()
    }

    pub(crate) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes `wanted` if it is next, nothing otherwise.
    pub(crate) fn eat_word(&mut self, wanted: &str) -> bool {
        let length = wanted.chars().count();
        let found = self.chars.iter().skip(self.at).take(length).copied().eq(wanted.chars());
        if found {
            self.at += length;
        }
        found
    }

    /// As [`Self::eat_word`], in any case of letters.
    pub(crate) fn eat_word_any_case(&mut self, wanted: &str) -> bool {
        let length = wanted.chars().count();
        let next = self.chars.iter().skip(self.at).take(length).map(char::to_ascii_lowercase);
        let found = next.eq(wanted.chars());
        if found {
            self.at += length;
        }
        found
    }

    pub(crate) fn spaces(&mut self) {
        while self.peek() == Some(' ') {
            self.at += 1;
        }
    }

    /// Takes characters as long as `wanted` says.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.peek().filter(|c| wanted(*c)) {
            taken.push(next);
            self.at += 1;
        }
        taken
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> String {
        self.take_while(|_| true)
    }

    pub(crate) fn fail<T>(&self, expecting: &str) -> Parsed<T> {
        let found = self.peek().map_or_else(|| "end of input".to_owned(), |c| format!("\"{c}\""));
        Err(Failure { column: self.at + 1, details: format!("unexpected {found} expecting {expecting}") })
    }

    /// `"…"`, in which `\x` stands for any `x`; takes nothing if it is not there or not closed.
    pub(crate) fn quoted(&mut self) -> Option<String> {
        let start = self.at;
        if !self.eat('"') {
            return None;
        }
        let mut text = String::new();
        while let Some(next) = self.advance() {
            match next {
                '"' => return Some(text),
                '\\' => match self.advance() {
                    Some(escaped) => text.push(escaped),
                    None => break,
                },
                other => text.push(other),
            }
        }
        self.at = start;
        None
    }

    /// A bare or quoted identifier; takes nothing if there is none.
    pub(crate) fn name(&mut self) -> Option<String> {
        if let Some(quoted) = self.quoted() {
            return Some(quoted);
        }
        let start = self.at;
        let mut parts = Vec::new();
        loop {
            let part = self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ' '));
            if part.is_empty() {
                self.at = start;
                return None;
            }
            parts.push(part.trim_matches(' ').to_owned());
            if self.peek() == Some('-') && self.peek_second() != Some('>') {
                self.at += 1;
            } else {
                return Some(parts.join("-"));
            }
        }
    }

    pub(crate) fn expect_name(&mut self) -> Parsed<String> {
        self.name().map_or_else(|| self.fail("field name (* or [a..z0..9_$])"), Ok)
    }

    /// A name with its JSON path.
    pub(crate) fn field(&mut self) -> Parsed<Field> {
        Ok(Field { name: self.expect_name()?, path: self.json_path()? })
    }

    /// Zero or more `->key`, `->>key`, `->1` steps.
    pub(crate) fn json_path(&mut self) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        while self.eat_word("->") {
            let as_text = self.eat('>');
            let key = match self.index() {
                Some(index) => Key::Index(index),
                None => match self.quoted() {
                    Some(name) => Key::Name(name),
                    None => {
                        let name = self.key_name();
                        if name.is_empty() {
                            return self.fail("letter, digit, \"-\", \"_\" or \"$\"");
                        }
                        Key::Name(name)
                    }
                },
            };
            steps.push(Step { key, as_text });
        }
        Ok(steps)
    }

    /// Anything up to the next separator: JSON keys are freer than column names.
    fn key_name(&mut self) -> String {
        let mut name = String::new();
        while let Some(next) = self.peek() {
            let ends =
                matches!(next, '.' | ',' | ':' | '(' | ')' | '>') || (next == '-' && self.peek_second() == Some('>'));
            if ends {
                break;
            }
            name.push(next);
            self.at += 1;
        }
        name.trim_matches(' ').to_owned()
    }

    /// A number, if it is the whole key.
    fn index(&mut self) -> Option<i64> {
        let start = self.at;
        let negative = self.eat('-');
        let digits = self.take_while(|c| c.is_ascii_digit());
        let ended = match self.peek() {
            None | Some('.' | ',' | ':' | ')') => true,
            Some('-') => self.peek_second() == Some('>'),
            Some(_) => false,
        };
        match digits.parse::<i64>() {
            Ok(index) if ended => Some(if negative { -index } else { index }),
            _ => {
                self.at = start;
                None
            }
        }
    }
}

/// A comma-separated list of names: the `columns` and `on_conflict` parameters.
pub(crate) fn name_list(text: &str, parameter: &str) -> Result<Vec<String>, ApiError> {
    let mut scanner = Scanner::new(text);
    let mut read = || {
        let mut names = Vec::new();
        loop {
            scanner.spaces();
            names.push(scanner.expect_name()?);
            scanner.spaces();
            if !scanner.eat(',') {
                break;
            }
        }
        if scanner.is_done() { Ok(names) } else { scanner.fail("\",\" or end of input") }
    };
    read().map_err(|failure: Failure| failure.of(parameter, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bare_with_dashes_and_spaces_or_quoted_with_anything() {
        for (text, name, left) in [
            ("col", Some("col"), ""),
            ("my-col.x", Some("my-col"), ".x"),
            ("a->b", Some("a"), "->b"),
            (" spaced name ,", Some("spaced name"), ","),
            ("\"my.col\":", Some("my.col"), ":"),
            ("\"q\\\"q\"", Some("q\"q"), ""),
            ("\"open", None, "\"open"),
            (".x", None, ".x"),
            ("größe", Some("größe"), ""),
        ] {
            let mut scanner = Scanner::new(text);
            assert_eq!(scanner.name().as_deref(), name, "{text}");
            assert_eq!(scanner.rest(), left, "{text}");
        }
    }

    #[test]
    fn json_paths_tell_keys_from_indexes() {
        let field = Scanner::new("data->a b->0->-1->>2x").field().unwrap();
        let key = |name: &str| Key::Name(name.to_owned());
        let keys: Vec<Key> = field.path.iter().map(|step| step.key.clone()).collect();
        assert_eq!(keys, [key("a b"), Key::Index(0), Key::Index(-1), key("2x")]);
        assert_eq!(field.path.iter().map(|step| step.as_text).collect::<Vec<_>>(), [false, false, false, true]);
    }

    #[test]
    fn a_list_of_names_is_never_blank() {
        assert_eq!(name_list("\"id\", body", "columns").unwrap(), ["id", "body"]);
        for text in ["", " ", "a,", "a b(", ","] {
            assert_eq!(name_list(text, "columns").unwrap_err().code, "PGRST100", "{text:?}");
        }
    }
}
