//! Reads the head of the one request that the browser makes, and judges it. Pure: bytes in, verdict out.
//!
//! `GET /<path>?<query> HTTP/1.1` and one `Host` are all that counts. A page elsewhere can make a browser call any port
//! of this machine, so the host must be the address that was bound (no name that somebody pointed here), the path must
//! be the random one, and the query must name the sign-in; everything else is turned away and changes nothing.
use super::{
    callback::{self, Answer},
    pkce::{FlowId, same},
};

/// The longest head that is read, in bytes.
pub(super) const HEAD_LIMIT_BYTES: usize = 16 * 1024;

/// What a head comes to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// More bytes are needed.
    More,
    /// The answer that is waited for.
    Ours(Answer),
    /// Something else: the status and the word to turn it away with.
    Away(u16, &'static str),
}

/// What is waited for, and where.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// Host and port as they stand in the redirect.
    pub(super) host: &'a str,
    /// The path, with its slash.
    pub(super) path: &'a str,
    pub(super) flow: &'a FlowId,
}

impl Expected<'_> {
    /// Judges what was read so far.
    pub(super) fn judge(&self, read: &[u8]) -> Verdict {
        let bad = Verdict::Away(400, "Bad Request");
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(head) = end.and_then(|end| read.get(..end)) else {
            let full = read.len() >= HEAD_LIMIT_BYTES;
            return if full { Verdict::Away(431, "Request Header Fields Too Large") } else { Verdict::More };
        };
        let Ok(head) = str::from_utf8(head) else { return bad };
        let mut lines = head.split("\r\n");
        let mut request = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (request.next(), request.next(), request.next(), request.next())
        else {
            return bad;
        };
        if !version.starts_with("HTTP/1.") {
            return bad;
        }
        let headers = lines.filter_map(|line| line.split_once(':'));
        let mut hosts = headers.filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        if hosts.next().is_none_or(|(_, host)| host.trim() != self.host) || hosts.next().is_some() {
            return Verdict::Away(421, "Misdirected Request");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !same(path, self.path) {
            return Verdict::Away(404, "Not Found");
        }
        if method != "GET" {
            return Verdict::Away(405, "Method Not Allowed");
        }
        match callback::read_parts(query, "") {
            Some(callback) if callback.flow.as_ref() == Some(self.flow) => Verdict::Ours(callback.answer),
            _ => bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn judge(text: &[u8]) -> String {
        let flow = FlowId::parse("abc12345").unwrap();
        match (Expected { host: "127.0.0.1:4711", path: "/p4th", flow: &flow }).judge(text) {
            Verdict::More => "more".to_owned(),
            Verdict::Ours(Answer::Code(code)) => code.expose_secret().to_owned(),
            Verdict::Ours(Answer::Refused(error)) => error.code().to_string(),
            Verdict::Away(status, _) => status.to_string(),
        }
    }

    #[test]
    fn a15_only_the_expected_request_is_an_answer() {
        const HOST: &str = "Host: 127.0.0.1:4711";
        const TARGET: &str = "/p4th?sb_flow_id=abc12345&code=c0de";
        for (method, target, headers, verdict) in [
            ("GET", TARGET, HOST, "c0de"),
            ("GET", TARGET, "Accept: */*\r\nhOST:127.0.0.1:4711 ", "c0de"),
            ("GET", "/p4th?error=access_denied&sb_flow_id=abc12345", HOST, "auth.browser_denied"),
            ("GET", "/p4th?code=c0de", HOST, "400"),
            ("GET", "/p4th?code=c0de&sb_flow_id=abc12346", HOST, "400"),
            ("GET", "/p4th?code=c0de&sb_flow_id=abc12345&code=other", HOST, "400"),
            ("GET", "/p4th?sb_flow_id=abc12345", HOST, "400"),
            ("GET", "/p4th", HOST, "400"),
            ("GET", "/favicon.ico", HOST, "404"),
            ("GET", "/", HOST, "404"),
            ("GET", "/p4th/?code=c0de&sb_flow_id=abc12345", HOST, "404"),
            ("GET", "http://127.0.0.1:4711/p4th?code=c0de&sb_flow_id=abc12345", HOST, "404"),
            ("POST", TARGET, HOST, "405"),
            ("HEAD", TARGET, HOST, "405"),
            ("OPTIONS", TARGET, HOST, "405"),
            ("GET", TARGET, "Host: evil.example:4711", "421"),
            ("GET", TARGET, "Host: localhost:4711", "421"),
            ("GET", TARGET, "Host: 127.0.0.1", "421"),
            ("GET", TARGET, "Accept: */*", "421"),
            ("GET", TARGET, "Host: 127.0.0.1:4711\r\nHost: 127.0.0.1:4711", "421"),
        ] {
            let text = format!("{method} {target} HTTP/1.1\r\n{headers}\r\n\r\n");
            assert_eq!(judge(text.as_bytes()), verdict, "{text}");
            assert_eq!(judge(&text.as_bytes()[..text.len() - 1]), "more", "{text}");
        }
        for bad in ["\r\n\r\n", "GET /p4th\r\n\r\n", "GET / HTTP/2\r\nHost: 127.0.0.1:4711\r\n\r\n", "a b c d\r\n\r\n"]
        {
            assert_eq!(judge(bad.as_bytes()), "400", "{bad:?}");
        }
        assert_eq!(judge(b"\xff\xfe\r\n\r\n"), "400");
        assert_eq!(judge(&vec![b'a'; HEAD_LIMIT_BYTES]), "431");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_bytes_get_a_verdict(head in any::<Vec<u8>>(), line in "GET /p4th[ -~\r\n]{0,60}") {
            for mut bytes in [head, line.into_bytes()] {
                bytes.extend(b"\r\n\r\n");
                prop_assert!(judge(&bytes) != "more");
            }
        }
    }
}
