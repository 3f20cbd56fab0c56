//! The usual ticket: one `POST` of whoever is signed in, and what its answer says.
//!
//! Asked for before every attempt and never kept. A session's token that is refused is replaced once by the client; after
//! that the rules of [`CredentialSource`] hold: a second 401 is asked once more, a 403 stops the connection, a 429 waits.
use std::{fmt, sync::Arc};

use async_trait::async_trait;
use cloud_client::{
    Client, Error,
    call::{Call, Reply},
};
use serde::de::DeserializeOwned;

use super::{Attempt, CredentialSource, Credentials};

type Read = dyn Fn(&Reply) -> Result<Credentials, Error> + Send + Sync;

/// Mints a ticket for each attempt with one call.
///
/// ```
/// use cloud_client::{Client, call::Call, error::Service};
/// use cloud_realtime::{Realtime, credentials::{Credentials, TicketMint}};
/// use secrecy::SecretString;
/// use std::time::Duration;
///
/// #[derive(serde::Deserialize)]
/// struct Ticket {
///     token: SecretString,
///     expires_in: u64,
/// }
///
/// # fn example(client: &Client) {
/// let call = Call::new(Service::Host, http::Method::POST).segment("realtime").segment("token");
/// let mint = TicketMint::new(client, call, |answer: Ticket| {
///     Credentials::new().query("token", answer.token).valid_for(Duration::from_secs(answer.expires_in))
/// });
/// let builder = Realtime::builder(client).credentials(mint);
/// # let _ = builder;
/// # }
/// ```
#[derive(Clone)]
pub struct TicketMint {
    client: Client,
    call: Call,
    read: Arc<Read>,
}

impl TicketMint {
    /// Sends `call` as whoever is signed in at `client`; `read` makes credentials of the answer's JSON.
    pub fn new<A: DeserializeOwned>(
        client: &Client,
        call: Call,
        read: impl Fn(A) -> Credentials + Send + Sync + 'static,
    ) -> Self {
        let read = move |reply: &Reply| Ok(read(reply.json()?));
        // Sent once: whether it is sent again is for the connection to say, which counts attempts.
        Self { client: client.clone(), call: call.once(), read: Arc::new(read) }
    }
}

#[async_trait]
impl CredentialSource for TicketMint {
    async fn acquire(&self, _: Attempt) -> Result<Credentials, Error> {
        (self.read)(&self.client.send(self.call.clone()).await?)
    }
}

impl fmt::Debug for TicketMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketMint").field("call", &self.call).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloud_client::{
        error::{
            Service,
            codes::{FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED},
        },
        testing::{Scripted, Step},
    };
    use secrecy::{ExposeSecret as _, SecretString};
    use std::time::Duration;

    #[derive(serde::Deserialize)]
    struct Ticket {
        token: SecretString,
        expires_in: u64,
    }

    fn mint(steps: impl IntoIterator<Item = Step>) -> (TicketMint, Scripted) {
        let script = Scripted::new(steps);
        let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_test").unwrap();
        let call = Call::new(Service::Host, http::Method::POST).segment("realtime").segment("token");
        let read = |answer: Ticket| {
            Credentials::new().header("x-ticket", answer.token).valid_for(Duration::from_secs(answer.expires_in))
        };
        (TicketMint::new(&client.transport(script.shared()).build(), call, read), script)
    }

    #[tokio::test(start_paused = true)]
    async fn every_attempt_is_one_call_and_nothing_is_kept() {
        let ticket = |n: u32| Step::json(200, &format!(r#"{{"token":"t{n}","expires_in":30}}"#));
        let (mint, script) = mint([ticket(1), ticket(2)]);
        for number in 1..=2 {
            let credentials = mint.acquire(Attempt { number, renew: false }).await.unwrap();
            assert_eq!(credentials.headers[0].1.expose_secret(), format!("t{number}"));
            assert_eq!(credentials.valid_for, Some(Duration::from_secs(30)));
            assert!(!format!("{mint:?} {credentials:?}").contains(&format!("t{number}")));
        }
        assert_eq!(script.sent()[1].target, "POST /realtime/token");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_as_it_is_and_the_call_is_not_repeated() {
        for (status, code) in [(401, UNAUTHENTICATED), (403, FORBIDDEN), (429, RATE_LIMITED)] {
            let (mint, script) = mint([Step::json(status, "{}").header("retry-after", "7")]);
            let error = mint.acquire(Attempt { number: 1, renew: false }).await.unwrap_err();
            assert_eq!((error.code(), error.retry_after()), (code, Some(Duration::from_secs(7))));
            assert_eq!(script.sent().len(), 1);
        }
    }
}
