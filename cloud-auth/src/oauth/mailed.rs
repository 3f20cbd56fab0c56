//! Links in mails that finish on this device: the browser sign-in whose browser is whatever opens the mail.
//!
//! where the link is to lead → a verifier and the name of the flow, durable in the store (A15) → the mail is asked for,
//! with the challenge → somebody opens the link → `address?code=…&sb_flow_id=…` → [`Auth::complete`]. Nothing waits for
//! it in between, and the app may be started again meanwhile. Source: GoTrue `POST /otp`, `/recover`, `/signup`, `GET
//! /verify`.
use cloud_client::{Error, error::codes::INTERNAL};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::{
    address::{check_redirect, with_flow_id},
    pending::Pending,
    pkce::{FlowId, challenge, entropy, verifier},
};
use crate::{Auth, gotrue::Linked};

/// What a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mailed {
    SignIn,
    Recovery,
}

/// What is sent along for the link, and the flow that waits for it.
#[derive(Debug)]
#[must_use = "what waits for a mail that was never sent has to be forgotten"]
pub(crate) struct Awaited {
    link: Linked,
    flow: Option<FlowId>,
}

impl Awaited {
    /// Before anything is sent; does nothing for a link that finishes elsewhere.
    pub(crate) async fn begin(auth: &Auth, link: Linked, mailed: Mailed) -> Result<Self, Error> {
        let Linked { redirect: Some(address), finishes_here: true, .. } = &link else {
            return Ok(Self { link, flow: None });
        };
        check_redirect(address)?;
        let unlucky = |cause| Error::new(INTERNAL).during("drawing random bytes").with_source(cause);
        let (verifier, id) = (verifier(&entropy().map_err(unlucky)?), FlowId::new(&entropy().map_err(unlucky)?));
        let (redirect, challenge) = (with_flow_id(address, &id), challenge(verifier.expose_secret()));
        let begun = auth.sign_ins().now();
        auth.sign_ins().begin(Pending { id: id.clone(), verifier, begun, link: None, mailed: Some(mailed) }).await?;
        let link = Linked { redirect: Some(redirect), finishes_here: true, challenge: Some(challenge) };
        Ok(Self { link, flow: Some(id) })
    }

    /// Where the link leads.
    pub(crate) fn link(&self) -> &Linked {
        &self.link
    }

    /// After the mail was asked for: one that was surely not sent is not waited for.
    pub(crate) async fn sent<T: Send>(self, auth: &Auth, result: Result<T, Error>) -> Result<T, Error> {
        if result.as_ref().is_err_and(|error| !error.is_retryable()) {
            self.forget(auth).await;
        }
        result
    }

    /// Waits no longer.
    pub(crate) async fn forget(self, auth: &Auth) {
        if let Some(flow) = self.flow {
            // If it cannot be removed, it is forgotten by itself.
            drop(auth.sign_ins().claim(&flow).await);
        }
    }
}
