//! How much a rule may do for one customer.
//!
//! Work is counted in steps: one for each part of a macro in each of its rounds, and some for each attribute that is
//! read, or text or list that is joined, by their size. Comparing and searching values takes time in proportion to their
//! size, and a rule has to read them first; so what is read bounds what is done. What is outside of macros is bounded by
//! the rule's length. A rule that has no steps left ends, and has no result.
//!
//! CEL knows no such limit. So each round of a macro reads a variable that takes its steps ([`variable`]), and reading an
//! attribute does so as well (see [`super::values`]).

use std::sync::atomic::{AtomicU64, Ordering};

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelBool, CelList, CelMap, CelString, Kind};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{ExecutionError, FunctionContext};

use super::check::is_customer;
use super::tree::{parts, parts_mut};

/// The steps of a rule for one customer. The most expensive of rules take about half a millisecond for them (see
/// `benches/rules.rs`).
pub(super) const STEPS_LIMIT: u64 = 5_000;
/// For a customer whose lists and objects have this many entries, a rule must be within [`STEPS_LIMIT`], or it is refused
/// when it is posted.
pub(super) const TYPICAL_ENTRIES: u64 = 50;
/// How much of an attribute is read in one step: so many values, an attribute being one value, each of its entries
/// another.
const VALUES_PER_STEP: u64 = 4;
/// As how many values each value counts that is within an entry: a macro copies its entries, some several times.
const NESTED_VALUE: u64 = 8;
const STEPS: &str = "@steps.";
/// The bytes of text that count as one value.
const BYTES_PER_VALUE: usize = 32;

/// The steps that are left, and one more: 0 says that a rule wanted more than it had.
#[derive(Debug)]
pub(super) struct Steps(AtomicU64);

impl Steps {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(STEPS_LIMIT + 1))
    }

    /// Takes some steps. Returns false, now and from now on, if so many were not left.
    pub(super) fn take(&self, steps: u64) -> bool {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(steps);
        self.0.store(left, Ordering::Relaxed);
        left > 0
    }

    /// Whether the rule never wanted more than it had.
    pub(super) fn were_enough(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl VariableResolver for Steps {
    /// The value of a variable of [`variable`].
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let steps = name.strip_prefix(STEPS)?.parse().ok()?;
        self.take(steps).then_some(CowVal::Borrowed(&CelBool::TRUE))
    }
}

/// The variable that takes this many steps when it is read: true, or an error if there are not so many. No rule can name it.
pub(super) fn variable(steps: u64) -> String {
    format!("{STEPS}{steps}")
}

/// Takes steps within a function.
///
/// # Errors
/// If so many are not left.
pub(super) fn take(context: &FunctionContext<'_, '_>, steps: u64) -> Result<(), ExecutionError> {
    if steps == 0 || context.ptx.get_variable(variable(steps)).is_some() {
        return Ok(());
    }
    Err(context.error("takes more steps than are left"))
}

/// The steps that it takes to copy a value of which a function makes another, in and out: none for numbers.
pub(super) fn to_copy(value: &(dyn Val + '_)) -> u64 {
    let is_copied = matches!(value.get_type().kind(), Kind::String | Kind::List | Kind::Map);
    if is_copied { 2 * values_in(value) } else { 0 }
}

/// As how many values a value counts, with all that is in it.
fn values_in(value: &(dyn Val + '_)) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        values_of_text(text.inner())
    } else if let Some(entries) = value.downcast_ref::<CelList<'_>>() {
        1 + entries.inner().iter().map(|entry| values_in(&**entry)).sum::<u64>()
    } else if let Some(entries) = value.downcast_ref::<CelMap<'_>>() {
        1 + entries.inner().values().map(|entry| 1 + values_in(&**entry)).sum::<u64>()
    } else {
        1
    }
}

/// As how many values a part of an attribute counts, its entries not included, but their names. An attribute itself has the
/// depth 0.
pub(super) fn values_of(part: &serde_json::Value, depth: u32) -> u64 {
    let values = match part {
        serde_json::Value::String(text) => values_of_text(text),
        serde_json::Value::Object(entries) => 1 + entries.keys().map(|name| values_of_text(name)).sum::<u64>(),
        _ => 1,
    };
    if depth > 1 { NESTED_VALUE * values } else { values }
}

fn values_of_text(text: &str) -> u64 {
    1 + (text.len() / BYTES_PER_VALUE) as u64
}

/// The steps that it takes to read so many values.
pub(super) fn to_read(values: u64) -> u64 {
    1 + values / VALUES_PER_STEP
}

/// Has each round of each macro take its steps.
pub(super) fn with_steps(expression: &mut IdedExpr) {
    parts_mut(expression).into_iter().for_each(with_steps);
    let Expr::Comprehension(comprehension) = &mut expression.expr else { return };
    let steps = of_round(comprehension, 0);
    let ComprehensionExpr { accu_init, accu_var, loop_cond, loop_step, .. } = &mut **comprehension;
    let builds_list = matches!(accu_init.expr, Expr::List(_));
    let no = Expr::Literal(LiteralValue::Boolean(false.into()));
    match &mut loop_step.expr {
        // `map` and `filter`: were their condition more than a literal, CEL would copy the list in each round.
        Expr::Call(CallExpr { func_name, args, .. }) if builds_list && func_name == operators::CONDITIONAL => {
            take_before(steps, &mut args[0], no);
        }
        _ if builds_list => take_before(steps, loop_step, Expr::Ident(accu_var.clone())),
        _ => take_before(steps, loop_cond, no),
    }
}

/// Replaces an expression by `steps ? expression : otherwise`. The error of a condition is always the error of the whole,
/// which that of an operand of `&&` is not.
fn take_before(steps: u64, expression: &mut IdedExpr, otherwise: Expr) {
    let then = std::mem::take(expression);
    let new = |expr| IdedExpr { id: then.id, expr };
    let (steps, otherwise) = (new(Expr::Ident(variable(steps))), new(otherwise));
    let args = vec![steps, then, otherwise];
    *expression = IdedExpr {
        id: args[0].id,
        expr: Expr::Call(CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args }),
    };
}

/// The steps that a rule takes at most for a customer whose lists and objects all have [`TYPICAL_ENTRIES`].
pub(super) fn typical(rule: &IdedExpr) -> u64 {
    of(rule, TYPICAL_ENTRIES)
}

/// The steps of an expression if every attribute has this many entries.
fn of(expression: &IdedExpr, entries: u64) -> u64 {
    let of_all = |parts: &[&IdedExpr]| parts.iter().map(|part| of(part, entries)).sum::<u64>();
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => values_of_text(text.inner()),
        Expr::Select(select) if is_customer(&select.operand) => {
            if select.test {
                1
            } else {
                to_read(entries)
            }
        }
        Expr::Call(call) if call.func_name == operators::INDEX && call.args.first().is_some_and(is_customer) => {
            to_read(entries) + call.args[1..].iter().map(|part| of(part, entries)).sum::<u64>()
        }
        Expr::Comprehension(comprehension) => {
            of_all(&[&comprehension.iter_range, &comprehension.accu_init, &comprehension.result])
                + entries * of_round(comprehension, entries)
        }
        _ => 1 + of_all(&parts(expression)),
    }
}

/// The steps of one round of a macro.
fn of_round(comprehension: &ComprehensionExpr, entries: u64) -> u64 {
    of(&comprehension.loop_cond, entries) + of(&comprehension.loop_step, entries)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::{InvalidRule, Rule, RuleText, Verdict};
    use super::{STEPS_LIMIT, Steps};
    use crate::customer::Customer;

    fn customer(attributes: Json) -> Customer {
        Customer::parse("c-1", json!({"name": "Asha", "channels": ["email"], "attributes": attributes})).unwrap()
    }

    /// A rule as a table or a queue holds it, whatever is accepted now.
    fn stored(rule: &str) -> Rule {
        serde_json::from_value::<RuleText>(rule.into()).unwrap().compile().unwrap()
    }

    /// Each is true for a customer with short attributes, and has to do much for one with long ones.
    const EXPENSIVE: [&str; 14] = [
        "customer.a.all(x, !(x + 1 in customer.a))",
        "customer.a.all(x, customer.a != [x])",
        "!customer.a.exists(x, x == -1)",
        "!customer.a.exists_one(x, x == -1)",
        "customer.a.filter(x, x == -1) == []",
        "size(customer.a.map(x, x)) > 0",
        "size(customer.a.map(x, customer.t)) > 0",
        "size(customer.a.map(x, x > 0, x)) > 0",
        "customer.a.all(x, !customer.t.contains('zz'))",
        "customer.a.all(x, x == customer[customer.k][0])",
        "customer.m.all(k, customer.m[k] == 7)",
        // Errors that another round could make up for do not keep a macro running.
        "!customer.a.exists(x, x / 0 > 1 && x == -1)",
        "false || (customer.a.all(x, x == 7) && true)",
        "customer.a.all(x, x == 7) || true",
    ];

    #[test]
    fn rule_that_runs_out_of_steps_has_no_result() {
        let m = |entries: usize| (0..entries).map(|n| (format!("k{n}"), json!(7))).collect::<serde_json::Map<_, _>>();
        let short = customer(json!({"a": [7, 7], "t": "t", "k": "a", "m": m(3)}));
        let long = customer(json!({"a": vec![7; 1_000], "t": "t".repeat(2_000), "k": "a", "m": m(700)}));
        for rule in EXPENSIVE {
            let rule = format!("({rule}) && true");
            assert_eq!(Rule::parse(&rule).unwrap().verdict(&short), Verdict::Eligible, "{rule}");
            assert_eq!(Rule::parse(&rule).unwrap().verdict(&long), Verdict::Unevaluable, "{rule}");
        }
    }

    #[test]
    fn reading_and_joining_take_steps_by_size() {
        let read_or_joined = [
            ("customer.a == customer.a", 40),
            ("size(customer.a + customer.a) > 0", 10),
            ("size(customer.t + customer.t) > 0", 20),
            ("!(8 in customer.a)", 40),
            ("!customer.t.contains('zz')", 100),
        ];
        let small = customer(json!({"a": [7], "t": "t"}));
        let large = customer(json!({"a": vec![7; 1_000], "t": "t".repeat(7_000)}));
        for (condition, times) in read_or_joined {
            assert_eq!(stored(condition).verdict(&large), Verdict::Eligible, "{condition}");
            let rule = stored(&vec![condition; times].join(" && "));
            assert_eq!(rule.verdict(&small), Verdict::Eligible, "{condition}");
            assert_eq!(rule.verdict(&large), Verdict::Unevaluable, "{condition}");
        }
        // What is within a list is copied with it.
        let m = (0..600).map(|n| (format!("k{n}"), json!(7))).collect::<serde_json::Map<_, _>>();
        let large = customer(json!({"a": vec![7; 3_000], "m": m}));
        for attribute in ["customer.a", "customer.m"] {
            let rule = stored(&format!("size([{attribute}]{}) > 0", "+[]".repeat(45)));
            assert_eq!(rule.verdict(&large), Verdict::Unevaluable, "{attribute}");
        }
        // What is within entries is copied by macros.
        let nested = customer(json!({"a": [vec![7; 3_000]]}));
        assert_eq!(stored("customer.a.all(x, true)").verdict(&nested), Verdict::Unevaluable);
    }

    #[test]
    fn rule_that_is_too_expensive_for_a_typical_customer_is_refused_when_posted() {
        for condition in EXPENSIVE {
            let rule = vec![format!("({condition})"); 40].join("&&");
            let refused = Rule::parse(&rule);
            assert!(
                matches!(refused, Err(InvalidRule::TooExpensive { .. } | InvalidRule::TooLong { .. })),
                "{condition}"
            );
        }
        let expensive = vec!["customer.a.all(x,x==1)"; 40].join("&&");
        let refused = Rule::parse(&expensive).unwrap_err().to_string();
        assert!(refused.starts_with("could take 14"), "{refused}");
        assert!(refused.contains("steps for a customer with lists of 50, and may take 5000: use fewer"), "{refused}");
        // What an earlier release accepted goes on, within its steps.
        assert_eq!(stored(&expensive).verdict(&customer(json!({"a": [1]}))), Verdict::Eligible);
        assert_eq!(stored(&expensive).verdict(&customer(json!({"a": vec![1; 50]}))), Verdict::Unevaluable);
    }

    #[test]
    fn a_rule_may_take_all_of_its_steps_and_no_more() {
        let steps = Steps::new();
        assert!(steps.take(STEPS_LIMIT - 1) && steps.take(1) && steps.were_enough());
        assert!(!steps.take(1) && !steps.were_enough() && !steps.take(0));
    }

    #[test]
    fn usual_rules_have_steps_to_spare() {
        let cards = json!({"cards": vec!["visa"; 300], "tier": "gold", "spend": 5_000});
        for rule in [
            "customer.cards.exists(c, c == 'gold') || customer.tier == 'gold'",
            "!('gold' in customer.cards) && customer.spend >= 5000",
            "size(customer.cards.filter(c, c == 'visa')) == 300",
        ] {
            assert_eq!(Rule::parse(rule).unwrap().verdict(&customer(cards.clone())), Verdict::Eligible, "{rule}");
        }
        let tiers = (0..80).map(|n| format!("customer.tier=='t{n}'")).collect::<Vec<_>>().join("||");
        assert_eq!(Rule::parse(&tiers).unwrap().verdict(&customer(cards)), Verdict::NotEligible);
    }
}
