//! Why a rule is refused.

/// Longest rule, in characters.
pub const RULE_LIMIT: usize = 2_000;

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// It has too many characters.
    #[error("must have at most {RULE_LIMIT} characters, not {length}")]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// It is not CEL.
    #[error("does not parse at line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The parser's message.
        message: String,
    },
    /// The parser could not be started, or crashed.
    #[error("could not be compiled: {reason}")]
    NotCompiled {
        /// Why.
        reason: String,
    },
    /// It is CEL, but not all of CEL is allowed in a rule.
    #[error("at line {line}, column {column} {message}")]
    Refused {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is refused, and what to write instead.
        message: String,
    },
    /// Its value is never true or false.
    #[error("must be true or false for a customer, but is always of type {kind}")]
    NotACondition {
        /// The type of its value.
        kind: String,
    },
    /// Its evaluation fails for every customer.
    #[error("fails for every customer: {reason}")]
    AlwaysFails {
        /// The evaluator's message.
        reason: String,
    },
}
