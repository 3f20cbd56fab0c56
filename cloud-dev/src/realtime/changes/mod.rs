//! Changes of the tables for those who asked: `postgres_changes`.
//!
//! Join payload → [`subscriptions`], each with the id that its messages carry → [`go_live`] after a while. Each commit →
//! [`deliver`], on the database's thread and before the next write: filters, then the row policies of the person, then
//! the outbox. A delete goes to everybody who listens to its table, with the key alone.
//! Wire source: Supabase Realtime `Extensions.PostgresCdcRls`, `realtime.apply_rls`.

mod filter;
mod record;

use std::{collections::HashMap, sync::Arc};

use axum::extract::ws::Message;
use rusqlite::{Connection, types::Value as Stored};
use serde_json::{Map, Value};

use self::{filter::Filter, record::Data};
use super::{
    Realtime,
    hub::SocketId,
    outbox::Outbox,
    wire::{self, Outbound, Ref, Version},
};
use crate::{
    cloud::Cloud,
    core::{
        Identity,
        changes::{self, Change, Kind},
        policy::Action,
        schema::{self, TABLES, Table},
    },
};

/// What is said once changes flow.
pub(crate) const SUBSCRIBED: &str = "Subscribed to PostgreSQL";

/// Ids stay below this, as the real service's do.
const IDS: u64 = 1 << 27;

/// One thing to listen to.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    id: u64,
    /// One kind, or any.
    kind: Option<Kind>,
    /// One table, or all.
    table: Option<&'static Table>,
    filter: Filter,
    /// Some columns, or all; the key is always among them.
    select: Option<Vec<&'static str>>,
}

/// What the reply to a join echoes, and the subscriptions, or what is wrong with them.
pub(crate) fn subscriptions(asked: &[Map<String, Value>]) -> (Vec<Value>, Result<Arc<[Subscription]>, String>) {
    let echoed = asked
        .iter()
        .map(|wanted| {
            let mut echo = wanted.clone();
            echo.insert("id".to_owned(), id(wanted).into());
            Value::Object(echo)
        })
        .collect();
    (echoed, asked.iter().map(subscription).collect())
}

fn subscription(wanted: &Map<String, Value>) -> Result<Subscription, String> {
    let text = |name: &str| wanted.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kind = match text("event").map(str::to_uppercase).as_deref() {
        Some("INSERT") => Some(Kind::Insert),
        Some("UPDATE") => Some(Kind::Update),
        Some("DELETE") => Some(Kind::Delete),
        _ => None,
    };
    let (schema, table) = (text("schema"), text("table").filter(|table| *table != "*"));
    if schema.is_none() && table.is_none() {
        return Err("No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: \
             <empty>"
            .to_owned());
    }
    let unknown = || {
        let table = table.unwrap_or("*");
        format!(
            "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given \
             connect parameters: [schema: {}, table: {table}]",
            schema.unwrap_or("public")
        )
    };
    if !matches!(schema, None | Some("public" | "*")) {
        return Err(unknown());
    }
    let table = table.map(|name| schema::find(TABLES, name).ok_or_else(unknown)).transpose()?;
    let filter = match (text("filter"), table) {
        (None, _) => Filter::default(),
        (Some(text), Some(table)) => Filter::parse(table, text)?,
        (Some(text), None) => return Err(format!("Error parsing `filter` params: [{text:?}]")),
    };
    let select = match (wanted.get("select"), table) {
        (None | Some(Value::Null), _) => None,
        (Some(Value::Array(_)), None) => return Err("Column selection is not supported for wildcard tables".to_owned()),
        (Some(Value::Array(names)), Some(table)) => {
            let column = |name: &Value| name.as_str().and_then(|name| table.column(name)).map(|column| column.name);
            let names: Option<Vec<_>> = names.iter().map(column).collect();
            let mut names = names.ok_or("Error parsing `select` params")?;
            names.extend(table.primary_key);
            Some(names)
        }
        _ => return Err("Error parsing `select` params".to_owned()),
    };
    Ok(Subscription { id: id(wanted), kind, table, filter, select })
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
pub(crate) async fn go_live(cloud: &Cloud, socket: SocketId, topic: String, join_ref: Ref) -> bool {
    let realtime = Arc::clone(&cloud.realtime);
    // On the database's thread, so that no transaction is half recorded.
    let live = cloud.db.call(move |_| {
        let mut state = realtime.hub.state();
        let Some(channel) = state.instance(socket, &topic, &join_ref) else { return false };
        channel.live = Some(Arc::new(channel.token.identity.clone()));
        realtime.wanted.set(true);
        true
    });
    live.await
}

/// Records changes from now on, and delivers those of each commit.
pub(crate) async fn start(cloud: &Cloud) -> rusqlite::Result<()> {
    let wanted = cloud.realtime.wanted.clone();
    cloud.db.call(move |conn| changes::watch(conn, TABLES, &wanted)).await?;
    let realtime = Arc::clone(&cloud.realtime);
    let mut written = 0;
    cloud.db.after_each(move |conn| {
        let total = conn.total_changes();
        if total != written {
            if let Ok(changes) = changes::collect(conn, TABLES) {
                deliver(&realtime, conn, &changes);
            }
            written = conn.total_changes();
        }
    });
    Ok(())
}

/// One channel that listens.
struct Target {
    version: Version,
    outbox: Outbox,
    topic: String,
    identity: Arc<Identity>,
    subscriptions: Arc<[Subscription]>,
}

/// Sends `changes` to whoever listens and may see them.
fn deliver(realtime: &Realtime, conn: &Connection, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let targets = targets(realtime);
    if targets.is_empty() {
        realtime.wanted.set(false);
        return;
    }
    for change in changes {
        let full = realtime.options.full_identity.iter().any(|name| name == change.table.name);
        let data = Data::new(change, full);
        let tested = data.tested();
        let mut visible = HashMap::new();
        let mut written: Vec<(Option<&[&str]>, String)> = Vec::new();
        for target in &targets {
            let mut matching = target.subscriptions.iter().filter(|wanted| wanted.wants(change, &tested)).peekable();
            let Some(first) = matching.peek() else { continue };
            let select = first.select.as_deref();
            let sees = change.kind == Kind::Delete
                || *visible
                    .entry((target.identity.role as u8, target.identity.user_id.as_deref()))
                    .or_insert_with(|| sees(conn, &target.identity, change).unwrap_or(false));
            if !sees {
                continue;
            }
            let ids: Vec<String> = matching.map(|wanted| wanted.id.to_string()).collect();
            let at = written.iter().position(|(columns, _)| *columns == select).unwrap_or_else(|| {
                written.push((select, data.to_json(select)));
                written.len() - 1
            });
            let Some((_, json)) = written.get(at) else { continue };
            let payload = format!(r#"{{"ids":[{}],"data":{json}}}"#, ids.join(","));
            let nobody = &Ref::Null;
            let message = Outbound {
                join_ref: nobody,
                reference: nobody,
                topic: &target.topic,
                event: "postgres_changes",
                payload: &payload,
            };
            target.outbox.push(Message::text(wire::text(target.version, &message)));
        }
    }
}

fn targets(realtime: &Realtime) -> Vec<Target> {
    let state = realtime.hub.state();
    let sockets = state.sockets.values();
    let channels = sockets.flat_map(|socket| socket.channels.values().map(move |channel| (socket, channel)));
    channels
        .filter_map(|(socket, channel)| {
            Some(Target {
                version: socket.version,
                outbox: socket.outbox.clone(),
                topic: channel.room.topic.clone(),
                identity: Arc::clone(channel.live.as_ref()?),
                subscriptions: Arc::clone(&channel.changes),
            })
        })
        .collect()
}

impl Subscription {
    fn wants(&self, change: &Change, tested: &[Option<&Stored>]) -> bool {
        self.kind.is_none_or(|kind| kind == change.kind)
            && self.table.is_none_or(|table| table.name == change.table.name)
            && self.filter.holds(tested)
    }
}

/// Whether the row policies let `identity` see the row as it is now.
fn sees(conn: &Connection, identity: &Identity, change: &Change) -> rusqlite::Result<bool> {
    let predicate = change.table.security.predicate(identity, Action::Select, "r");
    let sql =
        format!("SELECT EXISTS (SELECT 1 FROM main.\"{}\" AS r WHERE r.rowid = ?2 AND {predicate})", change.table.name);
    conn.prepare_cached(&sql)?.query_row((&identity.user_id, change.rowid), |row| row.get(0))
}
