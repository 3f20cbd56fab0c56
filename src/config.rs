//! Where the settings come from: environment > secret store > the host's defaults (S2 §10.6's order).
//!
//! names behind the host's prefix → texts, the first source that has one → checked → [`Config`]. Without a URL and a key
//! there is no cloud: `None`, and the store is the only thing that was asked. Nothing is ever read from a workspace (C1).
use std::time::Duration;

use cloud_auth::store::{SecretKey, SecretStoreHandle};
use cloud_client::{
    Error,
    config::{ApiKey, Origin},
    error::codes::SETTING_INVALID,
};
use secrecy::{ExposeSecret as _, SecretString};

/// The shortest interval that is accepted: a shorter one would only load the server.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Everything that can be set from outside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The cloud's address.
    pub url: String,
    /// The project's public key.
    pub key: SecretString,
    /// Whether a stored login is taken up at the start. Default: true.
    pub auto_login: bool,
    /// Between two syncs of a linked workspace. Default: 30 s.
    pub sync_interval: Duration,
    /// Between two reports of one's own presence. Default: 60 s.
    pub presence_interval: Duration,
    /// Whether a linked workspace is followed live. Default: on.
    pub live: LiveUpdates,
}

/// Whether a linked workspace is followed live, over a WebSocket beside the polling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveUpdates {
    /// What happens elsewhere arrives at once, and polling steps back while it does.
    #[default]
    On,
    /// Polling alone: no socket is ever opened for a workspace.
    Off,
}

impl Config {
    /// The documented defaults for a cloud at `url`, opened with its public `key`.
    pub fn new(url: impl Into<String>, key: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            key: key.into(),
            auto_login: true,
            sync_interval: Duration::from_secs(30),
            presence_interval: Duration::from_secs(60),
            live: LiveUpdates::On,
        }
    }

    /// Checks address and key.
    ///
    /// # Errors
    ///
    /// `config.url_*` and `config.key_*`.
    pub fn check(&self) -> Result<(), Error> {
        Origin::parse(&self.url)?;
        ApiKey::parse(self.key.expose_secret())?;
        Ok(())
    }
}

/// Reads one variable of the environment.
pub(crate) type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The sources, first one first.
pub(crate) struct Sources<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) environment: &'a Environment,
    pub(crate) store: Option<&'a SecretStoreHandle>,
    pub(crate) default_url: Option<&'a str>,
    pub(crate) default_key: Option<&'a SecretString>,
}

impl Sources<'_> {
    /// The settings, or `None` when address or key is missing.
    pub(crate) async fn read(&self) -> Result<Option<Config>, Error> {
        let url = self.text("URL").await?.or_else(|| self.default_url.map(SecretString::from));
        let Some(url) = url else { return Ok(None) };
        let Some(key) = self.text("KEY").await?.or_else(|| self.default_key.cloned()) else { return Ok(None) };
        let mut config = Config::new(url.expose_secret(), key);
        // Only exactly "false" turns it off, as documented.
        config.auto_login = self.text("AUTO_LOGIN").await?.is_none_or(|text| text.expose_secret() != "false");
        if self.text("LIVE").await?.is_some_and(|text| text.expose_secret() == "false") {
            config.live = LiveUpdates::Off;
        }
        if let Some(interval) = self.milliseconds("SYNC_INTERVAL").await? {
            config.sync_interval = interval;
        }
        if let Some(interval) = self.milliseconds("PRESENCE_INTERVAL").await? {
            config.presence_interval = interval;
        }
        config.check()?;
        Ok(Some(config))
    }

    /// The first source that has something other than blanks.
    async fn text(&self, name: &str) -> Result<Option<SecretString>, Error> {
        let name = format!("{}{name}", self.prefix);
        let filled = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(SecretString::from);
        if let Some(text) = (self.environment)(&name).as_deref().and_then(filled) {
            return Ok(Some(text));
        }
        let Some(store) = self.store else { return Ok(None) };
        let stored = store.get(&SecretKey::new(&name)).await?;
        Ok(stored.as_ref().and_then(|text| filled(text.expose_secret())))
    }

    async fn milliseconds(&self, name: &str) -> Result<Option<Duration>, Error> {
        let Some(text) = self.text(name).await? else { return Ok(None) };
        let parsed = text
            .expose_secret()
            .parse()
            .ok()
            .map(Duration::from_millis)
            .filter(|interval| *interval >= SHORTEST_INTERVAL);
        let wrong = || {
            let setting = format!("reading {}{name}, which takes milliseconds from 1000 up", self.prefix);
            Error::new(SETTING_INVALID).during(setting)
        };
        parsed.map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use cloud_auth::store::MemoryStore;

    use super::*;

    /// Reads with variables and stored values given as `NAME=value`.
    async fn read(
        environment: &[&str],
        stored: &[&str],
        defaults: Option<(&str, &str)>,
    ) -> Result<Option<Config>, Error> {
        let split = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        let variables: Vec<_> = environment.iter().map(|pair| split(pair)).collect();
        let environment: Environment =
            Box::new(move |name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
        let store = SecretStoreHandle::new(MemoryStore::new());
        for pair in stored {
            let (name, value) = split(pair);
            store.put(&SecretKey::new(&name), value.into()).await.unwrap();
        }
        let key = defaults.map(|(_, key)| SecretString::from(key));
        let sources = Sources {
            prefix: "APP_CLOUD_",
            environment: &environment,
            store: Some(&store),
            default_url: defaults.map(|(url, _)| url),
            default_key: key.as_ref(),
        };
        sources.read().await
    }

    #[tokio::test]
    async fn d01_without_an_address_or_a_key_there_is_no_cloud() {
        for environment in [
            &[][..],
            &["APP_CLOUD_URL=https://a.example"],
            &["APP_CLOUD_KEY=k"],
            &["APP_CLOUD_URL= ", "APP_CLOUD_KEY=k"],
        ] {
            assert!(read(environment, &[], None).await.unwrap().is_none(), "{environment:?}");
        }
        // Another app's variables are not ours.
        assert!(read(&["CLOUD_URL=https://a.example", "CLOUD_KEY=k"], &[], None).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn each_setting_comes_from_the_first_source_that_has_it() {
        let environment = &["APP_CLOUD_URL=https://env.example"];
        let stored = &["APP_CLOUD_URL=https://store.example", "APP_CLOUD_KEY=stored"];
        let config = read(environment, stored, Some(("https://default.example", "default"))).await.unwrap().unwrap();
        assert_eq!((&*config.url, config.key.expose_secret()), ("https://env.example", "stored"));
        let config = read(&[], &[], Some(("https://default.example", "default"))).await.unwrap().unwrap();
        assert_eq!((&*config.url, config.key.expose_secret()), ("https://default.example", "default"));
    }

    #[tokio::test]
    async fn defaults_are_the_documented_ones_and_wrong_values_name_their_variable() {
        let base = ["APP_CLOUD_URL=https://a.example", "APP_CLOUD_KEY=k"];
        let config = read(&base, &[], None).await.unwrap().unwrap();
        assert!(config.auto_login);
        assert_eq!((config.sync_interval.as_millis(), config.presence_interval.as_millis()), (30_000, 60_000));

        for (value, expected) in [("false", false), ("False", true), ("0", true), ("", true)] {
            let login = format!("APP_CLOUD_AUTO_LOGIN={value}");
            assert_eq!(
                read(&[base[0], base[1], &login], &[], None).await.unwrap().unwrap().auto_login,
                expected,
                "{value:?}"
            );
        }
        for value in ["soon", "-1", "999", "1.5"] {
            let interval = format!("APP_CLOUD_SYNC_INTERVAL={value}");
            let error = read(&[base[0], base[1], &interval], &[], None).await.unwrap_err();
            assert_eq!(error.code(), SETTING_INVALID);
            assert!(error.to_string().contains("APP_CLOUD_SYNC_INTERVAL"), "{error}");
        }
    }

    #[tokio::test]
    async fn c03_a_secret_key_is_refused_and_not_shown() {
        let error =
            read(&["APP_CLOUD_URL=https://a.example", "APP_CLOUD_KEY=sb_secret_hidden"], &[], None).await.unwrap_err();
        assert_eq!(error.code().as_str(), "config.key_secret");
        assert!(!format!("{error:?}").contains("hidden"));
    }
}
