//! A JSON request body. The content type is ignored: `curl -d` declares a form.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use domain::Faults;
use serde_json::Value;

use crate::Problem;
use crate::json::Json;

/// Maximum size of a body, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// A JSON body.
#[derive(Debug)]
pub struct Body(pub Value);

/// A JSON body, or no body.
#[derive(Debug)]
pub struct OptionalBody(pub Option<Value>);

/// A JSON list whose entries are accepted or rejected independently of each other.
#[derive(Debug)]
pub struct ListBody {
    /// The list, or what is in its place.
    pub value: Value,
    /// What is wrong with the JSON of an entry, by its position. Its value means nothing.
    pub faults: BTreeMap<usize, Faults>,
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        parse(&read(request).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        if bytes.is_empty() { Ok(Self(None)) } else { parse(&bytes).map(|body| Self(Some(body))) }
    }
}

impl<S: Send + Sync> FromRequest<S> for ListBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let Json { value, faults, faults_of_entries } = parse_json(&read(request).await?)?;
        if value.is_array() || faults.is_empty() {
            Ok(Self { value, faults: faults_of_entries })
        } else {
            Err(faults.into())
        }
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    // Lambda already holds the whole body in memory; the limit bounds what parsing and storing cost.
    axum::body::to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body must not exceed {BODY_LIMIT} bytes."))
    })
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let Json { value, faults, .. } = parse_json(bytes)?;
    if faults.is_empty() { Ok(value) } else { Err(faults.into()) }
}

fn parse_json(bytes: &[u8]) -> Result<Json, Faults> {
    Json::read(bytes).map_err(|error| Faults::one("body", format!("must be valid JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use axum::body::Body as Content;

    use super::*;

    async fn read<T: FromRequest<(), Rejection = Problem>>(content: &str) -> Result<T, Problem> {
        T::from_request(Request::new(Content::from(content.to_owned())), &()).await
    }

    const TWO: &str =
        r#"[{"id": "c-1", "attributes": {"fee": 2.50}}, {"id": "c-2", "id": "c-3", "attributes": {"fee": 1e400}}]"#;

    #[tokio::test]
    async fn one_bad_entry_of_a_list_does_not_refuse_the_others() {
        let list: ListBody = read(TWO).await.unwrap();
        assert_eq!(list.value[0]["attributes"]["fee"], 2.5);
        let faults: Vec<_> = list.faults.into_iter().map(|(i, faults)| (i, fields(faults))).collect();
        assert_eq!(faults, [(1, vec!["id".to_owned(), "attributes.fee".to_owned()])]);
        assert!(read::<ListBody>(r#"{"fee": 1e400}"#).await.is_err());
        assert!(read::<ListBody>("[1").await.is_err());
    }

    #[tokio::test]
    async fn any_other_body_is_refused_as_a_whole() {
        assert!(read::<Body>(TWO).await.is_err());
        assert!(read::<Body>(r#"{"fee": 12345678901234567890123}"#).await.is_err());
        assert!(read::<OptionalBody>(r#"{"fee": 1, "fee": 2}"#).await.is_err());
        assert_eq!(read::<Body>(r#"{"fee": 2.50}"#).await.unwrap().0["fee"], 2.5);
        assert!(read::<OptionalBody>("").await.unwrap().0.is_none());
    }

    fn fields(faults: Faults) -> Vec<String> {
        faults.into_vec().into_iter().map(|fault| fault.field).collect()
    }
}
