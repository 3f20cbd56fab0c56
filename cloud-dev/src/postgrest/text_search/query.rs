//! A query as a tree, built from its leaves up so that stop words never become part of it.
//!
//! A [`Piece`] is a part of a query: a [`Node`], or nothing where only stop words were, with the distances that such
//! words leave behind for the phrase around them (`"cats and dogs"` is `cat <2> dog`). Every form of query joins pieces.
//! Source: PostgreSQL, "Parsing Queries" and "Phrase search".

use super::{
    Configuration,
    vector::{Lexemes, Vector},
};

/// Parentheses and negations inside of one another beyond this are refused.
pub(super) const MAX_DEPTH: usize = 100;

/// Lexemes of one query beyond this are refused: each is looked up in each text.
pub(super) const MAX_LEXEMES: usize = 1_000;

/// What is looked for. Lists have two elements or more, and mean the same as if nested to the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Lexeme {
        text: String,
        /// Whether it is the beginning of what is looked for.
        is_prefix: bool,
        /// Whether it asks for the weight that all words of a text have.
        is_possible: bool,
    },
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    /// Each after the one before, by the given distance.
    Followed(Box<Self>, Vec<(u32, Self)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    /// At this distance.
    Followed(u32),
}

/// A part of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) node: Option<Node>,
    /// Distances of stop words at its beginning and its end.
    before: u32,
    after: u32,
}

impl Piece {
    /// A stop word.
    pub(super) const STOP: Self = Self { node: None, before: 0, after: 0 };

    /// All lexemes of `text`.
    pub(super) fn of_text(configuration: Configuration, text: &str, joint: Operator) -> Self {
        Self::of_operand(configuration, text, joint, (false, true))
    }

    /// All lexemes of `text`, which are prefixes or possible as `(is_prefix, is_possible)` says.
    pub(super) fn of_operand(
        configuration: Configuration,
        text: &str,
        joint: Operator,
        (is_prefix, is_possible): (bool, bool),
    ) -> Self {
        let mut whole: Option<(Self, u32)> = None;
        for (text, place) in Lexemes::default().of(configuration, text) {
            let lexeme = Self { node: Some(Node::Lexeme { text, is_prefix, is_possible }), before: 0, after: 0 };
            let piece = match whole {
                None => lexeme,
                Some((mut piece, last)) => {
                    for _ in last + 1..place {
                        piece = piece.join(joint, Self::STOP);
                    }
                    piece.join(joint, lexeme)
                }
            };
            whole = Some((piece, place));
        }
        whole.map_or(Self::STOP, |(piece, _)| piece)
    }

    pub(super) fn negated(self) -> Self {
        Self { node: self.node.map(|node| Node::Not(Box::new(node))), ..self }
    }

    /// Both, with an operator between them that only stays if both do.
    pub(super) fn join(self, operator: Operator, right: Self) -> Self {
        let left = self;
        match (left.node, right.node) {
            (None, None) => {
                let width = match operator {
                    Operator::Followed(distance) => sum([left.before, distance, right.before]),
                    Operator::And | Operator::Or => left.before.max(right.before),
                };
                Self { node: None, before: width, after: width }
            }
            (None, node) => {
                let before = match operator {
                    Operator::Followed(distance) => sum([left.before, distance, right.before]),
                    Operator::And | Operator::Or => right.before,
                };
                Self { node, before, after: right.after }
            }
            (node, None) => {
                let after = match operator {
                    Operator::Followed(distance) => sum([left.after, distance, right.after]),
                    Operator::And | Operator::Or => left.after,
                };
                Self { node, before: left.before, after }
            }
            (Some(first), Some(second)) => match operator {
                Operator::Followed(distance) => {
                    let distance = sum([left.after, distance, right.before]);
                    Self { node: Some(first.followed(distance, second)), before: left.before, after: right.after }
                }
                Operator::And => Self { node: Some(first.and(second)), before: 0, after: 0 },
                Operator::Or => Self { node: Some(first.or(second)), before: 0, after: 0 },
            },
        }
    }
}

fn sum(distances: [u32; 3]) -> u32 {
    distances.into_iter().fold(0, u32::saturating_add)
}

impl Node {
    fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut all) => {
                all.push(other);
                Self::And(all)
            }
            first => Self::And(vec![first, other]),
        }
    }

    fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut any) => {
                any.push(other);
                Self::Or(any)
            }
            first => Self::Or(vec![first, other]),
        }
    }

    fn followed(self, distance: u32, other: Self) -> Self {
        match self {
            Self::Followed(first, mut rest) => {
                rest.push((distance, other));
                Self::Followed(first, rest)
            }
            first => Self::Followed(Box::new(first), vec![(distance, other)]),
        }
    }

    /// How many lexemes it looks for.
    pub(super) fn lexemes(&self) -> usize {
        match self {
            Self::Lexeme { .. } => 1,
            Self::Not(node) => node.lexemes(),
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().map(Self::lexemes).sum(),
            Self::Followed(first, rest) => first.lexemes() + rest.iter().map(|(_, node)| node.lexemes()).sum::<usize>(),
        }
    }

    /// Whether it is true of a document.
    pub(super) fn matches(&self, document: &Vector) -> bool {
        match self {
            Self::Lexeme { text, is_prefix, is_possible } => *is_possible && document.has(text, *is_prefix),
            Self::Not(node) => !node.matches(document),
            Self::And(all) => all.iter().all(|node| node.matches(document)),
            Self::Or(any) => any.iter().any(|node| node.matches(document)),
            Self::Followed(..) => self.places(document).is_some(),
        }
    }
}
