//! The text of a rule, as it is stored and queued.

use serde::{Deserialize, Serialize};

use super::{InvalidRule, Rule};

/// A rule that was valid when its offer was posted.
///
/// Reading a stored or queued one does not check it again. So an offer whose rule a later release refuses can still be
/// read, listed and delivered; only selecting its customers fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleText(String);

impl RuleText {
    /// Checks a rule as callers post it.
    ///
    /// # Errors
    /// As [`Rule::parse`].
    pub fn parse(source: &str) -> Result<Self, InvalidRule> {
        Rule::parse(source)?;
        Ok(Self(source.to_owned()))
    }

    /// The rule as it was posted.
    pub fn source(&self) -> &str {
        &self.0
    }

    /// Compiles the rule. It may be longer or more expensive than a rule that is posted now: what bounds its evaluation
    /// are the steps that it has for each customer.
    ///
    /// # Errors
    /// If this release does not accept the rule any more.
    pub fn compile(&self) -> Result<Rule, InvalidRule> {
        Rule::compile(&self.0).map(|(rule, _)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_is_checked_when_posted_and_when_compiled_but_not_when_read() {
        assert!(RuleText::parse("customer.tier ==").is_err());
        let stored: RuleText = serde_json::from_str(r#""customer.tier ==""#).unwrap();
        assert_eq!(stored.source(), "customer.tier ==");
        assert!(matches!(stored.compile(), Err(InvalidRule::Syntax { .. })));
        assert_eq!(serde_json::to_string(&stored).unwrap(), r#""customer.tier ==""#);
    }
}
