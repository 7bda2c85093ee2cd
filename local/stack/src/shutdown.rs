//! The signals that ask this program to stop.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// The error of a command that such a signal has ended.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupted.")
    }
}

impl std::error::Error for Interrupted {}

/// Ctrl-C (SIGINT), SIGTERM or SIGHUP.
pub(crate) struct ShutdownSignal(tokio::sync::watch::Receiver<bool>);

impl ShutdownSignal {
    /// Starts listening. From now on these signals no longer end the process.
    pub(crate) fn listen() -> Result<Self> {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            sender.send_replace(true);
            // Keep the sender, so that a later `wait` still works.
            std::future::pending::<()>().await;
        });
        Ok(Self(receiver))
    }

    /// Waits for a signal. Returns immediately if one has been received.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.0.clone();
        receiver.wait_for(|stopped| *stopped).await.expect("the sender is never dropped");
    }
}
