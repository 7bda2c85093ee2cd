//! The customer as a CEL value.

use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map as CelMap};

use crate::customer::{Customer, OWN_FIELDS};

pub(super) fn customer_value(customer: &Customer) -> Value {
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
