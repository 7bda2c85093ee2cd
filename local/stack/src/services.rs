//! Starting the inbox and the status page, and waiting until a service is ready.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::Running;
use crate::stack_dir::{REGION, StackDir};

/// How long a service may take to respond.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The names of these services.
pub(crate) const INBOX: &str = "the inbox";
pub(crate) const STATUS_PAGE: &str = "the status page";

pub(crate) fn start_inbox(dir: &StackDir, smtp_port: u16, web_port: u16, endpoint_url: &str) -> Result<Running> {
    let mut command = Command::new(dir.program("inbox")?);
    command.args(["--smtp-port", &smtp_port.to_string(), "--web-port", &web_port.to_string()]);
    command.args(["--endpoint-url", endpoint_url, "--region", REGION]);
    Running::start(INBOX, command, &dir.path().join("inbox.log"))
}

pub(crate) fn start_status(dir: &StackDir, port: u16) -> Result<Running> {
    let mut command = Command::new(dir.program("offercast")?);
    command.env(offercast::output::TOOL_VARIABLE, "cargo xtask");
    command.arg("serve-status").arg(dir.stack_file()).args(["--port", &port.to_string()]);
    Running::start(STATUS_PAGE, command, &dir.path().join("status.log"))
}

/// Waits until `url` responds with success.
pub(crate) async fn wait_until_ready(running: &Running, url: &str, log: &Path) -> Result<()> {
    let began = Instant::now();
    loop {
        // Another program at its port may respond as well.
        if reqwest::get(url).await.is_ok_and(|response| response.status().is_success()) && running.is_alive() {
            return Ok(());
        }
        if !running.is_alive() {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let end: Vec<_> = log.lines().rev().take(15).collect();
            bail!("{} exited while starting:\n{}", running.name, end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        if began.elapsed() > READY_TIMEOUT {
            bail!("{} does not respond at {url}; see {}", running.name, log.display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The usual port, or any free port if it is taken.
pub(crate) fn free_port(usual: u16) -> Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(usual).or_else(|_| bind(0)).context("no port is free on this machine")?;
    Ok(listener.local_addr()?.port())
}
