//! HTTPS connections, and how long unused ones are kept.

use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_dynamodb::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::tls::{self, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpConnector};
use domain::Sources;
use jiff::Timestamp;

/// A client that keeps an unused connection for `idle`, or for the SDK's default time.
pub(crate) fn https(idle: Option<Duration>, trusted: &TlsContext) -> SharedHttpClient {
    let mut builder = aws_smithy_http_client::Builder::new();
    if let Some(idle) = idle {
        builder = builder.pool_idle_timeout(idle);
    }
    builder.tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).tls_context(trusted.clone()).build_https()
}

/// A client that drops each connection that was not used for a while: a connection that the service has closed looks
/// like a lost response.
///
/// hyper measures that time with a monotonic clock, which stands still while Lambda freezes the process. So if the wall
/// clock says that the whole client was not used for as long, all connections are dropped.
#[derive(Debug)]
pub(crate) struct FreshConnections {
    sources: Sources,
    trusted: TlsContext,
    max_idle: Duration,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    client: SharedHttpClient,
    used_at: Timestamp,
}

impl FreshConnections {
    pub(crate) fn new(sources: Sources, trusted: TlsContext, max_idle: Duration) -> Self {
        let current = Mutex::new(Current { client: https(Some(max_idle), &trusted), used_at: sources.now() });
        Self { sources, trusted, max_idle, current }
    }
}

impl HttpClient for FreshConnections {
    /// Called for each attempt of a call.
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let mut current = self.current.lock().expect("nothing panics while holding the lock");
        if self.sources.age_of(current.used_at) > self.max_idle {
            current.client = https(Some(self.max_idle), &self.trusted);
        }
        current.used_at = self.sources.now();
        current.client.http_connector(settings, components)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server::TestServer;
    use crate::trust;

    #[tokio::test]
    async fn a_connection_is_not_used_after_a_pause_that_only_the_wall_clock_shows() {
        let server = TestServer::start(200, "{}").await;
        let client = aws_sdk_dynamodb::Client::new(&server.aws().one_attempt(Duration::from_secs(10)));
        for (second, expected) in [(0, 1), (0, 1), (5, 1), (11, 2), (12, 2), (7_200, 3), (7_000, 4)] {
            server.set_clock(second);
            client.list_tables().send().await.unwrap();
            assert_eq!(server.connections(), expected, "at {second} s");
        }
    }

    #[tokio::test]
    async fn each_connection_that_is_idle_is_closed() {
        let server = TestServer::start(200, "{}").await;
        let http =
            FreshConnections::new(server.aws().sources().clone(), trust::of_system(), Duration::from_millis(100));
        let config = server.aws().config().to_builder().http_client(http).build();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let call = async || client.list_tables().send().await.unwrap();
        tokio::join!(call(), call());
        assert_eq!(server.connections(), 2);
        // By hyper's clock; the client's own stands still.
        server.until_closed(2).await;
        call().await;
        assert_eq!(server.connections(), 3);
    }
}
