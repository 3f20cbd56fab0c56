//! Which listener a change is for: the server's ids, tied to what was asked for.
//!
//! join reply `[{"id":1,"event":"*",…}, …]` → [`Bindings::joined`] → per listener its id; then
//! `{"ids":[1,…]}` → [`Bindings::route`] → listeners. The reply is matched by content, because its order
//! and its spelling of nothing (null, absent) are the server's own, and a listener that it does not name
//! fails alone. Ids belong to one join: the next one brings others. Equal requests share an id.
//! Source: Supabase Realtime, join replies and `postgres_changes`.

use super::payload::RowChange;
use crate::{
    codec::{Content, DecodeError},
    join::{ChangesRequest, RowEvent},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The listeners of one channel, in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    listeners: Vec<Listener>,
    unknown_ids: u64,
}

#[derive(Clone, Debug)]
struct Listener {
    request: ChangesRequest,
    id: Option<u64>,
}

/// Who gets a change: indices into the requests, each at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Routed {
    /// Indices of the requests.
    pub listeners: Vec<usize>,
    /// How many of the message's ids belong to no listener of this join.
    pub unknown_ids: u64,
}

impl Bindings {
    /// The listeners of these requests, which is [`JoinConfig::requested_changes`].
    ///
    /// [`JoinConfig::requested_changes`]: crate::join::JoinConfig::requested_changes
    pub fn new(requests: &[ChangesRequest]) -> Self {
        let listeners = requests.iter().map(|request| Listener { request: request.clone(), id: None }).collect();
        Self { listeners, unknown_ids: 0 }
    }

    /// Takes the response of an ok join and forgets all ids of earlier ones. Returns the requests that the
    /// server does not confirm, by index: they get nothing.
    ///
    /// # Errors
    ///
    /// When the response is no object with a list of confirmed requests. No listener has an id then.
    pub fn joined(&mut self, response: &Content<'_>) -> Result<Vec<usize>, DecodeError> {
        self.left();
        let Response { postgres_changes } = response.decode()?;
        // An entry that cannot be read confirms nobody, and the others stand.
        let entries = postgres_changes.unwrap_or_default().into_iter();
        let confirmed: Vec<Option<Echo<'_>>> = entries.map(|raw| serde_json::from_str(raw.get()).ok()).collect();
        for (place, listener) in self.listeners.iter_mut().enumerate() {
            // Its own place first, so that the usual reply takes one look per listener.
            let own = confirmed.get(place).and_then(Option::as_ref).filter(|echo| echo.is_of(&listener.request));
            let echo = own.or_else(|| confirmed.iter().flatten().find(|echo| echo.is_of(&listener.request)));
            listener.id = echo.map(|echo| echo.id);
        }
        let unconfirmed = |(place, listener): (usize, &Listener)| listener.id.is_none().then_some(place);
        Ok(self.listeners.iter().enumerate().filter_map(unconfirmed).collect())
    }

    /// Forgets all ids: the channel is no longer joined.
    pub fn left(&mut self) {
        self.listeners.iter_mut().for_each(|listener| listener.id = None);
    }

    /// Who gets `change`. Ids that nobody has are counted and ignored.
    pub fn route(&mut self, change: &RowChange<'_>) -> Routed {
        let matching = self.listeners.iter().enumerate().filter(|(_, listener)| listener.wants(change));
        let listeners = matching.map(|(place, _)| place).collect();
        let known = |id: u64| self.listeners.iter().any(|listener| listener.id == Some(id));
        let unknown_ids = change.ids().filter(|id| !known(*id)).count() as u64;
        self.unknown_ids += unknown_ids;
        Routed { listeners, unknown_ids }
    }

    /// Whether anybody gets `change`.
    pub(super) fn is_wanted(&self, change: &RowChange<'_>) -> bool {
        self.listeners.iter().any(|listener| listener.wants(change))
    }

    /// How many ids so far belonged to nobody. Some are normal right after a rejoin.
    pub const fn unknown_ids(&self) -> u64 {
        self.unknown_ids
    }
}

impl Listener {
    fn wants(&self, change: &RowChange<'_>) -> bool {
        self.id.is_some_and(|id| change.ids().any(|theirs| theirs == id))
            && (self.request.event().is_any() || self.request.event() == change.kind())
    }
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    postgres_changes: Option<Vec<&'a RawValue>>,
}

/// A request as the server repeats it. `select` is not compared: it changes what comes, not for whom.
#[derive(Deserialize)]
struct Echo<'a> {
    id: u64,
    #[serde(borrow, default = "any")]
    event: Cow<'a, str>,
    #[serde(borrow, default = "public")]
    schema: Cow<'a, str>,
    #[serde(borrow, default)]
    table: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    filter: Option<Cow<'a, str>>,
}

const fn any() -> Cow<'static, str> {
    Cow::Borrowed("*")
}

const fn public() -> Cow<'static, str> {
    Cow::Borrowed("public")
}

impl Echo<'_> {
    fn is_of(&self, request: &ChangesRequest) -> bool {
        // Nothing, null, blank and the wildcard all say "no restriction".
        let text = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let table = |name: Option<&str>| text(name).filter(|name| name != "*");
        RowEvent::named(&self.event) == *request.event()
            && self.schema == request.schema_name()
            && table(self.table.as_deref()) == table(request.table_name())
            && text(self.filter.as_deref()) == text(request.filter_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json, value::to_raw_value};

    fn requests() -> Vec<ChangesRequest> {
        vec![
            ChangesRequest::table(RowEvent::ANY, "public", "tasks").filter("id=eq.1"),
            ChangesRequest::table(RowEvent::DELETE, "public", "tasks"),
            ChangesRequest::schema(RowEvent::ANY, "public"),
        ]
    }

    fn joined(bindings: &mut Bindings, response: &Value) -> Result<Vec<usize>, DecodeError> {
        bindings.joined(&Content::json(response).unwrap())
    }

    fn routed(bindings: &mut Bindings, kind: &str, ids: &Value) -> (Vec<usize>, u64) {
        let data = json!({"schema": "public", "table": "tasks", "type": kind, "commit_timestamp": null,
            "columns": [], "record": {}, "errors": null});
        let raw = to_raw_value(&json!({"ids": ids, "data": data})).unwrap();
        let Routed { listeners, unknown_ids } = bindings.route(&RowChange::parse(&raw).unwrap());
        (listeners, unknown_ids)
    }

    fn echoes() -> Value {
        json!({"postgres_changes": [
            {"id": 11, "event": "*", "schema": "public", "table": "tasks", "filter": "id=eq.1"},
            {"id": 12, "event": "DELETE", "schema": "public", "table": "tasks", "filter": null},
            {"id": 13, "event": "*", "schema": "public"},
        ]})
    }

    #[test]
    fn a_change_goes_to_the_listeners_whose_ids_it_names_and_whose_event_it_is() {
        let mut bindings = Bindings::new(&requests());
        assert_eq!(joined(&mut bindings, &echoes()), Ok(vec![]));
        assert_eq!(routed(&mut bindings, "INSERT", &json!([11, 12, 13])), (vec![0, 2], 0));
        assert_eq!(routed(&mut bindings, "DELETE", &json!([12, 13])), (vec![1, 2], 0));
        assert_eq!(routed(&mut bindings, "UPDATE", &json!([])), (vec![], 0));
    }

    #[test]
    fn an_id_that_occurs_twice_counts_once_and_an_unknown_one_is_counted() {
        let mut bindings = Bindings::new(&requests());
        joined(&mut bindings, &echoes()).unwrap();
        assert_eq!(routed(&mut bindings, "INSERT", &json!([11, 11])), (vec![0], 0));
        assert_eq!(routed(&mut bindings, "INSERT", &json!([99, 13, 98])), (vec![2], 2));
        assert_eq!(bindings.unknown_ids(), 2);
    }

    #[test]
    fn equal_requests_share_an_id_and_both_get_the_change() {
        let request = ChangesRequest::table(RowEvent::ANY, "public", "tasks");
        let mut bindings = Bindings::new(&[request.clone(), request]);
        let echo = json!({"id": 7, "event": "*", "schema": "public", "table": "tasks"});
        assert_eq!(joined(&mut bindings, &json!({"postgres_changes": [echo, echo]})), Ok(vec![]));
        assert_eq!(routed(&mut bindings, "INSERT", &json!([7])), (vec![0, 1], 0));
    }

    #[test]
    fn r04_ids_of_an_earlier_join_are_forgotten() {
        let mut bindings = Bindings::new(&requests());
        joined(&mut bindings, &echoes()).unwrap();
        let moved = echoes().to_string().replace("\"id\":1", "\"id\":2");
        assert_eq!(joined(&mut bindings, &serde_json::from_str(&moved).unwrap()), Ok(vec![]));
        assert_eq!(routed(&mut bindings, "INSERT", &json!([11])), (vec![], 1));
        assert_eq!(routed(&mut bindings, "INSERT", &json!([21])), (vec![0], 0));
        bindings.left();
        assert_eq!(routed(&mut bindings, "INSERT", &json!([21])), (vec![], 1));
    }

    #[test]
    fn the_order_of_the_reply_does_not_matter_and_a_missing_entry_fails_alone() {
        let mut bindings = Bindings::new(&requests());
        let reply = json!({"postgres_changes": [
            {"id": 3, "event": "*", "schema": "public", "table": "*", "filter": ""},
            {"id": 1, "event": "*", "schema": "public", "table": "tasks", "filter": " id=eq.1 ", "select": null},
        ]});
        assert_eq!(joined(&mut bindings, &reply), Ok(vec![1]));
        assert_eq!(routed(&mut bindings, "DELETE", &json!([1, 3])), (vec![0, 2], 0));
    }

    #[test]
    fn an_entry_that_cannot_be_read_takes_no_other_with_it() {
        for odd in
            [r#"{"event":"*"}"#, r#"{"id":1e30}"#, r#"{"id":"11"}"#, "null", "7", r#"{"id":18446744073709551616}"#]
        {
            let text = echoes().to_string().replacen('[', &format!("[{odd},"), 1);
            let response = Content::Json(Cow::Owned(RawValue::from_string(text).unwrap()));
            let mut bindings = Bindings::new(&requests());
            assert_eq!(bindings.joined(&response), Ok(vec![]), "{odd}");
            assert_eq!(routed(&mut bindings, "DELETE", &json!([12, u64::MAX])), (vec![1], 1), "{odd}");
        }
    }

    #[test]
    fn a_reply_of_another_shape_confirms_nobody() {
        for response in [json!({}), json!({"postgres_changes": null}), json!({"postgres_changes": []})] {
            assert_eq!(joined(&mut Bindings::new(&requests()), &response), Ok(vec![0, 1, 2]), "{response}");
        }
        let mut bindings = Bindings::new(&requests());
        joined(&mut bindings, &echoes()).unwrap();
        for response in [json!(null), json!("ok"), json!([1]), json!({"postgres_changes": {"id": 1}})] {
            assert!(joined(&mut bindings, &response).is_err(), "{response}");
            assert_eq!(routed(&mut bindings, "INSERT", &json!([11])), (vec![], 1));
        }
    }
}
