//! Changes of the tables for those who asked: `postgres_changes`.
//!
//! Join payload → [`subscriptions`], each with the id that its messages carry → [`go_live`] after a while. Each commit →
//! [`deliver`], on the database's thread and before the next write: filters, then the row policies of the person, then
//! the outbox. A delete goes to everybody who listens to its table, with the key alone.
//! Wire source: Supabase Realtime `Extensions.PostgresCdcRls`, `realtime.apply_rls`.

mod elixir;
mod filter;
mod record;

use std::{collections::HashMap, sync::Arc};

use axum::extract::ws::Message;
use rusqlite::{Connection, types::Value as Stored};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

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

/// How refused parameters are answered, before the reason.
const UNABLE: &str = "Unable to subscribe to changes with given parameters.";

/// Ids stay below this, as the real service's do.
const IDS: u64 = 1 << 27;

/// Most things that one channel may listen to: each commit is held against all of them.
const MAX_SUBSCRIPTIONS: usize = 100;

/// One thing to listen to.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    id: u64,
    /// One kind, or any.
    kind: Option<Kind>,
    /// The tables, and which of their rows.
    tables: Vec<(&'static Table, Filter)>,
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
    if asked.len() > MAX_SUBSCRIPTIONS {
        let reason = format!("{UNABLE} At most {MAX_SUBSCRIPTIONS} subscriptions are allowed for a channel.");
        return (echoed, Err(reason));
    }
    (echoed, asked.iter().map(subscription).collect())
}

fn subscription(wanted: &Map<String, Value>) -> Result<Subscription, String> {
    let text = |name: &str| wanted.get(name).map(Value::as_str);
    let kind = match text("event").flatten().map(str::to_ascii_uppercase).as_deref() {
        Some("INSERT") => Some(Kind::Insert),
        Some("UPDATE") => Some(Kind::Update),
        Some("DELETE") => Some(Kind::Delete),
        _ => None,
    };
    let select = selection(wanted.get("select"))?;
    let (schema, table, conditions) = match (text("schema"), text("table"), text("filter")) {
        (Some(Some(schema)), Some(Some(table)), Some(Some(filter))) => {
            let wrong = |reason| format!("Error parsing `filter` params: {reason}");
            (schema, table, filter::conditions(filter).map_err(wrong)?)
        }
        (Some(Some(schema)), Some(Some(table)), None) => (schema, table, Vec::new()),
        (Some(Some(schema)), None, None) => (schema, "*", Vec::new()),
        (None, Some(Some(table)), None) => ("public", table, Vec::new()),
        _ => {
            return Err(format!(
                "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: {}",
                elixir::inspect(&Value::Object(wanted.clone()))
            ));
        }
    };
    if select.is_some() && (schema == "*" || table == "*") {
        return Err("Column selection is not supported for wildcard subscriptions. Provide an explicit schema and \
                    table name."
            .to_owned());
    }
    let shown = || {
        let filters: Vec<String> = conditions.iter().map(filter::Written::inspect).collect();
        let select = select.as_ref().map_or(Value::Null, |names| json!(names));
        format!(
            "[event: {}, schema: {schema}, table: {table}, filters: [{}], select: {}]",
            kind.map_or("*", Kind::name),
            filters.join(", "),
            elixir::inspect(&select)
        )
    };
    let found = match table {
        "*" => None,
        name => schema::find(TABLES, name),
    };
    if !matches!(schema, "public" | "*") || (table != "*" && found.is_none()) {
        let advice = "Please check Realtime is enabled for the given connect parameters:";
        return Err(format!("{UNABLE} {advice} {}", shown()));
    }
    let exception = |problem: String| {
        let advice = "An exception happened so please check your connect parameters:";
        format!("{UNABLE} {advice} {}. Exception: ERROR {problem}", shown())
    };
    let tables = found.map_or(TABLES, std::slice::from_ref).iter();
    let tables = tables.map(|table| Ok((table, Filter::of(table, &conditions).map_err(exception)?)));
    let tables = tables.collect::<Result<_, String>>()?;
    let select = match (&select, found) {
        (Some(names), Some(table)) => Some(columns(table, names).map_err(exception)?),
        _ => None,
    };
    Ok(Subscription { id: id(wanted), kind, tables, select })
}

/// The names of columns that are asked for; `None` is all.
fn selection(asked: Option<&Value>) -> Result<Option<Vec<&str>>, String> {
    match asked {
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            Ok((!names.is_empty()).then_some(names))
        }
        Some(Value::String(_)) => Err("Error parsing `select` params: expected a list of column name strings, e.g. \
             select: [\"col1\", \"col2\"]"
            .to_owned()),
        _ => Ok(None),
    }
}

/// The columns of these names, and those of the key.
fn columns(table: &'static Table, names: &[&str]) -> Result<Vec<&'static str>, String> {
    let column = |name: &&str| match table.column(name) {
        Some(column) => Ok(column.name),
        None => Err(format!("P0001 (raise_exception) invalid column for select {name}")),
    };
    let mut columns = names.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    columns.extend(table.primary_key);
    Ok(columns)
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
    let now = Instant::now();
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
            if !sees || !realtime.hub.state().may_deliver(now) {
                continue; // too many changes are skipped, and nobody is told
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
            && self.tables.iter().any(|(table, filter)| table.name == change.table.name && filter.holds(tested))
    }
}

/// Whether the row policies let `identity` see the row as it is now.
fn sees(conn: &Connection, identity: &Identity, change: &Change) -> rusqlite::Result<bool> {
    let predicate = change.table.security.predicate(identity, Action::Select, "r");
    let sql =
        format!("SELECT EXISTS (SELECT 1 FROM main.\"{}\" AS r WHERE r.rowid = ?2 AND {predicate})", change.table.name);
    conn.prepare_cached(&sql)?.query_row((&identity.user_id, change.rowid), |row| row.get(0))
}
