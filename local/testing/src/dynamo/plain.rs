//! Plain JSON for items: `{"attempts": 1}` for `{"attempts": {"N": "1"}}`.

use serde_json::{Map, Number, Value, json};

/// Marks sets in plain JSON that is written. No attribute has these names.
const NUMBER_SET: &str = "$numbers";
const STRING_SET: &str = "$strings";

/// A set of numbers, for an item that a test writes. When it is read, it is a sorted array.
pub fn number_set(numbers: impl IntoIterator<Item = impl Into<Number>>) -> Value {
    json!({NUMBER_SET: numbers.into_iter().map(Into::into).collect::<Vec<Number>>()})
}

/// A set of strings, for an item that a test writes. When it is read, it is a sorted array.
pub fn string_set(strings: impl IntoIterator<Item = impl Into<String>>) -> Value {
    json!({STRING_SET: strings.into_iter().map(Into::into).collect::<Vec<String>>()})
}

/// An item in DynamoDB's form.
///
/// # Panics
/// If it is not an object.
pub(super) fn to_item(plain: &Value) -> Value {
    let item = plain.as_object().unwrap_or_else(|| panic!("an item or a key is an object, not {plain}"));
    attributes(item)
}

/// An attribute value in DynamoDB's form.
pub(super) fn to_attribute(plain: &Value) -> Value {
    match plain {
        Value::Null => json!({"NULL": true}),
        Value::Bool(value) => json!({"BOOL": value}),
        Value::Number(value) => json!({"N": value.to_string()}),
        Value::String(value) => json!({"S": value}),
        Value::Array(values) => json!({"L": values.iter().map(to_attribute).collect::<Vec<_>>()}),
        Value::Object(object) => {
            if let Some(Value::Array(numbers)) = object.get(NUMBER_SET) {
                json!({"NS": numbers.iter().map(ToString::to_string).collect::<Vec<_>>()})
            } else if let Some(strings) = object.get(STRING_SET) {
                json!({"SS": strings})
            } else {
                json!({"M": attributes(object)})
            }
        }
    }
}

fn attributes(object: &Map<String, Value>) -> Value {
    object.iter().map(|(name, value)| (name.clone(), to_attribute(value))).collect()
}

/// An item as plain JSON.
pub(super) fn from_item(item: &Value) -> Value {
    let attributes = item.as_object().expect("an item is an object");
    attributes.iter().map(|(name, value)| (name.clone(), from_attribute(value))).collect()
}

fn from_attribute(attribute: &Value) -> Value {
    let (kind, value) =
        attribute.as_object().and_then(|typed| typed.iter().next()).expect("an attribute has a type and a value");
    let elements = || value.as_array().expect("lists and sets are arrays");
    match kind.as_str() {
        "NULL" => Value::Null,
        "N" => number(value),
        "NS" => {
            let mut numbers: Vec<_> = elements().iter().map(number).collect();
            numbers.sort_by(|a, b| a.as_f64().partial_cmp(&b.as_f64()).expect("no number is NaN"));
            Value::Array(numbers)
        }
        "SS" => {
            let mut strings = elements().clone();
            strings.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            Value::Array(strings)
        }
        "L" => elements().iter().map(from_attribute).collect(),
        "M" => from_item(value),
        // S, BOOL; B and BS as base64.
        _ => value.clone(),
    }
}

fn number(value: &Value) -> Value {
    let text = value.as_str().expect("numbers are written as text");
    Value::Number(text.parse().unwrap_or_else(|error| panic!("{text} is no number: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_read_as_it_was_written_but_for_sets() {
        let plain = json!({
            "text": "a", "number": -1.5, "whole": 9_007_199_254_740_993_i64, "flag": true, "nothing": null,
            "list": [1, "a", [false]], "map": {"a": {"b": 1}},
            "numbers": number_set([10, 9, -1]), "strings": string_set(["b", "a"]),
        });
        let item = to_item(&plain);
        assert_eq!(item["numbers"], json!({"NS": ["10", "9", "-1"]}));
        assert_eq!(item["list"]["L"][0], json!({"N": "1"}));
        let mut expected = plain;
        expected["numbers"] = json!([-1, 9, 10]);
        expected["strings"] = json!(["a", "b"]);
        assert_eq!(from_item(&item), expected);
    }
}
