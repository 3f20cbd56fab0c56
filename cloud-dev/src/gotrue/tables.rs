//! The tables of accounts, their sessions, and everything that is waiting to become one.
//!
//! Times that only people read are text of `now_pg()`; times that decide something are microseconds since 1970
//! by the clock of the cloud. Wire source: the `auth` schema of GoTrue, as far as its rules need it.

use rusqlite::Connection;

/// Creates what is missing.
pub(crate) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS auth_users (
             id TEXT PRIMARY KEY,
             email TEXT UNIQUE,
             new_email TEXT,
             email_change_half INTEGER NOT NULL DEFAULT 0,
             password_hash TEXT,
             user_metadata TEXT NOT NULL DEFAULT '{}',
             is_anonymous INTEGER NOT NULL DEFAULT 0,
             is_sso INTEGER NOT NULL DEFAULT 0,
             banned INTEGER NOT NULL DEFAULT 0,
             confirmed_at TEXT,
             last_sign_in_at TEXT,
             created_at TEXT NOT NULL DEFAULT (now_pg()),
             updated_at TEXT NOT NULL DEFAULT (now_pg())
         ) STRICT;
         CREATE TABLE IF NOT EXISTS auth_identities (
             id TEXT PRIMARY KEY DEFAULT (new_uuid()),
             user_id TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
             provider TEXT NOT NULL,
             provider_id TEXT NOT NULL,
             identity_data TEXT NOT NULL,
             email TEXT,
             last_sign_in_at TEXT NOT NULL DEFAULT (now_pg()),
             created_at TEXT NOT NULL DEFAULT (now_pg()),
             updated_at TEXT NOT NULL DEFAULT (now_pg()),
             UNIQUE (provider, provider_id)
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_identities_user ON auth_identities (user_id);
         CREATE TABLE IF NOT EXISTS auth_one_time_tokens (
             user_id TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
             kind TEXT NOT NULL,
             hash TEXT,
             sent_at INTEGER NOT NULL,
             PRIMARY KEY (user_id, kind)
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_one_time_tokens_hash ON auth_one_time_tokens (hash);
         CREATE TABLE IF NOT EXISTS auth_flow_states (
             serial INTEGER PRIMARY KEY AUTOINCREMENT,
             id TEXT NOT NULL UNIQUE,
             auth_code TEXT UNIQUE,
             challenge TEXT,
             challenge_method TEXT,
             provider TEXT NOT NULL,
             method TEXT NOT NULL,
             user_id TEXT REFERENCES auth_users (id) ON DELETE CASCADE,
             link_user_id TEXT REFERENCES auth_users (id) ON DELETE CASCADE,
             redirect_to TEXT,
             upstream_verifier TEXT,
             provider_token TEXT,
             provider_refresh_token TEXT,
             created_at INTEGER NOT NULL,
             code_issued_at INTEGER
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_flow_states_age ON auth_flow_states (created_at);
         CREATE TABLE IF NOT EXISTS auth_sessions (
             id TEXT PRIMARY KEY,
             user_id TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
             factor_id TEXT,
             created_at INTEGER NOT NULL
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_sessions_user ON auth_sessions (user_id);
         CREATE TABLE IF NOT EXISTS auth_session_methods (
             session_id TEXT NOT NULL REFERENCES auth_sessions (id) ON DELETE CASCADE,
             method TEXT NOT NULL,
             used_at INTEGER NOT NULL,
             PRIMARY KEY (session_id, method)
         ) STRICT;
         CREATE TABLE IF NOT EXISTS auth_refresh_tokens (
             serial INTEGER PRIMARY KEY AUTOINCREMENT,
             token TEXT NOT NULL UNIQUE,
             parent TEXT,
             session_id TEXT NOT NULL,
             revoked_at INTEGER
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_refresh_tokens_session ON auth_refresh_tokens (session_id);
         CREATE TABLE IF NOT EXISTS auth_factors (
             id TEXT PRIMARY KEY,
             user_id TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
             friendly_name TEXT NOT NULL,
             secret TEXT NOT NULL,
             verified INTEGER NOT NULL DEFAULT 0,
             last_step INTEGER NOT NULL DEFAULT -1,
             enrolled_at INTEGER NOT NULL,
             last_challenged_at TEXT,
             created_at TEXT NOT NULL DEFAULT (now_pg()),
             updated_at TEXT NOT NULL DEFAULT (now_pg())
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_factors_user ON auth_factors (user_id);
         CREATE TABLE IF NOT EXISTS auth_challenges (
             id TEXT PRIMARY KEY,
             factor_id TEXT NOT NULL REFERENCES auth_factors (id) ON DELETE CASCADE,
             verified INTEGER NOT NULL DEFAULT 0,
             created_at INTEGER NOT NULL
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_challenges_age ON auth_challenges (created_at);
         CREATE INDEX IF NOT EXISTS auth_challenges_factor ON auth_challenges (factor_id);",
    )
}
