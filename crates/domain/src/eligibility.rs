//! Eligibility rules: CEL expressions over `customer`.
//!
//! A rule is posted by somebody, kept for ever and run once for every customer of the bank. So everything that can be
//! wrong with it is found when it is posted, and what could run long or take much memory is refused then: a macro runs
//! only over an attribute of the customer (short by the limits of [`crate::customer`]) and never within another macro.
//!
//! Numbers differ from plain CEL in one way, for the sake of whoever writes rules: whole and fractional numbers mix
//! freely and division is exact (`7 / 2 == 3.5`), because the table that keeps the customers does not tell 5000.0 from
//! 5000 and a rule must not depend on which of the two a customer has.

use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, SourceInfo, operators};
use cel::objects::{Key, Map as CelMap};
use cel::{Context, Env, ExecutionError, Program, Value};
use serde::{Deserialize, Serialize};

use crate::customer::{Customer, OWN_FIELDS};

/// Longest rule, in characters.
pub const RULE_LIMIT: usize = 2_000;
/// Deepest nesting of operators and calls. Evaluation recurses, and a function's stack is not endless.
const DEPTH_LIMIT: usize = 50;
/// Address space for the parser, in bytes; only what is used becomes memory. A debug build uses up to 12 MiB.
const PARSER_STACK: usize = 64 << 20;
/// The one variable.
const CUSTOMER: &str = "customer";
/// What a rule may call, beside operators and the macros `has`, `all`, `exists`, `exists_one`, `filter` and `map`.
const FUNCTIONS: [&str; 7] = ["contains", "double", "endsWith", "int", "size", "startsWith", "string"];

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

/// Compiles on a stack of its own: the parser recurses through some ten grammar rules for each level of nesting, up to
/// 96 levels, which is more than the stack of a worker thread holds.
fn compile(source: &str) -> Result<Program, InvalidRule> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("compile-rule".to_owned())
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || Program::compile(source).map_err(|errors| syntax_fault(source, &errors)))
            .map_err(|error| InvalidRule::NotCompiled { reason: error.to_string() })?
            .join()
            .unwrap_or_else(|_| Err(InvalidRule::NotCompiled { reason: "the parser gave up".to_owned() }))
    })
}

fn syntax_fault(source: &str, errors: &cel::ParseErrors) -> InvalidRule {
    let (line, column, message) = errors.errors.first().map_or((1, 1, String::new()), |error| {
        let one_based = |n: isize| usize::try_from(n).unwrap_or(1).max(1);
        (one_based(error.pos.0), one_based(error.pos.1), error.msg.clone())
    });
    let message = if source.trim().is_empty() {
        "the rule is empty; leave it out for everyone".to_owned()
    } else if message.contains("recursion") || message.contains("OtherError") {
        "it nests too deep".to_owned()
    } else {
        message.trim_start_matches("Syntax error: ").to_owned()
    };
    InvalidRule::Syntax { line, column, message }
}

/// Which names mean something at a place in the rule.
#[derive(Default, Clone)]
struct Scope<'e> {
    macro_variables: Vec<&'e str>,
}

impl Scope<'_> {
    fn within_macro(&self) -> bool {
        !self.macro_variables.is_empty()
    }
}

struct Check<'s> {
    source: &'s SourceInfo,
}

impl Check<'_> {
    fn refuse(&self, expression: &IdedExpr, message: impl Into<String>) -> InvalidRule {
        let offset = self.source.offset_for(expression.id).map_or(0, |(start, _)| start as usize);
        let before = &self.source.source[..self.source.source.floor_char_boundary(offset)];
        InvalidRule::Refused {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            message: message.into(),
        }
    }

    fn expression(&self, expression: &IdedExpr, scope: &Scope<'_>, depth: usize) -> Result<(), InvalidRule> {
        if depth > DEPTH_LIMIT {
            return Err(self.refuse(expression, format!("nests more than {DEPTH_LIMIT} deep; split it with && or ||")));
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if name == CUSTOMER => {
                Err(self.refuse(expression, "uses customer as a whole; name an attribute, as in customer.tier"))
            }
            Expr::Ident(name) if name.starts_with('@') || scope.macro_variables.contains(&name.as_str()) => Ok(()),
            Expr::Ident(name) => {
                Err(self.refuse(expression, format!("names the unknown variable {name}; the one variable is customer")))
            }
            Expr::Select(select) if is_customer(&select.operand) => Ok(()),
            Expr::Select(select) => self.expression(&select.operand, scope, depth),
            Expr::List(list)
                if scope.within_macro() && list.elements.len() > 1 && !list.elements.iter().all(is_literal) =>
            {
                Err(self.refuse(expression, "builds a list within a macro, which could take very much memory"))
            }
            Expr::Map(_) if scope.within_macro() => {
                Err(self.refuse(expression, "builds a map within a macro, which could take very much memory"))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element, scope, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, scope, depth)?;
                    self.expression(&entry.value, scope, depth)
                }
                EntryExpr::StructField(field) => self.expression(&field.value, scope, depth),
            }),
            Expr::Call(call) => self.call(expression, call, scope, depth),
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension, scope, depth),
            Expr::Struct(_) | Expr::Unspecified => Err(self.refuse(expression, "makes a message, which a rule cannot")),
        }
    }

    fn call(&self, expression: &IdedExpr, call: &CallExpr, scope: &Scope<'_>, depth: usize) -> Result<(), InvalidRule> {
        let name = call.func_name.as_str();
        // Operators are called by names that nobody can write, such as `_&&_` and `@in`.
        let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_operator && !FUNCTIONS.contains(&name) {
            return Err(self
                .refuse(expression, format!("calls the unknown function {name}; known are {}", FUNCTIONS.join(", "))));
        }
        if name == operators::INDEX && call.args.first().is_some_and(is_customer) {
            // customer['tier'] is customer.tier.
            return call.args[1..].iter().try_for_each(|argument| self.expression(argument, scope, depth));
        }
        call.target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .try_for_each(|argument| self.expression(argument, scope, depth))
    }

    fn comprehension(
        &self,
        expression: &IdedExpr,
        comprehension: &ComprehensionExpr,
        scope: &Scope<'_>,
        depth: usize,
    ) -> Result<(), InvalidRule> {
        if scope.within_macro() {
            return Err(self.refuse(expression, "puts a macro within a macro, which could run for very long"));
        }
        if !is_attribute(&comprehension.iter_range) {
            return Err(self.refuse(
                expression,
                "runs a macro over something that is not an attribute, as in customer.cards.exists(c, c == 'gold')",
            ));
        }
        let mut inner = scope.clone();
        inner.macro_variables.push(&comprehension.iter_var);
        inner.macro_variables.extend(comprehension.iter_var2.as_deref());
        inner.macro_variables.push(&comprehension.accu_var);
        [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result]
            .into_iter()
            .try_for_each(|part| self.expression(part, &inner, depth))
    }
}

fn is_literal(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Literal(_))
}

fn is_customer(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name == CUSTOMER)
}

/// `customer.a`, `customer.a.b`, and so on.
fn is_attribute(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Select(select)
        if !select.test && (is_customer(&select.operand) || is_attribute(&select.operand)))
}

/// Arithmetic by another name, found in [`root`].
const FREE_ARITHMETIC: [(&str, &str); 5] = [
    (operators::ADD, "@add"),
    (operators::SUBSTRACT, "@subtract"),
    (operators::MULTIPLY, "@multiply"),
    (operators::DIVIDE, "@divide"),
    (operators::MODULO, "@modulo"),
];

/// Within a macro, arithmetic is for numbers: joining texts or lists there could take very much memory.
const NUMBERS_ONLY: &str = "_numbers";

/// Redirects arithmetic to functions under which whole and fractional numbers mix.
fn with_free_numbers(mut expression: IdedExpr) -> IdedExpr {
    redirect(&mut expression, false);
    expression
}

fn redirect(expression: &mut IdedExpr, within_macro: bool) {
    match &mut expression.expr {
        Expr::Call(call) => {
            // A macro's own bookkeeping (`@result + [x]`) stays as it is.
            let bookkeeping =
                matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
            if let Some((_, free)) = FREE_ARITHMETIC.iter().find(|(operator, _)| *operator == call.func_name)
                && call.target.is_none()
                && !bookkeeping
            {
                call.func_name = (*free).to_owned();
                if within_macro {
                    call.func_name.push_str(NUMBERS_ONLY);
                }
            }
            let parts = call.target.as_deref_mut().into_iter().chain(&mut call.args);
            parts.for_each(|part| redirect(part, within_macro));
        }
        Expr::Select(select) => redirect(&mut select.operand, within_macro),
        Expr::List(list) => list.elements.iter_mut().for_each(|element| redirect(element, within_macro)),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                redirect(&mut entry.key, within_macro);
                redirect(&mut entry.value, within_macro);
            }
        }),
        Expr::Comprehension(comprehension) => {
            redirect(&mut comprehension.loop_cond, true);
            redirect(&mut comprehension.loop_step, true);
            redirect(&mut comprehension.result, true);
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// The functions that rules run with.
fn root() -> Context<'static, 'static> {
    let mut root = Context::with_env(Arc::new(Env::stdlib()));
    let mut arithmetic = |name: &'static str, apply: fn(Value, Value) -> Result<Value, ExecutionError>| {
        root.add_function(name, apply).expect("no standard function begins with @");
        let numbers_only = move |a: Value, b: Value| match (number(&a), number(&b)) {
            (Some(_), Some(_)) => apply(a, b),
            _ => Err(ExecutionError::function_error(name, "takes numbers alone within a macro")),
        };
        root.add_function(&format!("{name}{NUMBERS_ONLY}"), numbers_only).expect("no standard function begins with @");
    };
    arithmetic("@add", |a, b| {
        let (a, b) = alike(a, b);
        a + b
    });
    arithmetic("@subtract", |a, b| {
        let (a, b) = alike(a, b);
        a - b
    });
    arithmetic("@multiply", |a, b| {
        let (a, b) = alike(a, b);
        a * b
    });
    arithmetic("@divide", |a, b| match (number(&a), number(&b)) {
        (Some(_), Some(0.0)) => Err(ExecutionError::DivisionByZero(a)),
        (Some(a), Some(b)) => Ok(Value::Float(a / b)),
        _ => a / b,
    });
    arithmetic("@modulo", |a, b| match (&a, &b) {
        (Value::Int(_), Value::Int(_)) => a % b,
        _ => match (number(&a), number(&b)) {
            (Some(_), Some(0.0)) => Err(ExecutionError::RemainderByZero(a)),
            (Some(a), Some(b)) => Ok(Value::Float(a % b)),
            _ => a % b,
        },
    });
    root
}

/// Makes both numbers fractional if one is.
fn alike(a: Value, b: Value) -> (Value, Value) {
    match (&a, &b) {
        (Value::Int(_), Value::Int(_)) => (a, b),
        _ => match (number(&a), number(&b)) {
            (Some(a), Some(b)) => (Value::Float(a), Value::Float(b)),
            _ => (a, b),
        },
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "money and ages are far below 2^53; beyond it, comparison is approximate"
)]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::UInt(uint) => Some(*uint as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

fn customer_value(customer: &Customer) -> Value {
    let own = OWN_FIELDS.into_iter().filter_map(|field| Some((field, to_cel(&customer.field(field)?))));
    let attributes = customer.attributes.iter().map(|(name, value)| (name.as_str(), to_cel(value)));
    cel_map(own.chain(attributes))
}

fn cel_map<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(CelMap {
        map: Arc::new(entries.map(|(name, value)| (Key::String(Arc::new(name.to_owned())), value)).collect()),
    })
}

fn to_cel(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(string) => Value::String(Arc::new(string.clone())),
        Json::Array(values) => Value::List(Arc::new(values.iter().map(to_cel).collect())),
        Json::Object(values) => cel_map(values.iter().map(|(name, value)| (name.as_str(), to_cel(value)))),
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
