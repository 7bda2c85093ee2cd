//! The depths of the queues, each read once in a sweep.
//!
//! What the sweep itself queues must not count: otherwise a push whose slices fail for ever would be queued again
//! whenever the audience queue is empty, and keep the lost slices of every later push from being queued.

use std::collections::BTreeMap;

use domain::Channel;
use runtime::Queue;
use runtime::queue::QueueError;
use tokio::sync::OnceCell;

use crate::start::PushStarter;

/// How many messages each queue held before this sweep queued anything. Read when first needed.
pub(super) struct Depths<'a> {
    audience: Depth<'a>,
    channels: BTreeMap<Channel, Depth<'a>>,
}

impl<'a> Depths<'a> {
    pub(super) fn new(starter: &'a PushStarter, channels: &'a BTreeMap<Channel, Queue>) -> Self {
        Self {
            audience: Depth::of(&starter.audience_queue),
            channels: channels.iter().map(|(channel, queue)| (*channel, Depth::of(queue))).collect(),
        }
    }

    pub(super) async fn audience(&self) -> Result<u64, QueueError> {
        self.audience.get().await
    }

    /// `None` if the channel has no queue.
    pub(super) async fn channel(&self, channel: Channel) -> Result<Option<u64>, QueueError> {
        match self.channels.get(&channel) {
            Some(depth) => depth.get().await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads the depth of the audience queue if no push needed it yet. Call it before slices are queued.
    pub(super) async fn before_queueing_slices(&self) {
        // They are queued in any case. If a push needs the depth, it is read again, and that error is reported.
        self.audience().await.ok();
    }
}

struct Depth<'a> {
    queue: &'a Queue,
    messages: OnceCell<u64>,
}

impl<'a> Depth<'a> {
    fn of(queue: &'a Queue) -> Self {
        Self { queue, messages: OnceCell::new() }
    }

    async fn get(&self) -> Result<u64, QueueError> {
        self.messages.get_or_try_init(|| self.queue.depth()).await.copied()
    }
}
