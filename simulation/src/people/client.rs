//! Calling a function as a client of the API does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::aws::lambda::{Function, Invoked};
use crate::world::World;

/// How long a client waits before each further attempt, in seconds. Four minutes in all, besides the calls.
const PAUSES: [u64; 8] = [1, 2, 4, 8, 15, 30, 60, 120];

/// A function's answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// What a client was told in the end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// The last answer. `None` if there was none, or one that says to try again.
    pub(super) answer: Option<Answer>,
    pub(super) attempts: u32,
}

/// Calls a function, and repeats the call while there is no answer or one that says to try again.
///
/// # Panics
/// If what the function returns is no answer.
pub(super) async fn call(world: &Arc<World>, function: Function, request: &Value) -> Told {
    let mut pauses = PAUSES.iter();
    let mut attempts = 0;
    loop {
        attempts += 1;
        if let Invoked::Returned(returned) = world.lambda.invoke(world, function, request.clone()).await {
            let answer = read(&returned);
            if !is_repeated(request, answer.status) {
                return Told { answer: Some(answer), attempts };
            }
        }
        match pauses.next() {
            Some(pause) => sleep(Duration::from_secs(*pause)).await,
            None => return Told { answer: None, attempts },
        }
    }
}

fn read(returned: &Value) -> Answer {
    let status = returned["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    Answer { status: status.expect("an answer has a status"), body: returned["body"].clone() }
}

/// Whether an answer says to try again: a request that is posted with an idempotency key also if another attempt of it is
/// still in progress (docs/api.yaml).
fn is_repeated(request: &Value, status: u16) -> bool {
    let has_key = request["headers"].get("Idempotency-Key").is_some();
    status >= 500 || status == 429 || (status == 409 && has_key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_succeed_later_is_repeated() {
        let keyed = json!({"headers": {"Idempotency-Key": "a"}});
        for (request, status, repeats) in [
            (&keyed, 201, false),
            (&keyed, 409, true),
            (&keyed, 503, true),
            (&keyed, 422, false),
            (&json!({}), 409, false),
            (&json!({}), 429, true),
            (&json!({}), 404, false),
        ] {
            assert_eq!(is_repeated(request, status), repeats, "{request} {status}");
        }
    }
}
