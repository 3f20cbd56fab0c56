//! Where a part of a query matches, which phrases are made of.
//!
//! Node → [`Places`]: where its match ends, and how far before that it began. A negation matches everywhere but at some
//! places, and is carried as those. Places of both sides of an operator are moved to where the whole would end, and then
//! joined as sets. Depth of recursion is that of the query; lists are folded.
//! Source: PostgreSQL, "Phrase search" and the results of `<->` with `!`, `&` and `|` in it.

use super::{query::Node, vector::Vector};

/// Where something matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// In order.
    ends: Vec<u32>,
    /// From where a match begins to where it ends.
    width: u32,
    /// Whether it matches everywhere else instead.
    is_negated: bool,
}

impl Node {
    /// Where it matches; `None` if nowhere.
    pub(super) fn places(&self, document: &Vector) -> Option<Places> {
        match self {
            Self::Lexeme { text, is_prefix, is_possible } => {
                let ends = if *is_possible { document.places(text, *is_prefix) } else { Vec::new() };
                (!ends.is_empty()).then_some(Places { ends, width: 0, is_negated: false })
            }
            Self::Not(node) => match node.places(document) {
                None => Some(Places { is_negated: true, ..Places::default() }),
                Some(places) if places.ends.is_empty() => None,
                Some(places) => Some(Places { is_negated: !places.is_negated, ..places }),
            },
            Self::And(all) => {
                let mut all = all.iter().map(|node| node.places(document));
                let first = all.next()??;
                all.try_fold(first, |left, right| {
                    let right = right?;
                    let width = left.width.max(right.width);
                    left.moved(width).both(right.moved(width), width)
                })
            }
            Self::Or(any) => {
                let any = any.iter().map(|node| node.places(document));
                any.reduce(|left, right| match (left, right) {
                    (None, None) => None,
                    (left, right) => {
                        let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
                        let width = left.width.max(right.width);
                        left.moved(width).either(right.moved(width), width)
                    }
                })?
            }
            Self::Followed(first, rest) => rest.iter().try_fold(first.places(document)?, |left, (distance, node)| {
                let right = node.places(document)?;
                let shift = distance.saturating_add(right.width);
                let width = left.width.saturating_add(shift);
                left.shifted(shift).both(right, width)
            }),
        }
    }
}

impl Places {
    fn shifted(mut self, by: u32) -> Self {
        self.ends.iter_mut().for_each(|end| *end = end.saturating_add(by));
        self
    }

    /// As the end of a wider match.
    fn moved(self, width: u32) -> Self {
        let by = width - self.width;
        self.shifted(by)
    }

    fn both(self, other: Self, width: u32) -> Option<Self> {
        let (ends, is_negated) = match (self.is_negated, other.is_negated) {
            (true, true) => (union(self.ends, &other.ends), true),
            (true, false) => (without(other.ends, &self.ends), false),
            (false, true) => (without(self.ends, &other.ends), false),
            (false, false) => (common(self.ends, &other.ends), false),
        };
        (is_negated || !ends.is_empty()).then_some(Self { ends, width, is_negated })
    }

    fn either(self, other: Self, width: u32) -> Option<Self> {
        let (ends, is_negated) = match (self.is_negated, other.is_negated) {
            (true, true) => (common(self.ends, &other.ends), true),
            (true, false) => (without(self.ends, &other.ends), true),
            (false, true) => (without(other.ends, &self.ends), true),
            (false, false) => (union(self.ends, &other.ends), false),
        };
        (is_negated || !ends.is_empty()).then_some(Self { ends, width, is_negated })
    }
}

/// Both lists in order, each place once.
fn union(left: Vec<u32>, right: &[u32]) -> Vec<u32> {
    let mut all = Vec::with_capacity(left.len() + right.len());
    let mut right = right.iter().copied().peekable();
    for end in left {
        while let Some(before) = right.next_if(|other| *other <= end) {
            if before < end {
                all.push(before);
            }
        }
        all.push(end);
    }
    all.extend(right);
    all
}

fn common(mut left: Vec<u32>, right: &[u32]) -> Vec<u32> {
    left.retain(|end| right.binary_search(end).is_ok());
    left
}

fn without(mut left: Vec<u32>, right: &[u32]) -> Vec<u32> {
    left.retain(|end| right.binary_search(end).is_err());
    left
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn a_union_has_each_place_of_both_once_and_in_order(
        left in proptest::collection::btree_set(0_u32..40, 0..20),
        right in proptest::collection::btree_set(0_u32..40, 0..20),
    ) {
        let right_list: Vec<u32> = right.iter().copied().collect();
        let wanted: Vec<u32> = left.union(&right).copied().collect();
        proptest::prop_assert_eq!(union(left.into_iter().collect(), &right_list), wanted);
    }
}
