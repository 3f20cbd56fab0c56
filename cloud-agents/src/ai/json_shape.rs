//! Whether a JSON object that arrives in pieces is whole, by its brackets and quotes alone. Pure: text in, yes or no out.
//!
//! Linear: every byte is looked at once, wherever the pieces are cut. What stands between the brackets is not checked, so
//! more may be taken for an object than is one, and never less.

/// How far an object has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    depth: u32,
    in_text: bool,
    escaped: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    Inside,
    Whole,
    NoObject,
}

impl Shape {
    pub(super) fn of(text: &str) -> Self {
        let mut shape = Self::default();
        shape.feed(text);
        shape
    }

    pub(super) fn is_whole(self) -> bool {
        self.state == State::Whole
    }

    pub(super) fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            self.step(byte);
        }
    }

    fn step(&mut self, byte: u8) {
        match self.state {
            State::Inside if self.in_text => match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            },
            State::Inside => match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.state = State::Whole;
                    }
                }
                _ => {}
            },
            State::NoObject => {}
            _ if byte.is_ascii_whitespace() => {}
            State::Before if byte == b'{' => (self.state, self.depth) = (State::Inside, 1),
            State::Before | State::Whole => self.state = State::NoObject,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_object_is_seen_to_be_whole_and_never_before_its_end(text in "[{}\\[\\]\":,a1 \\\\]{0,12}") {
            let parsed = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
            // Brackets and quotes alone may take more for an object, never less.
            prop_assert!(!parsed || Shape::of(&text).is_whole());
            for end in 0..text.len() {
                let head = Shape::of(text.get(..end).unwrap());
                prop_assert!(!parsed || !head.is_whole() || text.get(end..).unwrap().trim().is_empty());
            }
        }
    }
}
