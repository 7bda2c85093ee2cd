//! EventBridge: the events that the bus has accepted.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::call::Call;
use crate::fault::Fault;
use crate::network::Reply;
use crate::world::World;

/// The most events of one call (EventBridge API reference, PutEvents).
const MAX_EVENTS: usize = 10;

/// The bus.
#[derive(Debug, Default)]
pub struct Bus {
    events: Mutex<Vec<(Timestamp, String, Value)>>,
}

impl Bus {
    /// `PutEvents` (EventBridge API reference): each entry is accepted or refused by itself, and the call succeeds
    /// ("Sending events with PutEvents": handling failures). The point of an entry is `event <detail-type>`: it is
    /// refused before, or accepted and reported as refused after.
    ///
    /// # Panics
    /// If it is another operation.
    pub fn serve(&self, world: &World, call: &Call) -> Reply {
        assert_eq!(call.operation, "PutEvents", "no model of the operation");
        let entries = call.json()["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        if entries.is_empty() || entries.len() > MAX_EVENTS {
            return Reply::error(400, "ValidationException");
        }
        let results: Vec<_> = entries.iter().map(|entry| self.put(world, entry)).collect();
        let failed = results.iter().filter(|result| result.get("ErrorCode").is_some()).count();
        Reply::json(200, &json!({"FailedEntryCount": failed, "Entries": results}))
    }

    /// The events, each with the time when it was accepted, its `detail-type` and its detail.
    pub fn events(&self) -> Vec<(Timestamp, String, Value)> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, world: &World, entry: &Value) -> Value {
        let refused = |code: &str| json!({"ErrorCode": code, "ErrorMessage": "simulated"});
        let kind = entry["DetailType"].as_str().expect("an event has a detail type");
        let detail = entry["Detail"].as_str().expect("an event has a detail");
        let detail = serde_json::from_str(detail).expect("the detail of an event is JSON");
        let point = format!("event {kind}");
        let struck = world.faults.pass(&point);
        match struck.before {
            Some(Fault::Throttle) => return refused("ThrottlingException"),
            Some(Fault::Unavailable) => return refused("InternalFailure"),
            _ => {}
        }
        let number = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push((world.clock.now(), kind.to_owned(), detail));
            events.len()
        };
        world.history.note(format_args!("event {kind} #{}", struck.nth));
        match struck.after {
            Some(Fault::Unavailable) => {
                world.faults.took_effect(&point);
                refused("InternalFailure")
            }
            _ => json!({"EventId": format!("event-{number}")}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::call::{Body, Service};
    use crate::aws::lambda::Function;
    use crate::fault::{Moment, Planned};
    use crate::providers::tests::scenario;

    fn put(world: &World, kinds: &[&str]) -> Reply {
        let entries: Vec<_> = kinds.iter().map(|kind| json!({"DetailType": kind, "Detail": "{\"a\": 1}"})).collect();
        let (operation, body) = ("PutEvents".to_owned(), Body::Json(json!({"Entries": entries})));
        let call =
            Call { function: Function::Push, service: Service::EventBridge, operation, target: String::new(), body };
        world.bus.serve(world, &call)
    }

    #[tokio::test(start_paused = true)]
    async fn entries_are_accepted_one_by_one() {
        let fault = |kind: &str, nth, moment, fault| Planned { point: format!("event {kind}"), nth, moment, fault };
        let faults =
            vec![fault("A", 2, Moment::Before, Fault::Throttle), fault("B", 1, Moment::After, Fault::Unavailable)];
        let world = World::new(crate::scenario::Scenario { faults, ..scenario() }, true);
        let reply: Value = serde_json::from_str(&put(&world, &["A", "A", "B"]).body).unwrap();
        assert_eq!(reply["FailedEntryCount"], 2);
        let failures: Vec<_> = (0..3).map(|n| reply["Entries"][n]["ErrorCode"].as_str().unwrap_or("none")).collect();
        assert_eq!(failures, ["none", "ThrottlingException", "InternalFailure"]);
        let kept: Vec<_> = world.bus.events().into_iter().map(|(_, kind, detail)| (kind, detail)).collect();
        assert_eq!(kept, [("A".to_owned(), json!({"a": 1})), ("B".to_owned(), json!({"a": 1}))]);
        assert_eq!(put(&world, &["A"; 11]).status, 400);
    }
}
