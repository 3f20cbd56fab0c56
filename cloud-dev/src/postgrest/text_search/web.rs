//! A query as people type it into search engines: `"fat cat" or rat -dog`.
//!
//! Text → [`Piece`]; any text is one. `-` negates what follows, `or` stands between alternatives, quotes make phrases,
//! everything else that other queries know as an operator only ends a word.
//! Source: PostgreSQL, "websearch_to_tsquery".

use super::{
    Configuration,
    query::{Operator, Piece},
    standard::{is_operator, is_space},
};

/// Reads a query.
pub(super) fn read(configuration: Configuration, text: &str) -> Piece {
    let mut reader = Reader { chars: text.chars().collect(), place: 0, configuration };
    let mut alternatives: Option<Piece> = None;
    let mut words: Option<Piece> = None;
    loop {
        let word = reader.operand();
        words = Some(match words {
            None => word,
            Some(before) => before.join(Operator::And, word),
        });
        let joint = reader.joint();
        if joint != Some(Operator::And) {
            let words = words.take().unwrap_or_default();
            alternatives = Some(match alternatives {
                None => words,
                Some(before) => before.join(Operator::Or, words),
            });
        }
        if joint.is_none() {
            return alternatives.unwrap_or_default();
        }
    }
}

struct Reader {
    chars: Vec<char>,
    place: usize,
    configuration: Configuration,
}

impl Reader {
    fn next(&self) -> Option<char> {
        self.chars.get(self.place).copied()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = self.chars.iter().skip(self.place).copied();
        let taken: String = rest.take_while(|c| wanted(*c)).collect();
        self.place += taken.chars().count();
        taken
    }

    /// A word or a phrase, with the negations before it; nothing at the end of the text.
    fn operand(&mut self) -> Piece {
        let mut is_negated = false;
        let text = loop {
            match self.next() {
                None => break String::new(),
                Some('-') => is_negated = !is_negated,
                Some('"') => {
                    self.place += 1;
                    let text = self.take_while(|c| c != '"');
                    self.place += 1;
                    break text;
                }
                Some(c) if is_operator(c) || is_space(c) => {}
                Some(first) => {
                    self.place += 1;
                    let rest = self.take_while(|c| !is_space(c) && !is_operator(c) && c != ':' && c != '"');
                    break format!("{first}{rest}");
                }
            }
            self.place += 1;
        };
        let piece = Piece::of_text(self.configuration, &text, Operator::Followed(1));
        if is_negated { piece.negated() } else { piece }
    }

    /// What joins an operand with the next one; `None` if there is none.
    fn joint(&mut self) -> Option<Operator> {
        while self.next().is_some_and(|c| is_space(c) || is_operator(c)) {
            self.place += 1;
        }
        self.next()?;
        let is_or = self.word_or();
        self.place += if is_or { 2 } else { 0 };
        Some(if is_or { Operator::Or } else { Operator::And })
    }

    /// Whether the word `or` is next, and something behind it that it could join.
    fn word_or(&self) -> bool {
        let mut rest = self.chars.iter().skip(self.place).copied();
        let is_word = [rest.next(), rest.next()].into_iter().flatten().collect::<String>().eq_ignore_ascii_case("or");
        let ends = rest.next().is_some_and(|c| !matches!(c, '-' | '_') && !c.is_alphanumeric());
        is_word && ends && rest.any(|c| !is_space(c))
    }
}
