//! Proof of possession for links and browsers: a challenge goes out, its verifier brings the session.
//!
//! A request with a challenge leaves a [`Flow`] behind; whoever ends it (a provider's callback, a mailed link)
//! gets the flow's code, and [`exchange`] gives a session for code and verifier, once.
//! Wire source: RFC 7636; GoTrue, flow states.

pub(crate) mod exchange;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rusqlite::{OptionalExtension as _, Row, named_params};
use sha2::{Digest as _, Sha256};

use super::{
    call::{Call, Tx},
    error::AuthError,
    sweep,
};
use crate::keys;

/// Marks a link token whose link ends with a code.
pub(crate) const PREFIX: &str = "pkce_";

/// What a client showed before, to prove itself after.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    text: String,
    method: &'static str,
}

impl Challenge {
    /// Checks the two parameters, of which both or none must be there.
    pub(crate) fn new(challenge: Option<&str>, method: Option<&str>) -> Result<Option<Self>, AuthError> {
        let invalid = |message: &str| Err(AuthError::bad_request("validation_failed", message));
        let (text, method) = match (challenge, method) {
            (None, None) => return Ok(None),
            (Some(text), Some(method)) => (text, method),
            _ => return invalid("PKCE flow requires code_challenge_method and code_challenge"),
        };
        if !(43..=128).contains(&text.len()) {
            return invalid("code challenge has to be between 43 and 128 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            let message =
                "code challenge can only contain alphanumeric characters, hyphens, periods, underscores and tildes";
            return invalid(message);
        }
        let method = match method.to_ascii_lowercase().as_str() {
            "s256" => "s256",
            "plain" => "plain",
            _ => return invalid("Invalid code_challenge_method"),
        };
        Ok(Some(Self { text: text.to_owned(), method }))
    }

    /// The challenge in the body of a request.
    pub(crate) fn of_body(call: &Call<'_>) -> Result<Option<Self>, AuthError> {
        Self::new(call.text("code_challenge"), call.text("code_challenge_method"))
    }

    /// The challenge in the address of a request.
    pub(crate) fn of_query(call: &Call<'_>) -> Result<Option<Self>, AuthError> {
        let (challenge, method) = (call.query("code_challenge"), call.query("code_challenge_method"));
        Self::new(challenge.as_deref(), method.as_deref())
    }
}

/// The challenge that `verifier` answers with `S256`.
pub(crate) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// A sign-in that has begun somewhere else and is not over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) id: String,
    /// There if a challenge was given.
    pub(crate) auth_code: Option<String>,
    challenge: Option<String>,
    challenge_method: Option<String>,
    pub(crate) provider: String,
    /// How the person signs in, as the session will say.
    pub(crate) method: String,
    /// Who has signed in, once that is known.
    pub(crate) user_id: Option<String>,
    /// Who wants to link an identity.
    pub(crate) link_user_id: Option<String>,
    pub(crate) redirect_to: Option<String>,
    /// The verifier of our own flow with the provider.
    pub(crate) upstream_verifier: Option<String>,
    pub(crate) provider_token: Option<String>,
    pub(crate) provider_refresh_token: Option<String>,
    created_at: i64,
    code_issued_at: Option<i64>,
}

impl Flow {
    /// A flow that has just begun; it counts only once it is [inserted](Self::insert).
    pub(crate) fn new(challenge: Option<Challenge>, provider: &str, method: &str) -> Self {
        let (text, code_method) = challenge.map(|challenge| (challenge.text, challenge.method.to_owned())).unzip();
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            auth_code: text.is_some().then(|| uuid::Uuid::new_v4().to_string()),
            challenge: text,
            challenge_method: code_method,
            provider: provider.to_owned(),
            method: method.to_owned(),
            ..Self::default()
        }
    }

    /// A flow that a mailed link will end.
    pub(crate) fn by_mail(tx: &Tx<'_>, challenge: Challenge, method: &str, user_id: &str) -> rusqlite::Result<()> {
        let user_id = Some(user_id.to_owned());
        Self { user_id, ..Self::new(Some(challenge), method, method) }.insert(tx)
    }

    pub(crate) fn insert(&self, tx: &Tx<'_>) -> rusqlite::Result<()> {
        tx.conn.execute(
            "INSERT INTO auth_flow_states (id, auth_code, challenge, challenge_method, provider, method, user_id,
                 link_user_id, redirect_to, upstream_verifier, created_at)
             VALUES (:id, :code, :challenge, :challenge_method, :provider, :method, :user, :link, :redirect_to,
                 :verifier, :now)",
            named_params! {
                ":id": self.id,
                ":code": self.auth_code,
                ":challenge": self.challenge,
                ":challenge_method": self.challenge_method,
                ":provider": self.provider,
                ":method": self.method,
                ":user": self.user_id,
                ":link": self.link_user_id,
                ":redirect_to": self.redirect_to,
                ":verifier": self.upstream_verifier,
                ":now": tx.now,
            },
        )?;
        sweep::flows(tx).map(|_| ())
    }

    pub(crate) fn by_id(tx: &Tx<'_>, id: &str) -> rusqlite::Result<Option<Self>> {
        let mut statement = tx.conn.prepare_cached("SELECT * FROM auth_flow_states WHERE id = ?1")?;
        statement.query_row([id], Self::read).optional()
    }

    fn by_code(tx: &Tx<'_>, code: &str) -> rusqlite::Result<Option<Self>> {
        let mut statement = tx.conn.prepare_cached("SELECT * FROM auth_flow_states WHERE auth_code = ?1")?;
        statement.query_row([code], Self::read).optional()
    }

    /// The newest flow of a person that began in this way.
    pub(crate) fn newest(tx: &Tx<'_>, user_id: &str, method: &str) -> rusqlite::Result<Option<Self>> {
        let mut statement = tx.conn.prepare_cached(
            "SELECT * FROM auth_flow_states WHERE user_id = ?1 AND method = ?2 AND auth_code IS NOT NULL
             ORDER BY serial DESC LIMIT 1",
        )?;
        statement.query_row([user_id, method], Self::read).optional()
    }

    /// Notes who has signed in and what the provider gave; from now on the code is good.
    pub(crate) fn issue(&self, tx: &Tx<'_>) -> rusqlite::Result<usize> {
        tx.conn.execute(
            "UPDATE auth_flow_states SET user_id = :user, provider_token = :token,
                 provider_refresh_token = :refresh_token, code_issued_at = :now WHERE id = :id",
            named_params! {
                ":user": self.user_id,
                ":token": self.provider_token,
                ":refresh_token": self.provider_refresh_token,
                ":now": tx.now,
                ":id": self.id,
            },
        )
    }

    pub(crate) fn remove(&self, tx: &Tx<'_>) -> rusqlite::Result<usize> {
        tx.conn.execute("DELETE FROM auth_flow_states WHERE id = ?1", [&self.id])
    }

    /// A mailed link may be opened late; the time of a flow that ends with one is counted from then.
    pub(crate) fn is_expired(&self, tx: &Tx<'_>) -> bool {
        let start = match self.code_issued_at {
            Some(issued) if self.method == "magiclink" => issued,
            _ => self.created_at,
        };
        tx.is_over(start, tx.settings().flow_lifetime)
    }

    fn is_answered_by(&self, verifier: &str) -> bool {
        let Some(challenge) = &self.challenge else { return false };
        match self.challenge_method.as_deref() {
            Some("s256") => keys::same(challenge, &s256(verifier)),
            _ => keys::same(challenge, verifier),
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            auth_code: row.get("auth_code")?,
            challenge: row.get("challenge")?,
            challenge_method: row.get("challenge_method")?,
            provider: row.get("provider")?,
            method: row.get("method")?,
            user_id: row.get("user_id")?,
            link_user_id: row.get("link_user_id")?,
            redirect_to: row.get("redirect_to")?,
            upstream_verifier: row.get("upstream_verifier")?,
            provider_token: row.get("provider_token")?,
            provider_refresh_token: row.get("provider_refresh_token")?,
            created_at: row.get("created_at")?,
            code_issued_at: row.get("code_issued_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_the_published_verifier_is_the_published_one() {
        // RFC 7636, appendix B.
        let challenge = s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn challenge_and_method_come_together_and_in_their_alphabet() {
        let long = "a".repeat(43);
        for (challenge, method, good) in [
            (None, None, true),
            (Some(long.as_str()), Some("S256"), true),
            (Some(&long), Some("Plain"), true),
            (Some(&long), None, false),
            (None, Some("s256"), false),
            (Some(&long), Some("sha1"), false),
            (Some("short"), Some("s256"), false),
            (Some(&"a".repeat(129)), Some("s256"), false),
            (Some(&"+".repeat(43)), Some("s256"), false),
        ] {
            assert_eq!(Challenge::new(challenge, method).is_ok(), good, "{challenge:?} {method:?}");
        }
    }
}
