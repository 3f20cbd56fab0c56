//! Uploads that survive cuts, restarts and new tokens: TUS 1.0.0.
//!
//! content → machine says create, send, ask, wait → one request each → what came of it → machine → … → object.
//! The server is asked once for each client what it offers: content of one chunk goes out with the creation where that
//! is taken, and what is too large is not sent at all. This file holds the handle, `steps` carries out what the machine
//! says. A token whose time is over is replaced inside a request, and the
//! same chunk sent again. Whoever wants to go on after a restart keeps each [`ResumeTicket`] that
//! [`ResumableUpload::advance`] gives; it holds no secret.
mod machine;
mod offer;
mod steps;
mod wire;

use std::{fmt, time::Duration};

use http::Method;
use serde::{Deserialize, Serialize};

use self::machine::{Action, Event, Failure, Machine};
pub(crate) use self::offer::Offer;
use super::{Bucket, Content, SignedUpload, UploadOptions, Uploaded, bucket::object_key};
use crate::{
    Error, ErrorKind,
    error::codes::{CONFLICT, NOT_FOUND, TICKET_MISMATCH, TIMEOUT, UPLOAD_LOST},
};

/// The chunk that hosted clouds demand, in bytes; self-hosted ones take any.
pub const CHUNK_BYTES: u64 = 6 * 1024 * 1024;
/// Where an unfinished upload is, so that it can be continued later, also by another process. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResumeTicket {
    /// The cloud that has it.
    pub origin: String,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The server's id for the upload.
    pub upload_id: String,
    /// Whether it was begun by a [`SignedUpload`] and needs one to go on.
    pub signed: bool,
    /// The length of the content in bytes.
    pub total_bytes: u64,
    /// How much the server is known to have.
    pub offset_bytes: u64,
    /// The content's fingerprint.
    pub fingerprint: String,
    /// When the server forgets it, in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// An upload in chunks. Does nothing until it is advanced; dropping it leaves what the server has for a later
/// continuation.
#[must_use = "nothing is sent until the upload is advanced"]
pub struct ResumableUpload {
    bucket: Bucket,
    key: String,
    content: Content,
    options: UploadOptions,
    permission: Option<SignedUpload>,
    chunk: u64,
    machine: Machine,
    upload_id: Option<String>,
    expires_at: Option<u64>,
    /// Bytes went out and their answer was not taken yet.
    sending: bool,
    /// The server's offer was looked at.
    offered: bool,
    last: Option<Error>,
    started: Option<Duration>,
}

impl Bucket {
    /// An upload in chunks that survives cuts and restarts. The service's documentation advises it above 6 MB.
    ///
    /// # Errors
    ///
    /// `storage.name_invalid` for a key that the service does not take.
    pub fn upload_resumable(
        &self,
        key: &str,
        content: impl Into<Content>,
        options: UploadOptions,
    ) -> Result<ResumableUpload, Error> {
        let content = content.into();
        Ok(ResumableUpload {
            bucket: self.clone(),
            key: object_key(key)?,
            machine: Machine::new(content.len_bytes(), CHUNK_BYTES),
            content,
            options,
            permission: None,
            chunk: CHUNK_BYTES,
            upload_id: None,
            expires_at: None,
            sending: false,
            offered: false,
            last: None,
            started: None,
        })
    }

    /// Tells the server to forget an unfinished upload. One that it does not know any more counts as forgotten.
    ///
    /// # Errors
    ///
    /// `storage.ticket_mismatch` for a ticket of another cloud or bucket, otherwise as
    /// [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the server forgets it in time anyway.
    pub async fn terminate(&self, ticket: &ResumeTicket) -> Result<(), Error> {
        if ticket.origin != self.client.origin().as_str() || ticket.bucket != self.name {
            return Err(Error::new(TICKET_MISMATCH));
        }
        let route: &[&str] = if ticket.signed { &["upload", "resumable", "sign"] } else { &["upload", "resumable"] };
        let call = self.plain(Method::DELETE, route)?.value_segment("upload", &ticket.upload_id);
        let (name, value) = wire::RESUMABLE;
        match self.client.send(call.header(name, value).repeatable()).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl ResumableUpload {
    /// Sets the length of a chunk. Default: 6 MiB, as hosted clouds demand.
    pub fn chunk_bytes(mut self, bytes: u64) -> Self {
        self.chunk = bytes.max(1);
        self.machine = match &self.upload_id {
            Some(_) => Machine::resumed(self.content.len_bytes(), self.chunk, self.machine.offset()),
            None => Machine::new(self.content.len_bytes(), self.chunk),
        };
        self
    }

    /// Uploads by a signed permission, for which nobody needs to be signed in.
    ///
    /// # Errors
    ///
    /// `storage.ticket_mismatch` when the permission is for another key.
    pub fn signed(mut self, permission: SignedUpload) -> Result<Self, Error> {
        if permission.key() != self.key {
            return Err(Error::new(TICKET_MISMATCH));
        }
        self.permission = Some(permission);
        Ok(self)
    }

    /// Goes on where `ticket` says, after asking the server. An upload that it has forgotten is begun anew.
    ///
    /// # Errors
    ///
    /// `storage.ticket_mismatch` when the ticket is for another cloud, object or content, or of another kind.
    pub fn resume(mut self, ticket: &ResumeTicket) -> Result<Self, Error> {
        let same = ticket.origin == self.bucket.client.origin().as_str()
            && ticket.bucket == self.bucket.name
            && ticket.key == self.key
            && ticket.total_bytes == self.content.len_bytes()
            && ticket.fingerprint == self.content.fingerprint()
            && ticket.signed == self.permission.is_some();
        // A ticket comes from a file: its id is no more trusted than a server's.
        let Some(id) = wire::upload_id(&ticket.upload_id).filter(|id| same && *id == ticket.upload_id) else {
            return Err(Error::new(TICKET_MISMATCH));
        };
        (self.upload_id, self.expires_at) = (Some(id), ticket.expires_at);
        self.machine = Machine::resumed(self.content.len_bytes(), self.chunk, ticket.offset_bytes);
        Ok(self)
    }

    /// Where the upload is; `None` before the server knows it.
    pub fn ticket(&self) -> Option<ResumeTicket> {
        Some(ResumeTicket {
            origin: self.bucket.client.origin().as_str().to_owned(),
            bucket: self.bucket.name.clone(),
            key: self.key.clone(),
            upload_id: self.upload_id.clone()?,
            signed: self.permission.is_some(),
            total_bytes: self.content.len_bytes(),
            offset_bytes: self.machine.offset(),
            fingerprint: self.content.fingerprint(),
            expires_at: self.expires_at,
        })
    }

    /// Goes one step on: the upload was created, or the server has more of it. Gives the ticket to keep, before
    /// anything else is sent; `None` when the object is there.
    ///
    /// # Errors
    ///
    /// `api.conflict` when the key is taken by other bytes, `storage.too_large` (before anything is sent, where the server
    /// tells its limit), `storage.type_refused`, `storage.link_invalid`, `storage.source_changed`, `storage.upload_lost`,
    /// `api.unsupported` when the server takes no such uploads, `api.forbidden`; what kept the bytes from arriving, after six failures without a new one; `net.timeout` past the limit. Calling again after a passing
    /// failure goes on.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the next call asks the server how much it has.
    pub async fn advance(&mut self) -> Result<Option<ResumeTicket>, Error> {
        let clock = self.bucket.client.clock().clone();
        let started = *self.started.get_or_insert_with(|| clock.monotonic());
        if self.content.len_bytes() == 0 {
            self.send_empty().await?;
            return Ok(None);
        }
        if std::mem::take(&mut self.sending) {
            self.machine.on(Event::Interrupted);
        }
        loop {
            let limit = self.options.limit(self.content.len_bytes());
            let left = limit.saturating_sub(clock.monotonic().saturating_sub(started));
            let before = (self.upload_id.is_some(), self.machine.offset());
            let action = self.machine.next();
            if left.is_zero() && !matches!(action, Action::Done | Action::Fail(_)) {
                return Err(self.ended(Error::new(TIMEOUT)));
            }
            let event = match action {
                Action::Create { .. } if !self.offered => {
                    self.heed_offer(left).await?;
                    continue;
                }
                Action::Create { len } => self.create(len, left).await?,
                Action::Patch { from, len } => self.patch(from, len, left).await?,
                Action::Ask => self.ask(left).await,
                Action::Pause { failures } => {
                    clock.sleep(self.pause(failures).min(left)).await;
                    Event::Paused
                }
                Action::Verify => match clock.within(left, self.bucket.holds(&self.key, &self.content)).await {
                    Some(Ok(same)) => Event::Verified(same),
                    Some(Err(error)) if error.kind() == ErrorKind::Local => return Err(error),
                    Some(Err(error)) if error.is_retryable() => self.failed(error),
                    Some(Err(_)) => Event::Verified(false),
                    None => return Err(self.ended(Error::new(TIMEOUT))),
                },
                Action::Done => return Ok(None),
                Action::Fail(failure) => return Err(self.failure(failure)),
            };
            self.machine.on(event);
            let now = (self.upload_id.is_some(), self.machine.offset());
            if now != before && self.machine.next() != Action::Done {
                return Ok(self.ticket());
            }
        }
    }

    /// Advances to the end.
    ///
    /// # Errors
    ///
    /// As [`ResumableUpload::advance`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; [`Bucket::terminate`] frees what the server has, or a kept ticket goes
    /// on with it.
    pub async fn finish(mut self) -> Result<Uploaded, Error> {
        while self.advance().await?.is_some() {}
        Ok(Uploaded { key: self.key, id: None, size_bytes: self.content.len_bytes() })
    }

    /// A protocol of chunks has no place for no bytes at all.
    async fn send_empty(&self) -> Result<(), Error> {
        let sent = match &self.permission {
            Some(permission) => self.bucket.upload_signed(permission, self.content.clone(), &self.options).await,
            None => self.bucket.upload(&self.key, self.content.clone(), &self.options).await,
        };
        sent.map(|_| ())
    }

    /// The error of a course that ended, and a machine that asks first if the caller tries again.
    fn failure(&mut self, failure: Failure) -> Error {
        let last = self.last.take();
        if failure == Failure::Exhausted {
            self.machine = match &self.upload_id {
                Some(_) => Machine::resumed(self.content.len_bytes(), self.chunk, self.machine.offset()),
                None => Machine::new(self.content.len_bytes(), self.chunk),
            };
        }
        match failure {
            Failure::Exists => last.filter(|error| error.code() == CONFLICT).unwrap_or_else(|| Error::new(CONFLICT)),
            Failure::Lost => {
                let lost = Error::new(UPLOAD_LOST);
                last.map_or(lost.clone(), |cause| lost.with_source(cause))
            }
            Failure::Refused => last.unwrap_or_else(|| Error::new(NOT_FOUND)),
            Failure::Exhausted => last.unwrap_or_else(|| Error::new(TIMEOUT)),
        }
    }

    fn ended(&mut self, error: Error) -> Error {
        match self.last.take() {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

impl fmt::Debug for ResumableUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumableUpload")
            .field("offset_bytes", &self.machine.offset())
            .field("total_bytes", &self.content.len_bytes())
            .finish_non_exhaustive()
    }
}
