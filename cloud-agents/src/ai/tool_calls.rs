//! Puts tool calls together from the fragments of a stream. Pure: fragments in, whole calls out.
//!
//! By the book a call's first fragment has index, id and name, and the arguments follow in pieces under the same index.
//! Servers in use leave out the index, use one index for several calls, begin at 1, repeat id or name on every
//! fragment, or send the whole call at once and once more at the end. So a fragment belongs
//!
//! 1. to the call with its id; a new id begins a new call, or names one that has had none so far;
//! 2. without an id, to the latest call of its index, else to the current call, unless it has a name and clearly
//!    begins another one: with whole arguments, or after whole arguments, or under another name without an index.
//!
//! An id or name that is empty or said again changes nothing. Arguments are only joined, never looked into except to see
//! whether they are a whole object, which is kept track of as they arrive. Wire source: OpenAI chat completions,
//! `delta.tool_calls`.
use super::{ToolCall, json_shape::Shape};

/// The most calls that one answer may make.
const CALLS_LIMIT: usize = 128;

/// One fragment; what is missing is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
}

/// An answer calls more tools than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// A call ended before it was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomplete;

/// How the answer ended, which says what a call must be to count as whole (G5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The model finished of its own accord: a call is what it wrote.
    Finished,
    /// The model was stopped: calls that are not whole are left out.
    Stopped,
    /// Only an end mark: a call that is not whole was cut.
    Unexplained,
}

/// The calls of one answer.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    calls: Vec<Building>,
    current: usize,
}

#[derive(Debug, Default)]
struct Building {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    shape: Shape,
}

impl ToolCalls {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a fragment.
    pub(super) fn push(&mut self, piece: Piece<'_>) -> Result<(), TooMany> {
        let found = if piece.id.is_empty() { self.without_id(piece) } else { self.with_id(piece) };
        let at = match found {
            Some(at) => at,
            None if self.calls.len() == CALLS_LIMIT => return Err(TooMany),
            None => {
                self.calls.push(Building { index: piece.index, ..Building::default() });
                self.calls.len() - 1
            }
        };
        self.current = at;
        if let Some(call) = self.calls.get_mut(at) {
            call.add(piece);
        }
        Ok(())
    }

    fn with_id(&self, piece: Piece<'_>) -> Option<usize> {
        if let Some(known) = self.calls.iter().position(|call| call.id == piece.id) {
            return Some(known);
        }
        let slot = if piece.index.is_some() { self.by_index(piece.index) } else { self.current() };
        slot.filter(|at| {
            let call = self.calls.get(*at);
            call.is_some_and(|call| call.id.is_empty() && !call.shape.is_whole() && !call.has_other_name(piece.name))
        })
    }

    fn without_id(&self, piece: Piece<'_>) -> Option<usize> {
        let slot = self.by_index(piece.index);
        // A new index with a name is a new call; without a name it can only go on with the current one.
        let slot = if piece.index.is_some() && !piece.name.is_empty() { slot } else { slot.or_else(|| self.current()) };
        slot.filter(|at| self.calls.get(*at).is_some_and(|call| !call.is_followed_by(piece)))
    }

    fn by_index(&self, index: Option<u64>) -> Option<usize> {
        index.and_then(|index| self.calls.iter().rposition(|call| call.index == Some(index)))
    }

    fn current(&self) -> Option<usize> {
        (!self.calls.is_empty()).then_some(self.current)
    }

    /// The calls, each whole, in the order they began.
    pub(super) fn conclude(&mut self, ending: Ending) -> Result<Vec<ToolCall>, Incomplete> {
        let mut whole = Vec::new();
        for (at, call) in std::mem::take(&mut self.calls).into_iter().enumerate() {
            let counts = call.shape.is_whole() || ending == Ending::Finished;
            match (call.name.is_empty(), counts, ending) {
                (false, true, _) => whole.push(call.finish(at)),
                // A fragment without a name calls nothing.
                (true, ..) if call.arguments.trim().is_empty() => {}
                (_, _, Ending::Stopped) => {}
                _ => return Err(Incomplete),
            }
        }
        Ok(whole)
    }
}

impl Building {
    fn has_other_name(&self, name: &str) -> bool {
        !name.is_empty() && !self.name.is_empty() && self.name != name
    }

    /// Whether `piece`, which has no id, begins another call.
    fn is_followed_by(&self, piece: Piece<'_>) -> bool {
        if piece.name.is_empty() || self.name.is_empty() {
            return false;
        }
        let whole = self.shape.is_whole();
        if self.name == piece.name {
            return whole && Shape::of(piece.arguments).is_whole();
        }
        whole || piece.index.is_none() || Shape::of(piece.arguments).is_whole()
    }

    fn add(&mut self, piece: Piece<'_>) {
        if self.id.is_empty() {
            self.id.push_str(piece.id);
        }
        if self.name.is_empty() {
            self.name.push_str(piece.name);
        }
        self.index = self.index.or(piece.index);
        // Behind whole arguments another whole object can only be the call said again.
        if !(self.shape.is_whole() && Shape::of(piece.arguments).is_whole()) {
            self.arguments.push_str(piece.arguments);
            self.shape.feed(piece.arguments);
        }
    }

    fn finish(self, at: usize) -> ToolCall {
        // A result is sent back under an id, so a call without one gets its place as id.
        let id = if self.id.is_empty() { format!("call_{at}") } else { self.id };
        let arguments = if self.arguments.trim().is_empty() { "{}".to_owned() } else { self.arguments };
        ToolCall::new(id, self.name, arguments)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece<'a>(index: impl Into<Option<u64>>, id: &'a str, name: &'a str, arguments: &'a str) -> Piece<'a> {
        Piece { index: index.into(), id, name, arguments }
    }

    fn assemble(pieces: &[Piece<'_>]) -> Vec<(String, String, String)> {
        let mut calls = ToolCalls::default();
        for piece in pieces {
            calls.push(*piece).unwrap();
        }
        let whole = calls.conclude(Ending::Finished).unwrap();
        whole.into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    #[test]
    fn g05_every_way_of_sending_calls_gives_the_calls_that_were_meant() {
        let (paris, london) = (r#"{"in":"Paris"}"#, r#"{"in":"London"}"#);
        type Case<'a> = (&'a str, Vec<Piece<'a>>, Vec<(&'a str, &'a str, &'a str)>);
        let cases: Vec<Case<'_>> = vec![
            (
                "by the book",
                vec![piece(0, "c1", "f", ""), piece(0, "", "", "{\"a\""), piece(0, "", "", ":1}")],
                vec![("c1", "f", "{\"a\":1}")],
            ),
            (
                "two calls, interleaved",
                vec![
                    piece(0, "a", "f", ""),
                    piece(1, "b", "g", ""),
                    piece(0, "", "", "{\"x\":"),
                    piece(1, "", "", "{}"),
                    piece(0, "", "", "2}"),
                ],
                vec![("a", "f", "{\"x\":2}"), ("b", "g", "{}")],
            ),
            (
                "one index, new ids",
                vec![piece(0, "call_a", "f", paris), piece(0, "call_b", "f", london)],
                vec![("call_a", "f", paris), ("call_b", "f", london)],
            ),
            (
                "one index, new ids, in pieces",
                vec![piece(0, "a", "f", ""), piece(0, "", "", paris), piece(0, "b", "f", ""), piece(0, "", "", london)],
                vec![("a", "f", paris), ("b", "f", london)],
            ),
            (
                "no index, ids on each",
                vec![
                    piece(None, "a", "f", "{\"in\":"),
                    piece(None, "b", "g", "{}"),
                    piece(None, "a", "", "\"Paris\"}"),
                ],
                vec![("a", "f", paris), ("b", "g", "{}")],
            ),
            ("first index is 1", vec![piece(1, "a", "f", ""), piece(1, "", "", paris)], vec![("a", "f", paris)]),
            (
                "id and name on every fragment",
                vec![piece(0, "a", "f", "{\"in\":"), piece(0, "a", "f", "\"Paris\""), piece(0, "a", "f", "}")],
                vec![("a", "f", paris)],
            ),
            (
                "name on every fragment, no id",
                vec![piece(0, "", "f", "{\"in\":"), piece(0, "", "f", "{}"), piece(0, "", "f", "}")],
                vec![("call_0", "f", "{\"in\":{}}")],
            ),
            (
                "empty name and id on later fragments",
                vec![piece(0, "a", "f", ""), piece(0, "", "", "{}"), piece(0, "", "", "")],
                vec![("a", "f", "{}")],
            ),
            (
                "whole calls of one function, one index, no ids",
                vec![piece(0, "", "f", paris), piece(0, "", "f", london)],
                vec![("call_0", "f", paris), ("call_1", "f", london)],
            ),
            (
                "whole calls of two functions, no index, no ids",
                vec![piece(None, "", "f", paris), piece(None, "", "g", london)],
                vec![("call_0", "f", paris), ("call_1", "g", london)],
            ),
            (
                "two functions in pieces, no index, no ids",
                vec![
                    piece(None, "", "f", ""),
                    piece(None, "", "", paris),
                    piece(None, "", "g", ""),
                    piece(None, "", "", london),
                ],
                vec![("call_0", "f", paris), ("call_1", "g", london)],
            ),
            (
                "the whole call said again at the end",
                vec![piece(0, "a", "f", "{\"in\":"), piece(0, "", "", "\"Paris\"}"), piece(0, "a", "f", paris)],
                vec![("a", "f", paris)],
            ),
            (
                "id comes late",
                vec![piece(0, "", "f", "{\"in\":"), piece(0, "a", "", "\"Paris\"}")],
                vec![("a", "f", paris)],
            ),
            ("no arguments at all", vec![piece(0, "a", "f", "")], vec![("a", "f", "{}")]),
            (
                "an empty fragment calls nothing",
                vec![piece(0, "", "", ""), piece(1, "a", "f", paris)],
                vec![("a", "f", paris)],
            ),
        ];
        for (what, pieces, expected) in cases {
            let calls = assemble(&pieces);
            let calls: Vec<_> =
                calls.iter().map(|(id, name, args)| (id.as_str(), name.as_str(), args.as_str())).collect();
            assert_eq!(calls, expected, "{what}");
        }
    }

    #[test]
    fn g05_a_call_that_was_cut_is_never_handed_out() {
        let conclude = |pieces: &[Piece<'_>], ending| {
            let mut calls = ToolCalls::default();
            pieces.iter().for_each(|piece| calls.push(*piece).unwrap());
            calls.conclude(ending).map(|calls| calls.len())
        };
        for cut in ["", "{", "{\"a\":\"}", "{\"a\":{}", "[1]", "{} x"] {
            let pieces = [piece(0, "a", "f", "{}"), piece(1, "b", "g", cut)];
            assert_eq!(conclude(&pieces, Ending::Stopped), Ok(1), "{cut}");
            assert_eq!(conclude(&pieces, Ending::Unexplained), Err(Incomplete), "{cut}");
            // What a model wrote of its own accord is for the host to judge.
            assert_eq!(conclude(&pieces, Ending::Finished), Ok(2), "{cut}");
        }
        assert_eq!(conclude(&[piece(0, "a", "", "{}")], Ending::Finished), Err(Incomplete));
        assert_eq!(conclude(&[piece(0, "a", "f", "{}")], Ending::Unexplained), Ok(1));
    }

    #[test]
    fn calls_without_end_are_refused() {
        let mut calls = ToolCalls::default();
        let ids: Vec<_> = (0..=CALLS_LIMIT).map(|n| format!("c{n}")).collect();
        let results: Vec<_> = ids.iter().map(|id| calls.push(piece(0, id, "f", "{}"))).collect();
        assert_eq!(results.iter().position(Result::is_err), Some(CALLS_LIMIT));
    }

    /// How one server writes its fragments.
    #[derive(Clone, Copy, Debug)]
    struct Dialect {
        index: bool,
        first_index: u64,
        id_again: bool,
        name_again: bool,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn s02_calls_do_not_depend_on_where_their_arguments_are_cut(
            calls in prop::collection::vec(("[a-c]", prop::collection::btree_map("[a-z\"\\\\{}é]{0,6}", "[a-z\"\\\\{}\\[\\]]{0,12}", 0..4)), 1..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            (index, first_index, id_again, name_again) in (any::<bool>(), 0..2_u64, any::<bool>(), any::<bool>()),
        ) {
            let dialect = Dialect { index, first_index, id_again, name_again };
            let mut assembled = ToolCalls::default();
            let mut expected = Vec::new();
            for (n, (name, arguments)) in calls.iter().enumerate() {
                let (id, json) = (format!("id{n}"), serde_json::to_string(arguments).unwrap());
                let mut borders: Vec<_> = cuts.iter().map(|cut| cut.index(json.len() + 1)).collect();
                borders.retain(|at| json.is_char_boundary(*at));
                borders.extend([0, json.len()]);
                borders.sort_unstable();
                for (k, pair) in borders.windows(2).enumerate() {
                    let first = k == 0;
                    assembled.push(Piece {
                        index: dialect.index.then_some(dialect.first_index + n as u64),
                        id: if first || dialect.id_again { &id } else { "" },
                        name: if first || dialect.name_again { name } else { "" },
                        arguments: json.get(pair[0]..pair[1]).unwrap(),
                    }).unwrap();
                }
                expected.push(ToolCall::new(id, name, json));
            }
            prop_assert_eq!(assembled.conclude(Ending::Unexplained), Ok(expected), "{:?}", dialect);
        }
    }
}
