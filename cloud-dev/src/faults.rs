//! Failures on demand: what a test asks for, what a request header asks for, and what a seed decides.
//!
//! Each request is offered to this module once, with its method and path; the answer is the [`Action`] that
//! the gateway then carries out. Faults asked for by a test are used up in order; random ones depend only
//! on the seed, the path and how often the path was asked for, so a run can be repeated.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use tokio::sync::Notify;

/// The header that asks for a fault, where the server was told to listen to it.
pub(crate) const HEADER: &str = "x-cloud-dev-fault";

/// Faults that may wait; later ones are not taken.
const MAX_WAITING: usize = 1_000;

/// Paths whose requests are counted one by one.
const MAX_PATHS: usize = 10_000;

/// Longest delay that can be asked for.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// One failure to show to the next matching requests.
///
/// ```
/// use cloud_dev::Fault;
///
/// let busy = Fault::answer(429).retry_after("2").on("/rest/v1/messages").method("POST").times(3);
/// # let _ = busy;
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    path_prefix: String,
    method: Option<String>,
    skip: u32,
    times: u32,
    action: Action,
}

impl Fault {
    /// Answers with `status` instead of doing what was asked. The body is a small JSON error.
    pub fn answer(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = format!(r#"{{"message":"injected fault {}"}}"#, status.as_u16());
        Self::new(Action::Answer(Answer {
            status,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            body: body.into_bytes(),
            piece_bytes: None,
        }))
    }

    /// Does what was asked, then closes the connection without an answer.
    pub fn lose_reply() -> Self {
        Self::new(Action::LoseReply)
    }

    /// Closes the connection without doing what was asked.
    pub fn lose_request() -> Self {
        Self::new(Action::LoseRequest)
    }

    /// Does what was asked, and closes the connection after `bytes` of the answer's body.
    pub fn cut_body(bytes: usize) -> Self {
        Self::new(Action::CutBody(bytes))
    }

    /// Waits before doing what was asked, for a minute at most.
    pub fn delay(time: Duration) -> Self {
        Self::new(Action::Delay(time.min(MAX_DELAY)))
    }

    /// Limits the fault to paths that begin with `prefix`. Default: every path.
    #[must_use]
    pub fn on(mut self, prefix: impl Into<String>) -> Self {
        self.path_prefix = prefix.into();
        self
    }

    /// Limits the fault to one method. Default: every method but `OPTIONS`.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Shows the fault this often. Default: once.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Lets this many matching requests through first. Default: none.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Replaces the body of an injected answer.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        if let Action::Answer(answer) = &mut self.action {
            answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            answer.body = body.into();
        }
        self
    }

    /// Sends the body of an injected answer in pieces of so many bytes, each as a chunk of its own. Default: whole.
    #[must_use]
    pub fn in_pieces(mut self, bytes: usize) -> Self {
        if let Action::Answer(answer) = &mut self.action {
            answer.piece_bytes = NonZeroUsize::new(bytes);
        }
        self
    }

    /// Adds a header to an injected answer; a text that no header can carry is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, text: &str) -> Self {
        if let (Action::Answer(answer), Ok(value)) = (&mut self.action, HeaderValue::from_str(text)) {
            answer.headers.insert(name, value);
        }
        self
    }

    /// Adds a `Retry-After` header with exactly this text to an injected answer.
    #[must_use]
    pub fn retry_after(self, text: &str) -> Self {
        self.header("retry-after", text)
    }

    fn new(action: Action) -> Self {
        Self { path_prefix: String::new(), method: None, skip: 0, times: 1, action }
    }
}

/// What the gateway does to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Answer this, and do nothing else.
    Answer(Answer),
    /// Close the connection at once.
    LoseRequest,
    /// Carry the request out, then close the connection.
    LoseReply,
    /// Carry the request out and close the connection after so many bytes of the body.
    CutBody(usize),
    /// Wait, then carry the request out.
    Delay(Duration),
}

/// An injected answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The length of the pieces it goes out in.
    pub(crate) piece_bytes: Option<NonZeroUsize>,
}

/// The fault layer of one server.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    heed_header: bool,
    random: Option<Random>,
    state: Mutex<State>,
    /// Told by every request.
    counted: Notify,
}

/// Random faults: the seed, and how many requests in a thousand are hit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random {
    pub(crate) seed: u64,
    pub(crate) per_mille: u16,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Fault>,
    requests: HashMap<String, u64>,
}

impl Faults {
    /// A layer that heeds the fault header, and hits requests by itself, only if told to.
    pub(crate) fn new(heed_header: bool, random: Option<Random>) -> Self {
        Self { heed_header, random, state: Mutex::default(), counted: Notify::new() }
    }

    /// Adds a fault behind those that wait.
    pub(crate) fn inject(&self, fault: Fault) {
        let mut state = self.state();
        if fault.times > 0 && state.waiting.len() < MAX_WAITING {
            state.waiting.push(fault);
        }
    }

    /// Forgets every fault that waits.
    pub(crate) fn clear(&self) {
        self.state().waiting.clear();
    }

    /// How many requests came for paths that begin with `prefix`.
    pub(crate) fn requests(&self, prefix: &str) -> u64 {
        self.state().requests.iter().filter(|(path, _)| path.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    /// Waits until at least `count` requests came for paths that begin with `prefix`.
    pub(crate) async fn reached(&self, prefix: &str, count: u64) {
        loop {
            let counted = self.counted.notified();
            tokio::pin!(counted);
            // Enabled before the look, so that no request falls in between.
            counted.as_mut().enable();
            if self.requests(prefix) >= count {
                return;
            }
            counted.await;
        }
    }

    /// Counts a request and says what shall happen to it; an unreadable header is an error.
    pub(crate) fn offer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Option<Action>, ()> {
        let mut state = self.state();
        let seen = state.count(path);
        self.counted.notify_waiters();
        if method == Method::OPTIONS {
            return Ok(None);
        }
        if let Some(action) = state.next(method, path) {
            return Ok(Some(action));
        }
        drop(state);
        if self.heed_header
            && let Some(text) = headers.get(HEADER)
        {
            return text.to_str().ok().and_then(parse).map(Some).ok_or(());
        }
        Ok(self.random.and_then(|random| random.decide(path, seen)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, path: &str) -> u64 {
        let known = self.requests.contains_key(path) || self.requests.len() < MAX_PATHS;
        let counter = self.requests.entry(if known { path.to_owned() } else { String::new() }).or_default();
        *counter += 1;
        *counter
    }

    fn next(&mut self, method: &Method, path: &str) -> Option<Action> {
        let matches = |fault: &Fault| {
            path.starts_with(&fault.path_prefix)
                && fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method.as_str()))
        };
        let at = self.waiting.iter().position(matches)?;
        let fault = self.waiting.get_mut(at)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        let action = fault.action.clone();
        if fault.times == 0 {
            self.waiting.remove(at);
        }
        Some(action)
    }
}

impl Random {
    fn decide(self, path: &str, seen: u64) -> Option<Action> {
        let mut hasher = DefaultHasher::new();
        (self.seed, path, seen).hash(&mut hasher);
        let mut rng = fastrand::Rng::with_seed(hasher.finish());
        if rng.u16(0..1_000) >= self.per_mille {
            return None;
        }
        let fault = match rng.u8(0..8) {
            0 => Fault::answer(500),
            1 => Fault::answer(503).retry_after("1"),
            2 => Fault::answer(429).retry_after("1"),
            3 => Fault::answer(200).body("text/html", "<html><body>a proxy says hello</body></html>"),
            4 => Fault::lose_request(),
            5 => Fault::lose_reply(),
            6 => Fault::cut_body(rng.usize(0..64)),
            _ => Fault::delay(Duration::from_millis(rng.u64(1..250))),
        };
        Some(fault.action)
    }
}

/// Reads `status=503; retry-after=2`, `html`, `lose-reply`, `lose-request`, `cut=10` or `delay-ms=50`.
fn parse(text: &str) -> Option<Action> {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = split(parts.next()?);
    let mut fault = match (name, value) {
        ("status", Some(value)) => Fault::answer(StatusCode::from_bytes(value.as_bytes()).ok()?.as_u16()),
        ("html", None) => Fault::answer(200).body("text/html", "<html></html>"),
        ("lose-reply", None) => Fault::lose_reply(),
        ("lose-request", None) => Fault::lose_request(),
        ("cut", Some(value)) => Fault::cut_body(value.parse().ok()?),
        ("delay-ms", Some(value)) => Fault::delay(Duration::from_millis(value.parse().ok()?)),
        _ => return None,
    };
    for part in parts {
        match split(part) {
            ("retry-after", Some(value)) => fault = fault.retry_after(value),
            _ => return None,
        }
    }
    Some(fault.action)
}

fn split(part: &str) -> (&str, Option<&str>) {
    part.split_once('=').map_or((part, None), |(name, value)| (name.trim(), Some(value.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(faults: &Faults, path: &str) -> Option<Action> {
        faults.offer(&Method::GET, path, &HeaderMap::new()).unwrap()
    }

    #[test]
    fn faults_are_used_up_in_order_by_matching_requests_alone() {
        let faults = Faults::default();
        faults.inject(Fault::lose_reply().on("/rest").after(1).times(2));
        faults.inject(Fault::lose_request().on("/auth").method("post"));
        let hits: Vec<_> =
            ["/rest/a", "/auth/b", "/rest/a", "/rest/b", "/rest/c"].map(|path| offer(&faults, path)).into();
        assert_eq!(hits, [None, None, Some(Action::LoseReply), Some(Action::LoseReply), None]);
        assert_eq!(faults.offer(&Method::POST, "/auth/x", &HeaderMap::new()), Ok(Some(Action::LoseRequest)));
        assert_eq!((faults.requests("/rest"), faults.requests("/auth/x"), faults.requests("")), (4, 1, 6));
    }

    #[test]
    fn the_header_is_heeded_only_where_allowed() {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static("status=429; retry-after=soon"));
        let deaf = Faults::new(false, None);
        assert_eq!(deaf.offer(&Method::GET, "/", &headers), Ok(None));
        let action = Faults::new(true, None).offer(&Method::GET, "/", &headers).unwrap();
        let Some(Action::Answer(answer)) = action else { panic!("{action:?}") };
        assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (429, "soon"));
        for bad in ["", "status", "status=99", "cut=x", "html=1", "status=503; what"] {
            headers.insert(HEADER, HeaderValue::from_static(bad));
            assert_eq!(Faults::new(true, None).offer(&Method::GET, "/", &headers), Err(()), "{bad}");
        }
    }

    #[test]
    fn a_seed_repeats_its_faults_whatever_order_the_paths_come_in() {
        let random = |seed| Faults::new(false, Some(Random { seed, per_mille: 300 }));
        let (one, two, other) = (random(7), random(7), random(8));
        let forward: Vec<_> = (0..200).map(|n| offer(&one, ["/a", "/b"][n % 2])).collect();
        let a: Vec<_> = (0..100).map(|_| offer(&two, "/a")).collect();
        let b: Vec<_> = (0..100).map(|_| offer(&two, "/b")).collect();
        let joined: Vec<_> = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
        assert_eq!(forward, joined);
        let hit = forward.iter().flatten().count();
        assert!((20..100).contains(&hit), "{hit} of 200");
        assert_ne!(forward, (0..200).map(|n| offer(&other, ["/a", "/b"][n % 2])).collect::<Vec<_>>());
    }
}
