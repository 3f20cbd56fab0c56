//! A query with operators: `fat & (rat | !cat) <-> dog:*`.
//!
//! Text → [`Piece`], by descent; `!` binds closest, then `<->` and `<N>`, then `&`, then `|`. What stands between the
//! operators goes through the parser of texts, so `foo-bar` and `'foo bar'` are phrases.
//! Source: PostgreSQL, "to_tsquery" and "tsquery" input, with its messages.

use super::{
    BadSearch, Configuration,
    query::{MAX_DEPTH, Operator, Piece},
};

/// The greatest distance that a query may ask for.
const MAX_DISTANCE: u32 = 16_384;

type Read<T> = Result<T, BadSearch>;

/// Reads a query.
pub(super) fn read(configuration: Configuration, text: &str) -> Read<Piece> {
    let mut reader = Reader { text, chars: text.chars().collect(), place: 0, depth: 0, configuration };
    reader.spaces();
    if reader.next().is_none() {
        return Ok(Piece::STOP);
    }
    let piece = reader.alternatives()?;
    if reader.next().is_some() { Err(reader.malformed()) } else { Ok(piece) }
}

/// White space, as between words; a space that does not break lines is none.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}')
}

/// What ends a word without white space.
pub(super) const fn is_operator(c: char) -> bool {
    matches!(c, '!' | '&' | '|' | '(' | ')' | '<')
}

struct Reader<'a> {
    text: &'a str,
    chars: Vec<char>,
    place: usize,
    depth: usize,
    configuration: Configuration,
}

impl Reader<'_> {
    fn next(&self) -> Option<char> {
        self.chars.get(self.place).copied()
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.next()?;
        self.place += 1;
        Some(next)
    }

    fn spaces(&mut self) {
        while self.next().is_some_and(is_space) {
            self.place += 1;
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.spaces();
        let found = self.next() == Some(wanted);
        self.place += usize::from(found);
        found
    }

    fn bad(&self, what: &str) -> BadSearch {
        BadSearch::new("42601", format!("{what}: \"{}\"", self.text))
    }

    fn malformed(&self) -> BadSearch {
        self.bad("syntax error in tsquery")
    }

    fn alternatives(&mut self) -> Read<Piece> {
        let mut piece = self.conjunction()?;
        while self.eat('|') {
            piece = piece.join(Operator::Or, self.conjunction()?);
        }
        Ok(piece)
    }

    fn conjunction(&mut self) -> Read<Piece> {
        let mut piece = self.phrase()?;
        while self.eat('&') {
            piece = piece.join(Operator::And, self.phrase()?);
        }
        Ok(piece)
    }

    fn phrase(&mut self) -> Read<Piece> {
        let mut piece = self.term()?;
        while self.eat('<') {
            let distance = self.distance()?;
            piece = piece.join(Operator::Followed(distance), self.term()?);
        }
        Ok(piece)
    }

    /// What follows a `<`.
    fn distance(&mut self) -> Read<u32> {
        let start = self.place;
        let distance = if self.next() == Some('-') {
            self.place += 1;
            Some(1)
        } else {
            while self.next().is_some_and(|c| c.is_ascii_digit()) {
                self.place += 1;
            }
            let digits: String = self.chars.get(start..self.place).unwrap_or_default().iter().collect();
            if digits.is_empty() {
                return Err(self.malformed());
            }
            digits.parse().ok().filter(|distance| *distance <= MAX_DISTANCE)
        };
        let distance = distance.ok_or_else(|| {
            let limits = format!("an integer value between zero and {MAX_DISTANCE} inclusive");
            BadSearch::new("22023", format!("distance in phrase operator must be {limits}"))
        })?;
        // Nothing at all behind it is an error of its own kind.
        if self.advance() == Some('>') && self.next().is_some() { Ok(distance) } else { Err(self.malformed()) }
    }

    fn term(&mut self) -> Read<Piece> {
        self.spaces();
        match self.next() {
            None => Err(self.bad("no operand in tsquery")),
            Some('!') => {
                self.place += 1;
                self.deeper(Self::term).map(Piece::negated)
            }
            Some('(') => {
                self.place += 1;
                let piece = self.deeper(Self::alternatives)?;
                if self.eat(')') { Ok(piece) } else { Err(self.malformed()) }
            }
            Some(':') => Err(self.malformed()),
            Some(c) if is_operator(c) => Err(self.malformed()),
            Some(c) => {
                let text = if c == '\'' { self.quoted()? } else { self.word()? };
                let modifiers = self.modifiers();
                Ok(Piece::of_operand(self.configuration, &text, Operator::Followed(1), modifiers))
            }
        }
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Read<Piece>) -> Read<Piece> {
        if self.depth >= MAX_DEPTH {
            return Err(BadSearch::new("54001", "stack depth limit exceeded"));
        }
        self.depth += 1;
        let piece = read(self)?;
        self.depth -= 1;
        Ok(piece)
    }

    fn escaped(&mut self) -> Read<char> {
        self.advance().ok_or_else(|| self.bad("there is no escaped character"))
    }

    fn quoted(&mut self) -> Read<String> {
        self.place += 1;
        let mut text = String::new();
        loop {
            match self.advance() {
                None => return Err(self.malformed()),
                Some('\\') => text.push(self.escaped()?),
                Some('\'') if self.next() != Some('\'') => break,
                Some(c) => {
                    self.place += usize::from(c == '\'');
                    text.push(c);
                }
            }
        }
        if text.is_empty() { Err(self.malformed()) } else { Ok(text) }
    }

    fn word(&mut self) -> Read<String> {
        let mut text = String::new();
        while let Some(next) = self.next().filter(|c| !is_space(*c) && !is_operator(*c) && *c != ':') {
            self.place += 1;
            text.push(if next == '\\' { self.escaped()? } else { next });
        }
        Ok(text)
    }

    /// `:*` and weights, as `(is_prefix, is_possible)`: all words of a text have the weight D.
    fn modifiers(&mut self) -> (bool, bool) {
        let (mut is_prefix, mut weights) = (false, String::new());
        if self.next() == Some(':') {
            self.place += 1;
            while let Some(next) = self.next() {
                match next.to_ascii_lowercase() {
                    '*' => is_prefix = true,
                    weight @ 'a'..='d' => weights.push(weight),
                    _ => break,
                }
                self.place += 1;
            }
        }
        (is_prefix, weights.is_empty() || weights.contains('d'))
    }
}
