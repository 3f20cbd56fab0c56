//! Accounts: the rows, the user object, and what a new one starts with.
//!
//! A person is a [`User`] with [identities](crate::gotrue::identity) (the ways to be recognised) and factors. A
//! new one gets what an application expects of it: a profile and an organisation of its own. Sign-up is in
//! [`sign_up`], changes in [`update`].
//! Wire source: GoTrue, user object.

pub(crate) mod password;
pub(crate) mod sign_up;
pub(crate) mod update;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use serde_json::{Map, Value, json};

use super::{error::AuthError, identity::Identity, mail::code::Kind, mfa::Factor};
use crate::core::db::timestamptz;

/// One row of the account table, with what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) email: Option<String>,
    /// Where the address is to be changed to.
    pub(crate) new_email: Option<String>,
    /// Whether one of the two addresses has agreed to the change.
    pub(crate) email_change_half: bool,
    pub(crate) password_hash: Option<String>,
    pub(crate) user_metadata: Value,
    pub(crate) is_anonymous: bool,
    pub(crate) is_sso: bool,
    pub(crate) banned: bool,
    pub(crate) confirmed_at: Option<String>,
    last_sign_in_at: Option<String>,
    created_at: String,
    updated_at: String,
    pub(crate) identities: Vec<Identity>,
    pub(crate) factors: Vec<Factor>,
    sent: Vec<(String, i64)>,
}

impl User {
    /// The account with this address.
    pub(crate) fn by_email(conn: &Connection, email: &str) -> rusqlite::Result<Option<Self>> {
        Self::find(conn, "SELECT * FROM auth_users WHERE email = ?1", email)
    }

    /// The account whose address is about to become this one.
    pub(crate) fn by_new_email(conn: &Connection, email: &str) -> rusqlite::Result<Option<Self>> {
        Self::find(conn, "SELECT * FROM auth_users WHERE new_email = ?1", email)
    }

    /// The account with this id.
    pub(crate) fn by_id(conn: &Connection, id: &str) -> rusqlite::Result<Option<Self>> {
        Self::find(conn, "SELECT * FROM auth_users WHERE id = ?1", id)
    }

    /// The account with this id, which was there a moment ago.
    pub(crate) fn load(conn: &Connection, id: &str) -> Result<Self, AuthError> {
        Self::by_id(conn, id)?.ok_or_else(AuthError::no_user)
    }

    fn find(conn: &Connection, sql: &str, key: &str) -> rusqlite::Result<Option<Self>> {
        let Some(mut user) = conn.prepare_cached(sql)?.query_row([key], Self::read).optional()? else {
            return Ok(None);
        };
        user.identities = Identity::of_user(conn, &user.id)?;
        user.factors = Factor::of_user(conn, &user.id)?;
        let mut sent = conn.prepare_cached("SELECT kind, sent_at FROM auth_one_time_tokens WHERE user_id = ?1")?;
        user.sent = sent.query_map([&user.id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(Some(user))
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }

    /// Whether this is the account's password; slow on purpose.
    pub(crate) async fn has_password(&self, password: &str) -> bool {
        match &self.password_hash {
            Some(hash) => password::matches(password, hash).await,
            None => false,
        }
    }

    pub(crate) fn has_verified_factor(&self) -> bool {
        self.factors.iter().any(|factor| factor.verified)
    }

    /// What applications may rely on and people cannot change.
    pub(crate) fn app_metadata(&self) -> Value {
        let mut providers: Vec<&str> = Vec::new();
        for identity in &self.identities {
            if !providers.contains(&identity.provider.as_str()) {
                providers.push(&identity.provider);
            }
        }
        match providers.first() {
            Some(first) => json!({ "provider": first, "providers": providers }),
            None => json!({}),
        }
    }

    /// The user object.
    pub(crate) fn to_json(&self) -> Value {
        let mut user = json!({
            "id": self.id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": self.email.as_deref().unwrap_or_default(),
            "phone": "",
            "app_metadata": self.app_metadata(),
            "user_metadata": self.user_metadata,
            "identities": self.identities.iter().map(Identity::to_json).collect::<Vec<_>>(),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "is_anonymous": self.is_anonymous,
        });
        for (name, value) in [
            ("email_confirmed_at", &self.confirmed_at),
            ("confirmed_at", &self.confirmed_at),
            ("last_sign_in_at", &self.last_sign_in_at),
            ("new_email", &self.new_email),
        ] {
            if let Some(value) = value {
                user[name] = json!(value);
            }
        }
        for (name, kind) in [
            ("confirmation_sent_at", Kind::Confirmation),
            ("recovery_sent_at", Kind::Recovery),
            ("email_change_sent_at", Kind::EmailChangeNew),
            ("reauthentication_sent_at", Kind::Reauthentication),
        ] {
            if let Some((_, time)) = self.sent.iter().find(|(sent, _)| sent == kind.name()) {
                user[name] = json!(timestamptz(*time));
            }
        }
        if !self.factors.is_empty() {
            user["factors"] = self.factors.iter().map(Factor::to_json).collect();
        }
        user
    }

    /// Confirms the address, and spends every code.
    pub(crate) fn confirm(conn: &Connection, id: &str) -> rusqlite::Result<()> {
        conn.execute(
            "UPDATE auth_users SET confirmed_at = coalesce(confirmed_at, now_pg()), updated_at = now_pg() WHERE id = ?1",
            [id],
        )?;
        conn.execute(
            "UPDATE auth_identities SET identity_data = json_set(identity_data, '$.email_verified', json('true'))
             WHERE user_id = ?1 AND email = (SELECT email FROM auth_users WHERE id = ?1)",
            [id],
        )?;
        conn.execute("UPDATE auth_one_time_tokens SET hash = NULL WHERE user_id = ?1", [id])?;
        Ok(())
    }

    /// Bans the person, or lifts the ban.
    pub(crate) fn set_banned(&self, conn: &Connection, banned: bool) -> rusqlite::Result<()> {
        conn.execute("UPDATE auth_users SET banned = ?2 WHERE id = ?1", (&self.id, banned)).map(|_| ())
    }

    /// Sets what `changes` name in the metadata; null removes.
    pub(crate) fn merge_metadata(&mut self, conn: &Connection, changes: &Map<String, Value>) -> rusqlite::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        merge(&mut self.user_metadata, changes);
        conn.execute(
            "UPDATE auth_users SET user_metadata = ?2, updated_at = now_pg() WHERE id = ?1",
            [&self.id, &self.user_metadata.to_string()],
        )?;
        Ok(())
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let user_metadata: String = row.get("user_metadata")?;
        Ok(Self {
            id: row.get("id")?,
            email: row.get("email")?,
            new_email: row.get("new_email")?,
            email_change_half: row.get("email_change_half")?,
            password_hash: row.get("password_hash")?,
            user_metadata: serde_json::from_str(&user_metadata).unwrap_or_else(|_| json!({})),
            is_anonymous: row.get("is_anonymous")?,
            is_sso: row.get("is_sso")?,
            banned: row.get("banned")?,
            confirmed_at: row.get("confirmed_at")?,
            last_sign_in_at: row.get("last_sign_in_at")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
            identities: Vec::new(),
            factors: Vec::new(),
            sent: Vec::new(),
        })
    }
}

/// What is needed to store an account.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewUser {
    pub(crate) id: String,
    pub(crate) email: Option<String>,
    pub(crate) password_hash: Option<String>,
    pub(crate) user_metadata: Map<String, Value>,
    pub(crate) confirmed: bool,
    pub(crate) is_anonymous: bool,
    pub(crate) is_sso: bool,
}

impl NewUser {
    /// An account with a fresh id.
    pub(crate) fn new(email: Option<String>, user_metadata: Map<String, Value>) -> Self {
        Self { id: uuid::Uuid::new_v4().to_string(), email, user_metadata, ..Self::default() }
    }

    /// Stores the account and its profile.
    pub(crate) fn insert(&self, conn: &Connection) -> rusqlite::Result<()> {
        let user_metadata = Value::Object(self.user_metadata.clone()).to_string();
        conn.execute(
            "INSERT INTO auth_users (id, email, password_hash, user_metadata, is_anonymous, is_sso, confirmed_at)
             VALUES (:id, :email, :hash, :metadata, :anonymous, :sso, CASE WHEN :confirmed THEN now_pg() END)",
            named_params! {
                ":id": self.id,
                ":email": self.email,
                ":hash": self.password_hash,
                ":metadata": user_metadata,
                ":anonymous": self.is_anonymous,
                ":sso": self.is_sso,
                ":confirmed": self.confirmed,
            },
        )?;
        conn.execute(
            "INSERT INTO profiles (id, display_name, avatar_url) VALUES (:id, :name, :avatar)",
            named_params! {
                ":id": self.id,
                ":name": self.display_name(),
                ":avatar": self.user_metadata.get("avatar_url").and_then(Value::as_str),
            },
        )?;
        Ok(())
    }

    /// Stores the identity that goes with an address of one's own.
    pub(crate) fn insert_email_identity(&self, conn: &Connection) -> rusqlite::Result<()> {
        let email = self.email.as_deref().unwrap_or_default();
        Identity::of_email(&self.id, email, self.confirmed).insert(conn)
    }

    /// Stores the organisation that every person has for themselves.
    pub(crate) fn insert_organization(&self, conn: &Connection) -> rusqlite::Result<()> {
        let org = uuid::Uuid::new_v4().to_string();
        conn.execute(
            "INSERT INTO organizations (id, name, slug) VALUES (:id, :name, :slug)",
            named_params! {
                ":id": org,
                ":name": format!("{}'s organization", self.display_name()),
                ":slug": format!("personal-{}", self.id),
            },
        )?;
        conn.execute("INSERT INTO org_memberships (org_id, user_id, role) VALUES (?1, ?2, 'owner')", [&org, &self.id])?;
        Ok(())
    }

    fn display_name(&self) -> &str {
        let named = ["display_name", "full_name", "name"];
        let given = named.iter().find_map(|key| self.user_metadata.get(*key).and_then(Value::as_str));
        let email = self.email.as_deref().and_then(|email| email.split('@').next());
        given.or(email).unwrap_or("Guest")
    }
}

/// Sets what `changes` names; null removes.
fn merge(metadata: &mut Value, changes: &Map<String, Value>) {
    let Some(metadata) = metadata.as_object_mut() else { return };
    for (key, value) in changes {
        if value.is_null() {
            metadata.remove(key);
        } else {
            metadata.insert(key.clone(), value.clone());
        }
    }
}

/// The address in the form it is stored in.
pub(crate) fn email_address(text: &str) -> Result<String, AuthError> {
    let address = text.trim().to_lowercase();
    let valid = address.len() <= 255
        && !address.chars().any(|c| c.is_whitespace() || c.is_control())
        && address.rsplit_once('@').is_some_and(|(local, domain)| {
            let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
            let labels = domain.split('.').all(|label| !label.is_empty());
            !local.is_empty() && !local.contains('@') && labels && domain.chars().all(plain)
        });
    if valid {
        Ok(address)
    } else {
        let message = "Unable to validate email address: invalid format";
        Err(AuthError::bad_request("validation_failed", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_lowered() {
        assert_eq!(email_address(" Ada@Example.COM ").unwrap(), "ada@example.com");
        assert!(email_address("a+b@localhost").is_ok());
        for bad in
            ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c", "ada@ex ample.com", "a@.com", "a@x..y"]
        {
            assert!(email_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn null_removes_metadata_and_the_rest_stays() {
        let mut metadata = json!({ "a": 1, "b": 2 });
        let Value::Object(changes) = json!({ "b": null, "c": { "d": null } }) else { unreachable!() };
        merge(&mut metadata, &changes);
        assert_eq!(metadata, json!({ "a": 1, "c": { "d": null } }));
    }
}
