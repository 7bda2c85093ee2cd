//! The pool of connections to an SMTP server.

use std::sync::Mutex;
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use domain::Sources;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::HelloName;
use super::server::{Conversation, Server};
use super::tls::Authority;
use crate::transport::SendError;

/// A connection that was idle for longer is checked before it is used.
const IDLE_CHECK_AFTER: Duration = Duration::from_secs(5);
/// The timeout of that check.
const IDLE_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the server's URL with its password, or why it is not available.
pub type UrlSource = Box<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// A pooled connection.
pub(super) struct Connection {
    pub(super) session: Conversation,
    /// When a reply last arrived, in wall-clock time: a server closes idle connections of a frozen process as well.
    pub(super) used_at: Timestamp,
    /// Whether it came from the pool.
    pub(super) reused: bool,
}

pub(super) struct Connections {
    pub(super) url: UrlSource,
    pub(super) hello: HelloName,
    pub(super) authority: Option<Authority>,
    /// The server of the URL as last read. Read again after the server could not be used.
    pub(super) server: Mutex<Option<Server>>,
    pub(super) sources: Sources,
    /// The server has closed a connection that was last used then, and so those that were used before.
    pub(super) closed_until: Mutex<Timestamp>,
}

impl Connections {
    async fn server(&self) -> Result<Server, SendError> {
        let known = self.server.lock().expect("nothing panics while holding the lock").clone();
        if let Some(server) = known {
            return Ok(server);
        }
        // An error of our configuration: messages wait until an operator has fixed it.
        let url = (self.url)().await.map_err(|error| SendError::Unreachable(format!("no SMTP URL: {error}")))?;
        let server = Server::parse(&url).map_err(|error| SendError::Unreachable(error.to_string()))?;
        *self.server.lock().expect("nothing panics while holding the lock") = Some(server.clone());
        Ok(server)
    }

    /// Makes the next connection read the URL again: the password or the server may have changed.
    pub(super) fn forget_server(&self) {
        *self.server.lock().expect("nothing panics while holding the lock") = None;
    }

    /// Notes that the server has closed this connection while it was idle.
    pub(super) fn note_closed(&self, connection: &Connection) {
        let mut closed_until = self.closed_until.lock().expect("nothing panics while holding the lock");
        *closed_until = connection.used_at.max(*closed_until);
    }

    fn is_closed(&self, connection: &Connection) -> bool {
        connection.used_at <= *self.closed_until.lock().expect("nothing panics while holding the lock")
    }
}

impl managed::Manager for Connections {
    type Type = Connection;
    type Error = SendError;

    async fn create(&self) -> Result<Connection, SendError> {
        let server = self.server().await?;
        let connected = server.connect(&self.hello, self.authority.as_ref()).await;
        let session = connected.inspect_err(|_| self.forget_server())?;
        Ok(Connection { session, used_at: self.sources.now(), reused: false })
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<SendError> {
        let closed = || RecycleError::message("the connection is closed");
        if !connection.session.is_usable() || self.is_closed(connection) {
            return Err(closed());
        }
        if self.sources.age_of(connection.used_at) > IDLE_CHECK_AFTER
            && connection.session.reset(Instant::now() + IDLE_CHECK_TIMEOUT).await.is_err()
        {
            self.note_closed(connection);
            return Err(closed());
        }
        connection.reused = true;
        Ok(())
    }
}
