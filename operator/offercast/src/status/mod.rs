//! `status`: pushes, functions, queues, tables and the inbox, in the terminal, as JSON and on a live page.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how the facts are collected | `observer` |
//! | the facts and their JSON | `view` |
//! | what an operator should look at, the worst first | `concerns` |
//! | the terminal output; refreshed | `terminal`; `watch` |
//! | why notifications were not sent | `unsent` |
//! | the page | `page.html`, `page.css`, `page.js`; `server` serves it |

mod concerns;
mod observer;
mod server;
mod terminal;
mod unsent;
mod view;
mod watch;

use std::time::Duration;

use anyhow::Result;

use crate::output;
use crate::target::Target;
use observer::Observer;
pub use server::{Served, serve};

/// Suffix of a dead-letter queue's name, after the name of the queue it belongs to.
const DEAD_LETTERS: &str = crate::redrive::DEAD_LETTERS;
/// How often `--watch` refreshes. Less often on AWS, whose APIs have rate limits.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const POLL_INTERVAL_ON_AWS: Duration = Duration::from_secs(10);

/// Shows the status once, or keeps refreshing it.
///
/// # Errors
/// If it cannot be printed.
pub async fn show(observed: Target, json: bool, watch: bool) -> Result<()> {
    let every = match &observed {
        Target::Local(_) => POLL_INTERVAL,
        Target::OnAws(..) => POLL_INTERVAL_ON_AWS,
    };
    let mut observer = Observer::new(observed);
    if watch && !json {
        return watch::watch(observer, every).await;
    }
    loop {
        let status = observer.observe().await;
        if json {
            output::line(&serde_json::to_string(&status)?)?;
        } else {
            terminal::print(&status)?;
        }
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(every).await;
    }
}
