//! One event's data, or one whole answer, read in place: JSON text in, a view of the parts that matter out.
//!
//! Nothing is copied that is not escaped in the JSON. Servers of this dialect differ in small ways, so where a text is
//! expected, `null`, a list of parts and an object with a `text` are read as well; what else stands there is no text.
//! What is no JSON, or has a list where an object belongs, is an error. Wire source: OpenAI `chat.completion.chunk`.
use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// A chunk or a whole answer.
///
/// It is filled in place: handing it from call to call, as derived code does, was a third of the time of a stream.
#[derive(Debug, Default)]
pub(super) struct Chunk<'a> {
    pub(super) id: Text<'a>,
    pub(super) model: Text<'a>,
    object: Text<'a>,
    pub(super) choices: First<'a>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) allowance: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

impl Chunk<'_> {
    /// Whether this reports a failure instead of a piece of an answer.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some() || self.object.0 == "error"
    }
}

/// The first choice, which is the only one ever asked for; others are read over.
#[derive(Debug, Default)]
pub(super) struct First<'a>(pub(super) Option<Choice<'a>>);

#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    index: Option<u64>,
    pub(super) delta: Option<Delta<'a>>,
    pub(super) message: Option<&'a RawValue>,
    pub(super) finish_reason: Text<'a>,
}

/// What a chunk adds; in a whole answer, everything.
///
/// Fields that are seldom there are kept as they are written, which also keeps this small.
#[derive(Debug, Default)]
pub(super) struct Delta<'a> {
    pub(super) content: Text<'a>,
    pub(super) refusal: Option<&'a RawValue>,
    pub(super) reasoning_content: Option<&'a RawValue>,
    pub(super) reasoning: Option<&'a RawValue>,
    pub(super) tool_calls: Option<Vec<Fragment<'a>>>,
    pub(super) function_call: Option<&'a RawValue>,
}

/// A value that is read into the place where it stays.
trait Fill<'de>: Default {
    /// Reads the value of the field `name`; a field it does not know is left to be read over.
    fn field<A: MapAccess<'de>>(&mut self, name: &str, fields: &mut A) -> Result<bool, A::Error>;
}

/// Reads an object into the place it holds; `null` leaves the place as it is.
struct Place<'p, T>(&'p mut T);

impl<'de, T: Fill<'de>> DeserializeSeed<'de> for Place<'_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Fill<'de>> Visitor<'de> for Place<'_, T> {
    /// Whether there was an object.
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, or nothing")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
        while let Some(Text(name)) = fields.next_key()? {
            if !self.0.field(&name, &mut fields)? {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(true)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Chunk<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut chunk = Self::default();
        let found = Place(&mut chunk).deserialize(from)?;
        if found { Ok(chunk) } else { Err(D::Error::custom("an object was expected")) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Delta<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut delta = Self::default();
        let found = Place(&mut delta).deserialize(from)?;
        if found { Ok(delta) } else { Err(D::Error::custom("an object was expected")) }
    }
}

impl<'de: 'a, 'a> Fill<'de> for Chunk<'a> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, fields: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => self.id = fields.next_value()?,
            "model" => self.model = fields.next_value()?,
            "object" => self.object = fields.next_value()?,
            "choices" => fields.next_value_seed(Choices(&mut self.choices))?,
            "usage" => self.usage = fields.next_value()?,
            "_cloud_usage" => self.allowance = fields.next_value()?,
            "error" => self.error = fields.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de: 'a, 'a> Fill<'de> for Choice<'a> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, fields: &mut A) -> Result<bool, A::Error> {
        match name {
            "index" => self.index = fields.next_value()?,
            "delta" => {
                if !fields.next_value_seed(Place(self.delta.get_or_insert_default()))? {
                    self.delta = None;
                }
            }
            "message" => self.message = fields.next_value()?,
            "finish_reason" => self.finish_reason = fields.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de: 'a, 'a> Fill<'de> for Delta<'a> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, fields: &mut A) -> Result<bool, A::Error> {
        match name {
            "content" => self.content = fields.next_value()?,
            "refusal" => self.refusal = fields.next_value()?,
            "reasoning_content" => self.reasoning_content = fields.next_value()?,
            "reasoning" => self.reasoning = fields.next_value()?,
            "tool_calls" => self.tool_calls = fields.next_value()?,
            "function_call" => self.function_call = fields.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A piece of a tool call.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fragment<'a> {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl<'a> Function<'a> {
    /// The arguments as JSON text, whether the server wrote a text or the object itself.
    pub(super) fn arguments(&self) -> Cow<'a, str> {
        match self.arguments {
            Some(raw) if !raw.get().starts_with('"') => Cow::Borrowed(raw.get()),
            raw => text(raw),
        }
    }
}

/// A text, however the server wrote it; empty when there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

/// The text that stands in a field kept as written.
pub(super) fn text(raw: Option<&RawValue>) -> Cow<'_, str> {
    let text = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    text.map(|Text(text)| text).unwrap_or_default()
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or nothing")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut whole = String::new();
        while let Some(Text(part)) = parts.next_element()? {
            whole.push_str(&part);
        }
        Ok(Text(Cow::Owned(whole)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = Text::default();
        while let Some(Text(name)) = fields.next_key()? {
            if name == "text" {
                found = fields.next_value()?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Reads a list of choices, and keeps the first.
struct Choices<'p, 'a>(&'p mut First<'a>);

impl<'de: 'a, 'a> DeserializeSeed<'de> for Choices<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Choices<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<(), A::Error> {
        let First(first) = self.0;
        *first = None;
        while first.is_none() {
            let choice = first.get_or_insert_default();
            let found = choices.next_element_seed(Place(&mut *choice))?;
            if found != Some(true) || choice.index.unwrap_or_default() != 0 {
                *first = None;
            }
            if found.is_none() {
                return Ok(());
            }
        }
        while choices.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// What a failure inside a stream says. Everything is optional and of any type.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) code: String,
}

impl Failure {
    /// Reads `{"error":{"message","type","code"}}`, `{"error":"…"}`, `{"message","type","code"}` or plain words.
    pub(super) fn read(data: &str) -> Self {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(data) else {
            return Self { message: data.to_owned(), code: String::new() };
        };
        let inner = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
        let text = |name: &str| match inner.get(name) {
            Some(serde_json::Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Self {
            message: inner.as_str().map(str::to_owned).or_else(|| text("message")).unwrap_or_default(),
            code: text("code").or_else(|| text("type")).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unescaped_text_is_borrowed_and_never_copied() {
        let data = r#"{"choices":[{"index":0,"delta":{"content":" world"},"finish_reason":null}],"usage":null}"#;
        let chunk: Chunk<'_> = serde_json::from_str(data).unwrap();
        let choice = chunk.choices.0.unwrap();
        assert!(matches!(choice.delta.unwrap().content.0, Cow::Borrowed(" world")));
        assert!(chunk.usage.is_none() && choice.finish_reason.0.is_empty());
    }

    #[test]
    fn a_text_is_found_in_every_form_that_servers_write_it_in() {
        let cases = [
            (r#""plain""#, "plain"),
            (r#""esc\n\u00e9""#, "esc\né"),
            ("null", ""),
            (r#"["a",{"type":"text","text":"b"},null,{"type":"image"}]"#, "ab"),
            (r#"{"type":"text","text":"c"}"#, "c"),
            ("[]", ""),
            ("{}", ""),
            ("true", ""),
            ("400", "400"),
            ("-1", "-1"),
            ("1.5", ""),
        ];
        for (json, expected) in cases {
            assert_eq!(serde_json::from_str::<Text<'_>>(json).unwrap().0, expected, "{json}");
        }
    }

    #[test]
    fn arguments_are_read_from_a_text_and_from_an_object() {
        for json in [r#"{"name":"f","arguments":"{\"a\": 1}"}"#, r#"{"name":"f","arguments":{"a": 1}}"#] {
            assert_eq!(serde_json::from_str::<Function<'_>>(json).unwrap().arguments(), r#"{"a": 1}"#);
        }
        for json in ["{}", r#"{"arguments":null}"#, r#"{"arguments":""}"#] {
            assert_eq!(serde_json::from_str::<Function<'_>>(json).unwrap().arguments(), "");
        }
    }

    #[test]
    fn a_failure_is_read_in_every_form_that_servers_write_it_in() {
        let cases = [
            (r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#, "m", "c"),
            (r#"{"error":{"message":"m","type":"t","code":null}}"#, "m", "t"),
            (r#"{"error":{"message":"m","code":502}}"#, "m", "502"),
            (r#"{"error":"m"}"#, "m", ""),
            (r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#, "m", "400"),
            ("plain words", "plain words", ""),
            ("[]", "", ""),
        ];
        for (data, message, code) in cases {
            let failure = Failure::read(data);
            assert_eq!((failure.message.as_str(), failure.code.as_str()), (message, code), "{data}");
        }
    }
}
