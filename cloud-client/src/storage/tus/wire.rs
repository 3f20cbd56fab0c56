//! Requests and answers of TUS, as text: what goes into the headers, and what an answer means to the machine.
//!
//! Wire source: TUS 1.0.0 and `@tus/server` 2.4 as Supabase Storage runs it: true statuses with plain-text bodies.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::machine::Event;
use crate::{Error, ErrorKind};

pub(super) const RESUMABLE: (HeaderName, HeaderValue) =
    (HeaderName::from_static("tus-resumable"), HeaderValue::from_static("1.0.0"));
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
pub(super) const CHUNK_TYPE: HeaderValue = HeaderValue::from_static("application/offset+octet-stream");
/// The longest id that is kept, in bytes.
const ID_LIMIT_BYTES: usize = 4096;

/// `key base64value` pairs: one blank inside a pair, commas between pairs.
pub(super) fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    pairs.join(",")
}

/// The id of an upload: the last segment of its address, whose scheme, host, port and prefix are wrong behind many
/// proxies and are never used (A11, G8).
pub(super) fn upload_id(location: &str) -> Option<String> {
    let path = location.split(['?', '#']).next()?.trim_end_matches('/');
    // An id stands behind at least one slash, unless the address is nothing but the id.
    let id = path.rsplit('/').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~=+".contains(&byte);
    let good = !id.is_empty() && id.len() <= ID_LIMIT_BYTES && id.bytes().all(plain) && !matches!(id, "." | "..");
    good.then(|| id.to_owned())
}

pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// When the server forgets the upload, in seconds since 1970.
pub(super) fn expires(headers: &HeaderMap) -> Option<u64> {
    let at = httpdate::parse_http_date(headers.get(EXPIRES)?.to_str().ok()?).ok()?;
    at.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The address of a new upload.
pub(super) fn location(headers: &HeaderMap) -> Option<String> {
    upload_id(headers.get(header::LOCATION)?.to_str().ok()?)
}

/// What an error means to the course of an upload.
pub(super) fn meaning(error: &Error) -> Event {
    let says = |text: &str| error.detail().is_some_and(|detail| detail.contains(text));
    match (error.kind(), error.status()) {
        (_, Some(409)) if says("Upload-Offset") || says("offset") => Event::Conflict,
        (ErrorKind::Conflict, _) => Event::Exists,
        (ErrorKind::NotFound, _) => Event::Gone,
        (kind, _) if kind.is_transient() => Event::Unsure,
        // A part that came through another proxy, or an answer that makes no sense: ask before judging.
        (ErrorKind::Protocol, _) => Event::Unsure,
        _ => Event::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::codes;

    #[test]
    fn metadata_is_spelt_as_the_service_reads_it() {
        let text = metadata(&[
            ("bucketName", "workspace-files"),
            ("objectName", "ws1/abc.bin"),
            ("contentType", "application/octet-stream"),
            ("cacheControl", "3600"),
        ]);
        let expected = "bucketName d29ya3NwYWNlLWZpbGVz,objectName d3MxL2FiYy5iaW4=,\
                        contentType YXBwbGljYXRpb24vb2N0ZXQtc3RyZWFt,cacheControl MzYwMA==";
        assert_eq!(text, expected);
    }

    #[test]
    fn g08_of_an_address_only_the_last_segment_is_kept() {
        for location in [
            "http://localhost:8000/storage/v1:8000/upload/resumable/ID",
            "http://localhost/upload/resumable/ID",
            "http://host:8000/storage/v1//upload/resumable/ID",
            "https://evil.example/upload/resumable/sign/ID?x=1#y",
            "/storage/v1/upload/resumable/ID/",
            "ID",
        ] {
            assert_eq!(upload_id(location).as_deref(), Some("ID"), "{location}");
        }
        for bad in ["", "/", "https://h/..", "https://h/.", "https://h/a%2Fb", "https://h/a b", "https://h/a\\b"] {
            assert_eq!(upload_id(bad), None, "{bad}");
        }
        assert_eq!(upload_id(&"x".repeat(ID_LIMIT_BYTES + 1)), None);
    }

    #[test]
    fn every_failure_of_the_table_means_one_thing() {
        let error = |code, status, detail| meaning(&Error::new(code).with_status(status).with_detail(detail));
        for (code, status, detail, event) in [
            (codes::CONFLICT, 409, "Upload-Offset conflict\n", Event::Conflict),
            (codes::CONFLICT, 409, "The resource already exists", Event::Exists),
            (codes::CONFLICT, 400, "Duplicate", Event::Exists),
            (codes::NOT_FOUND, 404, "The file for this url was not found\n", Event::Gone),
            (codes::NOT_FOUND, 410, "The file for this url no longer exists\n", Event::Gone),
            (codes::UNAVAILABLE, 400, "Request aborted due to lock acquired", Event::Unsure),
            (codes::UNAVAILABLE, 500, "Something went wrong receiving the file\n", Event::Unsure),
            (codes::RATE_LIMITED, 429, "", Event::Unsure),
            (codes::FILE_TOO_LARGE, 413, "Maximum size exceeded\n", Event::Refused),
            (codes::FORBIDDEN, 403, "Upload-Offset header required\n", Event::Refused),
            (codes::TOKEN_REFUSED, 400, "\"exp\" claim timestamp check failed", Event::Refused),
            (codes::REJECTED, 412, "Tus-Resumable Required\n", Event::Refused),
        ] {
            assert_eq!(error(code, status, detail), event, "{status} {detail}");
        }
        assert_eq!(meaning(&Error::new(codes::CUT)), Event::Unsure);
    }
}
