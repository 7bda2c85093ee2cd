//! Connections that are kept.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use futures::future::BoxFuture;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::time::timeout;

use super::server::Server;
use super::tls::Authority;
use crate::transport::SendError;

/// For the answer to one command.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection unused for this long is asked whether it is still there.
const IDLE_CHECK_AFTER: Duration = Duration::from_secs(5);

/// Tells the server's URL, password and all, or why it cannot.
pub type UrlSource = Box<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// A connection and when it was last used.
pub(super) struct Connection {
    pub(super) smtp: AsyncSmtpConnection,
    pub(super) used_at: Instant,
    /// Whether it carried a message before: then the server may have closed it since.
    pub(super) reused: bool,
    /// Whether a command may still be without its answer. The next command would take that answer for its own, and a
    /// message could be taken for accepted that never was: such a connection is never used again.
    pub(super) awaiting_reply: bool,
}

pub(super) struct Connections {
    pub(super) url: UrlSource,
    pub(super) authority: Option<Authority>,
    /// As the URL said when it was last read; read again once the server could not be used.
    pub(super) server: Mutex<Option<Server>>,
}

impl Connections {
    async fn server(&self) -> Result<Server, SendError> {
        let known = self.server.lock().expect("nothing panics while it holds this").clone();
        if let Some(server) = known {
            return Ok(server);
        }
        // Nobody's fault but ours: what cannot be sent now waits until somebody has put it right.
        let url = (self.url)().await.map_err(|error| SendError::Unreachable(format!("no SMTP URL: {error}")))?;
        let server = Server::parse(&url).map_err(|error| SendError::Unreachable(error.to_string()))?;
        *self.server.lock().expect("nothing panics while it holds this") = Some(server.clone());
        Ok(server)
    }

    /// The password, or the server, may have changed.
    pub(super) fn forget_server(&self) {
        *self.server.lock().expect("nothing panics while it holds this") = None;
    }
}

impl managed::Manager for Connections {
    type Type = Connection;
    type Error = SendError;

    async fn create(&self) -> Result<Connection, SendError> {
        let smtp = self.server().await?.connect(self.authority.as_ref()).await.inspect_err(|_| self.forget_server())?;
        Ok(Connection { smtp, used_at: Instant::now(), reused: false, awaiting_reply: false })
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<SendError> {
        let stale = || RecycleError::message("the connection is gone");
        if connection.awaiting_reply || connection.smtp.has_broken() {
            return Err(stale());
        }
        if connection.used_at.elapsed() > IDLE_CHECK_AFTER {
            connection.awaiting_reply = true;
            let alive = timeout(COMMAND_TIMEOUT, connection.smtp.test_connected()).await;
            if !matches!(alive, Ok(true)) {
                return Err(stale());
            }
            connection.awaiting_reply = false;
        }
        connection.reused = true;
        Ok(())
    }
}
