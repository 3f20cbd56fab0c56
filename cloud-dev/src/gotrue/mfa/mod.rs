//! Second factors: the rows, the factor object, and enrolment.
//!
//! Enrolled → unverified, for five minutes → verified by the first good code, see [`verify`]. The codes are
//! computed in [`totp`]. Wire source: GoTrue `/factors`.

pub(crate) mod totp;
pub(crate) mod verify;

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use rusqlite::{Connection, Row, named_params};
use serde_json::{Value, json};

use super::{
    account::User,
    call::{Call, Tx},
    error::AuthError,
    session::Claims,
    settings::AuthFeature,
};

/// Most factors of a person.
const MAX_FACTORS: usize = 10;

/// How long a factor may stay unverified.
const UNVERIFIED_LIFETIME: Duration = Duration::from_secs(300);

/// One row of the factor table.
#[derive(Clone)]
pub(crate) struct Factor {
    pub(crate) id: String,
    pub(crate) friendly_name: String,
    pub(crate) verified: bool,
    secret: String,
    /// The time step of the last code that was taken; none before it is taken again.
    last_step: i64,
    last_challenged_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl std::fmt::Debug for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Factor").field("id", &self.id).field("verified", &self.verified).finish_non_exhaustive()
    }
}

impl Factor {
    /// All of a person, oldest first.
    pub(crate) fn of_user(conn: &Connection, user_id: &str) -> rusqlite::Result<Vec<Self>> {
        conn.prepare_cached("SELECT * FROM auth_factors WHERE user_id = ?1 ORDER BY created_at, rowid")?
            .query_map([user_id], Self::read)?
            .collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut factor = json!({
            "id": self.id,
            "status": if self.verified { "verified" } else { "unverified" },
            "factor_type": "totp",
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        });
        if !self.friendly_name.is_empty() {
            factor["friendly_name"] = json!(self.friendly_name);
        }
        if let Some(time) = &self.last_challenged_at {
            factor["last_challenged_at"] = json!(time);
        }
        factor
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            friendly_name: row.get("friendly_name")?,
            verified: row.get("verified")?,
            secret: row.get("secret")?,
            last_step: row.get("last_step")?,
            last_challenged_at: row.get("last_challenged_at")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// Whom the request speaks for, who must be somebody.
async fn somebody(call: &Call<'_>) -> Result<Claims, AuthError> {
    let claims = call.claims().await?;
    if claims.is_anonymous {
        let message = "Anonymous user not allowed to perform these actions";
        return Err(AuthError::forbidden("no_authorization", message));
    }
    Ok(claims)
}

/// `POST /factors`.
pub(crate) async fn enrol(call: &Call<'_>) -> Result<Response, AuthError> {
    let claims = somebody(call).await?;
    let disabled = |kind: &str, code| {
        let message = format!("MFA enroll is disabled for {kind}");
        Err(AuthError::unprocessable(code, message))
    };
    match call.text("factor_type") {
        Some("totp") if call.settings().allows(AuthFeature::TotpEnrolment) => {}
        Some("totp") => return disabled("TOTP", "mfa_totp_enroll_not_enabled"),
        Some("phone") => return disabled("Phone", "mfa_phone_enroll_not_enabled"),
        Some("webauthn") => return disabled("WebAuthn", "mfa_webauthn_enroll_not_enabled"),
        _ => {
            let message = "factor_type needs to be totp, phone, or webauthn";
            return Err(AuthError::bad_request("validation_failed", message));
        }
    }
    let name = call.text("friendly_name").unwrap_or_default().to_owned();
    let issuer = match (call.text("issuer"), url::Url::parse(&call.settings().site_url)) {
        (Some(issuer), _) => issuer.to_owned(),
        (None, Ok(site)) => site.authority().to_owned(),
        (None, Err(_)) => return Err(AuthError::internal("site url is improperly formatted")),
    };
    let secret = totp::secret()?;
    let (id, stored, friendly_name) = (uuid::Uuid::new_v4().to_string(), secret.clone(), name.clone());
    let factor_id = id.clone();
    let account = call
        .transaction(move |tx| {
            let user = may_enrol(tx, &claims, &friendly_name)?;
            tx.conn.execute(
                "INSERT INTO auth_factors (id, user_id, friendly_name, secret, enrolled_at)
                 VALUES (:id, :user, :name, :secret, :now)",
                named_params! {
                    ":id": factor_id, ":user": user.id, ":name": friendly_name, ":secret": stored, ":now": tx.now,
                },
            )?;
            Ok(user.email.unwrap_or_default())
        })
        .await?;
    let uri = totp::uri(&issuer, &account, &secret);
    let qr_code = totp::qr_code(&uri).ok_or_else(|| AuthError::internal("Error generating QR Code"))?;
    let answer = json!({
        "id": id,
        "type": "totp",
        "friendly_name": name,
        "totp": { "qr_code": qr_code, "secret": secret, "uri": uri },
    });
    Ok(Json(answer).into_response())
}

fn may_enrol(tx: &Tx<'_>, claims: &Claims, name: &str) -> Result<User, AuthError> {
    let oldest = tx.now.saturating_sub(i64::try_from(UNVERIFIED_LIFETIME.as_micros()).unwrap_or(i64::MAX));
    tx.conn.execute("DELETE FROM auth_factors WHERE verified = 0 AND enrolled_at < ?1", [oldest])?;
    let user = User::load(tx.conn, &claims.user_id)?;
    if user.factors.iter().any(|factor| factor.friendly_name == name) {
        let message = format!("A factor with the friendly name {name:?} for this user already exists");
        return Err(AuthError::unprocessable("mfa_factor_name_conflict", message));
    }
    if user.factors.len() >= MAX_FACTORS {
        let message = "Maximum number of verified factors reached, unenroll to continue";
        return Err(AuthError::unprocessable("too_many_enrolled_mfa_factors", message));
    }
    if user.has_verified_factor() && !claims.is_aal2() {
        return Err(AuthError::forbidden("insufficient_aal", "AAL2 required to enroll a new factor"));
    }
    Ok(user)
}

/// The factor of this person with this id.
fn find(user: &User, id: &str) -> Result<Factor, AuthError> {
    let not_found = |code, message: &str| AuthError::new(StatusCode::NOT_FOUND, code, message);
    if uuid::Uuid::parse_str(id).is_err() {
        return Err(not_found("validation_failed", "factor_id must be an UUID"));
    }
    let factor = user.factors.iter().find(|factor| factor.id == id).cloned();
    factor.ok_or_else(|| not_found("mfa_factor_not_found", "Factor not found"))
}

/// `DELETE /factors/{id}`.
pub(crate) async fn unenrol(call: &Call<'_>, id: &str) -> Result<Response, AuthError> {
    let claims = somebody(call).await?;
    let id = id.to_owned();
    let removed = call
        .transaction(move |tx| {
            let user = User::load(tx.conn, &claims.user_id)?;
            let factor = find(&user, &id)?;
            if factor.verified && !claims.is_aal2() {
                let message = "AAL2 required to unenroll verified factor";
                return Err(AuthError::unprocessable("insufficient_aal", message));
            }
            tx.conn.execute("DELETE FROM auth_factors WHERE id = ?1", [&factor.id])?;
            tx.conn.execute(
                "DELETE FROM auth_session_methods WHERE method = 'totp' AND session_id IN
                     (SELECT id FROM auth_sessions WHERE factor_id = ?1)",
                [&factor.id],
            )?;
            tx.conn.execute("UPDATE auth_sessions SET factor_id = NULL WHERE factor_id = ?1", [&factor.id])?;
            Ok(factor.id)
        })
        .await?;
    Ok(Json(json!({ "id": removed })).into_response())
}
