//! A document as PostgreSQL's `tsvector`: lexemes, and the places where they are.
//!
//! Token → lower case → stop word or stem → place. A stop word has a place and no lexeme, so that phrases keep their
//! distances. The stems are those of the Snowball stemmer for English.
//! Source: PostgreSQL, "Parsing Documents", "Limitations" and the dictionary `english_stem`.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    ops::Bound::{Included, Unbounded},
};

use rust_stemmers::{Algorithm, Stemmer};

use super::{
    Configuration,
    token::{Token, tokens},
};

/// A longer word is not looked for, in bytes.
const MAX_WORD: usize = 2046;

/// All places beyond this are this one.
const LAST_PLACE: u32 = 16_383;

/// Places kept of one lexeme.
const MAX_PLACES: usize = 255;

/// What the dictionary leaves out.
#[rustfmt::skip]
const STOP_WORDS: [&str; 127] = [
    "a", "about", "above", "after", "again", "against", "all", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "being", "below", "between", "both", "but", "by", "can", "did", "do", "does", "doing", "don", "down",
    "during", "each", "few", "for", "from", "further", "had", "has", "have", "having", "he", "her", "here", "hers", "herself",
    "him", "himself", "his", "how", "i", "if", "in", "into", "is", "it", "its", "itself", "just", "me", "more", "most", "my",
    "myself", "no", "nor", "not", "now", "of", "off", "on", "once", "only", "or", "other", "our", "ours", "ourselves", "out",
    "over", "own", "s", "same", "she", "should", "so", "some", "such", "t", "than", "that", "the", "their", "theirs", "them",
    "themselves", "then", "there", "these", "they", "this", "those", "through", "to", "too", "under", "until", "up", "very",
    "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom", "why", "will", "with", "you", "your",
    "yours", "yourself", "yourselves",
];

/// The lexemes of texts, counted on from one text to the next.
#[derive(Default)]
pub(super) struct Lexemes {
    stemmer: OnceCell<Stemmer>,
    place: u32,
}

impl Lexemes {
    /// The lexemes of `text` with their places.
    pub(super) fn of(&mut self, configuration: Configuration, text: &str) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        for token in tokens(text).into_iter().filter(|token| token.text.len() <= MAX_WORD) {
            self.place += 1;
            if let Some(lexeme) = self.lexeme(configuration, &token) {
                found.push((lexeme, self.place.min(LAST_PLACE)));
            }
        }
        found
    }

    fn lexeme(&self, configuration: Configuration, token: &Token) -> Option<String> {
        let word = lower(&token.text);
        if configuration == Configuration::Simple || !token.is_word {
            return Some(word);
        }
        if STOP_WORDS.binary_search(&word.as_str()).is_ok() {
            return None;
        }
        Some(self.stemmer.get_or_init(|| Stemmer::create(Algorithm::English)).stem(&word).into_owned())
    }
}

/// Lower case, one character for one character.
fn lower(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut lower = c.to_lowercase();
            lower.next().filter(|_| lower.next().is_none()).unwrap_or(c)
        })
        .collect()
}

/// A document.
#[derive(Debug, Default)]
pub(super) struct Vector {
    places: BTreeMap<String, Vec<u32>>,
}

impl Vector {
    /// The document made of `texts`; between those that hold something is a place that no word has.
    pub(super) fn of<'t>(configuration: Configuration, texts: impl IntoIterator<Item = &'t str>) -> Self {
        let (mut vector, mut lexemes) = (Self::default(), Lexemes::default());
        for text in texts {
            let found = lexemes.of(configuration, text);
            lexemes.place += u32::from(!found.is_empty());
            for (lexeme, place) in found {
                let places = vector.places.entry(lexeme).or_default();
                if places.len() < MAX_PLACES && places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        vector
    }

    /// Where a lexeme is, or all that begin with it: in order, each place once.
    pub(super) fn places(&self, lexeme: &str, is_prefix: bool) -> Vec<u32> {
        if !is_prefix {
            return self.places.get(lexeme).cloned().unwrap_or_default();
        }
        // One bit for each place there can be: a short prefix may begin a large part of a long text.
        let mut found = [0_u64; LAST_PLACE as usize / 64 + 1];
        for place in self.beginning_with(lexeme).flatten() {
            if let Some(bits) = found.get_mut(*place as usize / 64) {
                *bits |= 1 << (place % 64);
            }
        }
        let words = (0_u32..).zip(found).filter(|(_, bits)| *bits != 0);
        words
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit))
            .collect()
    }

    pub(super) fn has(&self, lexeme: &str, is_prefix: bool) -> bool {
        if is_prefix { self.beginning_with(lexeme).next().is_some() } else { self.places.contains_key(lexeme) }
    }

    fn beginning_with(&self, prefix: &str) -> impl Iterator<Item = &Vec<u32>> {
        let from = self.places.range::<str, _>((Included(prefix), Unbounded));
        from.take_while(move |(lexeme, _)| lexeme.starts_with(prefix)).map(|(_, places)| places)
    }
}

#[test]
fn stop_words_are_in_order() {
    assert!(STOP_WORDS.is_sorted());
}
