//! Results → status, headers and body.
//!
//! Wire source: PostgREST 14 responses; RFC 9209 for `Proxy-Status`.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE},
};

use super::{
    RestResponse,
    csv::{self, Columns},
    error::{ApiError, Outcome},
    headers::Shape,
    json::Json,
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    pub(crate) content_range: Option<String>,
    pub(crate) content_location: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) preference_applied: Option<String>,
    body: Option<(&'static str, String)>,
}

impl Answer {
    pub(crate) const fn new(status: StatusCode) -> Self {
        Self {
            status,
            content_range: None,
            content_location: None,
            location: None,
            preference_applied: None,
            body: None,
        }
    }

    /// Puts `rows` with these columns into the body, in the form the client asked for.
    pub(crate) fn show(&mut self, shape: Shape, columns: &Columns, rows: Vec<String>) -> Outcome<()> {
        if shape.object && rows.len() != 1 {
            return Err(ApiError::not_one_row(rows.len()));
        }
        if shape.csv {
            self.body = Some((shape.content_type(), csv::write(columns, &rows)));
            return Ok(());
        }
        let rows: Vec<String> = if shape.strip_nulls {
            let stripped = |row: String| Json::parse(&row).map_or(row, |json| json.without_nulls().to_string());
            rows.into_iter().map(stripped).collect()
        } else {
            rows
        };
        let text = rows.join(", \n ");
        self.body = Some((shape.content_type(), if shape.object { text } else { format!("[{text}]") }));
        Ok(())
    }

    /// One value that is no row, such as a function returns.
    pub(crate) fn value(shape: Shape, json: String) -> Self {
        let content_range = Some("0-0/*".to_owned()); // it counts as a row
        Self { body: Some((shape.content_type(), json)), content_range, ..Self::new(StatusCode::OK) }
    }

    pub(crate) fn into_response(self) -> RestResponse {
        let mut headers = HeaderMap::new();
        let texts = [
            (CONTENT_RANGE, self.content_range),
            (CONTENT_LOCATION, self.content_location),
            (LOCATION, self.location),
            (PREFERENCE_APPLIED, self.preference_applied),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                headers.insert(name, value);
            }
        }
        let mut body = Vec::new();
        if let Some((content_type, text)) = self.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            body = text.into_bytes();
        }
        RestResponse { status: self.status, headers, body }
    }
}

/// The answer to a request that failed.
pub(crate) fn failure(error: &ApiError) -> RestResponse {
    let mut headers = HeaderMap::new();
    // The one failure that comes in the form the client asked for.
    let shape = Shape { object: error.code == "PGRST116", ..Shape::ROWS };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(shape.content_type()));
    if let Ok(value) = HeaderValue::from_str(&format!("PostgREST; error={}", error.code)) {
        headers.insert(PROXY_STATUS, value);
    }
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(range) = error.range.as_deref() {
        let texts = [
            (CONTENT_RANGE, Some(&range.content_range)),
            (CONTENT_LOCATION, range.content_location.as_ref()),
            (PREFERENCE_APPLIED, range.preference_applied.as_ref()),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        }
    }
    RestResponse { status: error.status, headers, body: error.body().into_bytes() }
}
