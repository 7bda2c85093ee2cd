//! Why a rule is refused.

/// Longest rule, in characters.
pub const RULE_LIMIT: usize = 2_000;

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Too many characters.
    #[error("must have at most {RULE_LIMIT} characters, not {length}")]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// Not CEL.
    #[error("does not parse at line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// The parser could not be run, or crashed.
    #[error("could not be compiled: {reason}")]
    NotCompiled {
        /// Why.
        reason: String,
    },
    /// CEL, but more than a rule may say.
    #[error("at line {line}, column {column} {message}")]
    Refused {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is refused and what may stand instead.
        message: String,
    },
    /// Its value is no yes or no.
    #[error("must be true or false for a customer, but is always of type {kind}")]
    NotACondition {
        /// The type it has.
        kind: String,
    },
    /// It fails whatever the customer.
    #[error("fails for every customer: {reason}")]
    NeverHolds {
        /// The evaluator's words.
        reason: String,
    },
}
