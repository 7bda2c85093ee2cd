//! Arithmetic in which whole and fractional numbers mix.

use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, operators};
use cel::{Context, Env, ExecutionError, FunctionContext, Value};

use super::steps;
use super::tree::parts_mut;

/// The operators that are replaced, each with its function in [`functions`].
const MIXED_ARITHMETIC: [(&str, &str); 5] = [
    (operators::ADD, "@add"),
    (operators::SUBSTRACT, "@subtract"),
    (operators::MULTIPLY, "@multiply"),
    (operators::DIVIDE, "@divide"),
    (operators::MODULO, "@modulo"),
];

/// What the parser calls the value that a macro builds.
const ACCUMULATOR: &str = "@result";

/// The suffix of the functions used within a macro, which take only numbers: joining texts or lists there could use
/// too much memory.
const NUMBERS_ONLY: &str = "_numbers";

/// Replaces arithmetic operators by functions in which whole and fractional numbers mix.
pub(super) fn with_mixed_numbers(expression: &mut IdedExpr) {
    replace_operators(expression, false);
}

fn replace_operators(expression: &mut IdedExpr, within_macro: bool) {
    if let Expr::Call(call) = &mut expression.expr {
        // The parser's expansion of a macro (`@result + [x]`) stays as it is.
        let is_expansion =
            matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name == ACCUMULATOR);
        if let Some((_, function)) = MIXED_ARITHMETIC.iter().find(|(operator, _)| *operator == call.func_name)
            && call.target.is_none()
            && !is_expansion
        {
            call.func_name = (*function).to_owned();
            if within_macro {
                call.func_name.push_str(NUMBERS_ONLY);
            }
        }
    }
    let within_macro = within_macro || matches!(expression.expr, Expr::Comprehension(_));
    parts_mut(expression).into_iter().for_each(|part| replace_operators(part, within_macro));
}

/// The functions that rules are evaluated with.
pub(super) fn functions() -> Context<'static, 'static> {
    let mut functions = Context::with_env(Arc::new(Env::stdlib()));
    let mut arithmetic = |name: &'static str, apply: fn(Value, Value) -> Result<Value, ExecutionError>| {
        for (suffix, is_within_macro) in [("", false), (NUMBERS_ONLY, true)] {
            let function = move |context: &FunctionContext<'_, '_>| {
                let [a, b] = &context.args[..] else { return Err(context.error("takes two values")) };
                // Before they are copied.
                let steps = steps::to_copy(a.as_ref()) + steps::to_copy(b.as_ref());
                if is_within_macro && steps > 0 {
                    return Err(context.error("takes only numbers within a macro"));
                }
                steps::take(context, steps)?;
                apply(a.as_ref().try_into()?, b.as_ref().try_into()?)
            };
            functions.add_function(&format!("{name}{suffix}"), function).expect("no standard function begins with @");
        }
    };
    arithmetic("@add", |a, b| {
        let (a, b) = coerce_numbers(a, b);
        a + b
    });
    arithmetic("@subtract", |a, b| {
        let (a, b) = coerce_numbers(a, b);
        a - b
    });
    arithmetic("@multiply", |a, b| {
        let (a, b) = coerce_numbers(a, b);
        a * b
    });
    arithmetic("@divide", |a, b| match (to_float(&a), to_float(&b)) {
        (Some(_), Some(0.0)) => Err(ExecutionError::DivisionByZero(a)),
        (Some(a), Some(b)) => Ok(Value::Float(a / b)),
        _ => a / b,
    });
    arithmetic("@modulo", |a, b| match (&a, &b) {
        (Value::Int(_), Value::Int(_)) => a % b,
        _ => match (to_float(&a), to_float(&b)) {
            (Some(_), Some(0.0)) => Err(ExecutionError::RemainderByZero(a)),
            (Some(a), Some(b)) => Ok(Value::Float(a % b)),
            _ => a % b,
        },
    });
    functions
}

/// Makes both numbers fractional unless both are whole. Other values stay as they are.
fn coerce_numbers(a: Value, b: Value) -> (Value, Value) {
    match (&a, &b) {
        (Value::Int(_), Value::Int(_)) => (a, b),
        _ => match (to_float(&a), to_float(&b)) {
            (Some(a), Some(b)) => (Value::Float(a), Value::Float(b)),
            _ => (a, b),
        },
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "money and ages are far below 2^53; beyond it, comparison is approximate"
)]
/// The value as a fractional number, if it is a number.
fn to_float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::UInt(uint) => Some(*uint as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}
