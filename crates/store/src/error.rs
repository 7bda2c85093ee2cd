//! Why the store did not do as asked.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};

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
    pub(crate) fn unavailable(
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

    pub(crate) fn unreadable(table: &str, error: impl ToString) -> Self {
        Self::Unreadable { table: table.to_owned(), reason: error.to_string() }
    }
}
