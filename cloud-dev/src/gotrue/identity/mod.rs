//! Identities: the ways a person is recognised, an address of their own among them.
//!
//! [`link`] says to whom an identity belongs that a provider vouches for, and lets people link and unlink.
//! Wire source: GoTrue, identity object.

pub(crate) mod link;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use serde_json::{Map, Value, json};

/// The provider of an address with a password or with mailed codes.
pub(crate) const EMAIL: &str = "email";

/// One row of the identity table.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) provider: String,
    /// What the provider calls the person.
    pub(crate) provider_id: String,
    pub(crate) data: Map<String, Value>,
    pub(crate) email: Option<String>,
    last_sign_in_at: String,
    created_at: String,
    updated_at: String,
}

/// What is needed to store an identity.
#[derive(Clone, Debug)]
pub(crate) struct NewIdentity {
    pub(crate) user_id: String,
    pub(crate) provider: String,
    pub(crate) provider_id: String,
    pub(crate) data: Map<String, Value>,
}

impl Identity {
    /// The identity that goes with an address of one's own.
    pub(crate) fn of_email(user_id: &str, email: &str, verified: bool) -> NewIdentity {
        let data = json!({ "email": email, "email_verified": verified, "phone_verified": false, "sub": user_id });
        NewIdentity {
            user_id: user_id.to_owned(),
            provider: EMAIL.to_owned(),
            provider_id: user_id.to_owned(),
            data: data.as_object().cloned().unwrap_or_default(),
        }
    }

    /// All of a person, oldest first.
    pub(crate) fn of_user(conn: &Connection, user_id: &str) -> rusqlite::Result<Vec<Self>> {
        conn.prepare_cached("SELECT * FROM auth_identities WHERE user_id = ?1 ORDER BY created_at, rowid")?
            .query_map([user_id], Self::read)?
            .collect()
    }

    /// The one that a provider knows by this id.
    pub(crate) fn find(conn: &Connection, provider: &str, provider_id: &str) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached("SELECT * FROM auth_identities WHERE provider = ?1 AND provider_id = ?2")?
            .query_row([provider, provider_id], Self::read)
            .optional()
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.data.get("email_verified").and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "identity_id": self.id,
            "id": self.provider_id,
            "user_id": self.user_id,
            "identity_data": self.data,
            "provider": self.provider,
            "email": self.email.as_deref().unwrap_or_default(),
            "last_sign_in_at": self.last_sign_in_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let data: String = row.get("identity_data")?;
        Ok(Self {
            id: row.get("id")?,
            user_id: row.get("user_id")?,
            provider: row.get("provider")?,
            provider_id: row.get("provider_id")?,
            data: serde_json::from_str(&data).unwrap_or_default(),
            email: row.get("email")?,
            last_sign_in_at: row.get("last_sign_in_at")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

impl NewIdentity {
    /// Stores it, in place of what the provider said of the person before.
    pub(crate) fn insert(&self, conn: &Connection) -> rusqlite::Result<()> {
        let email = self.data.get("email").and_then(Value::as_str).filter(|email| !email.is_empty());
        conn.execute(
            "INSERT INTO auth_identities (user_id, provider, provider_id, identity_data, email)
             VALUES (:user, :provider, :provider_id, :data, :email)
             ON CONFLICT (provider, provider_id) DO UPDATE SET identity_data = :data, email = :email,
                 last_sign_in_at = now_pg(), updated_at = now_pg()",
            named_params! {
                ":user": self.user_id,
                ":provider": self.provider,
                ":provider_id": self.provider_id,
                ":data": Value::Object(self.data.clone()).to_string(),
                ":email": email.map(str::to_lowercase),
            },
        )?;
        Ok(())
    }
}
