//! What a cloud shall be like: every option, with its default.
//!
//! Nothing is opened here; [`Builder::start`] hands the options to `server`.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;

use crate::{
    cloud::Settings,
    faults::Random,
    feed::FeedOptions,
    gotrue::settings::{AuthFeature, AuthSettings, OidcProvider},
    realtime::RealtimeOptions,
    running::Running,
    server::{self, StartError},
};

/// Tokens a day in the free plan.
const DAILY_TOKENS: u64 = 50_000;

/// Largest object, as the free plan has it.
const MAX_OBJECT_BYTES: u64 = 50 << 20;

/// How long a resumable upload may take.
const UPLOAD_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long a request to the tables may keep the database, as the hosted service has it for people.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

/// Entry point: [`CloudDev::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct CloudDev {}

impl CloudDev {
    /// A cloud in memory, on a free port, with demo data.
    pub fn builder() -> Builder {
        Builder {
            port: 0,
            data_dir: None,
            discard_data: false,
            ai_upstream: None,
            ai_upstream_key: None,
            rest_upstream: None,
            jwt_secret: None,
            heed_fault_header: false,
            random_faults: None,
            realtime: RealtimeOptions::default(),
            feed: None,
            settings: Settings {
                access_token_lifetime: Duration::from_secs(3600),
                refresh_reuse_interval: Duration::from_secs(10),
                open_controls: false,
                daily_tokens: DAILY_TOKENS,
                token_pace: Duration::ZERO,
                max_object_bytes: MAX_OBJECT_BYTES,
                upload_chunk_bytes: None,
                upload_lifetime: UPLOAD_LIFETIME,
                statement_timeout: STATEMENT_TIMEOUT,
            },
            auth: AuthSettings::default(),
        }
    }
}

/// What a cloud shall be like. Made by [`CloudDev::builder`].
#[derive(Debug)]
#[must_use = "nothing runs until `start`"]
pub struct Builder {
    pub(crate) port: u16,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) discard_data: bool,
    pub(crate) ai_upstream: Option<String>,
    pub(crate) ai_upstream_key: Option<SecretString>,
    pub(crate) rest_upstream: Option<String>,
    pub(crate) jwt_secret: Option<SecretString>,
    pub(crate) heed_fault_header: bool,
    pub(crate) random_faults: Option<Random>,
    pub(crate) realtime: RealtimeOptions,
    pub(crate) feed: Option<FeedOptions>,
    pub(crate) settings: Settings,
    pub(crate) auth: AuthSettings,
}

impl Builder {
    /// Keeps everything in this directory, which is created if absent. Default: in memory.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Removes what an earlier cloud left in the data directory, except its keys. Default: it is kept.
    pub fn discard_data(mut self) -> Self {
        self.discard_data = true;
        self
    }

    /// Listens on this port of 127.0.0.1. Default: 0, any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Forwards questions to a model server that speaks OpenAI's API, such as `http://127.0.0.1:11434/v1`.
    /// Default: the built-in development model.
    pub fn ai_upstream(mut self, url: impl Into<String>) -> Self {
        self.ai_upstream = Some(url.into());
        self
    }

    /// The key that the model server wants. Default: none.
    pub fn ai_upstream_key(mut self, key: impl Into<String>) -> Self {
        self.ai_upstream_key = Some(key.into().into());
        self
    }

    /// Lets a PostgREST at this address, such as `http://127.0.0.1:3000`, answer for the tables. Default: the
    /// built-in tables.
    ///
    /// It has to trust tokens that this cloud signs, see [`jwt_secret`](Self::jwt_secret). Accounts stay here:
    /// its database has to know the people by itself, the ones of [`Demo`](crate::Demo) too.
    pub fn rest_upstream(mut self, url: impl Into<String>) -> Self {
        self.rest_upstream = Some(url.into());
        self
    }

    /// Signs tokens with this secret, so that another server can check them. Default: random, and kept in the
    /// data directory.
    pub fn jwt_secret(mut self, secret: impl Into<String>) -> Self {
        self.jwt_secret = Some(secret.into().into());
        self
    }

    /// How long an access token is good, in whole seconds. Default: 3600 s.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = lifetime;
        self
    }

    /// How long a spent refresh token may still be exchanged. Default: 10 s.
    pub fn refresh_reuse_interval(mut self, interval: Duration) -> Self {
        self.settings.refresh_reuse_interval = interval;
        self
    }

    /// Makes new accounts wait until the code or link in a [mail](Running::mails) is used, or for
    /// [`Running::confirm_email`]. Default: they are confirmed at once.
    pub fn require_email_confirmation(mut self) -> Self {
        self.auth.confirm_email = true;
        self
    }

    /// The page of the application: where browsers end that were not told where to, or may not go there. Default:
    /// `http://localhost:3000`.
    pub fn site_url(mut self, url: impl Into<String>) -> Self {
        self.auth.site_url = url.into();
        self
    }

    /// Lets browsers end at addresses of this pattern too: `*` is anything without `.` and `/`, `**` is anything.
    /// Default: only at the site and at IP addresses of this machine, any port.
    pub fn allow_redirect(mut self, pattern: impl Into<String>) -> Self {
        self.auth.redirect_urls.push(pattern.into());
        self
    }

    /// Switches a feature of the accounts off. Default: all are on.
    pub fn without(mut self, feature: AuthFeature) -> Self {
        self.auth.off.push(feature);
        self
    }

    /// Lets people sign in through this OpenID provider. Default: only through the built-in one, which answers to
    /// the names `apple`, `azure`, `demo`, `discord`, `github`, `gitlab` and `google`.
    pub fn oauth_upstream(mut self, provider: OidcProvider) -> Self {
        self.auth.upstreams.push(provider);
        self
    }

    /// Answers `/sso` for this domain, with the page of the built-in provider. Default: no domain has one.
    pub fn sso_domain(mut self, domain: impl Into<String>) -> Self {
        self.auth.sso_domains.push(domain.into().to_lowercase());
        self
    }

    /// How long a sign-in through a browser may take. Default: 5 min.
    pub fn flow_lifetime(mut self, lifetime: Duration) -> Self {
        self.auth.flow_lifetime = lifetime;
        self
    }

    /// How long a mailed code or link is good. Default: 24 h.
    pub fn email_code_lifetime(mut self, lifetime: Duration) -> Self {
        self.auth.code_lifetime = lifetime;
        self
    }

    /// Refuses a mail of the same kind to the same person before this time is over; the hosted service has 60 s.
    /// Default: not at all.
    pub fn email_interval(mut self, interval: Duration) -> Self {
        self.auth.email_interval = interval;
        self
    }

    /// Refuses mails once so many were sent within an hour. Default: never.
    pub fn emails_per_hour(mut self, limit: u32) -> Self {
        self.auth.emails_per_hour = Some(limit);
        self
    }

    /// Asks only the new address when it is changed. Default: the old one too, where addresses are confirmed.
    pub fn confirm_only_new_email(mut self) -> Self {
        self.auth.single_email_change = true;
        self
    }

    /// Wants the current password with a new one, except after a recovery. Default: it is not asked for.
    pub fn require_current_password(mut self) -> Self {
        self.auth.require_current_password = true;
        self
    }

    /// Wants a nonce of `/reauthenticate` with a new password once the session is older than 24 h. Default: it is
    /// not asked for.
    pub fn require_reauthentication(mut self) -> Self {
        self.auth.require_reauthentication = true;
        self
    }

    /// Limits how often a caller may ask for accounts and sessions, as the hosted service does: 30 at once. Default:
    /// no limits. Callers are told apart by the header `X-Forwarded-For`.
    pub fn rate_limits(mut self) -> Self {
        self.auth.rate_limits = true;
        self
    }

    /// Lets programs in other languages read the mails and steer accounts, under `/dev/v1/`. Default: closed.
    pub fn open_controls(mut self) -> Self {
        self.settings.open_controls = true;
        self
    }

    /// How many tokens a day the free plan has. Default: 50,000.
    pub fn daily_tokens(mut self, tokens: u64) -> Self {
        self.settings.daily_tokens = tokens;
        self
    }

    /// Waits this long before each token of a streamed built-in answer. Default: not at all.
    pub fn token_pace(mut self, pace: Duration) -> Self {
        self.settings.token_pace = pace;
        self
    }

    /// Refuses objects with more bytes. Default: 50 MiB.
    pub fn max_object_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_object_bytes = bytes;
        self
    }

    /// Refuses chunks of a resumable upload that have another size, the last one excepted, as the hosted service
    /// does with 6 MiB (6,291,456 bytes). Default: any size.
    pub fn upload_chunk_bytes(mut self, bytes: u64) -> Self {
        self.settings.upload_chunk_bytes = Some(bytes);
        self
    }

    /// How long a resumable upload may take. Default: 24 h.
    pub fn upload_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.upload_lifetime = lifetime;
        self
    }

    /// How long a request to the tables may keep the database; it fails with 57014 then. Default: 8 s.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.settings.statement_timeout = timeout;
        self
    }

    /// What live connections are like. Default: [`RealtimeOptions::default`].
    pub fn realtime(mut self, options: RealtimeOptions) -> Self {
        self.realtime = options;
        self
    }

    /// Serves a feed with replay under `/feed/v1/`: channels, event streams and pages. Default: there is none.
    pub fn feed(mut self, options: FeedOptions) -> Self {
        self.feed = Some(options);
        self
    }

    /// Hits `per_mille` of a thousand requests with a fault; the same `seed` hits the same ones. Default: none.
    pub fn faults(mut self, seed: u64, per_mille: u16) -> Self {
        self.random_faults = Some(Random { seed, per_mille });
        self
    }

    /// Lets requests ask for a fault themselves, with the header `x-cloud-dev-fault`. Default: it is ignored.
    ///
    /// The header says `status=503; retry-after=2`, `html`, `lose-reply`, `lose-request`, `cut=10` (bytes of the
    /// body) or `delay-ms=50`.
    pub fn heed_fault_header(mut self) -> Self {
        self.heed_fault_header = true;
        self
    }

    /// Starts the cloud on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`], if the port is taken, the data directory cannot be used, or a setting makes no sense.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn start(self) -> Result<Running, StartError> {
        server::start(self).await
    }
}
