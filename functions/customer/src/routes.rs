//! Paths and their handlers.

use std::sync::Arc;

use api::problem::no_such_route;
use api::traced;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::app::App;
use crate::{customers, suppressions};

/// The router of the whole API.
pub fn router(app: App) -> Router {
    // Any address: the handlers read it from the event, and not from the path.
    let suppression = get(suppressions::read).delete(suppressions::lift);
    Router::new()
        .route("/customers", post(customers::put_many))
        .route("/customers/{id}", get(customers::read).put(customers::put).delete(customers::delete))
        .route("/suppressions/lift", post(suppressions::lift_many))
        .route("/suppressions/{channel}/{*address}", suppression.clone())
        // An emulator decodes the path, so that an address that begins with `?` or `#` ends it.
        .route("/suppressions/{channel}/", suppression)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .route_layer(from_fn_with_state(app.sources.clone(), traced))
        .with_state(Arc::new(app))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use domain::Channel;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use runtime::HashKeys;
    use serde_json::{Value, json};
    use store::suppressions::{Reason, Report};
    use store::{Customers, Suppressions};
    use testing::{Clock, Dynamo};
    use tower::ServiceExt;

    use super::*;

    struct World {
        clock: Clock,
        suppressions: Suppressions,
        router: Router,
    }

    impl World {
        fn new() -> Self {
            let (dynamo, clock) = (Dynamo::new(), Clock::new());
            let sources = clock.sources();
            let suppressions = Suppressions::new(dynamo.client(), "Suppressions", sources.clone());
            let customers = Customers::new(dynamo.client(), "Customers", sources.clone());
            let hash_keys = HashKeys::known(testing::hash_key());
            let app = App { sources, customers, suppressions: suppressions.clone(), hash_keys };
            Self { clock, suppressions, router: router(app) }
        }

        /// Calls the function with the event that API Gateway makes of a request, or an emulator.
        async fn call(&self, method: &str, path: &str, address: &str) -> (u16, Value) {
            let headers = json!({"Host": "api.bank.example", "X-Forwarded-Proto": "https"});
            let event = json!({
                "resource": "/suppressions/{channel}/{address+}", "path": path, "httpMethod": method, "headers": headers,
                "multiValueHeaders": {}, "pathParameters": {"channel": "email", "address": address},
                "requestContext": {"stage": "$default", "httpMethod": method, "identity": {}}, "isBase64Encoded": false,
            });
            let request = lambda_http::request::from_str(&event.to_string()).unwrap();
            let response = self.router.clone().oneshot(request.map(|_| Body::empty())).await.unwrap();
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, serde_json::from_slice(&body).unwrap_or_default())
        }
    }

    /// Every character that a local part may have besides letters and digits (RFC 5322, 3.2.3: atext), and a dot.
    const SYMBOLS: &str = "!#$%&'*+-/=?^_`{|}~.";

    /// Addresses with each symbol at each place.
    fn addresses() -> impl Iterator<Item = String> {
        let forms = |symbol: char| {
            let mut forms = vec![format!("name{symbol}surname"), format!("a{symbol}1{symbol}b")];
            if symbol != '.' {
                forms.extend([format!("{symbol}ab"), format!("ab{symbol}"), symbol.to_string()]);
            }
            forms
        };
        let all = SYMBOLS.chars().filter(|symbol| *symbol != '.').collect::<String>();
        let names = SYMBOLS.chars().flat_map(forms).chain([all]);
        let looks_encoded = ["a%2Bb", "%40", "a%252Fb", "%2e%2e/x"].map(str::to_owned);
        names.chain(looks_encoded).map(|name| format!("{name}@example.com"))
    }

    async fn is_found_and_lifted(world: &World, address: &str, path: &str, received: &str) {
        let hash = testing::address_hash(Channel::Email, address);
        // After the lift before.
        world.clock.skip(Duration::from_secs(1));
        let report = Report { address: &hash, at: world.clock.now(), by: "ses", notified: None };
        world.suppressions.suppress(&report, Reason::Bounced).await.unwrap();
        let (status, body) = world.call("GET", path, received).await;
        assert_eq!((status, &body["address"]), (200, &json!(address)), "{path}: {body}");
        assert_eq!(world.call("DELETE", path, received).await.0, 204, "{path}");
        assert_eq!(world.call("GET", path, received).await.0, 404, "{path}");
    }

    #[tokio::test(start_paused = true)]
    async fn any_sound_address_is_found_and_lifted_as_api_gateway_sends_it() {
        let world = World::new();
        for address in addresses() {
            let encoded = utf8_percent_encode(&address, NON_ALPHANUMERIC).to_string();
            // A caller may leave these as they are.
            let barely = encoded.replace("%40", "@").replace("%2B", "+").replace("%2E", ".").replace("%2D", "-");
            for sent in [encoded, barely] {
                is_found_and_lifted(&world, &address, &format!("/suppressions/email/{sent}"), &sent).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn any_address_that_does_not_look_encoded_is_found_and_lifted_as_an_emulator_decodes_it() {
        let world = World::new();
        let looks_encoded = |address: &str| address.contains("%2") || address.contains("%4") || address.contains("%1");
        for address in addresses().filter(|address| !looks_encoded(address)) {
            is_found_and_lifted(&world, &address, &format!("/suppressions/email/{address}"), &address).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_address_is_refused() {
        let world = World::new();
        for address in ["nobody", "a%40b%40c", "", "a%20b@example.com"] {
            assert_eq!(world.call("GET", &format!("/suppressions/email/{address}"), address).await.0, 400, "{address}");
        }
    }
}
