//! A provider that follows a script, and remembers what it received.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delivery::{Accepted, SendError, Transport};
use domain::TransportId;
use jiff::Timestamp;
use testing::Clock;
use testing::clock::START;

use crate::composer::Letter;

/// What the provider responds to one message.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    result: Result<(), SendError>,
    takes: Duration,
}

/// It takes the message.
pub(crate) fn accepted() -> Reply {
    Reply { result: Ok(()), takes: Duration::ZERO }
}

/// It does not.
pub(crate) fn refused(error: SendError) -> Reply {
    Reply { result: Err(error), takes: Duration::ZERO }
}

impl Reply {
    /// The response takes this long.
    pub(crate) fn after(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }
}

/// A message that the provider received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// In milliseconds since the test began.
    pub(crate) at: i128,
    pub(crate) letter: Letter,
    /// When the sender's lease ends.
    pub(crate) until: Timestamp,
}

/// Gets the number of messages so far and the customer of this one.
type Script = dyn FnMut(usize, &str) -> Reply + Send;

struct State {
    script: Box<Script>,
    received: Vec<Received>,
    in_progress: usize,
    most_in_progress: usize,
}

/// A provider of e-mail. Clones are the same provider. Without a script it accepts every message immediately.
#[derive(Clone)]
pub(crate) struct Provider {
    id: TransportId,
    max_duration: Duration,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Provider {
    /// Its messages take at most `max_duration`.
    pub(crate) fn new(id: TransportId, max_duration: Duration, clock: &Clock) -> Self {
        let script = Box::new(|_: usize, _: &str| accepted());
        let state = State { script, received: Vec::new(), in_progress: 0, most_in_progress: 0 };
        Self { id, max_duration, clock: clock.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// What it responds from now on. The script gets the number of the message, from 0, and its customer.
    pub(crate) fn replies(&self, script: impl FnMut(usize, &str) -> Reply + Send + 'static) {
        self.state().script = Box::new(script);
    }

    /// It responds this to every message from now on.
    pub(crate) fn always(&self, reply: Reply) {
        self.replies(move |_, _| reply.clone());
    }

    /// The messages so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// The customers of the messages so far, in the order in which it received them.
    pub(crate) fn customers(&self) -> Vec<String> {
        self.received().into_iter().map(|received| received.letter.customer).collect()
    }

    /// Each customer once.
    pub(crate) fn reached(&self) -> BTreeSet<String> {
        self.customers().into_iter().collect()
    }

    /// When it received the messages, in milliseconds since the test began.
    pub(crate) fn times(&self) -> Vec<i128> {
        self.received().into_iter().map(|received| received.at).collect()
    }

    /// How many messages it received.
    pub(crate) fn count(&self) -> usize {
        self.state().received.len()
    }

    /// The most messages that were in progress at the same time.
    pub(crate) fn most_in_progress(&self) -> usize {
        self.state().most_in_progress
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives a message, and returns what to respond.
    fn receive(&self, letter: &Letter, until: Timestamp) -> Reply {
        // A script may look at what was received.
        let (mut script, number) = {
            let state = &mut *self.state();
            let at = self.clock.now().duration_since(START).as_millis();
            state.received.push(Received { at, letter: letter.clone(), until });
            state.in_progress += 1;
            state.most_in_progress = state.most_in_progress.max(state.in_progress);
            let placeholder: Box<Script> = Box::new(|_, _| accepted());
            (std::mem::replace(&mut state.script, placeholder), state.received.len() - 1)
        };
        let reply = script(number, &letter.customer);
        self.state().script = script;
        reply
    }
}

impl Transport for Provider {
    type Message = Letter;

    fn id(&self) -> TransportId {
        self.id
    }

    fn max_duration(&self) -> Duration {
        self.max_duration
    }

    async fn send(&self, letter: &Letter, until: Timestamp) -> Result<Accepted, SendError> {
        let Reply { result, takes } = self.receive(letter, until);
        tokio::time::sleep(takes).await;
        self.state().in_progress -= 1;
        result.map(|()| Accepted { message_id: message_id(self.id, &letter.customer) })
    }
}

/// The id of the provider's message to this customer.
pub(crate) fn message_id(transport: TransportId, customer: &str) -> String {
    format!("{transport}/{customer}")
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("id", &self.id).finish_non_exhaustive()
    }
}
