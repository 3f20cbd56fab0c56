//! The ways in: what is shown to the auth server for a session, and what it says to that.
//!
//! [`Way`] → one call → [`Admission`]: a session, or word that something has to happen first. Every way ends in the
//! same place, so the session task treats them alike. Source: GoTrue `POST /signup`, `/token`, `/verify`.
use cloud_client::{Error, error::codes::UNREADABLE};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::{
    Gotrue, Grant, RefreshAnswer, WireUser, grant, post,
    wire::{Form, Linked},
};
use crate::{
    codes::ID_TOKEN_REFUSED,
    contact::Contact,
    passages::{IdToken, NotYet, OtpKind},
    status::User,
};

/// How a session is obtained.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Password {
        contact: Contact,
        password: SecretString,
    },
    SignUp {
        contact: Contact,
        password: SecretString,
        data: Option<Map<String, Value>>,
        link: Linked,
    },
    Anonymous {
        data: Option<Map<String, Value>>,
    },
    /// The code from a mail or a message.
    Otp {
        kind: OtpKind,
        contact: Contact,
        token: SecretString,
    },
    /// The hash from a mailed link.
    TokenHash {
        kind: OtpKind,
        hash: SecretString,
    },
    IdToken(IdToken),
    /// The code that the browser came back with (PKCE); `recovery` when it began with a forgotten password.
    Code {
        code: SecretString,
        verifier: SecretString,
        recovery: bool,
    },
    /// A session that another program of the user holds; its refresh token is spent.
    Tokens {
        refresh: SecretString,
    },
}

impl Way {
    /// Whether the user came because the password is forgotten.
    pub(crate) fn is_recovery(&self) -> bool {
        match self {
            Self::Otp { kind, .. } | Self::TokenHash { kind, .. } => *kind == OtpKind::Recovery,
            Self::Code { recovery, .. } => *recovery,
            _ => false,
        }
    }
}

/// What the server said.
#[derive(Debug)]
pub(crate) enum Admission {
    Session(Box<Grant>, User),
    NotYet(NotYet),
}

impl Gotrue {
    /// Goes one way in. Sent once: most of what is shown is good for one time only.
    pub(crate) async fn admit(&self, way: &Way) -> Result<Admission, Error> {
        let none = Form::default();
        let call = match way {
            Way::Password { contact, password } => post("token")
                .query("grant_type", "password")
                .json(&Form { password: Some(password.expose_secret()), ..Form::of(contact) })?,
            Way::SignUp { contact, password, data, link } => {
                let password = Some(password.expose_secret());
                let form = Form { password, data: data.as_ref(), ..Form::of(contact) };
                link.on(post("signup")).json(&link.in_form(form))?
            }
            Way::Anonymous { data } => post("signup").json(&Form { data: data.as_ref(), ..none })?,
            Way::Otp { kind, contact, token } => {
                let form = Form { kind: Some(kind.as_str()), token: Some(token.expose_secret()), ..Form::of(contact) };
                post("verify").json(&form)?
            }
            Way::TokenHash { kind, hash } => {
                let form = Form { kind: Some(kind.as_str()), token_hash: Some(hash.expose_secret()), ..none };
                post("verify").json(&form)?
            }
            Way::IdToken(token) => {
                let call = post("token").query("grant_type", "id_token").json(&Form::of_id_token(token))?;
                let (grant, user) = grant(&self.answer_as(call, ID_TOKEN_REFUSED).await?)?;
                return Ok(Admission::Session(grant, user));
            }
            Way::Code { code, verifier, .. } => {
                let (auth_code, code_verifier) = (Some(code.expose_secret()), Some(verifier.expose_secret()));
                post("token").query("grant_type", "pkce").json(&Form { auth_code, code_verifier, ..none })?
            }
            Way::Tokens { refresh } => {
                return match self.refresh(refresh).await {
                    RefreshAnswer::Renewed(mut grant) => {
                        let user = grant.user.take().ok_or_else(|| Error::new(UNREADABLE))?;
                        Ok(Admission::Session(grant, user.into()))
                    }
                    RefreshAnswer::Failed(error) | RefreshAnswer::Over(error) => Err(error),
                };
            }
        };
        let reply = self.answer(call).await?;
        let shape: Map<String, Value> = reply.json()?;
        if shape.contains_key("access_token") {
            let (grant, user) = grant(&reply)?;
            return Ok(Admission::Session(grant, user));
        }
        match way {
            Way::SignUp { .. } => {
                let user: WireUser = reply.json()?;
                // The server makes a user up rather than tell whose address this is.
                let made_up = user.identities.as_ref().is_some_and(Vec::is_empty);
                let known = || NotYet::Confirm(user.into());
                Ok(Admission::NotYet(if made_up { NotYet::MaybeRegistered } else { known() }))
            }
            // An address changes when both the old and the new one have agreed.
            Way::Otp { .. } | Way::TokenHash { .. } if !shape.contains_key("id") => {
                Ok(Admission::NotYet(NotYet::OtherHalf))
            }
            _ => Err(reply.error(UNREADABLE)),
        }
    }
}
