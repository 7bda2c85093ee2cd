//! Arithmetic in which whole and fractional numbers mix.

use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, operators};
use cel::{Context, Env, ExecutionError, Value};

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
pub(super) fn with_free_numbers(mut expression: IdedExpr) -> IdedExpr {
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
pub(super) fn root() -> Context<'static, 'static> {
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
