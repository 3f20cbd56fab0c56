//! Asking the auth server to send a code or a link. It answers the same for addresses it does not know.
//!
//! Source: GoTrue `POST /otp`, `/recover`, `/resend`.
use cloud_client::{Error, call::Call};
use serde_json::{Map, Value};

use super::{
    Gotrue, post,
    wire::{Form, Linked},
};
use crate::{contact::Contact, passages::OtpKind};

impl Gotrue {
    /// Sends a code, and with it a link, to sign in with.
    pub(crate) async fn send_code(
        &self,
        contact: &Contact,
        create_user: bool,
        data: Option<&Map<String, Value>>,
        link: &Linked,
    ) -> Result<(), Error> {
        let form = link.in_form(Form { create_user: Some(create_user), data, ..Form::of(contact) });
        self.send(link.on(post("otp")).json(&form)?).await
    }

    /// Sends a code and a link to somebody who forgot the password.
    pub(crate) async fn send_recovery(&self, contact: &Contact, link: &Linked) -> Result<(), Error> {
        self.send(link.on(post("recover")).json(&link.in_form(Form::of(contact)))?).await
    }

    /// Sends once more what was sent before.
    pub(crate) async fn resend(&self, kind: OtpKind, contact: &Contact, link: &Linked) -> Result<(), Error> {
        let form = Form { kind: Some(kind.as_str()), ..Form::of(contact) };
        self.send(link.on(post("resend")).json(&form)?).await
    }

    async fn send(&self, call: Call) -> Result<(), Error> {
        self.answer(call).await.map(drop)
    }
}
