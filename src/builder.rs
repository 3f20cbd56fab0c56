//! Options of a [`Cloud`], and the way from them to one: settings first, everything else only when there are some.
use std::{fmt, path::PathBuf};

use cloud_auth::{
    Auth,
    store::{FileStore, SecretStoreHandle},
};
use cloud_client::{Client, Error, clock::SharedClock, transport::SharedTransport};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    Cloud, Config,
    cloud::Parts,
    config::{Environment, Sources},
};

/// Options of a [`Cloud`]. Nothing happens until [`CloudBuilder::open`].
#[must_use = "nothing happens until `open`"]
pub struct CloudBuilder {
    state_dir: PathBuf,
    prefix: String,
    environment: Environment,
    secrets: Option<SecretStoreHandle>,
    default_url: Option<String>,
    default_key: Option<SecretString>,
    config: Option<Config>,
    folder: Option<PathBuf>,
    transport: Option<SharedTransport>,
    clock: Option<SharedClock>,
}

impl CloudBuilder {
    pub(crate) fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            prefix: "CLOUD_".to_owned(),
            environment: Box::new(|name| std::env::var(name).ok()),
            secrets: None,
            default_url: None,
            default_key: None,
            config: None,
            folder: None,
            transport: None,
            clock: None,
        }
    }

    /// Begins the names of all variables and stored secrets. Default: `CLOUD_`, so `CLOUD_URL` and `CLOUD_KEY`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Keeps secrets in `store`, and looks there for settings that the environment lacks. Default: a file that only its
    /// owner can read, in the state directory.
    ///
    /// # Examples
    ///
    /// A store of one's own:
    ///
    /// ```
    /// use std::{collections::BTreeMap, sync::Mutex};
    ///
    /// use cloud_sdk::{
    ///     Cloud, Error, ExposeSecret, SecretString,
    ///     auth::{SecretStore, store::{SecretKey, SecretStoreHandle}},
    /// };
    ///
    /// #[derive(Debug, Default)]
    /// struct Keys(Mutex<BTreeMap<String, SecretString>>);
    ///
    /// #[async_trait::async_trait]
    /// impl SecretStore for Keys {
    ///     async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
    ///         Ok(self.0.lock().unwrap().get(key.as_str()).cloned())
    ///     }
    ///     async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
    ///         assert!(!value.expose_secret().is_empty());
    ///         self.0.lock().unwrap().insert(key.as_str().to_owned(), value);
    ///         Ok(())
    ///     }
    ///     async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
    ///         self.0.lock().unwrap().remove(key.as_str());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let options = Cloud::builder("/home/ada/.local/state/myapp").secrets(SecretStoreHandle::new(Keys::default()));
    /// # drop(options);
    /// ```
    pub fn secrets(mut self, store: SecretStoreHandle) -> Self {
        self.secrets = Some(store);
        self
    }

    /// The address to use when neither environment nor store names one. Default: none.
    pub fn default_url(mut self, url: impl Into<String>) -> Self {
        self.default_url = Some(url.into());
        self
    }

    /// The public key to use when neither environment nor store names one. Default: none.
    pub fn default_key(mut self, key: impl Into<SecretString>) -> Self {
        self.default_key = Some(key.into());
        self
    }

    /// Uses exactly these settings; environment and store are not asked.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Takes up the link of this folder, if it has one, whenever somebody is signed in; the folder that was at hand before
    /// comes first. Default: none.
    pub fn workspace(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Reads variables through `lookup` instead of the process's environment.
    pub fn environment(mut self, lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.environment = Box::new(lookup);
        self
    }

    /// Sends through `transport` instead of the network.
    pub fn transport(mut self, transport: SharedTransport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Runs all limits and waits on `clock`.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Opens the cloud, or gives `None` when no address and key are set: then nothing was opened, read (but for the
    /// store given to [`CloudBuilder::secrets`]) or written (D1).
    ///
    /// Returns without waiting for network, disk or keyring (D2): a stored login is taken up in the background, see
    /// [`Auth::settled`].
    ///
    /// # Errors
    ///
    /// Kind `Config` for settings that cannot be used, and what a given secret store answers.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn open(self) -> Result<Option<Cloud>, Error> {
        let config = match self.config {
            Some(config) => config,
            None => {
                let sources = Sources {
                    prefix: &self.prefix,
                    environment: &self.environment,
                    store: self.secrets.as_ref(),
                    default_url: self.default_url.as_deref(),
                    default_key: self.default_key.as_ref(),
                };
                let Some(config) = sources.read().await? else { return Ok(None) };
                config
            }
        };
        let mut client = Client::builder(&config.url, config.key.expose_secret())?;
        if let Some(transport) = self.transport {
            client = client.transport(transport);
        }
        if let Some(clock) = self.clock {
            client = client.clock(clock);
        }
        let secrets =
            self.secrets.unwrap_or_else(|| SecretStoreHandle::new(FileStore::new(self.state_dir.join("secrets.json"))));
        let auth = Auth::builder(client.build(), secrets).key_prefix(&self.prefix);
        let auth = if config.auto_login { auth.open() } else { auth.leave_stored_login().open() };
        Ok(Some(Cloud::start(Parts { config, auth, state_dir: self.state_dir, folder: self.folder })))
    }
}

impl fmt::Debug for CloudBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudBuilder")
            .field("state_dir", &self.state_dir)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
