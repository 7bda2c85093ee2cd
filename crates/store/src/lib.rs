//! The DynamoDB tables, one module each. No other crate knows a key, an attribute or an index.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | Offers: offers, requests for pushes, idempotency keys, test messages | [`offers`] |
//! | Pushes: the progress of a push and of its slices | [`pushes`] |
//! | Customers: customers and their addresses | [`customers`] |
//! | Deliveries: the outcome of each notification | [`deliveries`] |
//! | Suppressions: suppressed addresses and opt-outs | [`suppressions`] |
//! | Pacing: rate limits and circuit breakers of transports | [`limits`] |
//! | conditional writes, batch calls, and how errors are classified | `table`, [`StoreError`] |
//! | several writes in one call, each by itself | `statement` |
//! | cursors of lists | [`Cursor`] |
//! | how a page of a list is filled | `list` |
//! | what one customer was sent, across offers | [`history`] |
//! | what a queue message is about: a push with its offer | [`pushed_offers`] |
//! | how values become attributes | `attributes` |
//!
//! What a caller must distinguish (lost a race, already done) is a value, not an error.

pub mod customers;
pub mod deliveries;
pub mod history;
pub mod limits;
pub mod offers;
pub mod pushed_offers;
pub mod pushes;
pub mod suppressions;

mod attributes;
mod cursor;
mod error;
mod list;
mod statement;
mod table;

use aws_sdk_dynamodb::Client;
use domain::Sources;

pub use cursor::{Cursor, InvalidCursor, Page};
pub use customers::Customers;
pub use deliveries::Deliveries;
pub use error::StoreError;
pub use limits::TransportLimits;
pub use offers::Offers;
pub use pushed_offers::{MAX_READ_AGE, PushedOffer, PushedOffers};
pub use pushes::Pushes;
pub use suppressions::Suppressions;

/// A table that a function opens by the name in its settings.
pub trait OpenTable {
    /// The environment variable that holds the table's name; `template.yaml` sets it.
    const SETTING: &'static str;

    /// Opens the table with this name.
    fn open(client: Client, name: String, sources: Sources) -> Self;
}

macro_rules! open_table {
    ($($table:ident = $setting:literal,)+) => {
        $(
            impl OpenTable for $table {
                const SETTING: &'static str = $setting;

                fn open(client: Client, name: String, sources: Sources) -> Self {
                    Self::new(client, name, sources)
                }
            }
        )+
    };
}

open_table! {
    Customers = "CUSTOMERS_TABLE",
    Deliveries = "DELIVERIES_TABLE",
    Offers = "OFFERS_TABLE",
    Pushes = "PUSHES_TABLE",
    Suppressions = "SUPPRESSIONS_TABLE",
    TransportLimits = "PACING_TABLE",
}
