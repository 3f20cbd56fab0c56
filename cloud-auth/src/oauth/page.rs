//! The page that the browser shows when it has come back. It fetches nothing, runs nothing, and shows none of what the
//! request carried: neither code nor flow, nor what a server said.
use std::fmt::Write as _;

use cloud_client::ErrorCode;

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;padding:0 1.5rem;\
    color:#1c1c1e;background:#fff}h1{font-size:1.6rem}p{margin:.6rem 0}code{color:#6b6b70}\
    @media(prefers-color-scheme:dark){body{color:#f2f2f4;background:#1c1c1e}}";

/// The whole answer to the browser. `failed`: why it went wrong.
pub(super) fn answer(failed: Option<ErrorCode>) -> String {
    let (status, title, text, code) = match failed {
        None => ("200 OK", "You are signed in", "You can close this window and go back to the app.", None),
        Some(code) => ("400 Bad Request", "The sign-in did not work", code.advice(), Some(code.as_str())),
    };
    let mut body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{}</p>",
        escaped(text)
    );
    if let Some(code) = code {
        let _ = write!(body, "<p><code>{}</code></p>", escaped(code));
    }
    body.push_str("</html>\n");
    with_headers(status, "text/html; charset=utf-8", &body)
}

/// What everybody else gets.
pub(super) fn away(status: u16, word: &str) -> String {
    with_headers(&format!("{status} {word}"), "text/plain; charset=utf-8", &format!("{word}\n"))
}

fn with_headers(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'\r\n\r\n{body}",
        body.len()
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::{BROWSER_DENIED, INVALID_CREDENTIALS};

    #[test]
    fn a_page_is_whole_and_fetches_nothing() {
        for (failed, status) in
            [(None, "200 OK"), (Some(BROWSER_DENIED), "400 Bad"), (Some(INVALID_CREDENTIALS), "400")]
        {
            let answer = answer(failed);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            for fetched in ["http:", "https:", "<script", "src=", "url("] {
                assert!(!body.contains(fetched), "{fetched} in {body}");
            }
            if let Some(code) = failed {
                assert!(body.contains(code.as_str()), "{body}");
            }
        }
        assert!(answer(Some(INVALID_CREDENTIALS)).contains("use &quot;forgot password&quot;"));
    }
}
