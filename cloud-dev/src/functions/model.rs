//! The built-in development model: no network, no randomness, the same words for the same question.
//!
//! Messages → an answer that says what it is and shows that it read the question. It counts, lists and
//! adds when asked to, and asks for a tool whose name it reads in the question. Pure.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The name of the model.
pub(crate) const NAME: &str = "dev-model";

/// How far it counts.
const MAX_COUNT: u32 = 100;

/// How much of a question it repeats, in characters.
const MAX_QUOTE: usize = 160;

/// Characters of one token.
const TOKEN: usize = 4;

/// One message of a conversation, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) role: String,
    pub(crate) content: String,
}

/// What the model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Words.
    Text(String),
    /// A wish to use the named tool with these arguments.
    Tool { name: String, arguments: String },
}

/// Answers the last message of `messages`.
pub(crate) fn reply(messages: &[Message], tools: &[Value]) -> Reply {
    let last = messages.last();
    let question = last.map_or("", |message| message.content.as_str()).trim();
    if last.is_some_and(|message| message.role == "user")
        && let Some(reply) = tools.iter().find_map(|tool| use_tool(tool, question))
    {
        return reply;
    }
    let mut text = String::from("I am the built-in development model of this cloud, so no real model is behind me.");
    if let Some(system) = messages.iter().find(|message| message.role == "system" && !message.content.is_empty()) {
        let _ =
            write!(text, " My instructions begin: \"{}\".", quote(system.content.lines().next().unwrap_or_default()));
    }
    if last.is_some_and(|message| message.role == "tool") {
        let _ = write!(text, " The tool returned: \"{}\".", quote(question));
    } else {
        let words = question.split_whitespace().count();
        let letters = question.chars().count();
        let (words, letters) = (counted(words, "word"), counted(letters, "character"));
        let _ = write!(text, " You asked: \"{}\" ({words}, {letters}).", quote(question));
        if let Some(work) = work(question) {
            let _ = write!(text, "\n\n{work}");
        }
    }
    let turns = messages.iter().filter(|message| message.role == "user").count();
    let _ = write!(text, "\n\nThis was turn {turns}. Start the server with --ai-upstream to talk to a real model.");
    Reply::Text(text)
}

/// Cuts `text` into pieces that count as one token each; together they are the text again.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut letters = 0;
    for character in text.chars() {
        let starts = match character.is_whitespace() {
            true => letters > 0,
            false => letters == TOKEN,
        };
        if starts || pieces.is_empty() {
            pieces.push(String::new());
            letters = 0;
        }
        if !character.is_whitespace() {
            letters += 1;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(character);
        }
    }
    pieces
}

/// How many tokens `text` is.
pub(crate) fn count(text: &str) -> u64 {
    let of_word = |word: &str| word.chars().count().div_ceil(TOKEN);
    text.split_whitespace().map(of_word).sum::<usize>() as u64
}

fn quote(text: &str) -> String {
    let mut quote: String = text.chars().take(MAX_QUOTE).collect();
    if text.chars().count() > MAX_QUOTE {
        quote.push('…');
    }
    quote.replace('"', "'")
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The small things it can do.
fn work(question: &str) -> Option<String> {
    let lower = question.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let numbers: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if let (&[left, right, ..], Some(sign)) = (numbers.as_slice(), lower.chars().find(|c| "+*".contains(*c))) {
        let result = match sign {
            '+' => u64::from(left) + u64::from(right),
            _ => u64::from(left) * u64::from(right),
        };
        return Some(format!("{left} {sign} {right} = {result}"));
    }
    if words.contains(&"count") {
        let (from, to) = match numbers.as_slice() {
            &[from, to, ..] => (from, to),
            &[to] => (1, to),
            [] => (1, 5),
        };
        let to = to.min(from.saturating_add(MAX_COUNT - 1));
        return Some((from..=to).map(|number| number.to_string()).collect::<Vec<_>>().join(", "));
    }
    if words.contains(&"list") {
        let wanted = numbers.first().map_or(3, |number| *number).min(MAX_COUNT);
        return Some((1..=wanted).map(|number| format!("{number}. item {number}")).collect::<Vec<_>>().join("\n"));
    }
    None
}

/// A call of `tool` if the question names it, with arguments that fit its schema.
fn use_tool(tool: &Value, question: &str) -> Option<Reply> {
    let function = tool.get("function")?;
    let name = function.get("name")?.as_str().filter(|name| !name.is_empty() && question.contains(name))?;
    let parameters = function.get("parameters");
    let properties = parameters.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let mut arguments = Map::new();
    for (name, schema) in properties.into_iter().flatten() {
        let value = match schema.get("type").and_then(Value::as_str) {
            Some("string") => json!(question),
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => Value::Null,
        };
        arguments.insert(name.clone(), value);
    }
    Some(Reply::Tool { name: name.to_owned(), arguments: Value::Object(arguments).to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(question: &str) -> String {
        let user = Message { role: "user".to_owned(), content: question.to_owned() };
        match reply(&[user], &[]) {
            Reply::Text(text) => text,
            Reply::Tool { .. } => panic!("no tool was offered"),
        }
    }

    #[test]
    fn it_says_what_it_is_and_what_it_was_asked() {
        let answer = ask("What is the plan for today?");
        assert!(answer.contains("built-in development model"), "{answer}");
        assert!(answer.contains("\"What is the plan for today?\" (6 words, 27 characters)"), "{answer}");
        assert!(pieces(&answer).len() > 30);
    }

    #[test]
    fn it_does_small_things_when_asked() {
        for (question, part) in [
            ("Count to 4", "\n1, 2, 3, 4\n"),
            ("please count from 7 to 9!", "\n7, 8, 9\n"),
            ("count to 4000000000", "99, 100\n"),
            ("list 2 things", "\n1. item 1\n2. item 2\n"),
            ("what is 20 + 22?", "\n20 + 22 = 42\n"),
            ("4000000000 * 4000000000", "16000000000000000000"),
        ] {
            assert!(ask(question).contains(part), "{question}: {}", ask(question));
        }
    }

    #[test]
    fn a_tool_named_in_the_question_is_asked_for() {
        let schema = json!({ "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } });
        let tool = json!({ "type": "function", "function": { "name": "weather", "parameters": schema } });
        let user = |content: &str| Message { role: "user".to_owned(), content: content.to_owned() };
        let Reply::Tool { name, arguments } = reply(&[user("use weather")], std::slice::from_ref(&tool)) else {
            panic!()
        };
        assert_eq!((name.as_str(), arguments.as_str()), ("weather", r#"{"city":"use weather","days":1}"#));
        assert!(matches!(reply(&[user("hello")], &[tool]), Reply::Text(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn pieces_are_the_text_and_as_many_as_counted(text in "\\PC{0,80}|[a-z ü\n]{0,200}") {
            let pieces = pieces(&text);
            prop_assert_eq!(pieces.concat(), text.clone());
            let trailing = pieces.last().is_some_and(|piece| piece.trim().is_empty());
            prop_assert_eq!(pieces.len() as u64 - u64::from(trailing), count(&text));
        }
    }
}
