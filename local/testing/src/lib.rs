//! What unit tests run on: DynamoDB in process, behind the SDK's own client, and a clock that follows tokio's virtual
//! time.
//!
//! ```no_run
//! use serde_json::json;
//! use testing::{Dynamo, Fault};
//!
//! # async fn test() {
//! // In a test: #[tokio::test(start_paused = true)], so that timeouts and pauses take no real time.
//! let dynamo = Dynamo::new();
//! dynamo.put("Customers", json!({"pk": "c-1", "name": "Ada"}));
//! dynamo.inject("DeleteItem", "Customers", [Fault::LoseResponse]);
//! // ... the code under test calls `dynamo.client()`, here to delete the customer ...
//! assert_eq!(dynamo.item("Customers", json!({"pk": "c-1"})), None);
//! assert_eq!(dynamo.count("DeleteItem", "Customers"), 2, "the SDK repeats a call without a response");
//! # }
//! ```
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the client's settings, counting calls | `dynamo` |
//! | which operations there are, and what runs them | `dynamo::engine` |
//! | what may go wrong with a call | `dynamo::fault` |
//! | how a call becomes a response | `dynamo::connector` |
//! | reading and writing items in a test | `dynamo::items`, `dynamo::plain` |
//! | which tables there are | `template` |
//! | time and random numbers | `clock`, `random` |
//! | the event bus | `bus` |
//! | messages in flight, and queued | `sqs` |
//! | offers | `offers` |
//! | hashes of addresses | `hashes` |
//! | starting a function's program | `start` |

mod bus;
pub mod clock;
mod dynamo;
mod hashes;
mod offers;
mod random;
mod sqs;
mod start;
mod template;

pub use bus::{Bus, BusState, Published};
pub use clock::Clock;
pub use dynamo::plain::{number_set, string_set};
pub use dynamo::{Dynamo, Engine, Fault, Hook, Operation, Reply, read_call, run_in_part};
pub use hashes::{address_hash, customer_hash, hash_key};
pub use offers::{OFFER, offer, offer_posted, policy};
pub use random::seeded;
pub use sqs::{Hidden, Sent, Sqs};
pub use start::{ACCEPTED, check_starts, environment, start};
