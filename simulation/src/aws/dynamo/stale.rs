//! Eventually consistent reads: they may show an item as it was before its last write, which is usually over within a second
//! (DynamoDB Developer Guide, "DynamoDB read consistency").

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::aws::call::Call;
use crate::aws::dynamo::statement;
use crate::chance::Chance;
use crate::scenario::Scenario;

/// How long reads may be behind.
const BEHIND: Duration = Duration::from_secs(1);

/// The key of an item, with its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    table: String,
    pk: String,
    sk: Option<String>,
}

/// What reads may be behind with.
#[derive(Debug)]
pub(super) struct Stale {
    chance: Chance,
    probability: f64,
    images: Mutex<BTreeMap<Key, Image>>,
}

/// An item before its last write. `None`: it did not exist.
#[derive(Debug)]
struct Image {
    written: Instant,
    before: Option<Value>,
}

impl Key {
    /// Of an item, or of a key.
    fn of(table: &str, item: &Value) -> Option<Self> {
        let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
        Some(Self { table: table.to_owned(), pk: text("pk")?, sk: text("sk") })
    }

    /// A consistent read of the item.
    pub(super) fn request(&self) -> Value {
        let mut key = json!({"pk": {"S": self.pk}});
        if let Some(sk) = &self.sk {
            key["sk"] = json!({"S": sk});
        }
        json!({"TableName": self.table, "Key": key, "ConsistentRead": true})
    }
}

/// The items that a call writes.
pub(super) fn written_by(call: &Call) -> Vec<Key> {
    let request = call.json();
    let written = |table: &str, write: &Value| Key::of(table, &write["Key"]).or_else(|| Key::of(table, &write["Item"]));
    match call.operation.as_str() {
        "PutItem" | "UpdateItem" | "DeleteItem" => written(&call.target, request).into_iter().collect(),
        "TransactWriteItems" => {
            let actions = request["TransactItems"].as_array().into_iter().flatten();
            let actions = actions.filter_map(|action| action.as_object()?.iter().next());
            actions
                .filter(|(kind, _)| *kind != "ConditionCheck")
                .filter_map(|(_, action)| written(action["TableName"].as_str()?, action))
                .collect()
        }
        "BatchWriteItem" => {
            let tables = request["RequestItems"].as_object().into_iter().flatten();
            let writes =
                tables.flat_map(|(table, writes)| writes.as_array().into_iter().flatten().map(move |one| (table, one)));
            let writes = writes.filter_map(|(table, write)| Some((table, write.as_object()?.values().next()?)));
            writes.filter_map(|(table, write)| written(table, write)).collect()
        }
        "BatchExecuteStatement" => statement::keys(request).filter_map(|key| Key::of(&call.target, &key)).collect(),
        _ => Vec::new(),
    }
}

impl Stale {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let probability = f64::from(scenario.settings.stale_percent) / 100.0;
        Self { chance: Chance::of(scenario.seed, "stale reads"), probability, images: Mutex::default() }
    }

    /// Whether reads are ever behind.
    pub(super) fn happens(&self) -> bool {
        self.probability > 0.0
    }

    /// Keeps what items were before they were written just now.
    pub(super) fn keep(&self, before: Vec<(Option<Value>, Key)>) {
        let written = Instant::now();
        let mut images = self.images();
        images.extend(before.into_iter().map(|(before, key)| (key, Image { written, before })));
        if images.len() > 1_000 {
            images.retain(|_, image| image.written.elapsed() < BEHIND);
        }
    }

    /// Makes the answer to a read one that is behind, if it may be.
    pub(super) fn change(&self, call: &Call, answer: &mut Value) {
        let (request, images) = (call.json(), self.images());
        // What a read is behind with of this item.
        let behind = |key: Option<Key>| {
            let image = images.get(&key?).filter(|image| image.written.elapsed() < BEHIND)?;
            self.chance.happens(self.probability).then_some(&image.before)
        };
        let is_consistent = |read: &Value| read["ConsistentRead"] == true;
        match call.operation.as_str() {
            "GetItem" if !is_consistent(request) => {
                if let Some(before) = behind(Key::of(&call.target, &request["Key"])) {
                    *answer = before.as_ref().map_or_else(|| json!({}), |item| json!({"Item": item}));
                }
            }
            "BatchGetItem" => {
                for (table, read) in request["RequestItems"].as_object().into_iter().flatten() {
                    let Some(items) = answer["Responses"][table].as_array_mut() else { continue };
                    if is_consistent(read) {
                        continue;
                    }
                    for key in read["Keys"].as_array().into_iter().flatten().filter_map(|key| Key::of(table, key)) {
                        if let Some(before) = behind(Some(key.clone())) {
                            items.retain(|item| Key::of(table, item).as_ref() != Some(&key));
                            items.extend(before.clone());
                        }
                    }
                }
            }
            // An item that was written last is not in the index yet. Indexes are never read consistently.
            "Query" if request.get("IndexName").is_some() => {
                let Some(items) = answer["Items"].as_array_mut() else { return };
                items.retain(|item| behind(Key::of(&call.target, item)).is_none());
                answer["Count"] = json!(items.len());
            }
            _ => {}
        }
    }

    fn images(&self) -> MutexGuard<'_, BTreeMap<Key, Image>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::call::{Body, Service};
    use crate::aws::lambda::Function;
    use crate::providers::tests::scenario;
    use crate::scenario::Settings;
    use crate::world::World;

    fn serve(world: &World, operation: &str, request: Value) -> Value {
        let (operation, target) = (operation.to_owned(), "Suppressions".to_owned());
        let body = Body::Json(request);
        let call = Call { function: Function::Email, service: Service::DynamoDb, operation, target, body };
        let reply = world.dynamo.serve(world, &call);
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    }

    /// What reads of an item show, by whether they are consistent: the item alone, and in a batch.
    fn shown(world: &World, is_consistent: bool) -> [Option<String>; 2] {
        let key = json!({"pk": {"S": "a"}});
        let one = json!({"TableName": "Suppressions", "Key": key, "ConsistentRead": is_consistent});
        let many = json!({"RequestItems": {"Suppressions": {"Keys": [key], "ConsistentRead": is_consistent}}});
        let text = |item: &Value| item["reason"]["S"].as_str().map(str::to_owned);
        let many = serve(world, "BatchGetItem", many);
        [text(&serve(world, "GetItem", one)["Item"]), text(&many["Responses"]["Suppressions"][0])]
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_behind_for_a_second_unless_it_is_consistent_or_the_world_calm() {
        let settings = Settings { stale_percent: 100, ..scenario().settings };
        let world = World::new(Scenario { settings, ..scenario() }, true);
        let put = |reason: &str| {
            let item = json!({"pk": {"S": "a"}, "addressHash": {"S": "h"}, "reason": {"S": reason}});
            serve(&world, "PutItem", json!({"TableName": "Suppressions", "Item": item}));
        };
        let query = || {
            let request = json!({
                "TableName": "Suppressions", "IndexName": "byAddress", "KeyConditionExpression": "addressHash = :h",
                "ExpressionAttributeValues": {":h": {"S": "h"}},
            });
            serve(&world, "Query", request)["Count"].clone()
        };
        let (first, second) = (Some("first".to_owned()), Some("second".to_owned()));
        put("first");
        assert_eq!((shown(&world, false), query()), ([None, None], json!(0)));
        put("second");
        assert_eq!(shown(&world, false), [first.clone(), first]);
        assert_eq!(shown(&world, true), [second.clone(), second.clone()]);
        tokio::time::sleep(BEHIND).await;
        assert_eq!((shown(&world, false), query()), ([second.clone(), second], json!(1)));
        put("third");
        world.calm();
        assert_eq!(shown(&world, false), [Some("third".to_owned()), Some("third".to_owned())]);
    }
}
