//! Which records pass a filter (Lambda guide, "Filter rule syntax"). Only the rules that the template uses.

use serde_json::Value;

/// Whether a record passes: one of the patterns matches, or there is none.
pub(super) fn passes(patterns: &[Value], record: &Value) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, Some(record)))
}

/// Whether a pattern matches. All fields of an object must, and one value of a list.
fn matches(pattern: &Value, value: Option<&Value>) -> bool {
    match pattern {
        Value::Object(fields) => {
            fields.iter().all(|(name, pattern)| matches(pattern, value.and_then(|value| value.get(name))))
        }
        Value::Array(rules) => value.is_some_and(|value| rules.iter().any(|rule| follows(rule, value))),
        other => panic!("a pattern has lists of values, not {other}"),
    }
}

fn follows(rule: &Value, value: &Value) -> bool {
    match rule {
        Value::Object(rule) => match rule.iter().next() {
            Some((name, Value::String(prefix))) if name == "prefix" && rule.len() == 1 => {
                value.as_str().is_some_and(|value| value.starts_with(prefix))
            }
            _ => panic!("no model of the filter rule {rule:?}"),
        },
        exact => exact == value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_passes_if_all_fields_of_a_pattern_match() {
        let record = json!({"eventName": "INSERT", "dynamodb": {"Keys": {"sk": {"S": "push#1"}}}});
        for (pattern, expected) in [
            (json!({"eventName": ["INSERT"]}), true),
            (json!({"eventName": ["MODIFY", "INSERT"]}), true),
            (json!({"eventName": ["REMOVE"]}), false),
            (json!({"dynamodb": {"Keys": {"sk": {"S": [{"prefix": "push#"}]}}}}), true),
            (json!({"dynamodb": {"Keys": {"sk": {"S": [{"prefix": "offer"}]}}}}), false),
            (json!({"eventName": ["INSERT"], "dynamodb": {"NewImage": {"unpublished": {"S": ["yes"]}}}}), false),
        ] {
            assert_eq!(passes(std::slice::from_ref(&pattern), &record), expected, "{pattern}");
        }
        assert!(passes(&[], &record));
        assert!(passes(&[json!({"a": [1]}), json!({"eventName": ["INSERT"]})], &record));
    }
}
