//! What a rule reads as `customer`.
//!
//! Only what is read is made a CEL value, once. A rule's expression names it by variables that no rule can name:
//! `@customer.tier` for `customer.tier`, `@has.tier` for `has(customer.tier)`.

use std::collections::HashMap;
use std::sync::OnceLock;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use serde_json::Value as Json;

use super::check::{CUSTOMER, is_customer};
use super::steps::{self, Steps};
use super::tree::parts_mut;
use crate::customer::{Customer, OWN_FIELDS};

const READ: &str = "@customer.";
const HAS: &str = "@has.";

/// What a rule reads of a customer.
#[derive(Default)]
pub(super) struct NamesRead {
    /// The fields and attributes of which it reads the value.
    pub(super) values: Vec<String>,
    /// Those of which it reads whether the customer has them.
    pub(super) presence: Vec<String>,
    /// Whether it computes names, so that it may read any of them.
    pub(super) computes_names: bool,
}

/// Has a rule name what it reads by variables, and adds that to `reads`.
pub(super) fn with_variables(expression: &mut IdedExpr, reads: &mut NamesRead) {
    let variable = match &expression.expr {
        Expr::Select(select) if is_customer(&select.operand) => {
            Some((if select.test { HAS } else { READ }, select.field.clone()))
        }
        // customer['tier'] is the same as customer.tier.
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] if is_customer(operand) => {
                Some((READ, field.inner().to_owned()))
            }
            _ => None,
        },
        _ => None,
    };
    match variable {
        Some((prefix, field)) => {
            expression.expr = Expr::Ident(format!("{prefix}{field}"));
            let read = if prefix == READ { &mut reads.values } else { &mut reads.presence };
            if !read.contains(&field) {
                read.push(field);
            }
        }
        None => {
            reads.computes_names |= is_customer(expression);
            parts_mut(expression).into_iter().for_each(|part| with_variables(part, reads));
        }
    }
}

/// A customer, as a rule reads them within its steps.
pub(super) struct CustomerValues<'c> {
    customer: &'c Customer,
    steps: Steps,
    /// What the rule reads, and what was read of it. `None`: the customer lacks it.
    read: Vec<(&'c str, OnceLock<Option<ReadValue<'c>>>)>,
    /// All of the customer, for rules that compute the name of an attribute.
    whole: OnceLock<ReadValue<'c>>,
}

/// A value, and the steps that it takes to read it.
struct ReadValue<'c> {
    value: Box<dyn Val + 'c>,
    steps: u64,
}

impl<'c> CustomerValues<'c> {
    pub(super) fn new(customer: &'c Customer, fields: &'c [String]) -> Self {
        let read = fields.iter().map(|field| (field.as_str(), OnceLock::new())).collect();
        Self { customer, steps: Steps::new(), read, whole: OnceLock::new() }
    }

    /// Whether the rule came to its end within its steps.
    pub(super) fn had_enough_steps(&self) -> bool {
        self.steps.were_enough()
    }

    fn field(&self, field: &str) -> Option<&ReadValue<'c>> {
        let (field, value) = self.read.iter().find(|(name, _)| *name == field)?;
        value.get_or_init(|| self.read_field(field)).as_ref()
    }

    fn read_field(&self, field: &str) -> Option<ReadValue<'c>> {
        let mut values = 0;
        let value = match self.customer.own_field(field) {
            Some(text) => Box::new(CelString::from(text)),
            None => to_cel(self.customer.attributes.get(field)?, 0, &mut values),
        };
        Some(ReadValue { value, steps: steps::to_read(values) })
    }

    fn whole(&self) -> &ReadValue<'c> {
        self.whole.get_or_init(|| {
            let mut values = 0;
            let mut all: HashMap<CelMapKey<'c>, Box<dyn Val + 'c>> = HashMap::new();
            for field in OWN_FIELDS {
                if let Some(text) = self.customer.own_field(field) {
                    all.insert(CelMapKey::from(field), Box::new(CelString::from(text)));
                }
            }
            for (name, value) in &self.customer.attributes {
                all.insert(CelMapKey::from(name.as_str()), to_cel(value, 0, &mut values));
            }
            ReadValue { value: Box::new(CelMap::from(all)), steps: steps::to_read(values) }
        })
    }
}

impl VariableResolver for CustomerValues<'_> {
    /// The value of a variable that a rule reads, if the rule has steps left to read it.
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let read = if let Some(field) = variable.strip_prefix(HAS) {
            return Some(CowVal::owned(CelBool::from(self.customer.has(field))));
        } else if let Some(field) = variable.strip_prefix(READ) {
            self.field(field)?
        } else if variable == CUSTOMER {
            self.whole()
        } else {
            return self.steps.resolve(variable);
        };
        self.steps.take(read.steps).then(|| CowVal::Borrowed(&*read.value))
    }
}

/// An attribute, or what is within one at a depth from 0, as a CEL value. Adds up its values.
fn to_cel<'c>(json: &'c Json, depth: u32, values: &mut u64) -> Box<dyn Val + 'c> {
    *values += steps::values_of(json, depth);
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(flag) => Box::new(CelBool::from(*flag)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Box::new(CelInt::from(whole)),
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(text) => Box::new(CelString::from(text.as_str())),
        Json::Array(entries) => {
            let entries: Vec<_> = entries.iter().map(|entry| to_cel(entry, depth + 1, values)).collect();
            Box::new(CelList::from(entries))
        }
        Json::Object(entries) => {
            let entry = |(name, value)| (CelMapKey::from(String::as_str(name)), to_cel(value, depth + 1, values));
            Box::new(CelMap::from(entries.iter().map(entry).collect::<HashMap<_, _>>()))
        }
    }
}
