//! `status`: pushes, functions, queues, tables and the inbox, in the terminal, as JSON and on a live page.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how the facts are collected | `observer` |
//! | the facts and their JSON | `view` |
//! | the terminal output | `terminal` |
//! | the page | `page.html`, `page.css`, `page.js`; `server` serves it |

mod observer;
mod server;
mod terminal;
mod view;

use std::time::Duration;

use anyhow::Result;

use crate::options::Target;
use observer::Observer;
pub(crate) use server::serve;

/// How often `--watch` refreshes. Less often on AWS, whose APIs have rate limits.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const POLL_INTERVAL_ON_AWS: Duration = Duration::from_secs(10);

/// Shows the status once, or keeps refreshing it.
pub(crate) async fn show(observed: Target, json: bool, watch: bool) -> Result<()> {
    let every = match &observed {
        Target::Local(_) => POLL_INTERVAL,
        Target::OnAws(..) => POLL_INTERVAL_ON_AWS,
    };
    let mut observer = Observer::new(observed);
    loop {
        let status = observer.observe().await;
        if json {
            println!("{}", serde_json::to_string(&status)?);
        } else {
            terminal::print(&status, watch);
        }
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(every).await;
    }
}
