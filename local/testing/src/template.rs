//! The tables of `template.yaml`, so that tests run on the keys and indexes that are deployed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
/// The properties of a table that decide how it behaves in a test.
const PROPERTIES: [&str; 3] = ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"];

static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let yaml = fs::read_to_string(TEMPLATE).unwrap_or_else(|error| panic!("cannot read {TEMPLATE}: {error}"));
    read(&yaml)
});

/// A table of the template.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its logical id without `Table`.
    pub(crate) name: String,
    /// The attributes of its key: the partition key, and the sort key if it has one.
    pub(crate) key: Vec<String>,
    properties: Map<String, Value>,
    stream: Option<Value>,
}

impl Table {
    /// The request that creates it.
    pub(crate) fn create_request(&self) -> Value {
        let mut request = self.properties.clone();
        request.insert("TableName".to_owned(), json!(self.name));
        request.insert("BillingMode".to_owned(), json!("PAY_PER_REQUEST"));
        Value::Object(request)
    }

    /// The same, with the table's stream if it has one.
    pub(crate) fn create_request_with_stream(&self) -> Value {
        let mut request = self.create_request();
        if let Some(stream) = &self.stream {
            request["StreamSpecification"] = stream.clone();
            request["StreamSpecification"]["StreamEnabled"] = json!(true);
        }
        request
    }

    /// Whether it has a stream.
    pub(crate) fn has_stream(&self) -> bool {
        self.stream.is_some()
    }
}

/// All tables.
pub(crate) fn tables() -> &'static [Table] {
    &TABLES
}

/// The table with this name.
///
/// # Panics
/// If the template has none: the name is misspelt.
pub(crate) fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.name == name).unwrap_or_else(|| panic!("template.yaml has no table {name}Table"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: String,
    #[serde(default)]
    properties: Yaml,
}

fn read(yaml: &str) -> Vec<Table> {
    let template: Template =
        serde_yaml_ng::from_str(yaml).unwrap_or_else(|error| panic!("cannot read {TEMPLATE}: {error}"));
    let tables = template.resources.into_iter().filter(|(_, resource)| resource.r#type == "AWS::DynamoDB::Table");
    tables.map(|(id, resource)| table_of(&id, &resource.properties)).collect()
}

fn table_of(id: &str, yaml: &Yaml) -> Table {
    let properties: Map<_, _> = PROPERTIES
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), yaml.get(name)?)))
        .map(|(name, value)| (name, serde_json::to_value(value).expect("names and types of attributes are text")))
        .collect();
    let schema = properties["KeySchema"].as_array().expect("a table has a key schema");
    let key = schema.iter().map(|part| part["AttributeName"].as_str().expect("a key part has a name").to_owned());
    let stream = yaml.get("StreamSpecification");
    let stream = stream.map(|stream| serde_json::to_value(stream).expect("the view of a stream is text"));
    Table { name: id.trim_end_matches("Table").to_owned(), key: key.collect(), properties, stream }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_keys_and_indexes_whatever_else_the_template_says() {
        let tables = read(
            "
            Conditions: {HasKey: !Not [!Equals [!Ref KmsKeyArn, '']]}
            Resources:
              OffersTable:
                Type: AWS::DynamoDB::Table
                Properties:
                  DeletionProtectionEnabled: !If [ProtectsTables, true, false]
                  AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: sk, AttributeType: S}]
                  KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
              Queue: {Type: AWS::SQS::Queue}
            ",
        );
        assert_eq!(tables.len(), 1);
        assert_eq!((tables[0].name.as_str(), &tables[0].key), ("Offers", &vec!["pk".to_owned(), "sk".to_owned()]));
        let request = tables[0].create_request();
        assert_eq!(request["TableName"], "Offers");
        assert_eq!(request["AttributeDefinitions"][1], json!({"AttributeName": "sk", "AttributeType": "S"}));
        assert_eq!(request.get("DeletionProtectionEnabled"), None);
    }

    #[test]
    fn the_template_has_six_tables() {
        let names: Vec<_> = tables().iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["Customers", "Deliveries", "Offers", "Pacing", "Pushes", "Suppressions"]);
    }
}
