//! What a function says of its batch (Lambda guide, "Handling errors for an SQS event source", "Configuring partial batch
//! response with DynamoDB and Lambda": success and failure conditions).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::aws::lambda::Invoked;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    Success,
    /// These failed, by their places in the batch. At least one.
    Partly(BTreeSet<usize>),
    Failure,
}

/// Reads the result of an invocation with the records of these ids. `reads_failures`: the mapping has
/// `ReportBatchItemFailures`.
pub(super) fn report(invoked: &Invoked, ids: &[&str], reads_failures: bool) -> Report {
    let Invoked::Returned(value) = invoked else { return Report::Failure };
    if !reads_failures || value.is_null() {
        return Report::Success;
    }
    let Some(response) = value.as_object() else { return Report::Failure };
    let failures = match response.get("batchItemFailures") {
        None | Some(Value::Null) => return Report::Success,
        Some(Value::Array(failures)) => failures,
        Some(_) => return Report::Failure,
    };
    // An id that is empty, null or of no record of the batch fails all of it.
    let place = |failure: &Value| {
        let id = failure.get("itemIdentifier")?.as_str()?;
        ids.iter().position(|one| *one == id)
    };
    match failures.iter().map(place).collect::<Option<BTreeSet<_>>>() {
        None => Report::Failure,
        Some(places) if places.is_empty() => Report::Success,
        Some(places) => Report::Partly(places),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_batch_succeeds_fails_or_fails_in_part_as_documented() {
        let failures = |ids: &[Value]| {
            let failures: Vec<_> = ids.iter().map(|id| json!({"itemIdentifier": id})).collect();
            Invoked::Returned(json!({"batchItemFailures": failures}))
        };
        for (invoked, expected) in [
            (Invoked::Returned(Value::Null), Report::Success),
            (Invoked::Returned(json!({})), Report::Success),
            (Invoked::Returned(json!({"batchItemFailures": null})), Report::Success),
            (failures(&[]), Report::Success),
            (failures(&[json!("b")]), Report::Partly([1].into())),
            (failures(&[json!("c"), json!("a")]), Report::Partly([0, 2].into())),
            (failures(&[json!("a"), json!("")]), Report::Failure),
            (failures(&[json!(null)]), Report::Failure),
            (failures(&[json!("unknown")]), Report::Failure),
            (Invoked::Returned(json!({"batchItemFailures": [{"id": "a"}]})), Report::Failure),
            (Invoked::Returned(json!("text")), Report::Failure),
            (Invoked::Failed("error".to_owned()), Report::Failure),
            (Invoked::Ended, Report::Failure),
        ] {
            assert_eq!(report(&invoked, &["a", "b", "c"], true), expected, "{invoked:?}");
        }
        assert_eq!(report(&failures(&[json!("a")]), &["a"], false), Report::Success);
        assert_eq!(report(&Invoked::Ended, &["a"], false), Report::Failure);
    }
}
