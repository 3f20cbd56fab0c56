//! Steering accounts over HTTP, for programs that have no [`Running`](crate::Running): a page in a browser, a script
//! in another language.
//!
//! Only where [`Builder::open_controls`](crate::Builder::open_controls) was called; else there is nothing here.
//!
//! | Request under `/dev/v1`          | Body                                    | Answer                      |
//! |----------------------------------|-----------------------------------------|-----------------------------|
//! | `GET /mails?to=ada@example.com`  |                                         | the mails, oldest first     |
//! | `GET /refreshes`                 |                                         | what came of refresh tokens |
//! | `POST /revoke`                   | `{email}` or `{session_id}`             | `{done}`                    |
//! | `POST /ban`                      | `{email, banned}`                       | `{done}`                    |
//! | `POST /expire-access-tokens`     |                                         | `{done}`                    |
//! | `POST /clock`                    | `{skew_seconds}`                        | `{done}`                    |
//! | `POST /id-token`                 | `{provider, email, nonce?}`             | `{id_token}`                |

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde_json::{Value, json};

use super::{account::User, call::Call, error::AuthError, oauth::id_token, session};
use crate::gateway;

/// Where these are mounted.
pub(crate) const PATH: &str = "/dev/v1";

pub(crate) async fn handle(call: &Call<'_>, path: &str) -> Result<Response, AuthError> {
    let cloud = call.cloud;
    let answer = match (call.parts.method.as_str(), path) {
        ("GET", "/mails") => {
            let to = call.query("to").map(|to| to.to_lowercase());
            let mails = cloud.auth.mailbox.all();
            let mails = mails.iter().filter(|mail| to.as_ref().is_none_or(|to| *to == mail.to));
            mails.map(super::mail::Mail::to_json).collect()
        }
        ("GET", "/refreshes") => {
            let counts = cloud.auth.refreshes.read();
            json!({
                "rotated": counts.rotated, "repeated": counts.repeated, "doubled": counts.doubled,
                "refused": counts.refused,
            })
        }
        ("POST", "/revoke") => match call.text("session_id") {
            Some(id) => {
                let id = id.to_owned();
                done(call.transaction(move |tx| Ok(session::end(tx.conn, &id)?)).await?)
            }
            None => done(change(call, |tx, user| session::end_others(tx, &user.id, None).map(|_| ())).await?),
        },
        ("POST", "/ban") => {
            let banned = call.body.get("banned").and_then(Value::as_bool).unwrap_or(true);
            done(change(call, move |conn, user| user.set_banned(conn, banned)).await?)
        }
        ("POST", "/expire-access-tokens") => {
            cloud.expire_access_tokens();
            done(true)
        }
        ("POST", "/clock") => {
            cloud.skew_clock(call.body.get("skew_seconds").and_then(Value::as_i64).unwrap_or(0));
            done(true)
        }
        ("POST", "/id-token") => {
            let (provider, email) = (call.text("provider").unwrap_or("demo"), call.text("email").unwrap_or_default());
            json!({ "id_token": id_token::issue(cloud, provider, email, call.text("nonce")) })
        }
        _ => {
            return Ok(gateway::refuse(
                StatusCode::NOT_FOUND,
                json!({ "message": "no Route matched with those values" }),
            ));
        }
    };
    Ok(Json(answer).into_response())
}

fn done(done: bool) -> Value {
    json!({ "done": done })
}

async fn change<F>(call: &Call<'_>, change: F) -> Result<bool, AuthError>
where
    F: FnOnce(&rusqlite::Connection, &User) -> rusqlite::Result<()> + Send + 'static,
{
    let email = call.text("email").unwrap_or_default().to_lowercase();
    call.transaction(move |tx| match User::by_email(tx.conn, &email)? {
        Some(user) => Ok(change(tx.conn, &user).map(|()| true)?),
        None => Ok(false),
    })
    .await
}
