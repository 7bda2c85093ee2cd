//! Several writes in one call, each by itself: statements in PartiQL.

use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest};

use crate::StoreError;
use crate::table::Table;

/// A statement in PartiQL. Its parameters take the places of the question marks.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    text: String,
    parameters: Vec<AttributeValue>,
}

impl Table {
    /// A statement that stores a new item with these attributes, unless there is one with its key.
    pub(crate) fn insert(&self, attributes: impl IntoIterator<Item = (String, AttributeValue)>) -> Statement {
        let (names, parameters): (Vec<_>, _) = attributes.into_iter().unzip();
        let values: Vec<_> = names.iter().map(|name| format!("'{name}': ?")).collect();
        Statement { text: format!("INSERT INTO \"{}\" VALUE {{{}}}", self.name(), values.join(", ")), parameters }
    }

    /// A statement that sets and removes attributes of the item that has these, among them its key.
    pub(crate) fn set<'n>(
        &self,
        set: impl IntoIterator<Item = (&'n str, AttributeValue)>,
        remove: impl IntoIterator<Item = &'n str>,
        has: impl IntoIterator<Item = (String, AttributeValue)>,
    ) -> Statement {
        let mut text = format!("UPDATE \"{}\"", self.name());
        let mut parameters = Vec::new();
        for (name, value) in set {
            text += &format!(" SET \"{name}\" = ?");
            parameters.push(value);
        }
        for name in remove {
            text += &format!(" REMOVE \"{name}\"");
        }
        let (names, values): (Vec<_>, Vec<_>) = has.into_iter().unzip();
        parameters.extend(values);
        let conditions: Vec<_> = names.iter().map(|name| format!("\"{name}\" = ?")).collect();
        Statement { text: format!("{text} WHERE {}", conditions.join(" AND ")), parameters }
    }

    /// Executes up to 25 statements, each by itself. Says which took effect, in their order. Of the others, some may have as
    /// well: a response was lost, or DynamoDB does not know.
    pub(crate) async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<bool>, StoreError> {
        let count = statements.len();
        let requests = statements.into_iter().map(|Statement { text, parameters }| {
            let request = BatchStatementRequest::builder().statement(text).set_parameters(Some(parameters)).build();
            request.expect("the statement is set")
        });
        let call = self.client().batch_execute_statement().set_statements(Some(requests.collect()));
        let response = call.send().await.map_err(|error| self.call_failed("BatchExecuteStatement", &error))?;
        let mut done: Vec<_> =
            response.responses.unwrap_or_default().iter().map(|response| response.error.is_none()).collect();
        done.resize(count, false);
        Ok(done)
    }
}
