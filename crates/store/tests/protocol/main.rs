//! How the store uses DynamoDB: its expressions, its conditions and what it makes of lost responses, through the SDK's
//! own client on DynamoDB in process, in virtual time.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod bounces;
mod breaker;
mod bulk_lift;
mod claim;
mod customers;
mod deliveries;
mod history;
mod hold;
mod holder;
mod lists;
mod migration;
mod migration_under_change;
mod offers;
mod outbox;
mod partial;
mod pushed_offers;
mod pushes;
mod rate;
mod record;
mod recovery;
mod report;
mod return_path;
mod scan;
mod suppressions;
mod table;
mod test_messages;
mod together;
mod unkeyed_deliveries;
mod values;
mod world;
