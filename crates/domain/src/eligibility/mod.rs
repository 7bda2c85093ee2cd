//! Eligibility rules: CEL expressions over `customer`.
//!
//! A rule is posted by somebody, kept for ever and run once for every customer of the bank. So everything that can be
//! wrong with it is found when it is posted, and what could run long or take much memory is refused then: a macro runs
//! only over an attribute of the customer (short by the limits of [`crate::customer`]) and never within another macro.
//!
//! Numbers differ from plain CEL in one way, for the sake of whoever writes rules: whole and fractional numbers mix
//! freely and division is exact (`7 / 2 == 3.5`), because the table that keeps the customers does not tell 5000.0 from
//! 5000 and a rule must not depend on which of the two a customer has.

mod check;
mod compile;
mod invalid;
mod numbers;
mod value;

use std::sync::Arc;

use cel::common::ast::IdedExpr;
use cel::{Context, ExecutionError, Value};
use serde::{Deserialize, Serialize};

use self::check::{CUSTOMER, Check, Scope};
use self::compile::compile;
pub use self::invalid::{InvalidRule, RULE_LIMIT};
use self::numbers::{root, with_free_numbers};
use self::value::customer_value;
use crate::customer::Customer;

/// A rule that says for whom an offer is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    source: String,
    expression: Arc<IdedExpr>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Rule {
    /// # Errors
    /// If the rule is too long, is not CEL, names what it may not, could run for long, or cannot be true or false.
    pub fn parse(source: &str) -> Result<Self, InvalidRule> {
        let length = source.chars().count();
        if length > RULE_LIMIT {
            return Err(InvalidRule::TooLong { length });
        }
        let program = compile(source)?;
        let check = Check { source: program.source_info() };
        check.expression(program.expression(), &Scope::default(), 0)?;
        let rule =
            Self { source: source.to_owned(), expression: Arc::new(with_free_numbers(program.expression().clone())) };
        // A rule that reads no customer has one value, known now.
        if !program.references().has_variable(CUSTOMER) {
            match rule.expression.resolve_in(&root()) {
                Ok(Value::Bool(_)) => {}
                Ok(other) => {
                    return Err(InvalidRule::NotACondition { kind: other.type_of().to_string() });
                }
                Err(error) => {
                    return Err(InvalidRule::NeverHolds { reason: error.to_string() });
                }
            }
        }
        Ok(rule)
    }

    /// The rule as it was posted.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Readies the rule for many customers. Cheap, but not so cheap as to be done for each of them.
    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator { rule: self, root: root() }
    }
}

impl TryFrom<String> for Rule {
    type Error = InvalidRule;

    fn try_from(source: String) -> Result<Self, Self::Error> {
        Self::parse(&source)
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.source
    }
}

/// What a rule says of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The offer is for her.
    Eligible,
    /// The offer is not for her.
    NotEligible,
    /// She lacks what the rule reads, or has it of another type: not eligible, and counted.
    Unevaluable,
}

/// A rule ready to be run.
pub struct Evaluator<'r> {
    rule: &'r Rule,
    root: Context<'static, 'static>,
}

impl Evaluator<'_> {
    /// Runs the rule for one customer.
    pub fn verdict(&self, customer: &Customer) -> Verdict {
        let mut scope = self.root.new_inner_scope();
        scope.add_variable_from_value(CUSTOMER, customer_value(customer));
        match self.rule.expression.resolve_in(&scope) {
            Ok(Value::Bool(true)) => Verdict::Eligible,
            Ok(Value::Bool(false)) => Verdict::NotEligible,
            Ok(_) | Err(_) => Verdict::Unevaluable,
        }
    }
}

trait ResolveIn {
    fn resolve_in(&self, context: &Context<'_, '_>) -> Result<Value, ExecutionError>;
}

impl ResolveIn for IdedExpr {
    fn resolve_in(&self, context: &Context<'_, '_>) -> Result<Value, ExecutionError> {
        Value::resolve(self, context)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn customer(attributes: serde_json::Value) -> Customer {
        Customer::parse(
            "c-1",
            json!({"name": "Asha", "channels": ["email"], "locale": "en-IN", "attributes": attributes}),
        )
        .unwrap()
    }

    fn verdict(rule: &str, attributes: serde_json::Value) -> Verdict {
        Rule::parse(rule).unwrap().evaluator().verdict(&customer(attributes))
    }

    #[test]
    fn a_rule_selects_by_attributes() {
        let rule = "customer.tier in ['gold', 'platinum'] && customer.monthly_spend >= 5000";
        assert_eq!(verdict(rule, json!({"tier": "gold", "monthly_spend": 5000})), Verdict::Eligible);
        assert_eq!(verdict(rule, json!({"tier": "gold", "monthly_spend": 4999.99})), Verdict::NotEligible);
        assert_eq!(verdict("customer.id == 'c-1' && customer.locale.startsWith('en')", json!({})), Verdict::Eligible);
        assert_eq!(verdict("customer['tier'] == 'gold'", json!({"tier": "gold"})), Verdict::Eligible);
        assert_eq!(verdict("customer.cards.exists(c, c == 'visa')", json!({"cards": ["visa"]})), Verdict::Eligible);
        assert_eq!(
            verdict("size(customer.cards.filter(c, c > 2)) == 1", json!({"cards": [1, 2.5]})),
            Verdict::Eligible
        );
        assert_eq!(verdict("customer.cards.map(c, c * 1.5) == [1.5]", json!({"cards": [1]})), Verdict::Eligible);
        assert_eq!(verdict("customer.cards.exists_one(c, c == 1)", json!({"cards": [1, 2]})), Verdict::Eligible);
        assert_eq!(verdict("true", json!({})), Verdict::Eligible);
    }

    #[test]
    fn whole_and_fractional_numbers_mix() {
        for rule in [
            "customer.n * 1.5 == 15",
            "customer.n + 0.5 == 10.5",
            "0.5 + customer.n == 10.5",
            "customer.n - 0.5 > 9",
            "customer.n / 4 == 2.5",
            "customer.n % 4 == 2",
            "customer.n % 2.5 == 0",
            "customer.n >= 9.99 && customer.n == 10.0",
            "-customer.n < 0",
        ] {
            assert_eq!(verdict(rule, json!({"n": 10})), Verdict::Eligible, "{rule}");
            assert_eq!(verdict(rule, json!({"n": 10.0})), Verdict::Eligible, "{rule}");
        }
        assert_eq!(verdict("customer.n / 0 > 1", json!({"n": 10})), Verdict::Unevaluable);
        assert_eq!(verdict("customer.a + customer.b == 'xy'", json!({"a": "x", "b": "y"})), Verdict::Eligible);
    }

    #[test]
    fn a_customer_who_lacks_what_the_rule_reads_is_counted() {
        assert_eq!(verdict("customer.tier == 'gold'", json!({})), Verdict::Unevaluable);
        assert_eq!(verdict("customer.spend > 5", json!({"spend": "much"})), Verdict::Unevaluable);
        assert_eq!(verdict("customer.tier", json!({"tier": "gold"})), Verdict::Unevaluable);
        assert_eq!(verdict("has(customer.tier) && customer.tier == 'gold'", json!({})), Verdict::NotEligible);
    }

    fn refusal(rule: &str) -> String {
        Rule::parse(rule).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_parse_is_refused_with_its_place() {
        let message = refusal("customer.tier == 'gold' &&\n  customer.spend >= >= 5");
        assert!(message.starts_with("does not parse at line 2, column 21"), "{message}");
        assert!(refusal("").contains("the rule is empty"));
        assert!(refusal(&format!("customer.a == '{}'", "x".repeat(RULE_LIMIT))).contains("at most 2000 characters"));
    }

    #[test]
    fn what_is_unknown_is_refused_with_its_place() {
        let message = refusal("customer.tier == 'gold' && account.open");
        assert!(message.starts_with("at line 1, column 28 names the unknown variable account"), "{message}");
        assert!(refusal("customer.name.matches('a+')").contains("calls the unknown function matches"));
        assert!(refusal("now() > 5").contains("calls the unknown function now"));
        assert!(refusal("customer == 5").contains("uses customer as a whole"));
    }

    #[test]
    fn what_could_run_for_long_is_refused() {
        assert!(refusal("customer.a.all(x, customer.b.all(y, x == y))").contains("macro within a macro"));
        assert!(refusal("[1, 2, 3].all(x, x > 0)").contains("not an attribute"));
        assert!(refusal("customer.a.map(x, [x, x]).all(y, true)").contains("not an attribute"));
        assert!(refusal("customer.all(x, true)").contains("not an attribute"));
        assert!(refusal("customer.a.map(x, [customer.s, customer.s]) == []").contains("builds a list within a macro"));
        assert!(refusal("customer.a.exists(x, {'k': x} == {})").contains("builds a map within a macro"));
        let joins = "customer.a.map(x, customer.s + customer.s) == []";
        assert_eq!(verdict(joins, json!({"a": [1], "s": "x"})), Verdict::Unevaluable);
        assert_eq!(verdict("customer.a.exists(x, x in ['b', 'c'])", json!({"a": ["b"]})), Verdict::Eligible);
        let deep = |n: usize| format!("{}customer.a{}", "(1 + ".repeat(n), ")".repeat(n)) + " > 0";
        assert!(Rule::parse(&deep(20)).is_ok());
        // Deep, but allowed: it must also evaluate on the stack of a worker thread.
        assert_eq!(verdict(&format!("customer.a{} > 0", " + 1".repeat(45)), json!({"a": 1})), Verdict::Eligible);
        for rule in [deep(300), "[".repeat(1900), "(".repeat(1900)] {
            assert!(refusal(&rule).contains("it nests too deep"), "{rule}");
        }
        let chain = format!("customer.a{} > 0", " + 1".repeat(400));
        assert!(refusal(&chain).contains("nests more than 50 deep"));
        // A long chain of conditions is not deep.
        let chain = vec!["customer.a == 1"; 100].join(" || ");
        assert_eq!(verdict(&chain, json!({"a": 2})), Verdict::NotEligible);
    }

    #[test]
    fn a_rule_is_a_condition() {
        assert!(refusal("1 + 1").contains("always of type int"));
        assert!(refusal("'gold'").contains("always of type string"));
        assert!(refusal("1 / 0 == 1").contains("fails for every customer"));
    }
}
