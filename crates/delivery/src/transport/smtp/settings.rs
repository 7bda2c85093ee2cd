//! The settings of the SMTP server, and reading them again.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::Sources;
use futures::future::BoxFuture;
use jiff::Timestamp;
use runtime::settings::SettingError;
use tokio::time::timeout;

use super::server::Server;
use super::tls::Authority;
use crate::transport::SendError;

/// How long settings are used before they are read again: a new server or password is used by every function after this.
/// A read costs 0.000005 USD.
const MAX_AGE: Duration = Duration::from_secs(60);
/// The timeout of reading while a server is known, and when a function starts, for which Lambda gives it ten seconds. The SDK's own
/// timeouts are longer.
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a failure to read is remembered while no server is known, so that messages that wait for it fail together.
const RETRY_AFTER: Duration = Duration::from_secs(1);

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

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// When and why the settings could last not be read, where that left no server to use.
    failure: Option<(Timestamp, String)>,
}

/// The server to send to now.
pub(super) struct CurrentServer {
    source: SettingsSource,
    sources: Sources,
    state: Mutex<State>,
    /// Held by the one who reads, while others wait for the result.
    reading: tokio::sync::Mutex<()>,
}

impl CurrentServer {
    pub(super) fn new(source: SettingsSource, sources: Sources) -> Self {
        Self { source, sources, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// The server, by settings that were read within [`MAX_AGE`] and since it could last not be used. The same one as before
    /// unless they have changed. While they cannot be read, the known server stays in use.
    pub(super) async fn get(&self) -> Result<Arc<Server>, SendError> {
        if let Some(known) = self.recent() {
            return known;
        }
        let _reading = self.reading.lock().await;
        // Another message may have waited for the same.
        if let Some(known) = self.recent() {
            return known;
        }
        let is_known = self.state().known.is_some();
        let read = if is_known { self.read_in_time().await } else { (self.source)().await };
        self.note(read)
    }

    /// The result of the last read, if it need not be repeated yet.
    fn recent(&self) -> Option<Result<Arc<Server>, SendError>> {
        let state = self.state();
        let is_within = |time: Timestamp, age| self.sources.age_of(time) < age;
        match (&state.known, &state.failure) {
            (_, Some((at, error))) if is_within(*at, RETRY_AFTER) => Some(Err(SendError::Unreachable(error.clone()))),
            (Some(known), _) if !known.is_suspect && is_within(known.tried_at, MAX_AGE) => {
                Some(Ok(known.server.clone()))
            }
            _ => None,
        }
    }

    /// Notes what was read, and returns the server to use.
    fn note(&self, read: Result<ServerSettings, SettingsError>) -> Result<Arc<Server>, SendError> {
        let tried_at = self.sources.now();
        let is_unavailable = matches!(read, Err(SettingsError::Unavailable(_)));
        let read = read.map_err(|error| error.to_string()).and_then(|settings| match Server::of(&settings) {
            Ok(server) => Ok((settings, server)),
            Err(error) => Err(error.to_string()),
        });
        let mut state = self.state();
        state.failure = None;
        match (read, &mut state.known) {
            (Ok((settings, _)), Some(known)) if known.settings == settings => {
                (known.tried_at, known.is_suspect) = (tried_at, false);
                Ok(known.server.clone())
            }
            (Ok((settings, server)), known) => {
                let server = Arc::new(server);
                *known = Some(Known { settings, server: server.clone(), tried_at, is_suspect: false });
                Ok(server)
            }
            // Whether a server that failed works again is found out by sending, which needs no settings.
            (Err(error), Some(known)) if is_unavailable || !known.is_suspect => {
                // So that the next message does not wait for the same failure.
                (known.tried_at, known.is_suspect) = (tried_at, false);
                tracing::warn!(error, "the SMTP server's settings could not be read again; the known ones stay in use");
                Ok(known.server.clone())
            }
            // An error of our configuration: messages wait until an operator has fixed it.
            (Err(error), _) => {
                state.failure = Some((tried_at, error.clone()));
                Err(SendError::Unreachable(error))
            }
        }
    }

    /// The settings as they are now, or an error within [`READ_TIMEOUT`].
    pub(super) async fn read_in_time(&self) -> Result<ServerSettings, SettingsError> {
        timeout(READ_TIMEOUT, (self.source)()).await.unwrap_or_else(|_| {
            Err(SettingsError::Unavailable(format!("not read within {} s", READ_TIMEOUT.as_secs())))
        })
    }

    /// Notes that a server could not be used: its address or password may have changed.
    pub(super) fn suspect(&self, server: &Arc<Server>) {
        if let Some(known) = self.state().known.as_mut().filter(|known| Arc::ptr_eq(&known.server, server)) {
            known.is_suspect = true;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding the lock")
    }
}
