//! One standard queue: its messages, and which of them can be received.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::aws::template;
use crate::chance::Chance;

/// For how long old counts are kept: they may be reported for about a minute (SQS API reference, GetQueueAttributes).
pub(super) const STALE: Duration = Duration::from_secs(60);
/// Order is kept at best effort (SQS Developer Guide, "Amazon SQS standard queues"): mostly one of the oldest comes next.
const NEAR: usize = 10;
const FAR: f64 = 0.1;
/// When the copy of a message comes once nothing goes wrong any more.
const SOON: Duration = Duration::from_secs(10);

/// A message. A copy of one has the same id and another serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) sent: Timestamp,
    pub(super) visible: Timestamp,
    pub(super) first_received: Option<Timestamp>,
    pub(super) received: u32,
    /// Of the last time that it was received.
    pub(super) receipt: Option<String>,
    /// It comes once more, this long after it is first received.
    pub(super) again: Option<Duration>,
}

/// A message as it is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub id: String,
    pub receipt: String,
    pub body: String,
    pub sent: Timestamp,
    pub first_received: Timestamp,
    /// How often, this time included.
    pub times: u32,
}

/// How many messages can be received, are in flight and are delayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub visible: usize,
    pub in_flight: usize,
    pub delayed: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    settings: &'static template::Queue,
    messages: BTreeMap<u64, Message>,
    /// Counts as they were after each change of the last minute.
    counts: VecDeque<(Timestamp, Counts)>,
    pub(super) bodies: Vec<String>,
    /// Whether it keeps these two.
    pub(super) keeps_history: bool,
}

impl Queue {
    pub(super) fn new(settings: &'static template::Queue) -> Self {
        Self { settings, messages: BTreeMap::new(), counts: VecDeque::new(), bodies: Vec::new(), keeps_history: true }
    }

    pub(super) fn settings(&self) -> &'static template::Queue {
        self.settings
    }

    pub(super) fn put(&mut self, serial: u64, message: Message, now: Timestamp) {
        if self.keeps_history {
            self.bodies.push(message.body.clone());
        }
        self.messages.insert(serial, message);
        self.keep_counts(now);
    }

    /// Receives up to `most` messages. Those that were received as often as the queue allows leave it instead, for its
    /// dead-letter queue (SQS Developer Guide, "Using dead-letter queues"). A copy of one that
    /// comes twice comes in its time, or soon if `is_calm`.
    pub(super) fn receive(
        &mut self,
        most: usize,
        now: Timestamp,
        chance: &Chance,
        mut serial: impl FnMut() -> u64,
        is_calm: bool,
    ) -> (Vec<Received>, Vec<Message>) {
        let kept = self.settings.retention;
        self.messages.retain(|_, message| message.sent + kept > now);
        let mut visible: Vec<_> =
            self.messages.iter().filter(|(_, one)| one.visible <= now).map(|(at, _)| *at).collect();
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        while received.len() < most && !visible.is_empty() {
            let near = if chance.happens(FAR) { visible.len() } else { visible.len().min(NEAR) };
            let number = visible.remove(chance.below(near));
            let message = self.messages.get_mut(&number).expect("it was listed");
            let limit = self.settings.redrive.as_ref().map(|redrive| redrive.max_receives);
            if limit.is_some_and(|limit| message.received >= limit) {
                dead.extend(self.messages.remove(&number));
                continue;
            }
            if let Some(after) = message.again.take() {
                let after = if is_calm { after.min(SOON) } else { after };
                let copy = Message { visible: now + after, ..message.clone() };
                self.messages.insert(serial(), copy);
            }
            let message = self.messages.get_mut(&number).expect("it was listed");
            message.received += 1;
            message.visible = now + self.settings.visibility;
            // Each time another (SQS Developer Guide, "Queue and message identifiers").
            let receipt = format!("{number}-{}", message.received);
            message.receipt = Some(receipt.clone());
            received.push(Received {
                id: message.id.clone(),
                receipt,
                body: message.body.clone(),
                sent: message.sent,
                first_received: *message.first_received.get_or_insert(now),
                times: message.received,
            });
        }
        self.keep_counts(now);
        (received, dead)
    }

    /// Deletes a message. One that was received once more since stays (SQS API reference, DeleteMessage).
    pub(super) fn delete(&mut self, receipt: &str, now: Timestamp) -> bool {
        let Some(number) = self.number(receipt) else { return false };
        self.messages.remove(&number);
        self.keep_counts(now);
        true
    }

    /// Hides a message for this long from now on. False if it is not in flight (SQS API reference,
    /// ChangeMessageVisibility).
    pub(super) fn hide(&mut self, receipt: &str, time: Duration, now: Timestamp) -> bool {
        let Some(number) = self.number(receipt) else { return false };
        let message = self.messages.get_mut(&number).expect("it was found");
        if message.visible <= now {
            return false;
        }
        message.visible = now + time;
        self.keep_counts(now);
        true
    }

    /// Takes all messages out, also those in flight.
    pub(super) fn empty(&mut self, now: Timestamp) -> Vec<Message> {
        let messages = std::mem::take(&mut self.messages).into_values().collect();
        self.keep_counts(now);
        messages
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values()
    }

    /// When a message can be received next.
    pub(super) fn next_visible(&self) -> Option<Timestamp> {
        self.messages.values().map(|message| message.visible).min()
    }

    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let mut counts = Counts::default();
        for message in self.messages.values() {
            match message {
                message if message.visible <= now => counts.visible += 1,
                message if message.receipt.is_some() => counts.in_flight += 1,
                _ => counts.delayed += 1,
            }
        }
        counts
    }

    /// The counts as they were at a time within the last minute.
    pub(super) fn counts_at(&self, time: Timestamp) -> Counts {
        if !self.keeps_history {
            return self.counts(time);
        }
        self.counts.iter().rev().find(|(at, _)| *at <= time).map(|(_, counts)| *counts).unwrap_or_default()
    }

    fn number(&self, receipt: &str) -> Option<u64> {
        let number = receipt.split_once('-')?.0.parse().ok()?;
        (self.messages.get(&number)?.receipt.as_deref() == Some(receipt)).then_some(number)
    }

    fn keep_counts(&mut self, now: Timestamp) {
        if !self.keeps_history {
            return;
        }
        self.counts.push_back((now, self.counts(now)));
        while self.counts.get(1).is_some_and(|(at, _)| *at + STALE <= now) {
            self.counts.pop_front();
        }
    }
}
