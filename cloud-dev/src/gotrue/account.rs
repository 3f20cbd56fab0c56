//! Accounts: sign-up, the user object, and changes of it.
//!
//! A new account gets what an application expects of it: a profile and an organisation of its own. Passwords
//! are kept as Argon2id hashes, computed away from the async threads.
//! Wire source: GoTrue `/signup` and `/user`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::StatusCode;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, named_params};
use serde_json::{Map, Value, json};

use super::{error::AuthError, session, text};
use crate::{cloud::Cloud, keys};

/// Fewest characters of a password.
const MIN_PASSWORD: usize = 6;

/// Most bytes of a password: what bcrypt, which GoTrue uses, can tell apart.
const MAX_PASSWORD_BYTES: usize = 72;

/// Memory of one hash in KiB: little, since the passwords of a development cloud guard nothing.
const HASH_MEMORY_KIB: u32 = 512;

/// One row of the account table.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) user_metadata: Value,
    pub(crate) confirmed_at: Option<String>,
    pub(crate) banned: bool,
    password_hash: String,
    identity_id: String,
    last_sign_in_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl User {
    /// The account with this address.
    pub(crate) fn by_email(conn: &Connection, email: &str) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached("SELECT * FROM auth_users WHERE email = ?1")?.query_row([email], Self::read).optional()
    }

    /// The account with this id.
    pub(crate) fn by_id(conn: &Connection, id: &str) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached("SELECT * FROM auth_users WHERE id = ?1")?.query_row([id], Self::read).optional()
    }

    /// Whether `password` is this account's; slow on purpose.
    pub(crate) async fn has_password(&self, password: &str) -> bool {
        let Some((salt, _)) = self.password_hash.split_once('$') else { return false };
        let Ok(salt) = STANDARD_NO_PAD.decode(salt) else { return false };
        let computed = hash_with(password, salt).await;
        computed.is_some_and(|computed| keys::same(&computed, &self.password_hash))
    }

    /// What applications may rely on and people cannot change.
    pub(crate) fn app_metadata() -> Value {
        json!({ "provider": "email", "providers": ["email"] })
    }

    /// The user object.
    pub(crate) fn to_json(&self) -> Value {
        let mut user = json!({
            "id": self.id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": self.email,
            "phone": "",
            "app_metadata": Self::app_metadata(),
            "user_metadata": self.user_metadata,
            "identities": [{
                "identity_id": self.identity_id,
                "id": self.id,
                "user_id": self.id,
                "identity_data": {
                    "email": self.email, "email_verified": self.confirmed_at.is_some(), "phone_verified": false,
                    "sub": self.id,
                },
                "provider": "email",
                "email": self.email,
                "last_sign_in_at": self.last_sign_in_at.as_ref().unwrap_or(&self.created_at),
                "created_at": self.created_at,
                "updated_at": self.created_at,
            }],
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "is_anonymous": false,
        });
        if let Some(time) = &self.confirmed_at {
            user["email_confirmed_at"] = json!(time);
            user["confirmed_at"] = json!(time);
        } else {
            user["confirmation_sent_at"] = json!(self.created_at);
        }
        if let Some(time) = &self.last_sign_in_at {
            user["last_sign_in_at"] = json!(time);
        }
        user
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let user_metadata: String = row.get("user_metadata")?;
        Ok(Self {
            id: row.get("id")?,
            email: row.get("email")?,
            user_metadata: serde_json::from_str(&user_metadata).unwrap_or_else(|_| json!({})),
            confirmed_at: row.get("confirmed_at")?,
            banned: row.get("banned")?,
            password_hash: row.get("password_hash")?,
            identity_id: row.get("identity_id")?,
            last_sign_in_at: row.get("last_sign_in_at")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// What is needed to store an account.
#[derive(Clone)]
pub(crate) struct NewUser {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) password_hash: String,
    pub(crate) user_metadata: Value,
    pub(crate) confirmed: bool,
}

impl NewUser {
    /// Stores the account and its profile.
    pub(crate) fn insert(&self, conn: &Connection) -> rusqlite::Result<User> {
        conn.execute(
            "INSERT INTO auth_users (id, email, password_hash, user_metadata, confirmed_at)
             VALUES (:id, :email, :password_hash, :user_metadata, CASE WHEN :confirmed THEN now_pg() END)",
            named_params! {
                ":id": self.id,
                ":email": self.email,
                ":password_hash": self.password_hash,
                ":user_metadata": self.user_metadata.to_string(),
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
        User::by_id(conn, &self.id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Stores the organisation that every person has for themselves.
    fn insert_organization(&self, conn: &Connection) -> rusqlite::Result<()> {
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
        let given = named.iter().find_map(|key| self.user_metadata.get(key).and_then(Value::as_str));
        given.or_else(|| self.email.split('@').next()).unwrap_or_default()
    }
}

/// The hash of a new password.
pub(crate) async fn hash(password: &str) -> Result<String, AuthError> {
    let failed = || AuthError::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", "Cannot hash passwords");
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| failed())?;
    hash_with(password, salt.to_vec()).await.ok_or_else(failed)
}

/// `salt$hash`, both in base64.
async fn hash_with(password: &str, salt: Vec<u8>) -> Option<String> {
    let password = password.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let params = argon2::Params::new(HASH_MEMORY_KIB, 1, 1, None).ok()?;
        let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut out = [0; 32];
        argon.hash_password_into(password.as_bytes(), &salt, &mut out).ok()?;
        Some(format!("{}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(out)))
    });
    work.await.ok().flatten()
}

/// `POST /signup`.
pub(crate) async fn sign_up(cloud: &Cloud, body: &Map<String, Value>) -> Result<Response, AuthError> {
    let email = match (text(body, "email"), text(body, "phone")) {
        (Some(email), _) if !email.is_empty() => email_address(email)?,
        (_, Some(phone)) if !phone.is_empty() => {
            return Err(AuthError::bad_request("phone_provider_disabled", "Phone signups are disabled"));
        }
        _ => {
            let message = "Anonymous sign-ins are disabled";
            return Err(AuthError::unprocessable("anonymous_provider_disabled", message));
        }
    };
    let password = text(body, "password").filter(|password| !password.is_empty());
    let password = password
        .ok_or_else(|| AuthError::bad_request("validation_failed", "Signup requires a valid password"))
        .and_then(new_password)?;
    let confirmed = !cloud.settings.confirm_email;
    let new = NewUser {
        id: uuid::Uuid::new_v4().to_string(),
        email,
        password_hash: hash(password).await?,
        user_metadata: body.get("data").filter(|data| data.is_object()).cloned().unwrap_or_else(|| json!({})),
        confirmed,
    };
    let token = session::fresh_token()?;
    let outcome = cloud
        .db
        .call(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(existing) = User::by_email(&tx, &new.email)? {
                return Ok(SignUp::Existing(existing));
            }
            let user = new.insert(&tx)?;
            new.insert_organization(&tx)?;
            let outcome = if confirmed {
                SignUp::SignedIn(Box::new(session::start(&tx, &user.id, &token)?))
            } else {
                SignUp::Created(user)
            };
            tx.commit()?;
            Ok::<_, rusqlite::Error>(outcome)
        })
        .await?;
    match outcome {
        SignUp::SignedIn(started) => Ok(Json(started.to_json(cloud)).into_response()),
        SignUp::Created(user) => Ok(Json(user.to_json()).into_response()),
        SignUp::Existing(user) if confirmed => {
            tracing::debug!(user = %user.id, "sign-up with a known address");
            Err(AuthError::unprocessable("user_already_exists", "User already registered"))
        }
        SignUp::Existing(user) if user.confirmed_at.is_none() => Ok(Json(user.to_json()).into_response()),
        // Nobody may learn that the address is known: a made-up user that has no identities.
        SignUp::Existing(mut user) => {
            (user.id, user.confirmed_at) = (uuid::Uuid::new_v4().to_string(), None);
            let mut answer = user.to_json();
            (answer["identities"], answer["user_metadata"]) = (json!([]), json!({}));
            Ok(Json(answer).into_response())
        }
    }
}

enum SignUp {
    SignedIn(Box<session::Started>),
    Created(User),
    Existing(User),
}

/// `GET /user`.
pub(crate) async fn show(cloud: &Cloud, claims: &session::Claims) -> Result<Response, AuthError> {
    let id = claims.user_id.clone();
    let user = cloud.db.call(move |conn| User::by_id(conn, &id)).await?;
    user.map(|user| Json(user.to_json()).into_response()).ok_or_else(no_user)
}

/// `PUT /user`.
pub(crate) async fn update(
    cloud: &Cloud,
    claims: &session::Claims,
    body: &Map<String, Value>,
) -> Result<Response, AuthError> {
    let id = claims.user_id.clone();
    let user = cloud.db.call(move |conn| User::by_id(conn, &id)).await?.ok_or_else(no_user)?;
    let email = text(body, "email").filter(|email| !email.is_empty()).map(email_address).transpose()?;
    let password_hash = match text(body, "password").filter(|password| !password.is_empty()) {
        None => None,
        Some(password) => {
            let password = new_password(password)?;
            if user.has_password(password).await {
                let message = "New password should be different from the old password.";
                return Err(AuthError::unprocessable("same_password", message));
            }
            Some(hash(password).await?)
        }
    };
    let changes = body.get("data").and_then(Value::as_object).cloned();
    let (user_id, session_id) = (claims.user_id.clone(), claims.session_id.clone());
    let user = cloud
        .db
        .call(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let Some(mut user) = User::by_id(&tx, &user_id)? else { return Err(no_user()) };
            if let Some(email) = email.filter(|email| *email != user.email) {
                if User::by_email(&tx, &email)?.is_some() {
                    let message = "A user with this email address has already been registered";
                    return Err(AuthError::unprocessable("email_exists", message));
                }
                user.email = email;
            }
            if let Some(hash) = password_hash {
                user.password_hash = hash;
                session::end_others(&tx, &user_id, session_id.as_deref())?;
            }
            merge(&mut user.user_metadata, changes.unwrap_or_default());
            tx.execute(
                "UPDATE auth_users SET email = :email, password_hash = :hash, user_metadata = :data,
                     updated_at = now_pg() WHERE id = :id",
                named_params! {
                    ":email": user.email,
                    ":hash": user.password_hash,
                    ":data": user.user_metadata.to_string(),
                    ":id": user_id,
                },
            )?;
            let stored = User::by_id(&tx, &user_id)?.ok_or_else(no_user)?;
            tx.commit()?;
            Ok(stored)
        })
        .await?;
    Ok(Json(user.to_json()).into_response())
}

/// Sets what `changes` names; null removes.
fn merge(metadata: &mut Value, changes: Map<String, Value>) {
    let Some(metadata) = metadata.as_object_mut() else { return };
    for (key, value) in changes {
        if value.is_null() {
            metadata.remove(&key);
        } else {
            metadata.insert(key, value);
        }
    }
}

fn no_user() -> AuthError {
    AuthError::forbidden("user_not_found", "User from sub claim in JWT does not exist")
}

/// The address in the form it is stored in.
fn email_address(text: &str) -> Result<String, AuthError> {
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

fn new_password(password: &str) -> Result<&str, AuthError> {
    if password.len() > MAX_PASSWORD_BYTES {
        let message = format!("Password cannot be longer than {MAX_PASSWORD_BYTES} characters");
        return Err(AuthError::bad_request("validation_failed", message));
    }
    if password.chars().count() < MIN_PASSWORD {
        let message = format!("Password should be at least {MIN_PASSWORD} characters.");
        return Err(AuthError::weak_password(message));
    }
    Ok(password)
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
        merge(&mut metadata, changes);
        assert_eq!(metadata, json!({ "a": 1, "c": { "d": null } }));
    }
}
