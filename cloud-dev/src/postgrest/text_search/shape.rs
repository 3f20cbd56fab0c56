//! The shapes that a text may hold besides plain words: addresses, paths, numbers, tags.
//!
//! Each function looks at one place of the text and says where the shape that begins there ends, if one does. Those that
//! may look far ahead for nothing say how far, so that nobody looks there again.
//! Source: PostgreSQL, "Parsers", and the answers of `ts_parse`.

use std::sync::LazyLock;

use regex::Regex;

/// Where an address ends, and of which kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Email(usize),
    /// The end of the host, with its port, and of the whole.
    Url(usize, usize),
    Host(usize),
}

/// A part of a text between `<` and `>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Markup {
    pub(super) end: usize,
    /// Whether what follows is no text (`<script>`), or is text again (`</script>`).
    pub(super) hides: Option<bool>,
}

/// Letters, and the digits of other scripts, which PostgreSQL takes for letters.
pub(super) fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { c.is_alphabetic() || (c.is_numeric() && is_one(&DIGIT, c)) }
}

/// Digits, letters, and marks that a word may hold and not begin with.
pub(super) fn is_inside_word(c: char) -> bool {
    c.is_ascii_digit() || is_letter(c) || (!c.is_ascii() && is_one(&MARK, c))
}

static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Nd}$").ok());
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{Mn}\p{Me}]$").ok());

fn is_one(class: &LazyLock<Option<Regex>>, c: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(c.encode_utf8(&mut [0; 4])))
}

fn at(chars: &[char], place: usize) -> Option<char> {
    chars.get(place).copied()
}

/// The end of a run of characters.
pub(super) fn run(chars: &[char], start: usize, wanted: impl Fn(char) -> bool) -> usize {
    chars.iter().skip(start).position(|c| !wanted(*c)).map_or(chars.len(), |length| start + length)
}

fn digits(chars: &[char], start: usize) -> Option<usize> {
    let end = run(chars, start, |c| c.is_ascii_digit());
    (end > start).then_some(end)
}

/// Labels in one line, as names of hosts and of people have them: where they stop, and where the host in them ends.
///
/// A label is joined to the one before by `.`, `-` or `_`; the last of a host follows a dot and is of two letters or more.
fn labels(chars: &[char], start: usize) -> (usize, Option<usize>) {
    let (mut place, mut joint, mut host) = (start, None, None);
    loop {
        let end = run(chars, place, |c| c.is_ascii_alphanumeric());
        let is_alphabetic = end == run(chars, place, |c| c.is_ascii_alphabetic());
        if joint == Some('.') && is_alphabetic && end >= place + 2 {
            host = Some(end);
        }
        joint = at(chars, end).filter(|c| matches!(c, '.' | '-' | '_'));
        if joint.is_none() || !at(chars, end + 1).is_some_and(|c| c.is_ascii_alphanumeric()) {
            return (end, host);
        }
        place = end + 1;
    }
}

/// A host with its port.
fn host(chars: &[char], start: usize) -> Option<usize> {
    if !at(chars, start)?.is_ascii_alphanumeric()
        || scientific_tail(chars, digits(chars, start).unwrap_or(start)).is_some()
    {
        return None;
    }
    labels(chars, start).1.map(|end| with_port(chars, end))
}

fn with_port(chars: &[char], end: usize) -> usize {
    if at(chars, end) == Some(':') { digits(chars, end + 1).unwrap_or(end) } else { end }
}

/// What follows the name of an email address, from the `@` on.
pub(super) fn email_tail(chars: &[char], start: usize) -> Option<usize> {
    if at(chars, start)? == '@' { host(chars, start + 1) } else { None }
}

/// An email address, a host, or a host with a path; or else up to where there is none.
pub(super) fn address(chars: &[char], start: usize) -> Result<Address, usize> {
    let (end, host) = labels(chars, start);
    // A number alone is nobody's name.
    if digits(chars, start) != Some(end)
        && let Some(end) = email_tail(chars, end)
    {
        return Ok(Address::Email(end));
    }
    let host = with_port(chars, host.ok_or(end)?);
    let end = run(chars, host + 1, is_in_url);
    Ok(if at(chars, host) == Some('/') && end > host + 1 { Address::Url(host, end) } else { Address::Host(host) })
}

const fn is_in_url(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
}

/// Where in a path one is.
#[derive(Clone, Copy)]
enum Path {
    /// After a slash.
    First,
    /// After `~`.
    Home,
    /// After the dot that a name begins with.
    Dot,
    /// After two of them.
    Dots,
    /// After a dot in a name.
    Extension,
    Name,
}

const fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where a path ends, or else how far nothing else is one either.
fn path(chars: &[char], start: usize, first: Path) -> Result<usize, usize> {
    let (mut place, mut state, mut good) = (start, first, None);
    loop {
        let next = at(chars, place);
        if matches!(state, Path::Name)
            || (matches!(state, Path::Dots) && next.is_none_or(|c| c == '/' || c.is_whitespace()))
        {
            good = Some(place);
        }
        state = match (state, next) {
            (Path::Dots, Some('/')) => Path::First,
            (Path::Dots, _) => return good.ok_or(place),
            (Path::Name, Some('-')) => Path::Name,
            (_, Some(c)) if is_in_name(c) => Path::Name,
            (Path::First, Some('.')) => Path::Dot,
            (Path::First, Some('~')) => Path::Home,
            (Path::Dot, Some('.')) => Path::Dots,
            (Path::Name, Some('.')) => Path::Extension,
            (Path::Name | Path::Dot | Path::Home, Some('/')) => Path::First,
            _ => return good.ok_or(place),
        };
        place += 1;
    }
}

/// A path that begins with `/`, or with `~`, `.` or `..`; or else up to where there is none.
pub(super) fn path_from_root(chars: &[char], start: usize) -> Result<usize, usize> {
    match (at(chars, start), at(chars, start + 1)) {
        (Some('/'), _) => path(chars, start + 1, Path::First),
        (Some('~'), _) => path(chars, start + 1, Path::Home),
        (Some('.'), Some('.')) => path(chars, start + 2, Path::Dots),
        (Some('.'), Some('/')) => path(chars, start + 2, Path::First),
        _ => Err(start),
    }
}

/// A path whose first name ends at `end`, by a slash or a dot.
pub(super) fn path_from_name(chars: &[char], end: usize) -> Option<usize> {
    match at(chars, end)? {
        '/' => path(chars, end + 1, Path::First).ok(),
        '.' => path(chars, end + 1, Path::Extension).ok(),
        _ => None,
    }
}

/// `e` with digits behind it, from the end of other digits on.
pub(super) fn scientific_tail(chars: &[char], start: usize) -> Option<usize> {
    at(chars, start).filter(|c| matches!(c, 'e' | 'E'))?;
    let sign = usize::from(matches!(at(chars, start + 1), Some('+' | '-')));
    digits(chars, start + 1 + sign)
}

/// A number with a fraction, an exponent, or several dots (a version), from its first digit on.
pub(super) fn number(chars: &[char], start: usize) -> Option<usize> {
    let whole = digits(chars, start)?;
    let fraction = |end: usize| if at(chars, end) == Some('.') { digits(chars, end + 1) } else { None };
    let mut end = fraction(whole).unwrap_or(whole);
    if let Some(third) = fraction(end).filter(|_| end > whole) {
        end = third;
        while let Some(more) = fraction(end) {
            end = more;
        }
        return Some(end);
    }
    Some(scientific_tail(chars, end).unwrap_or(end))
}

/// A number behind its sign; a version has none.
pub(super) fn signed_number(chars: &[char], sign: usize) -> Option<usize> {
    let end = number(chars, sign + 1)?;
    let dots = chars.get(sign..end)?.iter().filter(|c| **c == '.').count();
    (dots < 2).then_some(end)
}

/// `&amp;`, `&#38;`, `&#x26;`
pub(super) fn entity(chars: &[char], start: usize) -> Option<usize> {
    let end = match (at(chars, start + 1)?, at(chars, start + 2)) {
        ('#', Some('x' | 'X')) => {
            Some(run(chars, start + 3, |c| c.is_ascii_hexdigit())).filter(|end| *end > start + 3)?
        }
        ('#', _) => digits(chars, start + 2)?,
        (c, _) if c.is_ascii_alphabetic() || matches!(c, ':' | '_') => {
            run(chars, start + 2, |c| c.is_ascii_digit() || is_letter(c) || matches!(c, ':' | '_' | '.' | '-'))
        }
        _ => return None,
    };
    (at(chars, end) == Some(';')).then_some(end + 1)
}

/// A tag, a comment or a declaration, from its `<` on.
pub(super) fn markup(chars: &[char], start: usize) -> Option<Markup> {
    let name = start + 1;
    let plain = |end| Markup { end, hides: None };
    match (at(chars, name)?, at(chars, name + 1)) {
        ('!', Some('-')) => {
            at(chars, name + 2).filter(|c| *c == '-')?;
            let body = chars.get(name + 3..)?;
            body.windows(3).position(|three| three == ['-', '-', '>']).map(|length| plain(name + 3 + length + 3))
        }
        ('!', Some('D' | 'd')) | ('?', Some('x')) => attributes(chars, name + 2).map(plain),
        (c, next) => {
            let closes = c == '/';
            let name = name + usize::from(closes);
            let first = if closes { next? } else { c };
            if !first.is_ascii_alphabetic() && (closes || !matches!(first, ':' | '_')) {
                return None;
            }
            let in_name = |c: char| c.is_ascii_digit() || is_letter(c) || matches!(c, ':' | '_' | '.' | '-');
            let end_of_name = run(chars, name, in_name);
            let tag: String = chars.get(name..end_of_name)?.iter().flat_map(|c| c.to_lowercase()).collect();
            let hides = matches!(tag.as_str(), "script" | "style").then_some(!closes);
            let end = match at(chars, end_of_name)? {
                '>' => end_of_name + 1,
                '/' if at(chars, end_of_name + 1) == Some('>') => return Some(plain(end_of_name + 2)),
                c if c.is_whitespace() => attributes(chars, end_of_name)?,
                _ => return None,
            };
            Some(Markup { end, hides })
        }
    }
}

/// What may stand between the name of a tag and its `>`.
fn attributes(chars: &[char], start: usize) -> Option<usize> {
    let mut place = start;
    loop {
        let c = at(chars, place)?;
        place += 1;
        match c {
            '>' => return Some(place),
            '\'' | '"' => loop {
                let inner = at(chars, place)?;
                place += if inner == '\\' { 2 } else { 1 };
                if inner == c {
                    break;
                }
            },
            c if c.is_ascii_alphanumeric() || c.is_whitespace() || "=-_#/:.&?%~".contains(c) => {}
            _ => return None,
        }
    }
}
