//! The settings of the SMTP server, and reading them again.

use std::sync::Arc;
use std::time::Duration;

use domain::Sources;
use futures::future::BoxFuture;
use jiff::Timestamp;
use runtime::settings::SettingError;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::server::Server;
use super::tls::Authority;
use crate::transport::SendError;

/// How long settings are used before they are read again: a new server or password is used by every function after this.
/// A read costs 0.000005 USD.
const MAX_AGE: Duration = Duration::from_secs(60);
/// The timeout of reading. Also when a function starts, for which Lambda gives it ten seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// Reads the server's settings.
pub type SettingsSource = Box<dyn Fn() -> BoxFuture<'static, Result<ServerSettings, SettingsError>> + Send + Sync>;

/// What is needed to use a server.
#[derive(Clone, Default, PartialEq, Eq)]
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

/// The server as its settings were last read.
struct Known {
    settings: ServerSettings,
    server: Arc<Server>,
    /// When they were last read, successfully or not.
    tried_at: Timestamp,
    /// Whether the server could not be used since.
    is_suspect: bool,
}

/// The server to send to now.
pub(super) struct CurrentServer {
    source: SettingsSource,
    sources: Sources,
    known: Mutex<Option<Known>>,
}

impl CurrentServer {
    pub(super) fn new(source: SettingsSource, sources: Sources) -> Self {
        Self { source, sources, known: Mutex::default() }
    }

    /// The server, by settings that were read within [`MAX_AGE`] and since the server could last not be used. The same one as
    /// before unless they have changed. If they cannot be read again, a server that works stays in use.
    pub(super) async fn get(&self) -> Result<Arc<Server>, SendError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && !known.is_suspect
            && self.sources.age_of(known.tried_at) < MAX_AGE
        {
            return Ok(known.server.clone());
        }
        let read = self.read_server().await;
        let tried_at = self.sources.now();
        match (read, &mut *known) {
            (Ok((settings, _)), Some(known)) if known.settings == settings => {
                (known.tried_at, known.is_suspect) = (tried_at, false);
                Ok(known.server.clone())
            }
            (Ok((settings, server)), known) => {
                let server = Arc::new(server);
                *known = Some(Known { settings, server: server.clone(), tried_at, is_suspect: false });
                Ok(server)
            }
            (Err(error), Some(known)) if !known.is_suspect => {
                // So that the next message does not wait for the same failure.
                known.tried_at = tried_at;
                tracing::warn!(error, "the SMTP server's settings could not be read again; the known ones stay in use");
                Ok(known.server.clone())
            }
            // An error of our configuration: messages wait until an operator has fixed it.
            (Err(error), _) => Err(SendError::Unreachable(error)),
        }
    }

    async fn read_server(&self) -> Result<(ServerSettings, Server), String> {
        let settings = self.read().await.map_err(|error| error.to_string())?;
        let server = Server::of(&settings).map_err(|error| error.to_string())?;
        Ok((settings, server))
    }

    /// The settings as they are now.
    pub(super) async fn read(&self) -> Result<ServerSettings, SettingsError> {
        timeout(READ_TIMEOUT, (self.source)()).await.unwrap_or_else(|_| {
            Err(SettingsError::Unavailable(format!("not read within {} s", READ_TIMEOUT.as_secs())))
        })
    }

    /// Notes that the server could not be used: its address or password may have changed.
    pub(super) async fn suspect(&self) {
        if let Some(known) = &mut *self.known.lock().await {
            known.is_suspect = true;
        }
    }
}
