//! Resource policies: whether a service may do something.
//!
//! Conditions are not evaluated: a statement that has some counts as one that allows, and not as one that denies.

use serde_json::Value;

/// Whether a policy lets a service, as in `logs.eu-west-1.amazonaws.com`, do an action, as in `kms:Decrypt`.
pub(crate) fn allows(policy: &Value, service: &str, action: &str) -> bool {
    let said = |effect: &str| {
        let applies = move |statement: &&Value| {
            statement["Effect"] == effect
                && names_service(&statement["Principal"], service)
                && names_action(&statement["Action"], action)
        };
        strings_or_one(&policy["Statement"])
            .iter()
            .filter(applies)
            .map(|statement| statement.get("Condition").is_none())
            .collect::<Vec<_>>()
    };
    !said("Allow").is_empty() && !said("Deny").contains(&true)
}

/// IAM lets a list of one be written without the list.
fn strings_or_one(value: &Value) -> &[Value] {
    match value {
        Value::Array(several) => several,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

fn names_service(principal: &Value, service: &str) -> bool {
    let services = strings_or_one(&principal["Service"]);
    principal == "*" || principal["AWS"] == "*" || services.iter().any(|named| named == service)
}

fn names_action(actions: &Value, action: &str) -> bool {
    strings_or_one(actions)
        .iter()
        .filter_map(Value::as_str)
        .any(|pattern| matches(&pattern.to_lowercase(), &action.to_lowercase()))
}

/// Whether a pattern with `*` and `?` matches.
fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), first) => {
            matches(&pattern[1..], text) || first.is_some_and(|first| matches(pattern, &text[first.len_utf8()..]))
        }
        (Some(wanted), Some(first)) if wanted == '?' || wanted == first => {
            matches(&pattern[wanted.len_utf8()..], &text[first.len_utf8()..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_may_what_a_statement_allows_and_none_denies() {
        let logs = json!({"Service": "logs.eu-west-1.amazonaws.com"});
        let allow = |principal: &Value, action: Value| json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"});
        let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"});
        let unless =
            json!({"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {}}});
        let several = json!({"Service": ["s3.amazonaws.com", "logs.eu-west-1.amazonaws.com"]});
        let root = json!({"AWS": "arn:aws:iam::123456789012:root"});
        for (statements, allowed) in [
            (json!([allow(&logs, json!("kms:Decrypt"))]), true),
            (allow(&logs, json!("kms:*")), true),
            (json!([allow(&logs, json!(["kms:Encrypt", "KMS:Dec*t"]))]), true),
            (json!([allow(&several, json!("kms:Decryp?"))]), true),
            (json!([allow(&json!("*"), json!("*"))]), true),
            (json!([allow(&logs, json!("kms:Decrypt")), unless]), true),
            (json!([allow(&logs, json!("kms:Decrypt")), deny]), false),
            (json!([allow(&logs, json!("kms:Encrypt"))]), false),
            (json!([allow(&logs, json!("kms:DecryptSome"))]), false),
            (json!([allow(&root, json!("kms:*"))]), false),
            (json!([]), false),
            (Value::Null, false),
        ] {
            let policy = json!({"Version": "2012-10-17", "Statement": statements});
            assert_eq!(allows(&policy, "logs.eu-west-1.amazonaws.com", "kms:Decrypt"), allowed, "{policy}");
        }
    }
}
