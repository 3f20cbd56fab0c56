//! How many tokens each person used today, and how many the plan allows.
//!
//! Every answer of a model is charged to the person who asked, by day (UTC) and model. The limit is that of
//! the plan of the organisation the person joined first.
//! Wire source: the `cloud-usage` function, in both shapes that clients read.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};

use super::Caller;
use crate::{cloud::Cloud, core::db::Db, gateway};

/// Tokens a day in the plans that cost something.
const PAID: [(&str, u64); 3] = [("pro", 500_000), ("team", 2_000_000), ("enterprise", 10_000_000)];

/// One person's day.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    tier: String,
    status: String,
    day: String,
    used: u64,
    limit: u64,
    requests: u64,
    models: Vec<String>,
}

/// Creates the table of used tokens.
pub(crate) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS ai_usage (
             user_id TEXT NOT NULL,
             day TEXT NOT NULL,
             model TEXT NOT NULL,
             tokens INTEGER NOT NULL,
             requests INTEGER NOT NULL,
             PRIMARY KEY (user_id, day, model)
         ) STRICT;",
    )
}

impl Usage {
    /// Reads what a person used today.
    pub(crate) async fn of(cloud: &Cloud, caller: &Caller) -> rusqlite::Result<Self> {
        let (user, free) = (caller.user_id.clone(), cloud.settings.daily_tokens);
        cloud.db.call(move |conn| Self::read(conn, &user, free)).await
    }

    /// The refusal for a person who has used everything; `None` while something is left.
    pub(crate) fn refusal(&self) -> Option<Value> {
        (self.used >= self.limit).then(|| json!({ "used": self.used, "limit": self.limit, "tier": self.tier }))
    }

    /// What an answer says about the day, after `spent` more tokens.
    pub(crate) fn after(&self, spent: u64) -> Value {
        let used = self.used.saturating_add(spent);
        json!({
            "tokens_used": used,
            "daily_limit": self.limit,
            "remaining": self.limit.saturating_sub(used),
            "tier": self.tier,
        })
    }

    fn read(conn: &Connection, user: &str, free: u64) -> rusqlite::Result<Self> {
        let plan: Option<(String, String)> = conn
            .prepare_cached(
                "SELECT o.subscription_tier, o.subscription_status FROM org_memberships m
                 JOIN organizations o ON o.id = m.org_id WHERE m.user_id = ?1 ORDER BY m.joined_at LIMIT 1",
            )?
            .query_row([user], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (tier, status) = plan.unwrap_or_else(|| ("free".to_owned(), "active".to_owned()));
        let limit = PAID.iter().find(|(name, _)| *name == tier).map_or(free, |(_, limit)| *limit);
        let day: String = conn.query_row("SELECT substr(now_pg(), 1, 10)", [], |row| row.get(0))?;
        let mut rows = conn.prepare_cached(
            "SELECT model, tokens, requests FROM ai_usage WHERE user_id = ?1 AND day = ?2 ORDER BY model",
        )?;
        let rows: Vec<(String, i64, i64)> = rows
            .query_map([user, &day], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let used = rows.iter().map(|(_, tokens, _)| tokens.unsigned_abs()).sum();
        let requests = rows.iter().map(|(_, _, requests)| requests.unsigned_abs()).sum();
        let models = rows.into_iter().map(|(model, _, _)| model).collect();
        Ok(Self { tier, status, day, used, limit, requests, models })
    }

    fn to_json(&self) -> Value {
        json!({
            "today": {
                "tokens_used": self.used,
                "tokens_limit": self.limit,
                "request_count": self.requests,
                "models_used": self.models,
            },
            "tier": self.tier,
            "subscription_status": self.status,
            "period": {
                "start": format!("{}T00:00:00+00:00", self.day),
                "end": format!("{}T23:59:59.999999+00:00", self.day),
            },
            "tokens_used": self.used,
            "daily_limit": self.limit,
            "remaining": self.limit.saturating_sub(self.used),
            "request_count": self.requests,
            "is_unlimited": false,
        })
    }
}

/// Charges one answer; does not wait for the database.
pub(crate) fn charge(cloud: &Cloud, user: &str, model: &str, tokens: u64) {
    post(&cloud.db, user, model, tokens);
}

/// As [`charge`], for whoever holds no more than the database.
pub(crate) fn post(db: &Db, user: &str, model: &str, tokens: u64) {
    let (user, model) = (user.to_owned(), model.to_owned());
    db.post(move |conn| {
        let charged = conn.execute(
            "INSERT INTO ai_usage (user_id, day, model, tokens, requests)
             VALUES (?1, substr(now_pg(), 1, 10), ?2, ?3, 1)
             ON CONFLICT (user_id, day, model)
             DO UPDATE SET tokens = tokens + excluded.tokens, requests = requests + 1",
            (user, model, i64::try_from(tokens).unwrap_or(i64::MAX)),
        );
        if let Err(error) = charged {
            tracing::error!(%error, "tokens could not be charged");
        }
    });
}

/// `GET cloud-usage`.
pub(crate) async fn show(cloud: &Cloud, caller: &Caller) -> Response {
    match Usage::of(cloud, caller).await {
        Ok(usage) => Json(usage.to_json()).into_response(),
        Err(error) => broken(&error),
    }
}

/// The answer when the database failed.
pub(crate) fn broken(error: &rusqlite::Error) -> Response {
    tracing::error!(%error, "the database of a function failed");
    gateway::refuse(StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": "Internal error" }))
}
