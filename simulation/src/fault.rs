//! What may go wrong, and when.
//!
//! A *point* is a kind of thing that happens again and again: a call of a function (`email DynamoDB.UpdateItem
//! Deliveries`), a step of its conversation with a mail server (`email SMTP.RCPT`), a message that is queued (`message
//! EmailQueue`), its deletion (`delete EmailQueue`), a record of a stream (`record Offers`), a tick of the schedule (`schedule
//! push`), an event (`event push.completed`), an invocation (`invoke email`). A planned fault names a point, which time it is passed, and what goes wrong then.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether a fault comes before or after the effect of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    Before,
    After,
}

/// What goes wrong. Durations are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The process that calls ends.
    Kill,
    /// The process that calls does nothing for this long, and its clock of elapsed time stands still.
    Freeze(u64),
    /// The request, or the response, is lost: the caller sees a closed connection.
    Lose,
    /// The request, or the response, never arrives and the connection stays open.
    Hang,
    /// It takes this much longer. Of a message or a record: it comes this much later.
    Late(u64),
    /// The service refuses for now: too many calls.
    Throttle,
    /// The service reports an error of its own. Afterwards: although the call took effect.
    Unavailable,
    /// A message or a record comes twice, the second time after this long; the schedule invokes twice.
    Twice(u64),
    /// A message or a record is gone for good; the schedule skips a tick.
    Gone,
}

/// A fault at the `nth` passing of a point, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Planned {
    pub point: String,
    pub nth: u32,
    pub moment: Moment,
    pub fault: Fault,
}

/// The faults of a run.
#[derive(Debug, Default)]
pub struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    passed: BTreeMap<String, u32>,
    planned: BTreeMap<String, BTreeMap<(u32, Moment), Fault>>,
    struck: BTreeMap<(String, Moment), u32>,
    ended: bool,
}

/// The faults of one passing of a point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Struck {
    /// How often the point has been passed, this time included.
    pub nth: u32,
    pub before: Option<Fault>,
    pub after: Option<Fault>,
}

impl Faults {
    pub fn new(planned: &[Planned]) -> Self {
        let mut state = State::default();
        for Planned { point, nth, moment, fault } in planned {
            state.planned.entry(point.clone()).or_default().insert((*nth, *moment), *fault);
        }
        Self(Mutex::new(state))
    }

    /// Notes that a point is passed, and returns what goes wrong this time.
    pub fn pass(&self, point: &str) -> Struck {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.passed.contains_key(point) {
            state.passed.insert(point.to_owned(), 0);
        }
        let passed = state.passed.get_mut(point).expect("it was inserted");
        *passed += 1;
        let nth = *passed;
        if state.ended {
            return Struck { nth, ..Struck::default() };
        }
        let fault = |moment| state.planned.get(point).and_then(|faults| faults.get(&(nth, moment)).copied());
        let struck = Struck { nth, before: fault(Moment::Before), after: fault(Moment::After) };
        if struck.before.is_some() {
            *state.struck.entry((point.to_owned(), Moment::Before)).or_default() += 1;
        }
        struck
    }

    /// Counts that something went wrong after what passed a point had its effect. What goes wrong before is counted as it
    /// passes.
    pub fn took_effect(&self, point: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state.struck.entry((point.to_owned(), Moment::After)).or_default() += 1;
    }

    /// From now on nothing planned goes wrong any more.
    pub fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    }

    /// How often each point was passed.
    pub fn passed(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).passed.clone()
    }

    /// How often each point was struck by a fault, before and after its effect.
    pub fn struck(&self) -> BTreeMap<(String, Moment), u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).struck.clone()
    }
}

/// A duration of a fault.
pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
