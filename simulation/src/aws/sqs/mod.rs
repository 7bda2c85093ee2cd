//! SQS: standard queues.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which messages can be received, dead letters, counts | `queue` |
//! | requests and responses | `protocol` |
//! | what goes wrong with messages; what people and mappings may do | this file |

mod protocol;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use testing::Clock;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::aws::template;
use crate::chance::Chance;
use crate::fault::{Fault, Moment, millis};
use crate::world::World;

pub(crate) use protocol::{MD5, system_attributes};
pub use queue::{Counts, Received};
use queue::{Message, Queue};

/// How often counts are those of a moment ago.
const STALE: f64 = 0.3;

/// All queues of the template, by their logical ids: `EmailQueue`, `EmailDeadLetters`. That is also the last part of the URL
/// that functions have.
#[derive(Debug)]
pub struct Queues {
    clock: Clock,
    chance: Chance,
    state: Mutex<State>,
    /// For the one who polls each queue: something may have become visible.
    changed: BTreeMap<&'static str, Notify>,
}

#[derive(Debug)]
struct State {
    queues: BTreeMap<&'static str, Queue>,
    serial: u64,
}

/// SQS has not accepted a message, or says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Rather than an error of its own.
    pub is_throttled: bool,
}

impl Queues {
    pub fn new(clock: Clock, chance: Chance) -> Self {
        let queues = template::queues().map(|queue| (queue.name.as_str(), Queue::new(queue))).collect();
        let changed = template::queues().map(|queue| (queue.name.as_str(), Notify::new())).collect();
        Self { clock, chance, state: Mutex::new(State { queues, serial: 0 }), changed }
    }

    /// Queues a message that can be received after `delay`, or after the queue's own. Returns its id.
    ///
    /// It passes the point `message <queue>`, where these faults may be planned: it comes twice, late, never; SQS rejects
    /// it, before it is stored or after.
    ///
    /// # Errors
    /// If a fault says so.
    ///
    /// # Panics
    /// If there is no such queue, or the planned fault is none of a message.
    pub fn send(&self, world: &World, queue: &str, body: String, delay: Option<Duration>) -> Result<String, Rejected> {
        let point = format!("message {queue}");
        let struck = world.faults.pass(&point);
        let now = self.clock.now();
        let (mut is_stored, mut rejected, mut later, mut again) = (true, None, Duration::ZERO, None);
        for (moment, fault) in [(Moment::Before, struck.before), (Moment::After, struck.after)] {
            let Some(fault) = fault else { continue };
            world.history.note(format_args!("message {queue} #{}: {fault:?}", struck.nth));
            if moment == Moment::After {
                world.faults.took_effect(&point);
            }
            match fault {
                Fault::Twice(time) => again = Some(millis(time)),
                Fault::Late(time) => later += millis(time),
                Fault::Gone => is_stored = false,
                Fault::Throttle | Fault::Unavailable => {
                    is_stored &= moment == Moment::After;
                    rejected = Some(Rejected { is_throttled: fault == Fault::Throttle });
                }
                Fault::Kill | Fault::Freeze(_) | Fault::Lose | Fault::Hang => panic!("a message cannot be {fault:?}"),
            }
        }
        let mut state = self.state();
        let serial = state.next_serial();
        let id = id_of(serial);
        if is_stored {
            let target = state.queue(queue);
            let visible = now + delay.unwrap_or(target.settings().delay) + later;
            let message = Message::new(id.clone(), body, now, visible, again);
            target.put(serial, message, now);
            self.changed[queue].notify_one();
        }
        rejected.map_or(Ok(id), Err)
    }

    /// Receives up to `most` messages, 10 at most. Those that were received too often become dead letters instead.
    pub fn receive(&self, world: &World, queue: &str, most: usize) -> Vec<Received> {
        let now = self.clock.now();
        let mut state = self.state();
        let State { queues, serial } = &mut *state;
        let source = queues.get_mut(queue).unwrap_or_else(|| panic!("no queue {queue}"));
        let next_serial = || {
            *serial += 1;
            *serial
        };
        let (received, dead) = source.receive(most.min(10), now, &self.chance, next_serial, world.is_calm());
        for message in received.iter().filter(|message| message.times > 1) {
            world.history.note(format_args!("{queue} delivers {} for time {}", message.id, message.times));
        }
        let redrive = source.settings().redrive.as_ref();
        for message in dead {
            let target = redrive.expect("only then is a message dead").target.as_str();
            world.history.note(format_args!("{queue} moves {} to {target}", message.id));
            // It keeps its id and the time when it was sent (SQS Developer Guide, "Using dead-letter queues").
            let message = Message { visible: now, received: 0, receipt: None, first_received: None, ..message };
            *serial += 1;
            queues.get_mut(target).expect("the template has it").put(*serial, message, now);
            self.changed[target].notify_one();
        }
        received
    }

    /// Deletes a received message. False if it is not there any more, or was received once more since.
    pub fn delete(&self, queue: &str, receipt: &str) -> bool {
        self.state().queue(queue).delete(receipt, self.clock.now())
    }

    /// Hides a message in flight for this long from now on. False if it is not in flight.
    pub fn change_visibility(&self, queue: &str, receipt: &str, time: Duration) -> bool {
        let is_changed = self.state().queue(queue).hide(receipt, time, self.clock.now());
        self.changed[queue].notify_one();
        is_changed
    }

    /// The counts as SQS reports them: eventually consistent, after about a minute (SQS API reference,
    /// GetQueueAttributes). Exact once the world is calm.
    pub fn approximate_counts(&self, world: &World, queue: &str) -> Counts {
        let now = self.clock.now();
        let is_stale = self.chance.happens(STALE) && !world.is_calm();
        let mut state = self.state();
        let queue = state.queue(queue);
        if is_stale {
            queue.counts_at(now - self.chance.between(Duration::ZERO, queue::STALE))
        } else {
            queue.counts(now)
        }
    }

    /// The true counts.
    pub fn counts(&self, queue: &str) -> Counts {
        self.state().queue(queue).counts(self.clock.now())
    }

    /// Loses all messages of a queue, in flight or not, as an operator's `PurgeQueue` does. Returns how many.
    pub fn purge(&self, world: &World, queue: &str) -> usize {
        let purged = self.state().queue(queue).empty(self.clock.now()).len();
        world.history.note(format_args!("{queue} purged of {purged} messages"));
        purged
    }

    /// The bodies of all messages that ever were in a queue.
    pub fn bodies(&self, queue: &str) -> Vec<String> {
        self.state().queue(queue).bodies.clone()
    }

    /// From now on no queue keeps the bodies of all messages, nor its counts of the last minute: for a measurement.
    pub fn keep_nothing(&self) {
        self.state().queues.values_mut().for_each(|queue| queue.keeps_history = false);
    }

    /// What is in queues that no function receives from: their names, and the bodies.
    pub fn dead_letters(&self) -> Vec<(&'static str, String)> {
        let state = self.state();
        let dead = state.queues.iter().filter(|(name, _)| !is_source(name));
        dead.flat_map(|(name, queue)| queue.messages().map(|message| (*name, message.body.clone()))).collect()
    }

    /// Moves all messages of a dead-letter queue to the queue that they came from, as new ones (SQS API reference,
    /// StartMessageMoveTask). Returns how many.
    ///
    /// # Panics
    /// If it is the dead-letter queue of no queue.
    pub fn redrive(&self, world: &World, dead_letters: &str) -> usize {
        let is_target =
            |queue: &&template::Queue| queue.redrive.as_ref().is_some_and(|redrive| redrive.target == dead_letters);
        let source = template::queues().find(is_target);
        let source = source.unwrap_or_else(|| panic!("no queue has the dead letters {dead_letters}")).name.as_str();
        let now = self.clock.now();
        let mut state = self.state();
        let messages = state.queue(dead_letters).empty(now);
        world.history.note(format_args!("{} messages of {dead_letters} go to {source} again", messages.len()));
        for message in &messages {
            let serial = state.next_serial();
            let message = Message::new(id_of(serial), message.body.clone(), now, now, None);
            state.queue(source).put(serial, message, now);
        }
        self.changed[source].notify_one();
        messages.len()
    }

    /// Whether no message is visible, in flight or delayed in any queue that a function receives from.
    pub fn is_empty(&self) -> bool {
        self.state().queues.iter().all(|(name, queue)| !is_source(name) || queue.is_empty())
    }

    /// Waits until there may be a message to receive. For one task for each queue.
    pub async fn changed(&self, queue: &str) {
        let changed = self.changed[queue].notified();
        let next = self.state().queue(queue).next_visible();
        let Some(next) = next else { return changed.await };
        let wait = Duration::try_from(next.duration_since(self.clock.now())).unwrap_or_default();
        tokio::select! {
            biased;
            () = changed => {}
            () = sleep(wait) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, name: &str) -> &mut Queue {
        self.queues.get_mut(name).unwrap_or_else(|| panic!("no queue {name}"))
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

impl Message {
    fn new(id: String, body: String, sent: Timestamp, visible: Timestamp, again: Option<Duration>) -> Self {
        Self { id, body, sent, visible, first_received: None, received: 0, receipt: None, again }
    }
}

fn id_of(serial: u64) -> String {
    format!("00000000-0000-4000-8000-{serial:012}")
}

/// Whether a function receives from the queue.
fn is_source(queue: &str) -> bool {
    template::queue_mappings().iter().any(|mapping| mapping.queue == queue)
}
