//! Who shows the sign-in page: the host. This crate opens no window by itself.
use std::io;

use async_trait::async_trait;
use cloud_client::Error;

use crate::codes::BROWSER_UNAVAILABLE;

/// Shows an address in the system's browser; never in a view of the app's own, which could read what is typed there.
///
/// A closure will do:
///
/// ```
/// use cloud_auth::oauth::Opener;
///
/// fn opener() -> impl Opener {
///     |url: &str| std::process::Command::new("xdg-open").arg(url).spawn().map(drop)
/// }
/// # let _ = opener();
/// ```
#[async_trait]
pub trait Opener: Send + Sync {
    /// Opens `url` and returns when the browser has been asked to, without waiting for its end.
    ///
    /// # Errors
    ///
    /// When no browser could be started; the host then shows the address itself.
    async fn open(&self, url: &str) -> Result<(), Error>;
}

#[async_trait]
impl<F: Fn(&str) -> io::Result<()> + Send + Sync> Opener for F {
    async fn open(&self, url: &str) -> Result<(), Error> {
        self(url).map_err(unavailable)
    }
}

fn unavailable(cause: io::Error) -> Error {
    Error::new(BROWSER_UNAVAILABLE).during("opening the browser").with_source(cause)
}

/// The system's default browser.
#[cfg(feature = "browser")]
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to set")]
pub struct SystemBrowser;

#[cfg(feature = "browser")]
#[async_trait]
impl Opener for SystemBrowser {
    async fn open(&self, url: &str) -> Result<(), Error> {
        let (reply, started) = tokio::sync::oneshot::channel();
        let url = url.to_owned();
        // A thread of its own, since a browser in the terminal holds it until it ends; and not one of the runtime's
        // blocking threads, which the runtime waits for when it goes.
        let open = move || {
            let mut options = webbrowser::BrowserOptions::new();
            options.with_suppress_output(true);
            let opened = webbrowser::open_browser_with_options(webbrowser::Browser::Default, &url, &options);
            let _ = reply.send(opened);
        };
        std::thread::Builder::new().name("browser-opener".to_owned()).spawn(open).map_err(unavailable)?;
        let opened = cloud_client::clock::SharedClock::default().within(START_LIMIT, started).await;
        // Not back in time: it is open, and in the terminal.
        opened.and_then(Result::ok).unwrap_or(Ok(())).map_err(unavailable)
    }
}

/// How long a browser that starts in the background may take to be started.
#[cfg(feature = "browser")]
const START_LIMIT: std::time::Duration = std::time::Duration::from_secs(3);
