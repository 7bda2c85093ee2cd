//! The error of every call to the store.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};

/// Why a call to the store failed.
///
/// Every method that calls DynamoDB may return [`StoreError::Unavailable`] and [`StoreError::InvalidRequest`], and
/// every method that reads an item [`StoreError::Unreadable`]. Methods document only the errors that say more than
/// that.
#[derive(Debug, Clone, thiserror::Error)]
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

/// What serde says is wrong with an item, without the values that it quotes: they may be a customer's name.
pub(crate) fn without_values(text: &str) -> &str {
    // These quote the name of an attribute.
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text;
    }
    let value = text.find(|c: char| matches!(c, '"' | '`' | '\'') || c.is_ascii_digit()).unwrap_or(text.len());
    text[..value].trim_end()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Customer {
        #[expect(dead_code, reason = "only read by serde")]
        name: String,
        #[expect(dead_code, reason = "only read by serde")]
        age: u32,
        #[expect(dead_code, reason = "only read by serde")]
        tier: Tier,
    }

    #[derive(Debug, Deserialize)]
    enum Tier {}

    #[test]
    fn errors_name_attributes_and_no_values() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: &str| AttributeValue::N(number.to_owned());
        for (attributes, expected) in [
            (vec![("age", number("1"))], "missing field `name`"),
            (vec![("name", number("1234567")), ("age", number("1"))], "Expected string"),
            (vec![("name", text("A")), ("age", text("Asha"))], "Expected"),
            (vec![("name", text("A")), ("age", number("1234567890123"))], "Failed to parse"),
            (vec![("name", text("A")), ("age", number("1")), ("tier", text("Asha"))], "unknown variant"),
        ] {
            let item: HashMap<_, _> = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let error = serde_dynamo::from_item::<_, Customer>(item).unwrap_err().to_string();
            let described = without_values(&error);
            assert!(!described.contains("Asha") && !described.contains("1234567"), "{described}");
            assert!(described.contains(expected), "{described}");
        }
    }
}
