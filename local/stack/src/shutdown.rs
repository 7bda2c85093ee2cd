//! Waiting for the signal to end.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Ctrl-C, or being told to end.
pub(crate) struct ShutdownSignal(tokio::sync::watch::Receiver<bool>);

impl ShutdownSignal {
    /// Listens from here on.
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
            // Who asks later must still find the sender.
            std::future::pending::<()>().await;
        });
        Ok(Self(receiver))
    }

    /// Waits until it happens, or returns at once if it has.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.0.clone();
        receiver.wait_for(|stopped| *stopped).await.expect("the sender is never dropped");
    }
}
