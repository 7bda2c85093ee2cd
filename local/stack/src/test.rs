//! `test`: all tests, with a separate stack for the end-to-end tests.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use client::{MOTO_VARIABLE, SCHEMATHESIS_VARIABLE, STACK_VARIABLE};

use crate::emulator::{Emulator, install_moto, install_schemathesis};
use crate::options::Options;
use crate::progress;
use crate::shutdown::ShutdownSignal;
use crate::stack_dir::StackDir;
use crate::up::{prepare, stop};

/// Test modules that are skipped on LocalStack: it enforces no roles, evaluates alarms once a minute, and is too slow to show a
/// rate. Tests in a browser or a container need no second run.
const ON_MINISTACK: [&str; 5] = ["alarms", "enforced_roles", "concurrent_functions", "in_a_browser", "in_a_container"];

/// Runs all tests of the workspace.
pub(crate) async fn test(options: &Options, arguments: &[String]) -> Result<ExitCode> {
    // One directory per emulator, so that both can be tested at the same time.
    let dir = StackDir::in_workspace(match &options.stack {
        Some(Emulator::LocalStack) => "test-localstack",
        None | Some(Emulator::MiniStack | Emulator::At(_)) => "test-stack",
    })?;
    let shutdown = ShutdownSignal::listen()?;
    // Start with a fresh stack: tests may leave theirs damaged.
    stop(&dir)?;
    let tested = tokio::select! {
        tested = run(&dir, options, arguments) => tested,
        () = shutdown.wait() => Err(anyhow::anyhow!("stopped")),
    };
    stop(&dir)?;
    Ok(if tested?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(dir: &StackDir, options: &Options, arguments: &[String]) -> Result<ExitStatus> {
    let moto = install_moto(dir)?;
    let schemathesis = install_schemathesis(dir)?;
    prepare(dir, options).await?;
    progress::step("Running the tests");
    let (cargo, libtest) = match arguments.iter().position(|argument| argument == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    // Skip the modules that this emulator cannot support. Unit tests need no second run.
    let (targets, skipped) = match options.stack.clone().unwrap_or_default().enforces_roles().await {
        true => (&[][..], &["faithful_event_sources"][..]),
        false if cargo.is_empty() => (&["--test", "*"][..], &ON_MINISTACK[..]),
        false => (&[][..], &ON_MINISTACK[..]),
    };
    let mut skipped = skipped.to_vec();
    if Command::new("chromedriver").arg("--version").output().is_err() {
        println!(
            "    Skipping tests in a browser: chromedriver is not installed (Debian: apt-get install chromium-driver)"
        );
        skipped.push("in_a_browser");
    }
    if !skipped.contains(&"in_a_container")
        && let Err(reason) = containers()
    {
        println!("    Skipping tests with sam local invoke: {reason}");
        skipped.push("in_a_container");
    }
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(dir.workspace())
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(targets)
        .args(cargo)
        .arg("--")
        .args(skipped.iter().flat_map(|skipped| ["--skip", skipped]))
        .args(libtest)
        .env(STACK_VARIABLE, dir.stack_file())
        .env(MOTO_VARIABLE, moto)
        .env(SCHEMATHESIS_VARIABLE, schemathesis);
    let mut tests = tokio::process::Command::from(command).process_group(0).spawn().context("cannot run cargo test")?;
    // When this program is stopped, cargo and its tests are stopped too: they are one process group.
    let mut group = Group(tests.id().and_then(|id| i32::try_from(id).ok()));
    let status = tests.wait().await.context("cannot wait for cargo test");
    group.0 = None;
    status
}

/// Checks whether `sam local invoke` works here. The error is the reason.
fn containers() -> Result<(), &'static str> {
    // Functions are built for this machine, and containers run Linux.
    if !cfg!(target_os = "linux") {
        return Err("they need Linux");
    }
    let sam = env::var_os("SAM").unwrap_or_else(|| "sam".into());
    if Command::new(sam).arg("--version").env("SAM_CLI_TELEMETRY", "0").output().is_err() {
        return Err("the SAM CLI is not installed (or set SAM to its path)");
    }
    match container_engine_responds() {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err("no container engine responds (set DOCKER_HOST to its socket)"),
    }
}

fn container_engine_responds() -> std::io::Result<bool> {
    let host = env::var("DOCKER_HOST").unwrap_or_default();
    let mut socket = UnixStream::connect(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let mut response = String::new();
    socket.read_to_string(&mut response)?;
    Ok(response.split_whitespace().nth(1) == Some("200"))
}

/// A process group that is killed on drop.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // An error means that it has already ended.
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
        }
    }
}
