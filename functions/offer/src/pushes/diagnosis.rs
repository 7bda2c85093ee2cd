//! What delays a push.

use std::collections::BTreeSet;

use domain::push::PushState;
use domain::push::waiting::{Delays, Wait};
use domain::{Sources, TransportId};
use runtime::Queue;
use store::TransportLimits;
use store::pushes::Progress;

/// The places to look for what delays a push.
pub struct Diagnosis {
    /// The clock.
    pub sources: Sources,
    /// Rate limits and breakers of the transports.
    pub limits: TransportLimits,
    /// The transports that this deployment uses.
    pub transports: BTreeSet<TransportId>,
    /// The dead-letter queues, by the name of the queue that each belongs to.
    pub dead_letters: [(&'static str, Queue); 3],
}

impl Diagnosis {
    /// Finds what delays a push, from what the pipeline has recorded.
    pub(super) async fn wait_reason(&self, progress: &Progress) -> Wait {
        progress.wait(&self.delays(progress).await, &self.dead_letters(progress).await, self.sources.now())
    }

    async fn delays(&self, progress: &Progress) -> Delays {
        let mut delays = Delays::new();
        if progress.push.state != PushState::Running {
            return delays;
        }
        let is_used = |transport: &&TransportId| progress.outstanding_channels.contains(&transport.channel());
        for transport in self.transports.iter().filter(is_used) {
            // The counts of the push are still worth returning.
            let delay = self.limits.delay(progress.push.id, *transport).await.unwrap_or_else(|error| {
                tracing::warn!(%transport, error = %error, "cannot read the transport's limits; reporting no delay for it");
                None
            });
            delays.entry(transport.channel()).or_default().insert(*transport, delay);
        }
        delays
    }

    async fn dead_letters(&self, progress: &Progress) -> Vec<(&'static str, u64)> {
        let mut dead_letters = Vec::new();
        if !progress.is_stalled(self.sources.now()) {
            return dead_letters;
        }
        for (name, queue) in &self.dead_letters {
            match queue.depth().await {
                Ok(count) => dead_letters.push((*name, count)),
                Err(error) => {
                    tracing::warn!(queue = name, error = %error, "cannot count dead letters; leaving them out");
                }
            }
        }
        dead_letters
    }
}
