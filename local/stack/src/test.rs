//! `test`: all tests, with a separate stack for the end-to-end tests.

mod groups;

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use client::{MOTO_VARIABLE, SCHEMATHESIS_VARIABLE, STACK_VARIABLE};

use groups::{AtOnce, Stories};
use offercast::output;

use crate::emulator::{Emulator, install_moto, install_schemathesis};
use crate::options::Options;
use crate::private_file;
use crate::shutdown::{Interrupted, ShutdownSignal};
use crate::stack_dir::StackDir;
use crate::up::{prepare, stop};

/// Modules of stories that are skipped on LocalStack. It enforces no roles, evaluates alarms once a minute, and is too
/// slow to reach a rate limit. Pages in a browser and functions in containers are tested once, on MiniStack, and with its libraries the
/// example in Python.
const SKIPPED_ON_LOCALSTACK: [&str; 6] =
    ["alarms", "enforced_roles", "concurrent_functions", "in_a_browser", "in_a_container", "in_python"];

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
        () = shutdown.wait() => Err(Interrupted.into()),
    };
    stop(&dir)?;
    Ok(if tested? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the tests. Returns whether all succeeded.
async fn run(dir: &StackDir, options: &Options, arguments: &[String]) -> Result<bool> {
    let moto = install_moto(dir)?;
    let schemathesis = install_schemathesis(dir)?;
    prepare(dir, options, None).await?;
    output::step("Running the tests");
    let enforces_roles = options.stack.clone().unwrap_or_default().enforces_roles().await;
    let arguments = Arguments::new(arguments, &skipped_modules(enforces_roles))?;
    let set_environment = |command: &mut Command| {
        command
            .env(STACK_VARIABLE, dir.stack_file())
            .env(MOTO_VARIABLE, &moto)
            .env(SCHEMATHESIS_VARIABLE, &schemathesis);
    };
    let cargo = || {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(dir.workspace()).args(["test", "--workspace", "--no-fail-fast"]).args(&arguments.cargo);
        set_environment(&mut command);
        command
    };
    // The tests that need no stack are the same on every kind of stack, so they run with one kind only.
    let needs_others = arguments.selects_no_groups() && (enforces_roles || !arguments.cargo.is_empty());
    if needs_others && arguments.includes_stories() {
        // Before the stories, which a compiler beside them would slow down.
        let mut build = cargo();
        build.arg("--no-run");
        ensure!(output(build, false).await?.status.success(), "the tests do not compile");
    }
    let log = dir.path().join("tests.log");
    let others = async {
        if !needs_others {
            return Ok(true);
        }
        let mut command = cargo();
        command.args(["--", "--skip", groups::MODULE]).args(&arguments.libtest);
        if !arguments.includes_stories() {
            return Ok(output(command, false).await?.status.success());
        }
        // They mostly compute, and the stories mostly wait.
        let mut command = politely(&command);
        let all = private_file::create(&log)?;
        command.stdout(all.try_clone()?).stderr(all);
        let began = Instant::now();
        let succeeded = output(command, false).await?.status.success();
        output::step(&format!("Tests that need no stack ({:.1} s)", began.elapsed().as_secs_f32()));
        std::io::stdout().write_all(&fs::read(&log)?)?;
        Ok(succeeded)
    };
    let stories = async {
        if !arguments.includes_stories() {
            return Ok(Vec::new());
        }
        let at_once = if enforces_roles { AtOnce::MINISTACK } else { AtOnce::LOCALSTACK };
        let stories = Stories::select(cargo, &arguments.libtest, &arguments.groups).await?;
        stories.run(&arguments.libtest, at_once, set_environment).await
    };
    let (others, mut failed) = tokio::try_join!(others, stories)?;
    if !others {
        failed.push("tests that need no stack");
    }
    if !failed.is_empty() {
        eprintln!("\nfailed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

/// The same command, with a lower priority than others.
fn politely(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "5"]).arg(command.get_program()).args(command.get_args());
    nice.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    nice.current_dir(command.get_current_dir().unwrap_or_else(|| ".".as_ref()));
    nice
}

/// Modules of stories that this stack or this machine cannot run.
fn skipped_modules(enforces_roles: bool) -> Vec<&'static str> {
    let mut skipped = if enforces_roles { vec!["faithful_event_sources"] } else { SKIPPED_ON_LOCALSTACK.to_vec() };
    if Command::new("chromedriver").arg("--version").output().is_err() {
        println!(
            "    Skipping tests in a browser: chromedriver is not installed (Debian: apt-get install chromium-driver)"
        );
        skipped.push("in_a_browser");
    }
    if !skipped.contains(&"in_a_browser") && Command::new("npm").arg("--version").output().is_err() {
        println!("    Skipping the tests of accessibility: npm is not installed (Debian: apt-get install npm)");
        skipped.push("with_axe");
    }
    if Command::new("jq").arg("--version").output().is_err() {
        println!("    Skipping the example in curl: jq is not installed (Debian: apt-get install jq)");
        skipped.push("in_curl");
    }
    if !has_java() {
        println!(
            "    Skipping the example in Java: Java 17 is not installed (Debian: apt-get install default-jdk-headless)"
        );
        skipped.push("in_java");
    }
    if !skipped.contains(&"in_a_container")
        && let Err(reason) = containers()
    {
        println!("    Skipping tests with sam local invoke: {reason}");
        skipped.push("in_a_container");
    }
    skipped
}

/// Whether Java 17 or newer can compile: the example is one file.
fn has_java() -> bool {
    let version = Command::new("javac").arg("-version").output().ok().filter(|output| output.status.success());
    // As in `javac 17.0.15`.
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let major = version.trim().strip_prefix("javac ").and_then(|version| version.split('.').next());
    major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 17)
}

/// Options of `cargo test` that select other tests than the stories.
const OTHER_TARGETS: [&str; 12] = [
    "--lib",
    "--bins",
    "--bin",
    "--test",
    "--tests",
    "--examples",
    "--benches",
    "--all-targets",
    "--doc",
    "-p",
    "--package",
    "--exclude",
];

/// The caller's arguments, as in `cargo xtask test -- --test consent -- --nocapture`.
struct Arguments {
    /// For cargo.
    cargo: Vec<String>,
    /// For the tests' programs: modules to skip, and the caller's own.
    libtest: Vec<String>,
    /// The groups of stories that the caller selects with `--test`. If there are any, nothing else runs.
    groups: Vec<String>,
}

impl Arguments {
    /// # Errors
    /// If a group is combined with other targets: they run in different ways.
    fn new(arguments: &[String], skipped: &[&str]) -> Result<Self> {
        let (for_cargo, for_libtest) = match arguments.iter().position(|argument| argument == "--") {
            Some(at) => (&arguments[..at], &arguments[at + 1..]),
            None => (arguments, &[][..]),
        };
        let (mut cargo, mut groups) = (Vec::new(), Vec::new());
        let mut rest = for_cargo.iter();
        while let Some(argument) = rest.next() {
            let next = rest.as_slice().first();
            if let Some(group) = argument.strip_prefix("--test=").filter(|name| groups::is_group(name)) {
                groups.push(group.to_owned());
            } else if argument == "--test" && next.is_some_and(|name| groups::is_group(name)) {
                groups.extend(rest.next().cloned());
            } else {
                cargo.push(argument.clone());
            }
        }
        let skips = skipped.iter().flat_map(|module| ["--skip", *module]).map(str::to_owned);
        let arguments = Self { cargo, libtest: skips.chain(for_libtest.iter().cloned()).collect(), groups };
        ensure!(
            arguments.selects_no_groups() || arguments.includes_stories(),
            "a group of stories cannot be combined with other targets; run them one after the other"
        );
        Ok(arguments)
    }

    fn selects_no_groups(&self) -> bool {
        self.groups.is_empty()
    }

    fn includes_stories(&self) -> bool {
        let is_target = |argument: &String| {
            OTHER_TARGETS.contains(&argument.split_once('=').map_or(argument.as_str(), |(option, _)| option))
        };
        !self.cargo.iter().any(is_target)
    }
}

/// Runs a command and waits until it has ended. If this is dropped, as on Ctrl-C, the command is killed with all
/// processes that it started.
async fn output(mut command: Command, capture: bool) -> Result<Output> {
    let what = command.get_program().to_string_lossy().into_owned();
    if capture {
        command.stdout(Stdio::piped());
    }
    let process = tokio::process::Command::from(command).process_group(0).spawn();
    let process = process.with_context(|| format!("cannot run {what}"))?;
    let mut group = Group(process.id().and_then(|id| i32::try_from(id).ok()));
    let output = process.wait_with_output().await.with_context(|| format!("cannot wait for {what}"));
    group.0 = None;
    output
}

/// The output of a command, which must have succeeded.
fn succeeded(what: &str, output: Output) -> Result<String> {
    ensure!(output.status.success(), "{what} failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Checks whether `sam local invoke` works here. The error is the reason.
fn containers() -> Result<(), &'static str> {
    // Functions are built for this machine, and a container runs Linux.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(given: &[&str]) -> Result<Arguments> {
        Arguments::new(&given.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>(), &["alarms"])
    }

    #[test]
    fn a_group_is_named_like_a_test_target() {
        let group = arguments(&["--test", "consent", "key_rotation", "--", "--nocapture"]).unwrap();
        assert_eq!(
            (&group.groups[..], &group.cargo[..]),
            (&["consent".to_owned()][..], &["key_rotation".to_owned()][..])
        );
        assert_eq!(group.libtest, ["--skip", "alarms", "--nocapture"]);
        assert!(group.includes_stories() && !group.selects_no_groups());
    }

    #[test]
    fn other_targets_run_without_stories() {
        for other in [&["--test", "template"][..], &["-p", "store"], &["--lib"], &["--package=store"]] {
            let other = arguments(other).unwrap();
            assert!(other.selects_no_groups() && !other.includes_stories());
        }
        let all = arguments(&[]).unwrap();
        assert!(all.selects_no_groups() && all.includes_stories());
    }

    #[test]
    fn a_group_is_not_combined_with_other_targets() {
        assert_eq!(arguments(&["--test=consent"]).unwrap().groups, ["consent"]);
        for mixed in [&["--test", "consent", "--test", "template"][..], &["--test", "consent", "-p", "store"]] {
            assert!(arguments(mixed).is_err(), "{mixed:?}");
        }
    }
}
