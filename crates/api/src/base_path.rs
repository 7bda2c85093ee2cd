//! The base path of a custom domain.
//!
//! API Gateway's REST API passes on the path as the caller wrote it: `/offers/v1/offers/7` where the domain maps
//! `/offers/v1` to the stage. Only `requestContext.resourcePath` and `pathParameters` are free of that, so they say where the route begins.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use lambda_http::request::RequestContext;
use lambda_http::tower::{Layer, util::MapRequestLayer};
use lambda_http::{Error, RequestExt};

/// Serves the routes to Lambda, behind any stage, domain and base path.
///
/// # Errors
/// If Lambda cannot be reached.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run(MapRequestLayer::new(without_base_path::<lambda_http::Body>).layer(router)).await
}

/// The request with the path that its route has in `template.yaml`.
pub fn without_base_path<B>(mut request: Request<B>) -> Request<B> {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return request };
    let Some(resource) = &context.resource_path else { return request };
    let parameters = request.path_parameters();
    let path = request.uri().path();
    let Some(route) = route_in(path, resource, |name| parameters.first(name)) else { return request };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    // A part of a URI that begins with a slash is one.
    let Ok(shorter) = format!("{route}{query}").parse::<PathAndQuery>() else { return request };
    parts.path_and_query = Some(shorter);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// The end of the path that the resource describes, if there is more in front of it. `value` returns a variable as it
/// was sent.
fn route_in<'p, 'v>(path: &'p str, resource: &str, value: impl Fn(&str) -> Option<&'v str>) -> Option<&'p str> {
    let pattern: Vec<_> = resource.strip_prefix('/')?.split('/').collect();
    // A greedy variable is the last one, and takes as many segments as its value has.
    let greedy = pattern.last()?.strip_prefix('{').and_then(|last| last.strip_suffix("+}"));
    let last = match greedy {
        Some(name) => value(name)?.split('/').count(),
        None => 1,
    };
    let segments = pattern.len() - 1 + last;
    let slashes: Vec<_> = path.match_indices('/').map(|(at, _)| at).collect();
    let start = *slashes.get(slashes.len().checked_sub(segments).filter(|more| *more > 0)?)?;
    let route = &path[start..];
    // An emulator may have decoded a slash of a variable: then this is not where the route begins.
    let is_route = route[1..].split('/').zip(&pattern).all(|(segment, part)| part.starts_with('{') || segment == *part);
    is_route.then_some(route)
}

#[cfg(test)]
mod tests {
    use lambda_http::http::Method;
    use serde_json::{Value, json};

    use super::*;

    /// The request that lambda_http makes of API Gateway's event.
    fn received(path: &str, resource: &str, parameters: &Value, query: &Value) -> Request<lambda_http::Body> {
        let headers = json!({"Host": "www.bank.example", "X-Forwarded-Proto": "https"});
        let event = json!({
            "resource": resource, "path": path, "httpMethod": "GET", "headers": headers, "multiValueHeaders": {},
            "queryStringParameters": query, "pathParameters": parameters, "isBase64Encoded": false,
            "requestContext": {"stage": "$default", "resourcePath": resource, "path": path, "httpMethod": "GET", "identity": {}},
        });
        lambda_http::request::from_str(&event.to_string()).unwrap()
    }

    fn routed(path: &str, resource: &str, parameters: &Value) -> String {
        let request = without_base_path(received(path, resource, parameters, &Value::Null));
        assert_eq!(request.method(), Method::GET);
        request.uri().path().to_owned()
    }

    #[test]
    fn base_path_of_a_custom_domain_is_taken_off() {
        let token = "k1.eyJj%2E-_.abc";
        for (resource, route, parameters) in [
            ("/offers", "/offers".to_owned(), Value::Null),
            ("/offers/preview", "/offers/preview".to_owned(), Value::Null),
            ("/offers/{id}", "/offers/7".to_owned(), json!({"id": "7"})),
            // Variables that look like a route.
            ("/offers/{id}", "/offers/offers".to_owned(), json!({"id": "offers"})),
            ("/offers/{id}/pushes/{number}", "/offers/7/pushes/2".to_owned(), json!({"id": "7", "number": "2"})),
            ("/unsubscribe/{token}", format!("/unsubscribe/{token}"), json!({"token": token})),
            (
                "/suppressions/{channel}/{address+}",
                "/suppressions/email/asha%40example.com".to_owned(),
                json!({"channel": "email", "address": "asha%40example.com"}),
            ),
            (
                "/suppressions/{channel}/{address+}",
                "/suppressions/email/a/b@example.com".to_owned(),
                json!({"channel": "email", "address": "a/b@example.com"}),
            ),
            (
                "/suppressions/{channel}/{address+}",
                "/suppressions/email/a%2Fb%40example.com".to_owned(),
                json!({"channel": "email", "address": "a%2Fb%40example.com"}),
            ),
        ] {
            for base in ["", "/offers", "/unsubscribe", "/bank/v1", "/offers/offers", "/suppressions/email"] {
                assert_eq!(routed(&format!("{base}{route}"), resource, &parameters), route, "{base} before {resource}");
            }
        }
    }

    #[test]
    fn path_that_an_emulator_decoded_stays_as_it_is() {
        // What is behind `?` is no part of the path any more; the variable has it.
        let parameters = json!({"channel": "email", "address": "a/b?c@example.com"});
        let path = "/suppressions/email/a/b";
        assert_eq!(routed(path, "/suppressions/{channel}/{address+}", &parameters), path);
        let parameters = json!({"id": "a/b"});
        assert_eq!(routed("/customers/a/b", "/customers/{id}", &parameters), "/customers/a/b");
    }

    #[test]
    fn query_and_host_stay() {
        let request = received("/bank/offers", "/offers", &Value::Null, &json!({"limit": "5"}));
        assert_eq!(without_base_path(request).uri(), "https://www.bank.example/offers?limit=5");
    }

    #[test]
    fn event_without_a_resource_stays_as_it_is() {
        assert_eq!(routed("/bank/offers", "", &Value::Null), "/bank/offers");
    }
}
