//! Listing a bucket: one folder by position, or everything by cursor.
//!
//! Rows that the asker may see → folders and objects → one page. A folder is nothing but a common beginning
//! of names. The cursor of the second form is the last entry itself, so no entry comes twice or is left out.
//! Wire source: Supabase Storage, `POST /object/list/{bucket}` and `/object/list-v2/{bucket}`.

use std::{cmp::Ordering, collections::BTreeMap};

use axum::{
    Json,
    body::BodyDataStream,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{call::Call, error::StorageError, object, rows::Object};

/// Entries in a page that does not say how many.
const LIMIT: usize = 100;

/// Most entries in a page of the second form.
const MAX_LIMIT_V2: usize = 1000;

/// What entries are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Column {
    Name,
    CreatedAt,
    #[serde(alias = "last_accessed_at")]
    UpdatedAt,
}

/// An order: by what, and whether backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    by: Column,
    backwards: bool,
}

impl Order {
    fn from_body(body: &Map<String, Value>) -> Result<Self, StorageError> {
        let sort = body.get("sortBy").cloned().unwrap_or_default();
        let by = match sort.get("column").filter(|column| !column.is_null()) {
            None => Column::Name,
            Some(column) => Column::deserialize(column)
                .map_err(|_| StorageError::request("body/sortBy/column must be equal to one of the allowed values"))?,
        };
        Ok(Self { by, backwards: sort.get("order").and_then(Value::as_str) == Some("desc") })
    }

    fn when(self, object: &Object) -> i64 {
        match self.by {
            Column::Name => 0,
            Column::CreatedAt => object.created_at,
            Column::UpdatedAt => object.updated_at,
        }
    }

    fn turn(self, ordering: Ordering) -> Ordering {
        if self.backwards { ordering.reverse() } else { ordering }
    }
}

/// `POST /object/list/{bucket}`.
pub(super) async fn folder(
    call: Call<'_>,
    bucket: String,
    body: &mut BodyDataStream,
) -> Result<Response, StorageError> {
    let (identity, body) = (call.identity()?, object(body).await?);
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let Some(prefix) = text("prefix") else {
        return Err(StorageError::request("body must have required property 'prefix'"));
    };
    let limit = number(&body, "limit", 1)?.unwrap_or(LIMIT);
    let offset = number(&body, "offset", 0)?.unwrap_or(0);
    let order = Order::from_body(&body)?;
    let mut prefix = prefix.trim_start_matches('/').to_owned();
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    let inside = prefix.chars().count();
    prefix.push_str(text("search").unwrap_or_default());
    let objects = call.read(move |conn| Object::list(conn, &identity, &bucket, &prefix, true)).await?;

    let mut folders: Vec<String> = Vec::new();
    let mut files: Vec<(String, &Object)> = Vec::new();
    for object in &objects {
        let name: String = object.place.name.chars().skip(inside).collect();
        match name.split_once('/') {
            Some((folder, _)) if !folders.iter().any(|known| known == folder) => folders.push(folder.to_owned()),
            Some(_) => {}
            None => files.push((name, object)),
        }
    }
    let by_name = |a: &str, b: &str| (a.to_lowercase(), a).cmp(&(b.to_lowercase(), b));
    folders.sort_by(|a, b| order.turn(by_name(a, b)));
    files.sort_by(|(a, one), (b, other)| {
        order.turn(order.when(one).cmp(&order.when(other)).then_with(|| by_name(a, b)))
    });
    let folders = folders.iter().map(|name| {
        let none = Value::Null;
        json!({ "name": name, "id": none, "updated_at": none, "created_at": none, "last_accessed_at": none, "metadata": none })
    });
    let files = files.iter().map(|(name, object)| object.entry(name));
    let page: Vec<Value> = folders.chain(files).skip(offset).take(limit).collect();
    Ok(Json(page).into_response())
}

/// An entry's place in the order of a bucket, which is also what a cursor holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    folder: bool,
    when: i64,
    name: String,
}

impl Position {
    /// By name, folders and objects are one list; by time, folders come first, in the order of their making.
    fn compare(&self, other: &Self, order: Order) -> Ordering {
        let within = || (self.when, &self.name).cmp(&(other.when, &other.name));
        match order.by {
            Column::Name => order.turn(self.name.cmp(&other.name)),
            _ if self.folder != other.folder => other.folder.cmp(&self.folder),
            _ if self.folder => within(),
            _ => order.turn(within()),
        }
    }
}

/// What `nextCursor` says: how the list was sorted and what came last.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    order: Order,
    last: Position,
}

/// `POST /object/list-v2/{bucket}`.
pub(super) async fn all(call: Call<'_>, bucket: String, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let (identity, body) = (call.identity()?, object(body).await?);
    let prefix = body.get("prefix").and_then(Value::as_str).unwrap_or_default().to_owned();
    let limit = number(&body, "limit", 1)?.unwrap_or(MAX_LIMIT_V2).min(MAX_LIMIT_V2);
    let by_folder = body.get("with_delimiter").and_then(Value::as_bool) == Some(true);
    let cursor = match body.get("cursor").and_then(Value::as_str).filter(|cursor| !cursor.is_empty()) {
        None => None,
        Some(text) => Some(decode(text).ok_or_else(|| StorageError::parameter("Invalid cursor"))?),
    };
    let order = cursor.as_ref().map_or_else(|| Order::from_body(&body), |cursor| Ok(cursor.order))?;
    let start = prefix.len();
    let objects = call.read(move |conn| Object::list(conn, &identity, &bucket, &prefix, false)).await?;

    let mut folders: BTreeMap<String, i64> = BTreeMap::new();
    let mut entries: Vec<(Position, Option<&Object>)> = Vec::new();
    for object in &objects {
        let name = &object.place.name;
        let end = name.get(start..).and_then(|rest| rest.find('/')).filter(|_| by_folder);
        match end.and_then(|end| name.get(..=start + end)) {
            Some(folder) => {
                let made = folders.entry(folder.to_owned()).or_insert(object.created_at);
                *made = object.created_at.min(*made);
            }
            None => {
                let position = Position { folder: false, when: order.when(object), name: name.clone() };
                entries.push((position, Some(object)));
            }
        }
    }
    entries.extend(folders.into_iter().map(|(name, when)| (Position { folder: true, when, name }, None)));
    entries.sort_by(|(one, _), (other, _)| one.compare(other, order));
    let done = cursor.map_or(0, |cursor| {
        entries.partition_point(|(position, _)| position.compare(&cursor.last, order) != Ordering::Greater)
    });
    let mut page = entries.iter().skip(done).take(limit);
    let more = entries.len() > done + limit;
    let mut answer = json!({ "hasNext": more, "folders": [], "objects": [] });
    for (position, object) in page.clone() {
        let (list, entry) = match object {
            Some(object) => ("objects", object.entry(&object.place.name)),
            None => ("folders", json!({ "id": Value::Null, "name": position.name, "key": position.name })),
        };
        if let Some(list) = answer.get_mut(list).and_then(Value::as_array_mut) {
            list.push(entry);
        }
    }
    if let Some((last, _)) = page.next_back().filter(|_| more) {
        answer["nextCursorKey"] = json!(last.name);
        let cursor = json!(Cursor { order, last: last.clone() });
        answer["nextCursor"] = json!(URL_SAFE_NO_PAD.encode(cursor.to_string()));
    }
    Ok(Json(answer).into_response())
}

fn decode(cursor: &str) -> Option<Cursor> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

fn number(body: &Map<String, Value>, field: &str, least: u64) -> Result<Option<usize>, StorageError> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number =
                value.as_u64().filter(|number| *number >= least).and_then(|number| usize::try_from(number).ok());
            number.map(Some).ok_or_else(|| StorageError::request(format!("body/{field} must be integer >= {least}")))
        }
    }
}
