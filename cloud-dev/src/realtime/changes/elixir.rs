//! Values as the real service prints them in its errors, which is how Elixir shows a term.
//!
//! JSON → text. Only used in texts that people read. Wire source: Elixir `inspect/1`.

use serde_json::Value;

/// How a term is shown.
pub(super) fn inspect(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "nil".to_owned(),
        Value::Array(items) => format!("[{}]", list(items.iter().map(inspect).collect())),
        Value::Object(members) => {
            let shown =
                members.iter().map(|(key, value)| format!("{} => {}", Value::from(key.as_str()), inspect(value)));
            format!("%{{{}}}", list(shown.collect()))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_are_shown_as_elixir_shows_them() {
        for (value, text) in [
            (json!({}), "%{}"),
            (json!(null), "nil"),
            (json!({ "event": "*", "n": [1, true, null] }), r#"%{"event" => "*", "n" => [1, true, nil]}"#),
            (json!("a\"b"), r#""a\"b""#),
        ] {
            assert_eq!(inspect(&value), text);
        }
    }
}
