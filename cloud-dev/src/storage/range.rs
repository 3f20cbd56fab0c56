//! `Range: bytes=…` and the size of an object → the bytes to send.
//!
//! Wire source: RFC 9110, "Range Requests", one range only, as Supabase Storage reads it.

/// The header asks for bytes that are not there, or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsatisfiable;

/// The first and the last byte that `header` asks for.
pub(super) fn parse(header: &str, size: u64) -> Result<(u64, u64), Unsatisfiable> {
    let (first, last) = header.strip_prefix("bytes=").and_then(|text| text.split_once('-')).ok_or(Unsatisfiable)?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().map_err(|_| Unsatisfiable),
        false => Err(Unsatisfiable),
    };
    let end = size.checked_sub(1).ok_or(Unsatisfiable)?;
    let (first, last) = match (first, last) {
        ("", count) => match number(count)? {
            0 => return Err(Unsatisfiable),
            count => (size.saturating_sub(count), end),
        },
        (first, "") => (number(first)?, end),
        (first, last) => (number(first)?, number(last)?.min(end)),
    };
    if first > last { Err(Unsatisfiable) } else { Ok((first, last)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_object() {
        for (header, expected) in [
            ("bytes=0-0", (0, 0)),
            ("bytes=2-5", (2, 5)),
            ("bytes=7-", (7, 9)),
            ("bytes=-5", (5, 9)),
            ("bytes=8-99", (8, 9)),
            ("bytes=-99", (0, 9)),
        ] {
            assert_eq!(parse(header, 10), Ok(expected), "{header}");
        }
        for header in ["bytes=-0", "bytes=10-12", "bytes=8-4", "bytes=-", "bytes=a-b", "items=0-1", "bytes=+1-2", ""] {
            assert_eq!(parse(header, 10), Err(Unsatisfiable), "{header}");
        }
        assert_eq!(parse("bytes=0-0", 0), Err(Unsatisfiable));
    }
}
