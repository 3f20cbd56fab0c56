//! Answers as the services, gateways and proxies give them, and the code that each gets.
use http::HeaderValue;

use super::*;

type Case = (Service, u16, &'static [(&'static str, &'static str)], &'static str, ErrorCode);

#[test]
fn every_known_shape_gets_its_code() {
    use Service::{Auth, Functions, Rest, Storage};
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let html: &[(&str, &str)] = &[("content-type", "text/html; charset=utf-8")];
    let cases: &[Case] = &[
        (Rest, 401, json, r#"{"code":"PGRST303","message":"JWT expired"}"#, codes::TOKEN_REFUSED),
        (Rest, 401, json, r#"{"code":"PGRST301","message":"JWSError"}"#, codes::TOKEN_REFUSED),
        (Rest, 401, json, r#"{"code":"42501","message":"denied"}"#, codes::UNAUTHENTICATED),
        (Rest, 403, json, r#"{"code":"42501","message":"denied"}"#, codes::FORBIDDEN),
        (Rest, 404, json, r#"{"code":"PGRST205"}"#, codes::SCHEMA),
        (Rest, 404, json, r#"{"code":"42P01"}"#, codes::SCHEMA),
        (Rest, 400, json, r#"{"code":"42703"}"#, codes::SCHEMA),
        (Rest, 409, json, r#"{"code":"23505"}"#, codes::CONFLICT),
        (Rest, 500, json, r#"{"code":"21000"}"#, codes::REJECTED),
        (Rest, 500, json, r#"{"code":"57014"}"#, codes::SERVER_FAULT),
        (Rest, 503, json, r#"{"code":"PGRST002"}"#, codes::UNAVAILABLE),
        (Rest, 406, json, r#"{"code":"PGRST116","details":"The result contains 0 rows"}"#, codes::NO_ROW),
        (Rest, 406, json, r#"{"code":"PGRST116","details":"Results contain 0 rows, …"}"#, codes::NO_ROW),
        (Rest, 406, json, r#"{"code":"PGRST116","details":"The result contains 10 rows"}"#, codes::NOT_ONE_ROW),
        (Rest, 406, json, r#"{"code":"PGRST116","details":null}"#, codes::NOT_ONE_ROW),
        (Rest, 406, &[("proxy-status", "PostgREST; error=PGRST116")], "", codes::NOT_ONE_ROW),
        (Rest, 400, json, r#"{"code":"PGRST124","details":"The query affects 14 rows"}"#, codes::TOO_MANY_ROWS),
        (Rest, 416, json, r#"{"code":"PGRST103"}"#, codes::RANGE),
        (Rest, 416, &[("proxy-status", "PostgREST; error=PGRST103")], "", codes::RANGE),
        (Rest, 400, json, r#"{"code":"PGRST100"}"#, codes::QUERY_REFUSED),
        (Rest, 400, json, r#"{"code":"PGRST108"}"#, codes::QUERY_REFUSED),
        (Rest, 400, json, r#"{"code":"PGRST123"}"#, codes::NOT_OFFERED),
        (Rest, 300, json, r#"{"code":"PGRST201","details":[{}]}"#, codes::AMBIGUOUS),
        (Rest, 300, json, r#"{"code":"PGRST203"}"#, codes::AMBIGUOUS),
        (Rest, 401, json, r#"{"message":"Invalid API key","hint":"x"}"#, codes::KEY_REFUSED),
        (Auth, 401, json, r#"{"message":"No API key found in request"}"#, codes::KEY_REFUSED),
        (Auth, 403, json, r#"{"code":403,"error_code":"bad_jwt","msg":"x"}"#, codes::TOKEN_REFUSED),
        (Auth, 409, json, r#"{"code":"conflict","message":"x"}"#, codes::UNAVAILABLE),
        (Auth, 429, json, r#"{"code":429,"error_code":"over_request_rate_limit","msg":"x"}"#, codes::RATE_LIMITED),
        (Functions, 401, json, r#"{"code":401,"message":"Invalid JWT"}"#, codes::TOKEN_REFUSED),
        (Functions, 401, json, r#"{"error":"nope"}"#, codes::UNAUTHENTICATED),
        (Functions, 200, &[("x-relay-error", "true")], "", codes::UNAVAILABLE),
        (Functions, 404, &[("sb-error-code", "NOT_FOUND")], "{}", codes::SCHEMA),
        (Functions, 429, json, r#"{"error":"x","usage":{"used":1,"limit":1,"tier":"free"}}"#, codes::QUOTA),
        (Functions, 402, json, r#"{"error":"credits"}"#, codes::QUOTA),
        (Functions, 418, json, r#"{"error":{"message":"short and stout"}}"#, codes::REJECTED),
        (Rest, 502, html, "<html>Bad Gateway</html>", codes::UNAVAILABLE),
        (Rest, 522, html, "<html>", codes::UNAVAILABLE),
        (Rest, 500, html, "<html>", codes::SERVER_FAULT),
        (Rest, 429, html, "<html>", codes::RATE_LIMITED),
        (Auth, 400, html, "<html>captive portal</html>", codes::INTERCEPTED),
        (Auth, 401, html, "<html>", codes::INTERCEPTED),
        (Auth, 413, html, "<html>", codes::INTERCEPTED),
        (Rest, 413, html, "<html>", codes::REJECTED),
        (Storage, 413, html, "<html>413 Request Entity Too Large</html>", codes::FILE_TOO_LARGE),
        (Rest, 414, &[("content-type", "text/plain")], "URI too long", codes::REJECTED),
        (Rest, 307, &[("location", "https://elsewhere.example")], "", codes::REDIRECTED),
    ];
    for (service, status, headers, body, expected) in cases {
        let mut map = HeaderMap::new();
        for (name, value) in *headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(*status).unwrap();
        let answer = Answer { service: *service, status, headers: &map, body: body.as_bytes() };
        let error = classify(answer, SystemTime::UNIX_EPOCH);
        assert_eq!(error.code(), *expected, "{service:?} {status} {body}");
    }
}

/// Wire shapes of `supabase/storage` (`object.test.ts`, `tus.test.ts`, `errors/codes.ts`).
#[test]
fn storage_is_believed_by_name_then_by_the_number_in_its_body() {
    let rls = "new row violates row-level security policy";
    let cases: &[(u16, String, ErrorCode)] = &[
        (
            400,
            body("413", "Payload too large", "The object exceeded the maximum allowed size", "EntityTooLarge"),
            codes::FILE_TOO_LARGE,
        ),
        (
            400,
            body("413", "Payload too large", "The object exceeded the maximum allowed size", ""),
            codes::FILE_TOO_LARGE,
        ),
        (400, body("403", "Unauthorized", rls, "AccessDenied"), codes::FORBIDDEN),
        (400, body("403", "Unauthorized", rls, ""), codes::FORBIDDEN),
        (400, body("42501", "", rls, ""), codes::FORBIDDEN),
        (
            400,
            body("403", "Unauthorized", r#"\"exp\" claim timestamp check failed"#, "AccessDenied"),
            codes::TOKEN_REFUSED,
        ),
        (400, body("404", "not_found", "Object not found", "NoSuchKey"), codes::NOT_FOUND),
        (400, body("404", "not_found", "Object not found", ""), codes::NOT_FOUND),
        (400, body("404", "Bucket not found", "Bucket not found", "NoSuchBucket"), codes::NOT_FOUND),
        (
            400,
            body("415", "invalid_mime_type", "mime type image/png is not supported", "InvalidMimeType"),
            codes::TYPE_REFUSED,
        ),
        (400, body("415", "invalid_mime_type", "mime type image/png is not supported", ""), codes::TYPE_REFUSED),
        (500, body("500", "Unknown error", "S3ServiceException", "S3Error"), codes::UNAVAILABLE),
        (500, body("500", "Unknown error", "S3ServiceException", ""), codes::UNAVAILABLE),
        (400, body("409", "Duplicate", "The resource already exists", "KeyAlreadyExists"), codes::CONFLICT),
        (400, body("409", "Duplicate", "The resource already exists", ""), codes::CONFLICT),
        (400, body("400", "InvalidKey", "Invalid key: a bé.txt", "InvalidKey"), codes::NAME_INVALID),
        (400, body("400", "InvalidKey", "Invalid key: a bé.txt", ""), codes::NAME_INVALID),
        (400, body("423", "x", "The resource is locked", "ResourceLocked"), codes::UNAVAILABLE),
        (400, body("503", "acquiring_lock_timeout", "x", "LockTimeout"), codes::UNAVAILABLE),
        (429, body("429", "too_many_connections", "x", "SlowDown"), codes::RATE_LIMITED),
        (400, body("503", "x", "x", "SlowDown"), codes::RATE_LIMITED),
        (544, body("544", "x", "The connection to the database timed out", "DatabaseTimeout"), codes::UNAVAILABLE),
        (400, body("400", "x", "x", "InvalidSignature"), codes::LINK_INVALID),
        (400, body("403", "x", "x", "InvalidJWT"), codes::LINK_INVALID),
        (400, body("400", "x", "x", "TenantNotFound"), codes::KEY_REFUSED),
        (400, body("409", "x", "x", "FeatureNotEnabled"), codes::SCHEMA),
        (400, body("400", "x", "x", "InvalidRange"), codes::REJECTED),
        (400, r#"{"code":"NoSuchKey","message":"x"}"#.to_owned(), codes::NOT_FOUND),
        (400, r#"{"statusCode":404,"message":"x"}"#.to_owned(), codes::NOT_FOUND),
        (404, "Bucket not found".to_owned(), codes::NOT_FOUND),
        (410, "The file for this url no longer exists\n".to_owned(), codes::NOT_FOUND),
        (413, "Maximum size exceeded\n".to_owned(), codes::FILE_TOO_LARGE),
        (409, "Upload-Offset conflict\n".to_owned(), codes::CONFLICT),
        (400, "Request aborted due to lock acquired".to_owned(), codes::UNAVAILABLE),
        (400, r#""exp" claim timestamp check failed"#.to_owned(), codes::TOKEN_REFUSED),
        (400, "Invalid Compact JWS".to_owned(), codes::LINK_INVALID),
        (400, "Missing x-signature header".to_owned(), codes::LINK_INVALID),
        (400, String::new(), codes::REJECTED),
    ];
    for (status, body, expected) in cases {
        let (status, headers) = (StatusCode::from_u16(*status).unwrap(), HeaderMap::new());
        let answer = Answer { service: Service::Storage, status, headers: &headers, body: body.as_bytes() };
        assert_eq!(classify(answer, SystemTime::UNIX_EPOCH).code(), *expected, "{status} {body}");
    }
}

fn body(number: &str, error: &str, message: &str, code: &str) -> String {
    let code = if code.is_empty() { String::new() } else { format!(r#","code":"{code}""#) };
    format!(r#"{{"statusCode":"{number}","error":"{error}","message":"{message}"{code}}}"#)
}

#[test]
fn only_a_refused_token_asks_for_a_refresh() {
    let none = HeaderMap::new();
    let asks = |service, status, body: &str| is_token_refusal(service, status, &none, body.as_bytes());
    assert!(asks(Service::Rest, 401, r#"{"code":"PGRST303"}"#));
    assert!(asks(Service::Functions, 401, r#"{"code":401,"message":"Invalid JWT"}"#));
    assert!(asks(Service::Auth, 403, r#"{"code":403,"error_code":"bad_jwt","msg":"x"}"#));
    assert!(asks(Service::Storage, 400, r#"{"statusCode":"403","message":"\"exp\" claim timestamp check failed"}"#));
    assert!(asks(Service::Storage, 400, r#""exp" claim timestamp check failed"#));
    assert!(!asks(Service::Storage, 400, "Invalid Compact JWS"));
    assert!(!asks(Service::Functions, 401, r#"{"error":"nope"}"#));
    assert!(!asks(Service::Functions, 401, r#"{"code":401,"message":"Missing authorization header"}"#));
    assert!(!asks(Service::Rest, 401, r#"{"code":"42501"}"#));
    assert!(!asks(Service::Rest, 401, "<html>"));
    assert!(!asks(Service::Auth, 400, r#"{"error_code":"refresh_token_not_found"}"#));
}
