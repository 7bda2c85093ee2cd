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
//! [`waiting`] tells from them what holds a push up.
//!
//! Every method makes one call, or says so. Errors are [`StoreError`]: the store is out of reach, refuses a call for good or
//! holds something unreadable. What a caller must tell apart (lost a race, already done) is a value, not an error.

pub mod customers;
pub mod deliveries;
pub mod limits;
pub mod offers;
pub mod pushes;
pub mod suppressions;
pub mod waiting;

mod batch;
mod cursor;
mod item;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};

pub use cursor::{Cursor, InvalidCursor, Page};
pub use customers::Customers;
pub use deliveries::Deliveries;
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

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The call failed, after the client's own retries.
    #[error("{operation} on {table} failed: {reason}")]
    Unavailable {
        /// The DynamoDB operation.
        operation: &'static str,
        /// The table's name.
        table: String,
        /// The client's words, with their causes.
        reason: String,
    },
    /// DynamoDB calls it malformed, and always will: trying again is no use.
    #[error("{operation} on {table} was refused: {reason}")]
    Refused {
        /// The DynamoDB operation.
        operation: &'static str,
        /// The table's name.
        table: String,
        /// The client's words, with their causes.
        reason: String,
    },
    /// An item does not have the form that this release writes.
    #[error("an item of {table} cannot be read: {reason}")]
    Unreadable {
        /// The table's name.
        table: String,
        /// What is wrong with it. Names attributes, never their values.
        reason: String,
    },
}

impl StoreError {
    /// Sorts what a client says. A missing right or table is no fault of the call: it waits until that is put right.
    fn unavailable(
        operation: &'static str,
        table: &str,
        error: &(impl std::error::Error + ProvideErrorMetadata + Send + Sync),
    ) -> Self {
        let (table, reason) = (table.to_owned(), DisplayErrorContext(error).to_string());
        match error.code() {
            Some("ValidationException") => Self::Refused { operation, table, reason },
            _ => Self::Unavailable { operation, table, reason },
        }
    }

    fn unreadable(table: &str, error: impl ToString) -> Self {
        Self::Unreadable { table: table.to_owned(), reason: error.to_string() }
    }
}
