//! What may go wrong with a call.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Dynamo;

/// What happens to a call. An attempt of the SDK is a call: a fault that it retries after is followed by another call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing goes wrong: the fault that follows is for a later call.
    Nothing,
    /// The call takes effect, and the connection closes before the response.
    LoseResponse,
    /// The call takes effect, and the response never arrives.
    HangAfterEffect,
    /// The call takes no effect, and no response arrives.
    Hang,
    /// The call takes no effect: `500 InternalServerError`. The SDK retries it.
    Unavailable,
    /// The call takes no effect: `ProvisionedThroughputExceededException`. The SDK retries it.
    Throttle,
    /// The call takes no effect: `ValidationException`. The SDK does not retry it.
    Refuse,
    /// The call takes no effect, because it conflicts with a transaction on one of its items:
    /// `TransactionCanceledException` for `TransactWriteItems`, `TransactionConflictException` for others. The SDK does
    /// not retry it.
    Conflict,
    /// The call takes effect, and the response arrives after this time.
    Delay(Duration),
    /// The last keys of a `BatchGetItem`, or the last items of a `BatchWriteItem`, are left unprocessed: this many. So many of the
    /// last statements of a `BatchExecuteStatement` are throttled.
    Unprocessed(usize),
    /// Something happens between the call's arrival and its effect. See [`Fault::before`].
    Before(Hook),
}

impl Fault {
    /// Runs a closure before the call takes effect: a change that another writer makes at that moment. It can read and
    /// write items, and inject faults.
    pub fn before(hook: impl FnMut(&Dynamo) + Send + 'static) -> Self {
        Self::Before(Hook(Arc::new(Mutex::new(hook))))
    }
}

/// The closure of [`Fault::before`].
#[derive(Clone)]
pub struct Hook(Arc<Mutex<Closure>>);

type Closure = dyn FnMut(&Dynamo) + Send;

impl Hook {
    pub(super) fn run(&self, dynamo: &Dynamo) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(dynamo);
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// The faults of the calls to come, by operation and table.
#[derive(Debug, Default)]
pub(super) struct Faults {
    calls: HashMap<(&'static str, &'static str), Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    /// One for each of the next calls.
    next: VecDeque<Fault>,
    /// For all calls after those.
    always: Option<Fault>,
}

impl Faults {
    pub(super) fn push(&mut self, call: (&'static str, &'static str), faults: impl IntoIterator<Item = Fault>) {
        self.calls.entry(call).or_default().next.extend(faults);
    }

    pub(super) fn set_always(&mut self, call: (&'static str, &'static str), fault: Fault) {
        self.calls.entry(call).or_default().always = Some(fault);
    }

    pub(super) fn take(&mut self, call: (&'static str, &'static str)) -> Fault {
        let plan = self.calls.get_mut(&call);
        plan.and_then(|plan| plan.next.pop_front().or_else(|| plan.always.clone())).unwrap_or(Fault::Nothing)
    }

    /// How many faults wait for their call.
    pub(super) fn waiting(&self) -> usize {
        self.calls.values().map(|plan| plan.next.len()).sum()
    }
}
