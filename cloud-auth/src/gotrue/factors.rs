//! Second factors: enrol, challenge, verify, unenrol. Source: GoTrue `/factors`.
use cloud_client::{
    AccessToken, Error,
    call::{Call, Speaker},
    error::codes::UNREADABLE,
};
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Gotrue, Grant, as_user, grant, wire::Form};
use crate::{
    account::{Challenge, Enrolment, Factor, FactorId},
    codes::ID_TOKEN_REFUSED,
    passages::IdToken,
    status::User,
};

/// What gives the present session a better one.
#[derive(Clone, Debug)]
pub(crate) enum Upgrade {
    /// A code of a second factor.
    Factor { factor: FactorId, challenge: String, code: SecretString },
    /// Another service's token, which becomes one of the user's identities.
    Link(IdToken),
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    factors: Option<Vec<Factor>>,
}

#[derive(Deserialize)]
struct Enrolled {
    id: FactorId,
    totp: Option<Totp>,
}

#[derive(Deserialize)]
struct Totp {
    qr_code: SecretString,
    secret: SecretString,
    uri: SecretString,
}

impl Gotrue {
    pub(crate) async fn factors(&self) -> Result<Vec<Factor>, Error> {
        let reply = self.answer(as_user(Method::GET, "user")).await?;
        Ok(reply.json::<Listed>()?.factors.unwrap_or_default())
    }

    pub(crate) async fn enrol_totp(&self, name: Option<&str>, issuer: Option<&str>) -> Result<Enrolment, Error> {
        let form = Form { factor_type: Some("totp"), friendly_name: name, issuer, ..Form::default() };
        let reply = self.answer(as_user(Method::POST, "factors").once().json(&form)?).await?;
        let Enrolled { id, totp } = reply.json()?;
        let Totp { qr_code, secret, uri } = totp.ok_or_else(|| reply.error(UNREADABLE))?;
        // The picture comes bare, or as a `data:` address.
        let svg = match qr_code.expose_secret().split_once(',') {
            Some((head, svg)) if head.starts_with("data:image/svg+xml") => SecretString::from(svg),
            _ => qr_code,
        };
        Ok(Enrolment { factor: id, secret, uri, qr_svg: svg })
    }

    pub(crate) async fn challenge(&self, factor: &FactorId) -> Result<Challenge, Error> {
        let reply = self.answer(at_factor(Method::POST, factor).segment("challenge").json(&Form::default())?).await?;
        let mut challenge: Challenge = reply.json()?;
        challenge.factor = factor.clone();
        Ok(challenge)
    }

    pub(crate) async fn unenrol(&self, factor: &FactorId) -> Result<(), Error> {
        self.answer(at_factor(Method::DELETE, factor)).await.map(drop)
    }

    /// Speaks with the very token whose session gets the better one in its place.
    pub(crate) async fn upgrade(&self, upgrade: &Upgrade, access: AccessToken) -> Result<(Box<Grant>, User), Error> {
        let speaker = Speaker::Token(access);
        match upgrade {
            Upgrade::Factor { factor, challenge, code } => {
                let form = Form { challenge_id: Some(challenge), code: Some(code.expose_secret()), ..Form::default() };
                let call = at_factor(Method::POST, factor).segment("verify").speaker(speaker).json(&form)?;
                grant(&self.answer(call).await?)
            }
            Upgrade::Link(token) => {
                let form = Form { link_identity: Some(true), ..Form::of_id_token(token) };
                let call = as_user(Method::POST, "token").query("grant_type", "id_token").once().speaker(speaker);
                grant(&self.answer_as(call.json(&form)?, ID_TOKEN_REFUSED).await?)
            }
        }
    }
}

fn at_factor(method: Method, factor: &FactorId) -> Call {
    as_user(method, "factors").value_segment("factor", factor.as_str()).once()
}
