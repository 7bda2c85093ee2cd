//! The pool of connections to an SMTP server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use domain::Sources;
use jiff::Timestamp;
use tokio::time::Instant;

use super::HelloName;
use super::server::{Connect, Conversation, Server};
use super::settings::CurrentServer;
use crate::transport::SendError;

/// A connection that was idle for longer is checked before it is used.
const IDLE_CHECK_AFTER: Duration = Duration::from_secs(5);
/// The timeout of that check.
const IDLE_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// A pooled connection.
pub(super) struct Connection {
    pub(super) session: Conversation,
    /// The one it leads to.
    pub(super) server: Arc<Server>,
    /// When a reply last arrived, in wall-clock time: a server closes idle connections of a frozen process as well.
    pub(super) used_at: Timestamp,
    /// Whether it came from the pool.
    pub(super) reused: bool,
}

pub(super) struct Connections {
    pub(super) server: CurrentServer,
    pub(super) hello: HelloName,
    pub(super) connect: Connect,
    pub(super) sources: Sources,
    /// The server has closed a connection that was last used then, and so those that were used before.
    pub(super) closed_until: Mutex<Timestamp>,
}

impl Connections {
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
        let server = self.server.get().await?;
        match server.connect(&self.connect, &self.hello).await {
            Ok(session) => Ok(Connection { session, server, used_at: self.sources.now(), reused: false }),
            Err(error) => {
                self.server.suspect(&server);
                Err(error)
            }
        }
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<SendError> {
        let closed = || RecycleError::message("the connection is closed");
        if !connection.session.is_usable() || self.is_closed(connection) {
            return Err(closed());
        }
        if !Arc::ptr_eq(&connection.server, &self.server.get().await?) {
            return Err(RecycleError::message("it leads to the server of earlier settings"));
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
