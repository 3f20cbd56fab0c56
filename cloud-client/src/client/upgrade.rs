//! Other protocols over this client's way to the network.
use super::Client;
use crate::{
    Error,
    config::is_loopback,
    error::codes::URL_INSECURE,
    transport::{Request, Upgrade},
};

impl Client {
    /// Asks `request`'s address to go on in another protocol, such as a WebSocket, over the proxy and with the
    /// certificates of this client. Sent once, as it is: no key, token or header of this client is added, and no limit of
    /// time is set.
    ///
    /// # Errors
    ///
    /// `config.url_insecure` for plain http to another machine (T9), `net.*` when no answer came.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn upgrade(&self, request: Request) -> Result<Upgrade, Error> {
        if request.url.scheme() != "https" && !is_loopback(request.url.host()) {
            return Err(Error::new(URL_INSECURE));
        }
        self.inner.transport.upgrade(request).await
    }
}
