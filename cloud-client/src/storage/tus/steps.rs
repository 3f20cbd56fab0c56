//! The requests of a resumable upload: one for each thing that the machine says, and what came of it.
//!
//! action → request → answer → [`Event`]. Every request carries the version, the right to replace and, for a signed upload,
//! its permission; none is repeated here. Wire source: TUS 1.0.0 core, creation and creation-with-upload.
use std::time::Duration;

use http::{HeaderValue, Method, header};

use super::{ResumableUpload, machine::Event, wire};
use crate::{
    Error,
    call::{Call, Reply, Speaker},
    capability::{Capability, Support},
    error::{
        Service,
        codes::{FILE_TOO_LARGE, LOCAL_IO, SOURCE_CHANGED, UNREADABLE},
    },
    pace::{IDLE, Pace},
    retry::RETRY_AFTER_LIMIT,
    storage::{
        bucket::UPSERT,
        upload::{header_value, link_error},
    },
};

/// The upper end of the first wait.
const PAUSE: Duration = Duration::from_millis(500);
/// The upper end of any wait that the server did not ask for.
const PAUSE_CAP: Duration = Duration::from_secs(20);

impl ResumableUpload {
    /// Looks at what the server offers before anything is created there.
    pub(super) async fn heed_offer(&mut self, left: Duration) -> Result<(), Error> {
        let offer = self.bucket.offer(left).await;
        if let Some(limit) = offer.max_bytes.filter(|limit| self.content.len_bytes() > *limit) {
            let error = Error::new(FILE_TOO_LARGE).during("resumable upload");
            return Err(error.with_detail(format!("the server takes at most {limit} bytes")));
        }
        if offer.is_incomplete {
            self.bucket.client.capabilities().require(&Capability::STORAGE_RESUMABLE)?;
        }
        if offer.creation_with_upload {
            self.machine.send_at_once();
        }
        self.offered = true;
        Ok(())
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
            let mut token = header_value(permission.token())?;
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
        Err(if self.permission.is_some() { link_error(error) } else { error })
    }

    /// Creates the upload, with the first `len` bytes. Only what is wrong with the content itself is an error.
    pub(super) async fn create(&mut self, len: u64, left: Duration) -> Result<Event, Error> {
        self.upload_id = None;
        self.sending = len > 0;
        let created = self.try_create(len, left).await;
        self.sending = false;
        match created {
            Ok((id, offset, expires_at)) => {
                self.bucket.client.mark(Capability::STORAGE_RESUMABLE, Support::Supported);
                (self.upload_id, self.expires_at) = (Some(id), expires_at);
                Ok(Event::Created { offset })
            }
            Err(error) => match Support::of_a_route(&error) {
                None => self.refused_or_failed(error),
                Some(unsupported) => {
                    self.bucket.client.mark(Capability::STORAGE_RESUMABLE, unsupported);
                    self.last = self.bucket.client.capabilities().require(&Capability::STORAGE_RESUMABLE).err();
                    Ok(Event::Refused)
                }
            },
        }
    }

    async fn try_create(&self, len: u64, left: Duration) -> Result<(String, u64, Option<u64>), Error> {
        let keep = self.options.keep_seconds().map(|seconds| seconds.to_string());
        let values = self.options.metadata_text();
        let mut pairs = vec![
            ("bucketName", self.bucket.name.as_str()),
            ("objectName", self.key.as_str()),
            ("contentType", self.options.kind()),
        ];
        pairs.extend(keep.as_deref().map(|keep| ("cacheControl", keep)));
        pairs.extend(values.as_deref().map(|values| ("metadata", values)));
        let limit = if len > 0 { left } else { left.min(2 * IDLE) };
        let call = self
            .call(Method::POST, None, limit)?
            .header(wire::LENGTH, self.content.len_bytes().into())
            .header(wire::METADATA, header_value(&wire::metadata(&pairs))?);
        let call = if len > 0 {
            self.with_bytes(call, 0, len)
        } else {
            call.header(header::CONTENT_LENGTH, HeaderValue::from_static("0"))
        };
        let reply = self.exchange(call).await?;
        let id = wire::location(&reply.headers).ok_or_else(|| reply.error(UNREADABLE))?;
        Ok((id, wire::number(&reply.headers, &wire::OFFSET).unwrap_or_default(), wire::expires(&reply.headers)))
    }

    /// Sends a chunk. Only what is wrong with the content itself is an error.
    pub(super) async fn patch(&mut self, from: u64, len: u64, left: Duration) -> Result<Event, Error> {
        let call = self.call(Method::PATCH, self.upload_id.as_deref(), left)?;
        let call = self.with_bytes(call.header(wire::OFFSET, from.into()), from, len);
        self.sending = true;
        let sent = self.exchange(call).await;
        self.sending = false;
        match sent {
            Ok(reply) => Ok(match wire::number(&reply.headers, &wire::OFFSET) {
                Some(offset) => Event::Accepted { offset },
                None => self.failed(reply.error(UNREADABLE)),
            }),
            Err(error) => self.refused_or_failed(error),
        }
    }

    fn with_bytes(&self, call: Call, from: u64, len: u64) -> Call {
        let pace = Pace::default();
        let body = self.content.body(from, len, &pace, &self.options.listener);
        call.header(header::CONTENT_TYPE, wire::CHUNK_TYPE).stream(body, pace)
    }

    /// The content is to blame for some failures: the machine asks before it sends again.
    fn refused_or_failed(&mut self, error: Error) -> Result<Event, Error> {
        if [SOURCE_CHANGED, LOCAL_IO].contains(&error.code()) {
            self.machine.on(Event::Interrupted);
            return Err(error);
        }
        Ok(self.failed(error))
    }

    pub(super) async fn ask(&mut self, left: Duration) -> Event {
        let call = self.call(Method::HEAD, self.upload_id.as_deref(), left.min(2 * IDLE));
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

    pub(super) fn failed(&mut self, error: Error) -> Event {
        let event = wire::meaning(&error);
        tracing::debug!(code = %error.code(), ?event, "resumable upload");
        self.last = Some(error);
        event
    }

    /// Uniform in `[0, 0.5 s · 2ⁿ⁻¹]`, capped, and no shorter than the server asked for.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doubled = PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let asked = self.last.as_ref().and_then(Error::retry_after).unwrap_or_default();
        let jittered = doubled.min(PAUSE_CAP).mul_f64(self.bucket.client.random().fraction());
        jittered.max(asked.min(RETRY_AFTER_LIMIT))
    }
}
