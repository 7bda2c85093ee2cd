//! `status`: what runs, and how it is. The same facts in the terminal, as JSON, and on a page that stays up to date.
//!
//! | to change | open |
//! |---|---|
//! | what is observed at, and how | `observer` |
//! | the facts themselves, and their JSON | `view` |
//! | the terminal's view | `terminal` |
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

/// How often `--watch` looks; AWS is asked less often, since it limits how many questions it answers.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const POLL_INTERVAL_ON_AWS: Duration = Duration::from_secs(10);

/// Shows how everything is: once, or until told to stop.
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
