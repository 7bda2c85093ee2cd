//! `test`: every test, with a stack of its own for those that need one.

use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use client::{MOTO_VARIABLE, SCHEMATHESIS_VARIABLE, STACK_VARIABLE};

use crate::emulator::{Emulator, install_moto, install_schemathesis};
use crate::place::Place;
use crate::up::{Stopped, end, prepare};
use crate::{Options, progress};

/// Runs every test of the workspace.
pub(crate) async fn test(options: &Options, arguments: &[String]) -> Result<ExitCode> {
    // Each kind of stack has a place of its own, so that both may be tested at the same time.
    let place = Place::of_workspace(match &options.stack {
        Some(Emulator::LocalStack) => "test-localstack",
        None | Some(Emulator::MiniStack | Emulator::At(_)) => "test-stack",
    })?;
    let stopped = Stopped::listen()?;
    // Never on a stack that is up: tests may break theirs.
    end(&place)?;
    let tested = tokio::select! {
        tested = run(&place, options, arguments) => tested,
        () = stopped.wait() => Err(anyhow::anyhow!("stopped")),
    };
    end(&place)?;
    Ok(if tested?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(place: &Place, options: &Options, arguments: &[String]) -> Result<ExitStatus> {
    let moto = install_moto(place)?;
    let schemathesis = install_schemathesis(place)?;
    prepare(place, options).await?;
    progress::step("Running the tests");
    let (cargo, libtest) = match arguments.iter().position(|argument| argument == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    // Modules of stories whose promise another kind of stack cannot show. LocalStack reads a queue one message at a time.
    // Unit tests need no second run.
    let (targets, skipped) = match options.stack.clone().unwrap_or_default().enforces_roles().await {
        true => (&[][..], &["faithful_event_sources"][..]),
        false if cargo.is_empty() => (&["--test", "*"][..], &["enforced_roles", "concurrent_functions"][..]),
        false => (&[][..], &["enforced_roles", "concurrent_functions"][..]),
    };
    let mut skipped = skipped.to_vec();
    if Command::new("chromedriver").arg("--version").output().is_err() {
        println!("    without those in a browser: there is no chromedriver (Debian: apt-get install chromium-driver)");
        skipped.push("in_a_browser");
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(place.workspace())
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(targets)
        .args(cargo)
        .arg("--")
        .args(skipped.iter().flat_map(|skipped| ["--skip", skipped]))
        .args(libtest)
        .env(STACK_VARIABLE, place.stack_file())
        .env(MOTO_VARIABLE, moto)
        .env(SCHEMATHESIS_VARIABLE, schemathesis);
    let mut tests = tokio::process::Command::from(command).process_group(0).spawn().context("cannot run cargo test")?;
    // Whoever is told to stop, ends cargo and the tests that it runs: they are one group.
    let mut group = Group(tests.id().and_then(|id| i32::try_from(id).ok()));
    let status = tests.wait().await.context("cannot wait for cargo test");
    group.0 = None;
    status
}

/// A process group that ends with this.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // It may be over already; that is what was wanted.
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
        }
    }
}
