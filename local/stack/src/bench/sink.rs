//! Postfix's `smtp-sink`, an SMTP server that discards e-mail, and the benchmark of our SMTP transport against it.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use offercast::output;

use super::build::cargo;
use crate::process::Running;
use crate::services;
use crate::stack_dir::StackDir;

/// Why there is no result.
pub(super) const MISSING: &str =
    "Not measured: smtp-sink is not installed (Debian: apt-get install postfix; or set SMTP_SINK to its path).";

/// How long smtp-sink may take to accept connections.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

fn program() -> Option<PathBuf> {
    let named = env::var_os("SMTP_SINK").map(PathBuf::from);
    Some(named.unwrap_or_else(|| "/usr/sbin/smtp-sink".into())).filter(|program| program.exists())
}

/// A running `smtp-sink`, stopped on drop.
pub(super) struct Sink {
    running: Running,
    port: u16,
}

impl Sink {
    /// Starts it; `None` if it is not installed.
    pub(super) fn start(dir: &StackDir) -> Result<Option<Self>> {
        let Some(program) = program() else { return Ok(None) };
        let port = services::free_port(0)?;
        let mut command = Command::new(program);
        // smtp-sink refuses to run as root.
        if fs::metadata("/proc/self")?.uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        command.args([&format!("127.0.0.1:{port}"), "1000"]);
        let sink = Self { running: Running::start("smtp-sink", command, &dir.path().join("sink.log"))?, port };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(began.elapsed() < LISTEN_TIMEOUT, "smtp-sink does not accept connections");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(sink))
    }

    pub(super) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.running.stop();
    }
}

/// The benchmark of the SMTP transport. It starts its own sink.
pub(super) struct SmtpBenchmark;

impl SmtpBenchmark {
    const CARGO_ARGS: [&str; 5] = ["bench", "--package", "delivery", "--bench", "smtp"];

    /// Builds it; `None` if smtp-sink is not installed.
    pub(super) async fn build(dir: &StackDir) -> Result<Option<Self>> {
        if program().is_none() {
            return Ok(None);
        }
        let step = output::step("Building the benchmark of the SMTP transport");
        let built = cargo(dir.workspace()).args(Self::CARGO_ARGS).arg("--no-run").status().await;
        ensure!(built.context("cannot run cargo")?.success(), "building the SMTP benchmark failed");
        step.done("built");
        Ok(Some(Self))
    }

    /// Runs it and returns its output.
    pub(super) async fn measure(&self, dir: &StackDir) -> Result<String> {
        let step = output::step("Sending to a server that discards e-mail");
        let mut benchmark = cargo(dir.workspace());
        let output = benchmark.args(Self::CARGO_ARGS).stderr(Stdio::inherit()).output().await?;
        ensure!(output.status.success(), "the SMTP benchmark failed");
        step.done("sent");
        Ok(String::from_utf8(output.stdout)?)
    }
}
