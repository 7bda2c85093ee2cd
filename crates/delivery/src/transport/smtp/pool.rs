//! The pool of connections to an SMTP server.

use std::sync::Mutex;
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use domain::Sources;
use futures::future::BoxFuture;
use jiff::Timestamp;
use runtime::settings::SettingError;
use tokio::time::Instant;

use super::HelloName;
use super::server::{Connect, Conversation, Server};
use super::tls::Authority;
use crate::transport::SendError;

/// A connection that was idle for longer is checked before it is used.
const IDLE_CHECK_AFTER: Duration = Duration::from_secs(5);
/// The timeout of that check.
const IDLE_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the server's settings.
pub type SettingsSource = Box<dyn Fn() -> BoxFuture<'static, Result<ServerSettings, SettingsError>> + Send + Sync>;

/// What is needed to use a server.
#[derive(Clone, Default)]
pub struct ServerSettings {
    /// With the password.
    pub url: String,
    /// An authority that may have issued the server's certificate, besides the public ones.
    pub authority: Option<Authority>,
    /// Whether this process can open no connection to port 25, except of its own machine: AWS closes that port to
    /// functions outside a VPC (re:Post Knowledge Center, "How do I remove the restriction on port 25 …?").
    pub is_port_25_closed: bool,
}

impl ServerSettings {
    /// The server at a URL, with a certificate of a public authority.
    pub fn of(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// Why a server's settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The store of secrets is unavailable.
    #[error("no SMTP URL: {0}")]
    Unavailable(String),
    /// One of them cannot be used.
    #[error(transparent)]
    Invalid(#[from] SettingError),
}

/// A pooled connection.
pub(super) struct Connection {
    pub(super) session: Conversation,
    /// When a reply last arrived, in wall-clock time: a server closes idle connections of a frozen process as well.
    pub(super) used_at: Timestamp,
    /// Whether it came from the pool.
    pub(super) reused: bool,
}

pub(super) struct Connections {
    pub(super) settings: SettingsSource,
    pub(super) hello: HelloName,
    pub(super) connect: Connect,
    /// The server as its settings were last read. Read again after the server could not be used.
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
        let settings = (self.settings)().await.map_err(|error| SendError::Unreachable(error.to_string()))?;
        let server = Server::of(&settings).map_err(|error| SendError::Unreachable(error.to_string()))?;
        *self.server.lock().expect("nothing panics while holding the lock") = Some(server.clone());
        Ok(server)
    }

    /// Makes the next connection read the settings again: the password or the server may have changed.
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
        let connected = server.connect(&self.connect, &self.hello).await;
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
