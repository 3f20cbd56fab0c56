//! Uploads that survive cuts, restarts and new tokens: TUS 1.0.0.
//!
//! content → machine says create, send, ask, wait → one request each → what came of it → machine → … → object.
//! This file only carries out what the machine says. A token whose time is over is replaced inside a request, and the
//! same chunk sent again. Whoever wants to go on after a restart keeps each [`ResumeTicket`] that
//! [`ResumableUpload::advance`] gives; it holds no secret.
mod machine;
mod wire;

use std::{fmt, time::Duration};

use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

use self::machine::{Action, Event, Failure, Machine};
use super::{Bucket, Content, SignedUpload, UploadOptions, Uploaded, bucket::UPSERT, bucket::object_key};
use crate::{
    Error, ErrorKind,
    call::{Call, Reply, Speaker},
    error::{
        Service,
        codes::{CONFLICT, LOCAL_IO, NOT_FOUND, SOURCE_CHANGED, TICKET_MISMATCH, TIMEOUT, UNREADABLE, UPLOAD_LOST},
    },
    pace::Pace,
};

/// The chunk that hosted clouds demand, in bytes; self-hosted ones take any.
pub const CHUNK_BYTES: u64 = 6 * 1024 * 1024;
/// The upper end of the first wait.
const PAUSE: Duration = Duration::from_millis(500);
/// The upper end of any wait that the server did not ask for.
const PAUSE_CAP: Duration = Duration::from_secs(20);

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
    /// A chunk went out and its answer was not taken yet.
    sending: bool,
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
    /// `api.conflict` when the key is taken by other bytes, `storage.too_large`, `storage.type_refused`,
    /// `storage.link_invalid`, `storage.source_changed`, `storage.upload_lost`, `api.forbidden`; what kept the bytes
    /// from arriving, after six failures without a new one; `net.timeout` past the limit. Calling again after a passing
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
                Action::Create => self.create(left).await,
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

    /// A call with what every request of an upload carries.
    fn call(&self, method: Method, id: Option<&str>, left: Duration) -> Result<Call, Error> {
        let signed: &[&str] = &["upload", "resumable", "sign"];
        let route = if self.permission.is_some() { signed } else { &signed[..2] };
        let (name, version) = wire::RESUMABLE;
        let mut call = self.bucket.plain(method, route)?.header(name, version).timeout(left);
        // Rights are judged anew for each request, by its own `x-upsert`.
        call = call.header(UPSERT, self.options.upsert_header());
        if let Some(id) = id {
            call = call.value_segment("upload", id);
        }
        if let Some(permission) = &self.permission {
            let mut token = super::upload::header_value(permission.token())?;
            token.set_sensitive(true);
            call = call.header(wire::SIGNATURE, token).speaker(Speaker::Nobody);
        }
        Ok(call)
    }

    async fn exchange(&self, call: Call) -> Result<Reply, Error> {
        let reply = self.bucket.client.exchange(call.once()).await?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        let error = self.bucket.client.failure(Service::Storage, &reply);
        Err(if self.permission.is_some() { super::upload::link_error(error) } else { error })
    }

    async fn create(&mut self, left: Duration) -> Event {
        self.upload_id = None;
        match self.try_create(left).await {
            Ok((id, offset, expires_at)) => {
                (self.upload_id, self.expires_at) = (Some(id), expires_at);
                Event::Created { offset }
            }
            Err(error) => self.failed(error),
        }
    }

    async fn try_create(&self, left: Duration) -> Result<(String, u64, Option<u64>), Error> {
        let keep = self.options.keep_seconds().map(|seconds| seconds.to_string());
        let values = self.options.metadata_text();
        let mut pairs = vec![
            ("bucketName", self.bucket.name.as_str()),
            ("objectName", self.key.as_str()),
            ("contentType", self.options.kind()),
        ];
        pairs.extend(keep.as_deref().map(|keep| ("cacheControl", keep)));
        pairs.extend(values.as_deref().map(|values| ("metadata", values)));
        let call = self
            .call(Method::POST, None, left.min(2 * crate::pace::IDLE))?
            .header(wire::LENGTH, self.content.len_bytes().into())
            .header(wire::METADATA, super::upload::header_value(&wire::metadata(&pairs))?)
            .header(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        let reply = self.exchange(call).await?;
        let id = wire::location(&reply.headers).ok_or_else(|| reply.error(UNREADABLE))?;
        Ok((id, wire::number(&reply.headers, &wire::OFFSET).unwrap_or_default(), wire::expires(&reply.headers)))
    }

    /// Sends a chunk. Only what is wrong with the content itself is an error.
    async fn patch(&mut self, from: u64, len: u64, left: Duration) -> Result<Event, Error> {
        let pace = Pace::default();
        let body = self.content.body(from, len, &pace, &self.options.listener);
        let call = self.call(Method::PATCH, self.upload_id.as_deref(), left)?;
        let call = call.header(wire::OFFSET, from.into()).header(header::CONTENT_TYPE, wire::CHUNK_TYPE);
        self.sending = true;
        let sent = self.exchange(call.stream(body, pace)).await;
        self.sending = false;
        Ok(match sent {
            Ok(reply) => match wire::number(&reply.headers, &wire::OFFSET) {
                Some(offset) => Event::Accepted { offset },
                None => self.failed(reply.error(UNREADABLE)),
            },
            // The content is to blame; the machine asks before it sends again.
            Err(error) if [SOURCE_CHANGED, LOCAL_IO].contains(&error.code()) => {
                self.machine.on(Event::Interrupted);
                return Err(error);
            }
            Err(error) => self.failed(error),
        })
    }

    async fn ask(&mut self, left: Duration) -> Event {
        let call = self.call(Method::HEAD, self.upload_id.as_deref(), left.min(2 * crate::pace::IDLE));
        let asked = match call {
            Ok(call) => self.exchange(call).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(reply) => match wire::number(&reply.headers, &wire::OFFSET) {
                Some(offset) => Event::At { offset, total: wire::number(&reply.headers, &wire::LENGTH) },
                None => self.failed(reply.error(UNREADABLE)),
            },
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: Error) -> Event {
        let event = wire::meaning(&error);
        tracing::debug!(code = %error.code(), ?event, "resumable upload");
        self.last = Some(error);
        event
    }

    /// Uniform in `[0, 0.5 s · 2ⁿ⁻¹]`, capped, and no shorter than the server asked for.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let asked = self.last.as_ref().and_then(Error::retry_after).unwrap_or_default();
        let jittered = doubled.min(PAUSE_CAP).mul_f64(self.bucket.client.random().fraction());
        jittered.max(asked.min(crate::retry::RETRY_AFTER_LIMIT))
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
