//! The test support of the stories: `Bank`, the fixture of each test, and stand-ins for services that misbehave.
//!
//! # Layout
//!
//! | to change | open |
//! |---|---|
//! | the fixture: customers, offers, inbox, queues, tables | `bank` |
//! | an AWS service that fails | `aws_proxy` |
//! | a function's process that a test freezes | `function` |
//! | functions in containers, as `sam local invoke` runs them | `container` |
//! | SES, simulated by moto | `ses` |
//! | calls signed for a program that cannot sign | `signing_proxy` |
//! | Chromium | `browser` |
//! | the routes of the template | `routes` |

pub mod aws_proxy;
mod bank;
pub mod browser;
pub mod container;
pub mod function;
mod routes;
pub mod ses;
pub mod signing_proxy;

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

pub use bank::{
    Aws, Bank, Header, MOBILE_PREFIX, Mail, Queues, Tables, TextMessage, check_sum, counts, each_once, email_batch,
    id_of, push_stream_event, sqs_event, unsubscribe_page,
};
pub use routes::{Route, routes};
pub use unsubscribe_page::one_click;

/// Timeout of [`wait_for`]. It is long, since it only ends a test that hangs. It is no promise of speed.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(240);
/// Pauses between two attempts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Waits until `look` succeeds.
pub async fn wait_for<T>(what: &str, look: impl AsyncFnMut() -> Result<T>) -> T {
    wait_long_for(what, DEFAULT_TIMEOUT, look).await
}

/// Waits until `look` succeeds, for up to `timeout`.
pub async fn wait_long_for<T>(what: &str, timeout: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> T {
    let began = Instant::now();
    loop {
        let looked = Instant::now();
        match look().await {
            Ok(found) => return found,
            Err(error) if began.elapsed() > timeout => panic!("timed out waiting for {what}: {error:#}"),
            // The slower the stack responds, the longer the pause, so that waiting does not slow it down further.
            Err(_) => tokio::time::sleep((3 * looked.elapsed()).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await,
        }
    }
}

/// A program of this workspace, built beside this test: target/debug/deps/stories and target/debug/email.
pub fn program(name: &str) -> PathBuf {
    let own = env::current_exe().expect("a test has a file");
    own.ancestors().nth(2).map(|folder| folder.join(name)).expect("it is in the target folder")
}

/// A file of this repository.
pub fn in_repository(file: &str) -> String {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A port of this machine that is free.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
