//! The AWS stack and the inbox: set up, started, watched until they are ready.

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::Running;
use crate::progress;

/// The Python packages of the local stack.
const REQUIREMENTS: &str = include_str!("../requirements.txt");
/// How long a service may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What a service of ours inherits of the environment. Functions inherit it in turn, so nothing else gets in.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The region that the local stack says it is in.
pub(crate) const REGION: &str = "eu-west-1";

/// Makes sure that Python has what the stack needs.
pub(crate) fn install(place: &Place) -> Result<()> {
    let python = place.python();
    let installed = python.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(());
    }
    let step = progress::step("Installing the local AWS stack (once, about 30 MB)");
    let run = |what: &str, command: &mut Command| {
        let output = command.output().with_context(|| format!("cannot {what}"))?;
        if output.status.success() {
            Ok(())
        } else {
            bail!("cannot {what}:\n{}", String::from_utf8_lossy(&output.stderr))
        }
    };
    let system_python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run("make a Python environment", Command::new(system_python).args(["-m", "venv", "--clear"]).arg(&python))?;
    let requirements = python.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS)?;
    run(
        "install the Python packages",
        Command::new(python.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(requirements),
    )?;
    std::fs::write(installed, REQUIREMENTS)?;
    step.done("installed");
    Ok(())
}

/// Starts the AWS stack. Its functions run as processes; their roles are enforced.
pub(crate) fn start_aws(place: &Place, port: u16) -> Result<Running> {
    let temporary = place.files().join("tmp");
    std::fs::create_dir_all(&temporary)?;
    let mut command = Command::new(place.python().join("bin/python"));
    command
        .args(["-m", "ministack"])
        .current_dir(place.files())
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .env("GATEWAY_PORT", port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        .env("AUTH", "true")
        .env("MINISTACK_REGION", REGION)
        // They would listen on ports of their own, and nothing here needs them.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("TMPDIR", temporary);
    Running::start("the AWS stack", command, &place.files().join("aws.log"))
}

/// Starts the inbox.
pub(crate) fn start_inbox(place: &Place, smtp_port: u16, web_port: u16) -> Result<Running> {
    let mut command = Command::new(place.program("inbox")?);
    command.args(["--smtp-port", &smtp_port.to_string(), "--web-port", &web_port.to_string()]);
    Running::start("the inbox", command, &place.files().join("inbox.log"))
}

/// Waits until a service answers at `url`.
pub(crate) async fn ready(running: &Running, url: &str, log: &Path) -> Result<()> {
    let began = Instant::now();
    loop {
        if reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        if !running.is_alive() {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let end: Vec<_> = log.lines().rev().take(15).collect();
            bail!("{} ended while starting:\n{}", running.name, end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        if began.elapsed() > READY_WITHIN {
            bail!("{} does not answer at {url}; see {}", running.name, log.display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The usual port, or any free one where it is taken.
pub(crate) fn free_port(usual: u16) -> Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(usual).or_else(|_| bind(0)).context("there is no free port on this machine")?;
    Ok(listener.local_addr()?.port())
}
