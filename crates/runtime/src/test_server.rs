//! A service on this machine that gives every call the same response, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use domain::Sources;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::Aws;

/// A service, and a clock that moves only when the test sets it.
#[derive(Clone)]
pub(crate) struct TestServer {
    url: String,
    connections: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
    closed: Arc<Semaphore>,
    seconds: Arc<AtomicI64>,
}

impl TestServer {
    /// Responds to each call with this JSON and status.
    pub(crate) async fn start(status: u16, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let closed = Arc::new(Semaphore::new(0));
        let (connections, calls) = (Arc::default(), Arc::default());
        let server = Self { url, connections, calls, closed, seconds: Arc::default() };
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(accepting.clone().serve(stream, status, body));
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream, status: u16, body: &'static str) {
        let mut request = Vec::new();
        while stream.read_buf(&mut request).await.unwrap() > 0 {
            // Every call has a JSON object as its body.
            if request.ends_with(b"}") {
                request.clear();
                self.calls.fetch_add(1, Ordering::Relaxed);
                let response = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        }
        self.closed.add_permits(1);
    }

    /// Waits until the client has closed this many connections.
    pub(crate) async fn until_closed(&self, connections: u32) {
        self.closed.acquire_many(connections).await.unwrap().forget();
    }

    /// Clients that call it, once for each call, on its clock.
    pub(crate) fn aws(&self) -> Aws {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&self.url)
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
            .retry_config(RetryConfig::disabled())
            .http_client(crate::connections::https(None, &crate::trust::of_system()))
            .build();
        let seconds = self.seconds.clone();
        let clock = move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap();
        Aws::new(config, Sources::new(clock, || 0))
    }

    pub(crate) fn set_clock(&self, seconds: i64) {
        self.seconds.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}
