//! Text and JSON of a request → stored values, refused the way PostgreSQL refuses them.
//!
//! A uuid is stored in lower case, a timestamp as the very text that goes out (UTC, trailing zeros cut),
//! a boolean as 0 or 1 and `jsonb` as normalised JSON text. Only these forms are ever stored, so equality
//! of stored values is equality in PostgreSQL; the order of timestamps is the order of [`instant`].
//! Wire source: PostgreSQL input functions of each type, `json_populate_record`.

use rusqlite::types::Value;

use super::{
    error::{ApiError, Outcome},
    json::Json,
};
use crate::core::{db::timestamptz, schema::PgType};

/// Reads the text form of a value.
pub(crate) fn from_text(ty: PgType, text: &str) -> Outcome<Value> {
    if text.contains('\0') {
        return Err(ApiError::database("22P05", "unsupported Unicode escape sequence")
            .details("\\u0000 cannot be converted to text."));
    }
    match ty {
        PgType::Text => Ok(Value::Text(text.to_owned())),
        PgType::Uuid => uuid(text).map(Value::Text),
        PgType::Bool => boolean(text).map(|value| Value::Integer(i64::from(value))),
        PgType::Int4 => integer(text, ty, i64::from(i32::MIN), i64::from(i32::MAX)).map(Value::Integer),
        PgType::Int8 => integer(text, ty, i64::MIN, i64::MAX).map(Value::Integer),
        PgType::Timestamptz => Ok(Value::Text(timestamp_text(micros(text)?))),
        PgType::Jsonb => match Json::parse(text) {
            Ok(json) => jsonb(json),
            Err(_) => Err(bad_json(text)),
        },
    }
}

/// Reads a member of a body row; JSON null is SQL null for every type.
pub(crate) fn from_json(ty: PgType, json: &Json) -> Outcome<Value> {
    match (ty, json) {
        (_, Json::Null) => Ok(Value::Null),
        (PgType::Jsonb, json) => jsonb(json.clone()),
        (ty, json) => from_text(ty, &json.as_plain_text().unwrap_or_default()),
    }
}

fn bad_json(text: &str) -> ApiError {
    let error = ApiError::database("22P02", "invalid input syntax for type json");
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if text.trim().is_empty() {
        error.details("The input string ended unexpectedly.")
    } else if word.is_empty() {
        error
    } else {
        error.details(format!("Token \"{word}\" is invalid."))
    }
}

fn jsonb(json: Json) -> Outcome<Value> {
    if json.has_nul() {
        return Err(ApiError::database("22P05", "unsupported Unicode escape sequence")
            .details("\\u0000 cannot be converted to text."));
    }
    Ok(Value::Text(json.normalised().to_string()))
}

fn uuid(text: &str) -> Outcome<String> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let hex: String = inner.chars().filter(|c| *c != '-').collect();
    // PostgreSQL takes a hyphen after any group of four digits; anywhere else it is an error.
    let grouped = inner.split('-').all(|group| !group.is_empty() && group.len() % 4 == 0);
    if hex.len() != 32 || !grouped || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ApiError::bad_value("uuid", text));
    }
    uuid::Uuid::try_parse(&hex).map(|id| id.hyphenated().to_string()).map_err(|_| ApiError::bad_value("uuid", text))
}

fn boolean(text: &str) -> Outcome<bool> {
    let word = text.trim().to_ascii_lowercase();
    let short_for = |full: &str, shortest: usize| word.len() >= shortest && full.starts_with(&word);
    if word == "1" || short_for("true", 1) || short_for("yes", 1) || short_for("on", 2) {
        Ok(true)
    } else if word == "0" || short_for("false", 1) || short_for("no", 1) || short_for("off", 2) {
        Ok(false)
    } else {
        Err(ApiError::bad_value("boolean", text))
    }
}

fn integer(text: &str, ty: PgType, min: i64, max: i64) -> Outcome<i64> {
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::bad_value(ty.name(), text));
    }
    match trimmed.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(ApiError::database("22003", format!("value \"{text}\" is out of range for type {}", ty.name()))),
    }
}

/// Microseconds since 1970 of a stored or received timestamp; infinities are the ends of the range.
pub(crate) fn instant(text: &str) -> Option<i64> {
    micros(text).ok()
}

/// The stored form of an instant.
pub(crate) fn timestamp_text(micros: i64) -> String {
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => timestamptz(micros),
    }
}

fn micros(text: &str) -> Outcome<i64> {
    let word = text.trim();
    match word.to_ascii_lowercase().as_str() {
        "infinity" => return Ok(i64::MAX),
        "-infinity" => return Ok(i64::MIN),
        "epoch" => return Ok(0),
        "now" => return Ok(jiff::Timestamp::now().as_microsecond()),
        _ => {}
    }
    let malformed =
        || ApiError::database("22007", format!("invalid input syntax for type timestamp with time zone: \"{text}\""));
    let out_of_range = || ApiError::database("22008", format!("date/time field value out of range: \"{text}\""));
    let mut reader = Reader { bytes: word.as_bytes(), position: 0 };
    let moment = reader.moment().ok_or_else(malformed)?;
    moment.micros().ok_or_else(|| {
        if (1..=12).contains(&moment.month) && (1..=31).contains(&moment.day) {
            out_of_range()
        } else {
            out_of_range().hint("Perhaps you need a different \"datestyle\" setting.")
        }
    })
}

/// The fields of a timestamp as written.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    seconds: i64,
    fraction: i64,
    offset: i64,
    valid: bool,
}

impl Moment {
    fn micros(&self) -> Option<i64> {
        let date = jiff::civil::Date::new(
            i16::try_from(self.year).ok()?,
            i8::try_from(self.month).ok()?,
            i8::try_from(self.day).ok()?,
        )
        .ok()?;
        if !self.valid {
            return None;
        }
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
        midnight.checked_add(self.seconds - self.offset)?.checked_mul(1_000_000)?.checked_add(self.fraction)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.position += 1)
    }

    /// A run of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let start = self.position;
        let mut value = 0;
        while self.position - start < most
            && let Some(digit) = self.peek().filter(u8::is_ascii_digit)
        {
            value = value * 10 + i64::from(digit - b'0');
            self.position += 1;
        }
        (self.position - start >= least).then_some(value)
    }

    /// `YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]]][ ][Z|UTC|±HH[[:]MM[:SS]]]`, nothing after it.
    fn moment(&mut self) -> Option<Moment> {
        let year = self.number(4, 6)?;
        self.eat(b'-')?;
        let month = self.number(1, 2)?;
        self.eat(b'-')?;
        let day = self.number(1, 2)?;
        let mut moment = Moment { year, month, day, seconds: 0, fraction: 0, offset: 0, valid: true };
        if matches!(self.peek(), Some(b'T' | b't' | b' ')) {
            self.position += 1;
            let hour = self.number(1, 2)?;
            self.eat(b':')?;
            let minute = self.number(1, 2)?;
            let second = if self.eat(b':').is_some() { self.number(1, 2)? } else { 0 };
            if self.eat(b'.').is_some() {
                moment.fraction = self.fraction();
            }
            moment.valid = hour < 24 && minute < 60 && second <= 60
                || (hour == 24 && minute == 0 && second == 0 && moment.fraction == 0);
            moment.seconds = hour * 3600 + minute * 60 + second;
        }
        let _ = self.eat(b' ');
        match self.peek() {
            None => {}
            Some(b'Z' | b'z') => self.position += 1,
            Some(b'U' | b'u') => {
                for letter in *b"UTC" {
                    (self.peek()?.to_ascii_uppercase() == letter).then(|| self.position += 1)?;
                }
            }
            Some(sign @ (b'+' | b'-')) => {
                self.position += 1;
                let hours = self.number(1, 2)?;
                let _ = self.eat(b':');
                let minutes = if self.peek().is_some() { self.number(2, 2)? } else { 0 };
                let seconds = if self.eat(b':').is_some() { self.number(2, 2)? } else { 0 };
                moment.valid &= hours < 16 && minutes < 60 && seconds < 60;
                let size = hours * 3600 + minutes * 60 + seconds;
                moment.offset = if sign == b'-' { -size } else { size };
            }
            Some(_) => return None,
        }
        self.peek().is_none().then_some(moment)
    }

    /// Fraction digits as microseconds, rounded to the nearest.
    fn fraction(&mut self) -> i64 {
        let (mut value, mut digits) = (0, 0);
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let digit = i64::from(digit - b'0');
            match digits {
                0..6 => value = value * 10 + digit,
                6 => value += i64::from(digit >= 5),
                _ => {}
            }
            digits += 1;
            self.position += 1;
        }
        value * 10_i64.pow(6_u32.saturating_sub(digits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(ty: PgType, input: &str) -> Result<String, &'static str> {
        match from_text(ty, input) {
            Ok(Value::Text(text)) => Ok(text),
            Ok(Value::Integer(number)) => Ok(number.to_string()),
            Ok(other) => panic!("unexpected {other:?}"),
            Err(error) => Err(error.code),
        }
    }

    #[test]
    fn timestamps_are_stored_in_utc_as_they_go_out() {
        for (input, stored) in [
            ("2026-02-19T23:00:00.1Z", Ok("2026-02-19T23:00:00.1+00:00")),
            ("2026-02-19T23:00:00.123456+00:00", Ok("2026-02-19T23:00:00.123456+00:00")),
            ("2026-02-19 23:00:00", Ok("2026-02-19T23:00:00+00:00")),
            ("2026-02-20T04:30:00+05:30", Ok("2026-02-19T23:00:00+00:00")),
            ("2026-02-19T16:00:00-07", Ok("2026-02-19T23:00:00+00:00")),
            ("2026-02-19T16:00:00-0700", Ok("2026-02-19T23:00:00+00:00")),
            ("2026-02-19T23:00:00.1234567Z", Ok("2026-02-19T23:00:00.123457+00:00")),
            ("2026-02-19T23:59:59.9999999Z", Ok("2026-02-20T00:00:00+00:00")),
            ("2026-02-19", Ok("2026-02-19T00:00:00+00:00")),
            ("infinity", Ok("infinity")),
            ("-Infinity", Ok("-infinity")),
            ("2023-03-23T15:50:31.511743 00:00", Err("22007")),
            ("yesterday-ish", Err("22007")),
            ("", Err("22007")),
            ("2026-02-30T00:00:00Z", Err("22008")),
            ("2026-02-19T25:00:00Z", Err("22008")),
        ] {
            assert_eq!(text(PgType::Timestamptz, input).as_deref(), stored.as_ref().map(|s| *s), "{input}");
        }
    }

    #[test]
    fn values_are_read_or_refused_like_postgresql_does() {
        for (ty, input, stored) in [
            (PgType::Int4, " 42 ", Ok("42")),
            (PgType::Int4, "", Err("22P02")),
            (PgType::Int4, "1.5", Err("22P02")),
            (PgType::Int4, "2147483648", Err("22003")),
            (PgType::Int8, "9223372036854775807", Ok("9223372036854775807")),
            (PgType::Int8, "9223372036854775808", Err("22003")),
            (PgType::Bool, "TRUE", Ok("1")),
            (PgType::Bool, "of", Ok("0")),
            (PgType::Bool, "o", Err("22P02")),
            (PgType::Bool, "", Err("22P02")),
            (PgType::Uuid, "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            (PgType::Uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a11", Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            (PgType::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", Err("22P02")),
            (PgType::Uuid, " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", Err("22P02")),
            (PgType::Jsonb, "{\"b\":1,\"a\":2}", Ok("{\"a\": 2, \"b\": 1}")),
            (PgType::Jsonb, "{", Err("22P02")),
            (PgType::Text, "a\0b", Err("22P05")),
        ] {
            assert_eq!(text(ty, input).as_deref(), stored.as_ref().map(|s| *s), "{input:?} as {}", ty.name());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_a_value_or_an_error_of_its_type(input in ".{0,40}") {
            for ty in [PgType::Uuid, PgType::Bool, PgType::Int4, PgType::Int8, PgType::Timestamptz, PgType::Jsonb] {
                let _ = from_text(ty, &input);
            }
        }

        #[test]
        fn an_instant_survives_its_text(micros in -60_000_000_000_000_000_i64..250_000_000_000_000_000) {
            prop_assert_eq!(instant(&timestamp_text(micros)), Some(micros));
        }
    }
}
