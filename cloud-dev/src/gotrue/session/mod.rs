//! Sessions: what starts them, what their tokens say, and what ends them.
//!
//! A session is a row with the methods that were used in it; its refresh tokens are rows that point to it, see
//! [`refresh`]. The access token says whose it is and how sure that is.
//! Wire source: GoTrue `/token`, session object, claims of its access tokens.

pub(crate) mod grant;
pub(crate) mod refresh;
pub(crate) mod sign_out;

use http::HeaderMap;
use rusqlite::{Connection, OptionalExtension as _, named_params};
use serde_json::{Value, json};

use super::{account::User, call::Tx, error::AuthError};
use crate::{
    cloud::{self, Cloud},
    core::{
        jwt::{self, JwtError},
        tokens,
    },
    gateway,
};

/// The methods that make a session of the second level.
const SECOND_FACTORS: [&str; 1] = ["totp"];

/// Whom an access token speaks for.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) user_id: String,
    pub(crate) session_id: Option<String>,
    /// What the session has by now, whatever the token says.
    methods: Vec<String>,
    pub(crate) is_anonymous: bool,
}

impl Claims {
    pub(crate) fn has_method(&self, method: &str) -> bool {
        self.methods.iter().any(|used| used == method)
    }

    pub(crate) fn is_aal2(&self) -> bool {
        SECOND_FACTORS.iter().any(|method| self.has_method(method))
    }
}

/// A session that was just started or renewed.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) user: User,
    pub(crate) session_id: String,
    pub(crate) refresh_token: String,
    /// Method and time in seconds since 1970, newest first.
    methods: Vec<(String, i64)>,
    pub(crate) provider_token: Option<String>,
    pub(crate) provider_refresh_token: Option<String>,
}

impl Started {
    /// The session as it is stored, with this refresh token.
    pub(crate) fn load(conn: &Connection, session_id: String, refresh_token: String) -> Result<Self, AuthError> {
        let owner = "SELECT user_id FROM auth_sessions WHERE id = ?1";
        let user_id: String = conn.query_row(owner, [&session_id], |row| row.get(0))?;
        let user = User::load(conn, &user_id)?;
        let methods = methods(conn, &session_id)?;
        let (provider_token, provider_refresh_token) = (None, None);
        Ok(Self { user, session_id, refresh_token, methods, provider_token, provider_refresh_token })
    }

    /// The session object, with a new access token.
    pub(crate) fn to_json(&self, cloud: &Cloud) -> Value {
        let now = cloud.now_seconds();
        let lifetime = i64::try_from(cloud.settings.access_token_lifetime.as_secs()).unwrap_or(i64::MAX);
        let expires_at = now.saturating_add(lifetime);
        let strong = self.methods.iter().any(|(method, _)| SECOND_FACTORS.contains(&method.as_str()));
        let amr = self.methods.iter().map(|(method, time)| {
            let mut entry = json!({ "method": method, "timestamp": time });
            if method == "sso/saml"
                && let [identity] = self.user.identities.as_slice()
            {
                entry["provider"] = json!(identity.provider.trim_start_matches("sso:"));
            }
            entry
        });
        let mut claims = json!({
            "iss": format!("{}{}", cloud.url(), super::PATH),
            "sub": self.user.id,
            "aud": "authenticated",
            "exp": expires_at,
            "iat": now,
            "email": self.user.email.as_deref().unwrap_or_default(),
            "phone": "",
            "app_metadata": self.user.app_metadata(),
            "user_metadata": self.user.user_metadata,
            "role": "authenticated",
            "aal": if strong { "aal2" } else { "aal1" },
            "amr": amr.collect::<Vec<_>>(),
            "session_id": self.session_id,
            "is_anonymous": self.user.is_anonymous,
        });
        claims[cloud::GENERATION] = json!(cloud.generation());
        let mut session = json!({
            "access_token": jwt::sign(cloud.keys.jwt_secret(), &claims),
            "token_type": "bearer",
            "expires_in": lifetime,
            "expires_at": expires_at,
            "refresh_token": self.refresh_token,
            "user": self.user.to_json(),
        });
        for (name, token) in
            [("provider_token", &self.provider_token), ("provider_refresh_token", &self.provider_refresh_token)]
        {
            if let Some(token) = token {
                session[name] = json!(token);
            }
        }
        session
    }
}

/// Starts a session for a person who was recognised by `method`.
pub(crate) fn start(tx: &Tx<'_>, user_id: &str, method: &str) -> Result<Started, AuthError> {
    let session_id = uuid::Uuid::new_v4().to_string();
    tx.conn.execute(
        "INSERT INTO auth_sessions (id, user_id, created_at) VALUES (?1, ?2, ?3)",
        (&session_id, user_id, tx.now_seconds()),
    )?;
    add_method(tx, &session_id, method)?;
    let token = fresh_token()?;
    insert_token(tx.conn, &token, None, &session_id)?;
    tx.conn.execute("UPDATE auth_users SET last_sign_in_at = now_pg() WHERE id = ?1", [user_id])?;
    Started::load(tx.conn, session_id, token)
}

/// Notes that the person was recognised in one more way.
pub(crate) fn add_method(tx: &Tx<'_>, session_id: &str, method: &str) -> rusqlite::Result<usize> {
    tx.conn.execute(
        "INSERT INTO auth_session_methods (session_id, method, used_at) VALUES (:session, :method, :now)
         ON CONFLICT (session_id, method) DO UPDATE SET used_at = :now",
        named_params! { ":session": session_id, ":method": method, ":now": tx.now_seconds() },
    )
}

/// A refresh token that nobody has.
pub(crate) fn fresh_token() -> Result<String, AuthError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| AuthError::no_randomness())?;
    Ok(tokens::from_random(random))
}

/// Stores a refresh token; `parent` is the one it was exchanged for.
pub(crate) fn insert_token(
    conn: &Connection,
    token: &str,
    parent: Option<&str>,
    session: &str,
) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO auth_refresh_tokens (token, parent, session_id) VALUES (?1, ?2, ?3)",
        (token, parent, session),
    )
}

/// Ends every session of a person but the one called `keep`; returns how many.
pub(crate) fn end_others(conn: &Connection, user_id: &str, keep: Option<&str>) -> rusqlite::Result<usize> {
    conn.execute(
        "DELETE FROM auth_refresh_tokens WHERE session_id IN
             (SELECT id FROM auth_sessions WHERE user_id = :user AND id IS NOT :keep)",
        named_params! { ":user": user_id, ":keep": keep },
    )?;
    conn.execute(
        "DELETE FROM auth_sessions WHERE user_id = :user AND id IS NOT :keep",
        named_params! { ":user": user_id, ":keep": keep },
    )
}

/// Ends one session; says whether it was there.
pub(crate) fn end(conn: &Connection, session_id: &str) -> rusqlite::Result<bool> {
    conn.execute("DELETE FROM auth_refresh_tokens WHERE session_id = ?1", [session_id])?;
    Ok(conn.execute("DELETE FROM auth_sessions WHERE id = ?1", [session_id])? > 0)
}

/// Checks the bearer of a request and that its session still exists.
pub(crate) async fn authorize(cloud: &Cloud, headers: &HeaderMap) -> Result<Claims, AuthError> {
    let Some(bearer) = gateway::bearer(headers) else {
        let message = "This endpoint requires a valid Bearer token";
        return Err(AuthError::new(http::StatusCode::UNAUTHORIZED, "no_authorization", message));
    };
    let claims = cloud.check(bearer, 0).map_err(|error| {
        let problem = match error {
            JwtError::Expired => "token has invalid claims: token is expired",
            JwtError::Signature => "token signature is invalid: signature is invalid",
            JwtError::Malformed => "token is malformed",
        };
        AuthError::forbidden("bad_jwt", format!("invalid JWT: unable to parse or verify signature, {problem}"))
    })?;
    let field = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(user_id) = field("sub") else {
        return Err(AuthError::forbidden("bad_jwt", "invalid claim: missing sub claim"));
    };
    let session_id = field("session_id");
    super::call::transaction(cloud, move |tx| {
        let user = User::load(tx.conn, &user_id)?;
        let methods = match &session_id {
            Some(id) if !exists(tx.conn, id)? => {
                let message = "Session from session_id claim in JWT does not exist";
                return Err(AuthError::forbidden("session_not_found", message));
            }
            Some(id) => methods(tx.conn, id)?,
            None => Vec::new(),
        };
        let methods = methods.into_iter().map(|(method, _)| method).collect();
        Ok(Claims { user_id, session_id, methods, is_anonymous: user.is_anonymous })
    })
    .await
}

fn methods(conn: &Connection, session_id: &str) -> rusqlite::Result<Vec<(String, i64)>> {
    conn.prepare_cached(
        "SELECT method, used_at FROM auth_session_methods WHERE session_id = ?1 ORDER BY used_at DESC, rowid DESC",
    )?
    .query_map([session_id], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

fn exists(conn: &Connection, id: &str) -> rusqlite::Result<bool> {
    let found = conn.prepare_cached("SELECT 1 FROM auth_sessions WHERE id = ?1")?.query_row([id], |_| Ok(()));
    found.optional().map(|found| found.is_some())
}
