//! A text → the pieces of it that are searched for, in order.
//!
//! Where a shape of [`shape`] begins, it is one piece, a URL and a compound word are followed by their parts; what is
//! left is words and numbers. Spaces, punctuation, tags and entities are no pieces and have no place in the order.
//! Source: PostgreSQL, "Parsers", and the answers of `ts_parse`.

use super::shape::{self, Address, Markup, is_inside_word, is_letter, run};

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Whether it is made of letters, and so may have a stem.
    pub(super) is_word: bool,
}

/// The pieces of `text`.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader =
        Reader { chars: &chars, place: 0, found: Vec::new(), no_address: 0, no_path: 0, no_comment: false };
    reader.read();
    reader.found
}

struct Reader<'a> {
    chars: &'a [char],
    place: usize,
    found: Vec<Token>,
    /// No address begins before this place, no path before that one, and no comment any more: what was looked for in
    /// vain is not looked for again, so that a text takes time in proportion to its length.
    no_address: usize,
    no_path: usize,
    no_comment: bool,
}

impl Reader<'_> {
    fn read(&mut self) {
        // Whether no punctuation was skipped since the last piece: a path may begin with a dot only there.
        let mut is_fresh = true;
        let mut is_hidden = false;
        while let Some(next) = self.chars.get(self.place).copied() {
            if next == '<'
                && let Some(markup) = self.markup()
            {
                self.place = markup.end;
                is_hidden = markup.hides.unwrap_or(is_hidden);
                is_fresh = true;
                continue;
            }
            let end = match next {
                _ if is_hidden => None,
                '&' => {
                    let end = shape::entity(self.chars, self.place);
                    self.place = end.unwrap_or(self.place + 1);
                    is_fresh = end.is_some();
                    continue;
                }
                '+' | '-' => shape::signed_number(self.chars, self.place),
                '/' => self.path(),
                '.' | '~' if is_fresh => self.path(),
                c if c.is_ascii_digit() || is_letter(c) => {
                    self.word_or_more();
                    is_fresh = true;
                    continue;
                }
                _ => None,
            };
            is_fresh = end.is_some();
            match end {
                Some(end) => self.take(end, false),
                None => self.place += 1,
            }
        }
    }

    fn markup(&mut self) -> Option<Markup> {
        let is_comment = self.starts_with(self.place, "<!--");
        if is_comment && self.no_comment {
            return None;
        }
        let markup = shape::markup(self.chars, self.place);
        self.no_comment |= is_comment && markup.is_none();
        markup
    }

    fn path(&mut self) -> Option<usize> {
        if self.place < self.no_path {
            return None;
        }
        shape::path_from_root(self.chars, self.place).map_err(|end| self.no_path = end).ok()
    }

    fn address(&mut self) -> Option<Address> {
        if self.place < self.no_address || !self.chars.get(self.place)?.is_ascii() {
            return None;
        }
        shape::address(self.chars, self.place).map_err(|end| self.no_address = end).ok()
    }

    /// Takes what begins with a letter or a digit.
    fn word_or_more(&mut self) {
        let (chars, start) = (self.chars, self.place);
        let is_number = chars.get(start).is_some_and(char::is_ascii_digit);
        let digits = run(chars, start, |c| c.is_ascii_digit());
        if let Some(end) = shape::scientific_tail(chars, digits).filter(|_| is_number) {
            return self.take(end, false);
        }
        match self.address() {
            Some(Address::Email(end) | Address::Host(end)) => return self.take(end, false),
            Some(Address::Url(host, end)) => {
                self.push(start, end, false);
                self.push(start, host, false);
                self.push(host, end, false);
                self.place = end;
                return;
            }
            None => {}
        }
        let end = run(chars, start, is_inside_word);
        if is_number && digits == end {
            let end = shape::number(chars, start).filter(|number| *number > end);
            return self.take(end.or_else(|| self.path_after(digits)).unwrap_or(digits), false);
        }
        let is_word = !self.has_digit(start, end);
        let is_ascii_word = is_word && self.part(start, end).is_ascii();
        if is_ascii_word && self.starts_with(end, "://") {
            self.place = end + 3;
            return;
        }
        if (is_ascii_word || !is_word)
            && let Some(end) = shape::path_from_name(chars, end).or_else(|| shape::email_tail(chars, end))
        {
            return self.take(end, false);
        }
        if self.next_part(end).is_some() { self.compound(end) } else { self.take(end, is_word) }
    }

    fn path_after(&self, digits: usize) -> Option<usize> {
        self.chars.get(digits).filter(|c| **c == '/').and_then(|_| shape::path_from_name(self.chars, digits))
    }

    /// Takes a compound word whose first part ends at `first`: the whole, then each part.
    fn compound(&mut self, first: usize) {
        let mut parts = vec![(self.place, first)];
        let mut end = first;
        while let Some(next) = self.next_part(end) {
            parts.push((end + 1, next));
            end = next;
        }
        self.push(self.place, end, !self.has_digit(self.place, end));
        for (start, end) in parts {
            self.push(start, end, !self.has_digit(start, end));
        }
        // The hyphen before a number that is no part of the word is not its sign.
        let follows = |place: usize, test: fn(char) -> bool| self.chars.get(place).copied().is_some_and(test);
        let is_joined = follows(end, |c| c == '-') && follows(end + 1, is_inside_word);
        self.place = end + usize::from(is_joined);
    }

    /// The end of the part of a compound word that the hyphen at `hyphen` joins: it has a letter.
    fn next_part(&self, hyphen: usize) -> Option<usize> {
        self.chars.get(hyphen).filter(|c| **c == '-')?;
        let start = hyphen + 1;
        let digits = run(self.chars, start, |c| c.is_ascii_digit());
        let first = self.chars.get(digits).copied()?;
        let is_part = if digits > start { is_inside_word(first) } else { is_letter(first) };
        is_part.then(|| run(self.chars, digits, is_inside_word))
    }

    fn has_digit(&self, start: usize, end: usize) -> bool {
        self.chars.get(start..end).is_some_and(|part| part.iter().any(char::is_ascii_digit))
    }

    fn starts_with(&self, place: usize, wanted: &str) -> bool {
        let here = self.chars.iter().skip(place).take(wanted.chars().count());
        here.copied().eq(wanted.chars())
    }

    fn part(&self, start: usize, end: usize) -> String {
        self.chars.get(start..end).unwrap_or_default().iter().collect()
    }

    fn push(&mut self, start: usize, end: usize, is_word: bool) {
        self.found.push(Token { text: self.part(start, end), is_word });
    }

    fn take(&mut self, end: usize, is_word: bool) {
        self.push(self.place, end, is_word);
        self.place = end;
    }
}
