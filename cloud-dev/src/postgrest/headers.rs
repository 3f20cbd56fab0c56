//! `Prefer`, `Accept`, `Range` and profile headers → what the client would like.
//!
//! Pure: header map in, settings out. Preferences that were honoured are echoed in a fixed order.
//! Wire source: PostgREST 14, "Prefer header", "Content negotiation", "Pagination".

use http::{HeaderMap, Method, StatusCode};

use super::error::{ApiError, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    MergeDuplicates,
    IgnoreDuplicates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    Minimal,
    HeadersOnly,
    Representation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Exact,
    Planned,
    Estimated,
}

/// What `Prefer` asked for; the first mention of a key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    pub(crate) resolution: Option<Resolution>,
    pub(crate) missing_default: Option<bool>,
    pub(crate) representation: Option<Return>,
    pub(crate) count: Option<Count>,
    pub(crate) strict: Option<bool>,
    pub(crate) max_affected: Option<usize>,
    unknown: Vec<String>,
}

impl Preferences {
    /// Reads every `Prefer` header.
    pub(crate) fn parse(headers: &HeaderMap) -> Outcome<Self> {
        let mut found = Self::default();
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
            found.add(preference);
        }
        if found.strict == Some(true) && !found.unknown.is_empty() {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "PGRST122",
                "Invalid preferences given with handling=strict",
            )
            .details(format!("Invalid preferences: {}", found.unknown.join(", "))));
        }
        Ok(found)
    }

    fn add(&mut self, preference: &str) {
        match preference {
            "resolution=merge-duplicates" => self.resolution = self.resolution.or(Some(Resolution::MergeDuplicates)),
            "resolution=ignore-duplicates" => self.resolution = self.resolution.or(Some(Resolution::IgnoreDuplicates)),
            "missing=default" => self.missing_default = self.missing_default.or(Some(true)),
            "missing=null" => self.missing_default = self.missing_default.or(Some(false)),
            "return=minimal" => self.representation = self.representation.or(Some(Return::Minimal)),
            "return=headers-only" => self.representation = self.representation.or(Some(Return::HeadersOnly)),
            "return=representation" => self.representation = self.representation.or(Some(Return::Representation)),
            "count=exact" => self.count = self.count.or(Some(Count::Exact)),
            "count=planned" => self.count = self.count.or(Some(Count::Planned)),
            "count=estimated" => self.count = self.count.or(Some(Count::Estimated)),
            "handling=strict" => self.strict = self.strict.or(Some(true)),
            "handling=lenient" => self.strict = self.strict.or(Some(false)),
            other => match other.strip_prefix("max-affected=").and_then(|number| number.trim().parse().ok()) {
                Some(number) => self.max_affected = self.max_affected.or(Some(number)),
                None => self.unknown.push(other.to_owned()),
            },
        }
    }

    /// The most rows a write may touch.
    pub(crate) fn row_limit(&self) -> Option<usize> {
        self.max_affected.filter(|_| self.strict == Some(true))
    }

    /// Whether a write reports how many rows it touched.
    pub(crate) const fn counts_writes(&self) -> bool {
        matches!(self.count, Some(Count::Exact | Count::Estimated))
    }

    /// The `Preference-Applied` value after a request that honours what `applies` says.
    pub(crate) fn applied(&self, applies: Applies) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        if applies.resolution {
            parts.extend(self.resolution.map(|resolution| match resolution {
                Resolution::MergeDuplicates => "resolution=merge-duplicates".to_owned(),
                Resolution::IgnoreDuplicates => "resolution=ignore-duplicates".to_owned(),
            }));
        }
        if applies.missing {
            let value = |default| if default { "missing=default" } else { "missing=null" }.to_owned();
            parts.extend(self.missing_default.map(value));
        }
        if applies.representation {
            parts.extend(self.representation.map(|wanted| match wanted {
                Return::Minimal => "return=minimal".to_owned(),
                Return::HeadersOnly => "return=headers-only".to_owned(),
                Return::Representation => "return=representation".to_owned(),
            }));
        }
        parts.extend(self.count.map(|count| match count {
            Count::Exact => "count=exact".to_owned(),
            Count::Planned => "count=planned".to_owned(),
            Count::Estimated => "count=estimated".to_owned(),
        }));
        let handling = |strict| if strict { "handling=strict" } else { "handling=lenient" }.to_owned();
        parts.extend(self.strict.map(handling));
        if applies.max_affected {
            parts.extend(self.row_limit().map(|limit| format!("max-affected={limit}")));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Which preferences a kind of request honours, besides those that every kind does.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent yes-or-no facts about a request kind")]
pub(crate) struct Applies {
    pub(crate) resolution: bool,
    pub(crate) missing: bool,
    pub(crate) representation: bool,
    pub(crate) max_affected: bool,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// One object instead of an array.
    pub(crate) object: bool,
    pub(crate) strip_nulls: bool,
    /// Comma-separated values instead of JSON.
    pub(crate) csv: bool,
}

impl Shape {
    /// An array of whole rows.
    pub(crate) const ROWS: Self = Self { object: false, strip_nulls: false, csv: false };

    /// Chooses by `Accept`.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Outcome<Self> {
        let accepted: Vec<&str> = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).collect();
        if accepted.is_empty() {
            return Ok(Self::ROWS);
        }
        let mut offers: Vec<(u32, &str)> =
            accepted.iter().flat_map(|value| value.split(',')).map(|media| (quality(media), media.trim())).collect();
        offers.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
        offers.iter().find_map(|(_, media)| Self::of(media)).ok_or_else(|| {
            let message = format!("None of these media types are available: {}", accepted.join(", "));
            ApiError::new(StatusCode::NOT_ACCEPTABLE, "PGRST107", message)
        })
    }

    fn of(media: &str) -> Option<Self> {
        let mut parts = media.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let strip_nulls = parts.any(|parameter| parameter.eq_ignore_ascii_case("nulls=stripped"));
        match name.as_str() {
            "*/*" | "application/json" => Some(Self::ROWS),
            "text/csv" => Some(Self { csv: true, ..Self::ROWS }),
            "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" => {
                Some(Self { strip_nulls, ..Self::ROWS })
            }
            "application/vnd.pgrst.object+json" | "application/vnd.pgrst.object" => {
                Some(Self { object: true, strip_nulls, ..Self::ROWS })
            }
            _ => None,
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        if self.csv {
            return "text/csv; charset=utf-8";
        }
        match (self.object, self.strip_nulls) {
            (false, false) => "application/json; charset=utf-8",
            (false, true) => "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8",
            (true, false) => "application/vnd.pgrst.object+json; charset=utf-8",
            (true, true) => "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8",
        }
    }
}

/// The `q` of a media range in thousandths.
fn quality(media: &str) -> u32 {
    let given = media.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    let thousandths =
        given.and_then(|text| text.trim().parse::<f64>().ok()).map(|q| (q.clamp(0.0, 1.0) * 1000.0).round());
    thousandths.map_or(1000, |q| q as u32)
}

/// Rows asked for by `Range`: the first and, if bounded, the last position.
pub(crate) fn range(headers: &HeaderMap) -> Outcome<Option<(u64, Option<u64>)>> {
    let Some(text) = headers.get("range").and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let text = text.strip_prefix("items=").unwrap_or(text);
    let Some((first, last)) = text.split_once('-') else { return Ok(None) };
    let Ok(first) = first.trim().parse::<u64>() else { return Ok(None) };
    if last.trim().is_empty() {
        return Ok(Some((first, None)));
    }
    match last.trim().parse::<u64>() {
        Ok(last) if last < first => Err(ApiError::bad_range(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
        )),
        Ok(last) => Ok(Some((first, Some(last)))),
        Err(_) => Ok(None),
    }
}

/// Refuses schemas other than `public`.
pub(crate) fn check_profile(method: &Method, headers: &HeaderMap) -> Outcome<()> {
    let header = if matches!(*method, Method::GET | Method::HEAD) { "accept-profile" } else { "content-profile" };
    match headers.get(header).and_then(|value| value.to_str().ok()) {
        None | Some("public") => Ok(()),
        Some(other) => Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, "PGRST106", format!("Invalid schema: {other}"))
            .hint("Only the following schemas are exposed: public")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn the_first_mention_counts_and_unknown_ones_matter_only_when_strict() {
        let lenient = headers(&[("prefer", "return=minimal, odd=1"), ("prefer", "return=representation,count=exact")]);
        let preferences = Preferences::parse(&lenient).unwrap();
        let applies = Applies { representation: true, ..Applies::default() };
        assert_eq!(preferences.applied(applies).as_deref(), Some("return=minimal, count=exact"));
        let error = Preferences::parse(&headers(&[("prefer", "handling=strict, odd=1, more")])).unwrap_err();
        assert_eq!(
            (error.code, error.details.as_plain_text().as_deref()),
            ("PGRST122", Some("Invalid preferences: odd=1, more"))
        );
    }

    #[test]
    fn a_row_limit_needs_strict_handling() {
        let limit = |text| Preferences::parse(&headers(&[("prefer", text)])).unwrap().row_limit();
        assert_eq!(limit("handling=strict, max-affected=10"), Some(10));
        assert_eq!(limit("handling=lenient, max-affected=10"), None);
        assert_eq!(limit("max-affected=10"), None);
    }

    #[test]
    fn the_answer_has_the_shape_the_client_prefers() {
        for (accept, expected) in [
            ("application/json", Some((false, false))),
            ("*/*", Some((false, false))),
            ("text/html, application/json;q=0.5", Some((false, false))),
            ("application/json;q=0.1, application/vnd.pgrst.object+json", Some((true, false))),
            ("application/vnd.pgrst.object+json;nulls=stripped", Some((true, true))),
            ("application/vnd.pgrst.object", Some((true, false))),
            ("text/unknown", None),
            ("application/*", None),
        ] {
            let shape = Shape::negotiate(&headers(&[("accept", accept)]));
            assert_eq!(shape.ok().map(|shape| (shape.object, shape.strip_nulls)), expected, "{accept}");
        }
        assert_eq!(Shape::negotiate(&headers(&[("accept", "image/png")])).unwrap_err().code, "PGRST107");
    }

    #[test]
    fn ranges_are_positions_with_both_ends() {
        for (text, expected) in [
            ("0-19", Some((0, Some(19)))),
            ("5-", Some((5, None))),
            ("x", None),
            ("-5", None),
            ("items=1-2", Some((1, Some(2)))),
        ] {
            assert_eq!(range(&headers(&[("range", text)])).unwrap(), expected, "{text}");
        }
        assert_eq!(range(&headers(&[("range", "1-0")])).unwrap_err().status, StatusCode::RANGE_NOT_SATISFIABLE);
    }
}
