//! Eligibility rules: CEL expressions over `customer`.
//!
//! A caller posts a rule once; it is kept and evaluated for every customer of the bank. So every fault that does not
//! depend on a customer is found when the rule is posted. A rule has so many steps for each customer ([`steps`]), which
//! bounds its time and memory. One that could not do with them for a typical customer is refused when posted; a customer
//! for which the steps do not suffice is unevaluable.
//!
//! Tables and queues hold the rule's text ([`RuleText`]). It is compiled where customers are selected, and nowhere else:
//! compiling takes a thread with a large stack, and a later release may refuse a rule that this one accepts.
//!
//! Arithmetic differs from plain CEL in one way: whole and fractional numbers mix, and division does not truncate:
//! `7 / 2 == 3.5`. DynamoDB does not distinguish 5000.0 from 5000, so a rule must not depend on which of the two a
//! customer has.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how a rule is stored and queued | `text` |
//! | how a rule is parsed | `compile` |
//! | what a rule may say | `check` |
//! | why a rule is refused, and the message | `invalid` |
//! | arithmetic | `numbers` |
//! | how much a rule may do | `steps` |
//! | what a rule reads as `customer` | `values` |

mod check;
mod compile;
mod invalid;
mod numbers;
mod steps;
mod text;
mod tree;
mod values;

use std::fmt;

use cel::common::ast::IdedExpr;
use cel::{Context, ExecutionError, Value};

use self::check::{CUSTOMER, Check, Scope};
use self::compile::compile;
pub use self::invalid::{InvalidRule, RULE_LIMIT};
use self::numbers::{functions, with_mixed_numbers};
use self::steps::{STEPS_LIMIT, Steps, with_steps};
pub use self::text::RuleText;
use self::values::{CustomerValues, NamesRead, with_variables};
use crate::customer::{Customer, Projection};

/// The condition under which an offer is for a customer, compiled. [`RuleText`] is what is stored of it.
pub struct Rule {
    expression: IdedExpr,
    functions: Context<'static, 'static>,
    reads: NamesRead,
}

/// Without the compiled expression, which is long and says no more than the text.
impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").finish_non_exhaustive()
    }
}

impl Rule {
    /// Parses and checks a rule as callers post it.
    ///
    /// # Errors
    /// If the rule is too long, is not CEL, uses an unknown name, could run for long, or cannot be true or false.
    pub fn parse(source: &str) -> Result<Self, InvalidRule> {
        let length = source.chars().count();
        if length > RULE_LIMIT {
            return Err(InvalidRule::TooLong { length });
        }
        let (rule, steps) = Self::compile(source)?;
        if steps > STEPS_LIMIT {
            return Err(InvalidRule::TooExpensive { steps });
        }
        Ok(rule)
    }

    /// Compiles a rule, and says how many steps it takes for a typical customer.
    fn compile(source: &str) -> Result<(Self, u64), InvalidRule> {
        let program = compile(source)?;
        let check = Check { source: program.source_info() };
        check.expression(program.expression(), &Scope::default(), 0)?;
        let mut expression = program.expression().clone();
        let steps = steps::typical(&expression);
        let mut reads = NamesRead::default();
        with_steps(&mut expression);
        with_variables(&mut expression, &mut reads);
        with_mixed_numbers(&mut expression);
        let rule = Self { expression, functions: functions(), reads };
        // A rule that does not read the customer always has the same value, so it is evaluated now.
        if !program.references().has_variable(CUSTOMER) {
            let steps = Steps::new();
            let mut scope = rule.functions.new_inner_scope();
            scope.set_variable_resolver(&steps);
            match rule.expression.resolve_in(&scope) {
                Ok(Value::Bool(_)) => {}
                Ok(other) => {
                    return Err(InvalidRule::NotACondition { kind: other.type_of().to_string() });
                }
                Err(error) => {
                    return Err(InvalidRule::AlwaysFails { reason: error.to_string() });
                }
            }
        }
        Ok((rule, steps))
    }

    /// The attributes that a customer must be read with for [`Rule::verdict`].
    pub fn projection(&self) -> Projection {
        let NamesRead { values, presence, computes_names } = &self.reads;
        if *computes_names { Projection::Whole } else { values.iter().chain(presence).map(String::as_str).collect() }
    }

    /// The fields and attributes whose values it reads. Where it computes their names, those are not known.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.reads.values.iter().map(String::as_str)
    }

    /// The fields and attributes that a customer does not have, and whose values the rule reads without asking for them by `has`.
    /// Where it computes their names, those are not known.
    pub fn lacking<'r>(&'r self, customer: &'r Customer) -> impl Iterator<Item = &'r str> {
        let is_asked = |name: &str| self.reads.presence.iter().any(|asked| asked == name);
        self.reads().filter(move |name| !is_asked(name) && !customer.has(name))
    }

    /// Evaluates the rule for one customer.
    pub fn verdict(&self, customer: &Customer) -> Verdict {
        let values = CustomerValues::new(customer, &self.reads.values);
        let mut scope = self.functions.new_inner_scope();
        scope.set_variable_resolver(&values);
        match self.expression.resolve_in(&scope) {
            _ if !values.had_enough_steps() => Verdict::Unevaluable,
            Ok(Value::Bool(true)) => Verdict::Eligible,
            Ok(Value::Bool(false)) => Verdict::NotEligible,
            Ok(_) | Err(_) => Verdict::Unevaluable,
        }
    }
}

/// The result of a rule for one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The offer is for the customer.
    Eligible,
    /// The offer is not for the customer.
    NotEligible,
    /// The rule could not be evaluated: the customer lacks an attribute that it reads, or has it of another type, or it
    /// has no value (`/ 0`) or no truth value, or its steps did not suffice. Not eligible, and counted.
    Unevaluable,
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

    /// The verdict of a customer with these attributes, whether they are read with all of them or with those that the rule needs.
    fn verdict(rule: &str, attributes: serde_json::Value) -> Verdict {
        let rule = Rule::parse(rule).unwrap();
        let whole = customer(attributes);
        let mut projected = whole.clone();
        if let Projection::Attributes(names) = rule.projection() {
            projected.attributes.retain(|name, _| names.contains(name));
        }
        let verdict = rule.verdict(&whole);
        assert_eq!(rule.verdict(&projected), verdict, "{rule:?}");
        verdict
    }

    #[test]
    fn rule_selects_by_attributes() {
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
    fn rule_reads_attributes_by_any_of_their_names() {
        let attributes =
            json!({"tier": "gold", "result": [1], "key": "tier", "address": {"city": "Porto", "zip": null}});
        for rule in [
            "customer[customer.key] == 'gold'",
            "customer['address'].city == 'Porto' && customer.address['city'] == 'Porto'",
            "has(customer.address.city) && !has(customer.address.street) && !has(customer.street)",
            "has(customer.name) && has(customer.locale) && !has(customer.timeZone)",
            "customer.result.all(x, x in customer.result) && customer.result.map(x, x) == customer.result",
            "'city' in customer.address && customer.address.exists(k, k == 'city')",
        ] {
            assert_eq!(verdict(rule, attributes.clone()), Verdict::Eligible, "{rule}");
        }
        for rule in
            ["customer[customer.name] == 'gold'", "has(customer.street.number)", "customer.address.street == ''"]
        {
            assert_eq!(verdict(rule, attributes.clone()), Verdict::Unevaluable, "{rule}");
        }
    }

    #[test]
    fn what_a_customer_lacks_is_what_the_rule_reads_and_not_what_it_asks_for() {
        let rule = Rule::parse(
            "has(customer.card) && customer.card != '' || customer.tier == 'gold' && customer.name != '' && customer.spend > 1",
        );
        let (rule, person) = (rule.unwrap(), customer(json!({"tier": "gold"})));
        assert_eq!(rule.lacking(&person).collect::<Vec<_>>(), ["spend"]);
        assert_eq!(rule.lacking(&customer(json!({}))).collect::<Vec<_>>(), ["tier", "spend"]);
    }

    #[test]
    fn rule_needs_only_the_attributes_that_it_names() {
        for (rule, names) in [
            ("true", &[][..]),
            ("customer.tier == 'gold' && customer['tier'] != customer.id", &["tier"]),
            ("has(customer.card) && customer.locale == 'en'", &["card"]),
            ("customer.cards.exists(c, c == customer.card.number)", &["card", "cards"]),
            ("!has(customer.address.city)", &["address"]),
            ("customer.tier == 'gold' || customer[''] == 1", &["tier"]),
        ] {
            assert_eq!(Rule::parse(rule).unwrap().projection(), names.iter().copied().collect(), "{rule}");
        }
        for rule in
            ["customer[customer.key] == 1", "customer['a' + 'b'] == 1", "customer.keys.all(k, customer[k] == 1)"]
        {
            assert_eq!(Rule::parse(rule).unwrap().projection(), Projection::Whole, "{rule}");
        }
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
    fn missing_or_mistyped_attribute_is_unevaluable() {
        assert_eq!(verdict("customer.tier == 'gold'", json!({})), Verdict::Unevaluable);
        assert_eq!(verdict("customer.spend > 5", json!({"spend": "much"})), Verdict::Unevaluable);
        assert_eq!(verdict("customer.tier", json!({"tier": "gold"})), Verdict::Unevaluable);
        assert_eq!(verdict("has(customer.tier) && customer.tier == 'gold'", json!({})), Verdict::NotEligible);
    }

    fn refused(rule: &str) -> String {
        Rule::parse(rule).unwrap_err().to_string()
    }

    #[test]
    fn syntax_error_is_refused_with_its_position() {
        let message = refused("customer.tier == 'gold' &&\n  customer.spend >= >= 5");
        assert!(message.starts_with("does not parse at line 2, column 21"), "{message}");
        assert!(refused("").contains("the rule is empty"));
        assert!(refused(&format!("customer.a == '{}'", "x".repeat(RULE_LIMIT))).contains("at most 2000 characters"));
    }

    #[test]
    fn unknown_name_is_refused_with_its_position() {
        let message = refused("customer.tier == 'gold' && account.open");
        assert!(
            message.starts_with("is invalid at line 1, column 28: it names the unknown variable account"),
            "{message}"
        );
        assert!(refused("customer.name.matches('a+')").contains("calls the unknown function matches"));
        assert!(refused("now() > 5").contains("calls the unknown function now"));
        assert!(refused("customer == 5").contains("uses customer as a whole"));
    }

    #[test]
    fn rule_that_could_run_for_long_is_refused() {
        assert!(refused("customer.a.all(x, customer.b.all(y, x == y))").contains("nests a macro in a macro"));
        assert!(refused("[1, 2, 3].all(x, x > 0)").contains("not an attribute"));
        assert!(refused("customer.a.map(x, [x, x]).all(y, true)").contains("not an attribute"));
        assert!(refused("customer.all(x, true)").contains("not an attribute"));
        assert!(refused("customer.a.map(x, [customer.s, customer.s]) == []").contains("builds a list within a macro"));
        assert!(refused("customer.a.exists(x, {'k': x} == {})").contains("builds a map within a macro"));
        let joins = "customer.a.map(x, customer.s + customer.s) == []";
        assert_eq!(verdict(joins, json!({"a": [1], "s": "x"})), Verdict::Unevaluable);
        assert_eq!(verdict("customer.a.exists(x, x in ['b', 'c'])", json!({"a": ["b"]})), Verdict::Eligible);
        let deep = |n: usize| format!("{}customer.a{}", "(1 + ".repeat(n), ")".repeat(n)) + " > 0";
        assert!(Rule::parse(&deep(20)).is_ok());
        // The deepest rule that is allowed must also evaluate on the stack of a test's thread, which is smaller than a main one.
        assert_eq!(verdict(&format!("customer.a{} > 0", " + 1".repeat(45)), json!({"a": 1})), Verdict::Eligible);
        let range = format!("customer{}.all(x, true)", ".a".repeat(200));
        for rule in [deep(300), "[".repeat(1900), "(".repeat(1900), range] {
            assert!(refused(&rule).contains("is nested too deeply"), "{rule}");
        }
        let chain = format!("customer.a{} > 0", " + 1".repeat(400));
        assert!(refused(&chain).contains("is nested too deeply (at most 50 levels)"));
        // A long chain of conditions is not nested.
        let chain = vec!["customer.a == 1"; 100].join(" || ");
        assert_eq!(verdict(&chain, json!({"a": 2})), Verdict::NotEligible);
    }

    #[test]
    fn rule_that_reads_no_customer_may_join_values() {
        assert_eq!(verdict("'a' + 'b' == 'ab' && [1] + [2] == [1, 2]", json!({})), Verdict::Eligible);
    }

    #[test]
    fn variable_of_a_macro_does_not_hide_the_customer() {
        for rule in ["customer.cards.exists(customer, customer.kind == 'gold')", "customer.a.map(customer, 1) == [1]"] {
            assert!(refused(rule).contains("names the variable of a macro customer"), "{rule}");
        }
    }

    #[test]
    fn rule_must_be_a_condition() {
        assert!(refused("1 + 1").contains("always of type int"));
        assert!(refused("'gold'").contains("always of type string"));
        assert!(refused("1 / 0 == 1").contains("fails for every customer"));
    }
}
