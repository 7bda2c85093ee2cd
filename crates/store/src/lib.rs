//! The tables, one module each. Nothing outside this crate knows a key, an attribute or an index.
//!
//! # Layout
//! | table | module | one item is |
//! |---|---|---|
//! | Offers | [`offers`] | an offer, a request for a push, or an idempotency key |
//! | Pushes | [`pushes`] | a push's progress, or a slice's |
//! | Customers | [`customers`] | a customer |
//! | Deliveries | [`deliveries`] | what became of one notification |
//! | Suppressions | [`suppressions`] | an address that must not be written to, or a customer's word that she wants no more |
//! | Pacing | [`limits`] | whether a transport may be called now |
//!
//! Every method makes one call, or says so. Errors are [`StoreError`]: the store is out of reach, refuses a call for good or
//! holds something unreadable. What a caller must tell apart (lost a race, already done) is a value, not an error.

pub mod customers;
pub mod deliveries;
pub mod limits;
pub mod offers;
pub mod pushes;
pub mod suppressions;

mod attributes;
mod batch;
mod cursor;
mod error;

use aws_sdk_dynamodb::Client;

pub use cursor::{Cursor, InvalidCursor, Page};
pub use customers::Customers;
pub use deliveries::Deliveries;
pub use error::StoreError;
pub use limits::TransportLimits;
pub use offers::Offers;
pub use pushes::Pushes;
pub use suppressions::Suppressions;

/// A table that a function opens by the name in its settings.
pub trait OpenTable {
    /// The environment variable that holds the table's name; `template.yaml` sets it.
    const SETTING: &'static str;

    /// A handle on the table with this name.
    fn open(client: Client, name: String) -> Self;
}

macro_rules! open_table {
    ($($table:ident = $setting:literal,)+) => {
        $(
            impl OpenTable for $table {
                const SETTING: &'static str = $setting;

                fn open(client: Client, name: String) -> Self {
                    Self::new(client, name)
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
