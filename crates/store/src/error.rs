//! The error of every call to the store.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};

/// Why a call to the store failed.
///
/// Every method that calls DynamoDB may return [`StoreError::Unavailable`] and [`StoreError::InvalidRequest`], and
/// every method that reads an item [`StoreError::Unreadable`]. Methods document only the errors that say more than
/// that.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The call failed after the client's own retries. A write may have been made all the same.
    #[error("{operation} on {table} failed: {reason}")]
    Unavailable {
        /// The DynamoDB operation.
        operation: &'static str,
        /// The table's name.
        table: String,
        /// The client's error with its causes.
        reason: String,
    },
    /// DynamoDB rejected the call as malformed. Retrying does not help.
    #[error("{operation} on {table} was refused: {reason}")]
    InvalidRequest {
        /// The DynamoDB operation.
        operation: &'static str,
        /// The table's name.
        table: String,
        /// The client's error with its causes.
        reason: String,
    },
    /// An item does not have the form that this release writes.
    #[error("an item of {table} cannot be read: {reason}")]
    Unreadable {
        /// The table's name.
        table: String,
        /// What is wrong with the item. Names attributes, never their values.
        reason: String,
    },
}

impl StoreError {
    /// Classifies a client error. A missing permission or table counts as unavailable: the same call succeeds once an
    /// operator has fixed it.
    pub(crate) fn call_failed(
        operation: &'static str,
        table: &str,
        error: &(impl std::error::Error + ProvideErrorMetadata + Send + Sync),
    ) -> Self {
        let (table, reason) = (table.to_owned(), DisplayErrorContext(error).to_string());
        match error.code() {
            Some("ValidationException") => Self::InvalidRequest { operation, table, reason },
            _ => Self::Unavailable { operation, table, reason },
        }
    }

    pub(crate) fn unreadable(table: &str, error: impl ToString) -> Self {
        Self::Unreadable { table: table.to_owned(), reason: error.to_string() }
    }
}
