//! Statements in PartiQL, as the product writes them: each value is a parameter, whose name is before its question mark.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The attributes that a statement sets or compares, with their values in DynamoDB's JSON.
pub fn attributes(statement: &Value) -> BTreeMap<&str, &Value> {
    let text = statement["Statement"].as_str().unwrap_or_default();
    let names = text.split('?').filter_map(last_quoted);
    names.zip(statement["Parameters"].as_array().into_iter().flatten()).collect()
}

/// The name in quotes that a part of a statement ends with, up to a value's question mark.
fn last_quoted(before: &str) -> Option<&str> {
    let quoted = before.trim_end_matches([' ', ':', '=']);
    quoted.rsplit(['"', '\'']).nth(1)
}

/// The statements of a call; none if it has none.
pub fn statements(request: &Value) -> impl Iterator<Item = &Value> {
    request["Statements"].as_array().into_iter().flatten()
}

/// The keys of the items that a call's statements write.
pub fn keys(request: &Value) -> impl Iterator<Item = Value> {
    statements(request).map(key)
}

/// The key of the item that a statement writes.
fn key(statement: &Value) -> Value {
    let attributes = attributes(statement);
    let value = |name: &str| attributes.get(name).map_or(Value::Null, |value| (*value).clone());
    json!({"pk": value("pk"), "sk": value("sk")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_names() {
        let parameters = json!([{"S": "a"}, {"N": "1"}, {"S": "p"}, {"S": "s"}, {"S": "t"}]);
        let insert = json!({"Statement": r#"INSERT INTO "T" VALUE {'state': ?, 'n': ?, 'pk': ?, 'sk': ?, 'token': ?}"#,
                            "Parameters": parameters});
        let update = json!({"Statement": r#"UPDATE "T" SET "state" = ? SET "n" = ? REMOVE "x" WHERE "pk" = ? AND "sk" = ? AND "token" = ?"#,
                            "Parameters": parameters});
        for statement in [insert, update] {
            let attributes = attributes(&statement);
            let names: Vec<_> = attributes.keys().copied().collect();
            assert_eq!(names, ["n", "pk", "sk", "state", "token"]);
            assert_eq!((attributes["state"], attributes["token"]), (&json!({"S": "a"}), &json!({"S": "t"})));
            assert_eq!(key(&statement), json!({"pk": {"S": "p"}, "sk": {"S": "s"}}));
        }
    }
}
