//! Why a rule is refused.

use super::steps::{STEPS_LIMIT, TYPICAL_ENTRIES};

/// Maximum length of a rule, in characters.
pub const RULE_LIMIT: usize = 2_000;

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    #[error("must have at most {RULE_LIMIT} characters, not {length}")]
    TooLong { length: usize },
    #[error("does not parse at line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        message: String,
    },
    /// The parser could not be started, or crashed.
    #[error("could not be compiled: {reason}")]
    NotCompiled { reason: String },
    /// It is CEL, but not all of CEL is allowed in a rule.
    #[error("is invalid at line {line}, column {column}: it {message}")]
    Refused {
        line: usize,
        column: usize,
        /// What is refused, and what to write instead. It follows "it".
        message: String,
    },
    #[error(
        "could take {steps} steps for a customer with lists of {TYPICAL_ENTRIES}, and may take {STEPS_LIMIT}: use fewer \
         or simpler macros (exists, all, map, filter)"
    )]
    TooExpensive { steps: u64 },
    /// Its value is never true or false.
    #[error("must be true or false for a customer, but is always of type {kind}")]
    NotACondition { kind: String },
    #[error("fails for every customer: {reason}")]
    AlwaysFails { reason: String },
}
