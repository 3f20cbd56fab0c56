//! Changes of the tables for those who asked: `postgres_changes`.
//!
//! Join payload → [`subscriptions`], each with the id that its messages carry.
//! Wire source: Supabase Realtime `Extensions.PostgresCdcRls`.

use serde_json::{Map, Value};

/// What is said once changes flow.
pub(crate) const SUBSCRIBED: &str = "Subscribed to PostgreSQL";

/// Ids stay below this, as the real service's do.
const IDS: u64 = 1 << 27;

/// One thing to listen to.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    #[expect(dead_code, reason = "read once changes flow")]
    pub(crate) id: u64,
}

/// What the reply to a join echoes, and the subscriptions, or what is wrong with them.
pub(crate) fn subscriptions(asked: &[Map<String, Value>]) -> (Vec<Value>, Result<Vec<Subscription>, String>) {
    let echoed = asked
        .iter()
        .map(|wanted| {
            let mut echo = wanted.clone();
            echo.insert("id".to_owned(), id(wanted).into());
            Value::Object(echo)
        })
        .collect();
    (echoed, Ok(asked.iter().map(|wanted| Subscription { id: id(wanted) }).collect()))
}

/// The same for equal objects, over connections and channels.
fn id(wanted: &Map<String, Value>) -> u64 {
    let text = Value::Object(wanted.clone()).to_string();
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)) % IDS
}

/// Makes a channel hear of changes from the next commit on; false when it is gone.
#[expect(clippy::unused_async, reason = "asks the database once changes flow")]
pub(crate) async fn go_live(_: &crate::cloud::Cloud, _: u64, _: String, _: super::wire::Ref) -> bool {
    false
}
