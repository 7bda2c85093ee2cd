//! Cold starts: size, start-up time and memory of each function, compared with empty functions in Rust, Python and
//! Node.js. AWS's runtime interface emulator runs them all, so "init" means the same as on AWS.

use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use client::Stack;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use offercast::output;

use super::handlers::{Handler, empty, functions};
use super::system::{children_of, peak_memory};
use super::table::{megabytes, table};
use crate::stack_dir::StackDir;

/// Why there is no result.
const MISSING: &str = "Not measured: AWS's runtime emulator comes with the SAM CLI. Install it with .ci/sam install, or set SAM to its path.";

/// Starts of each function.
const STARTS: usize = 10;
/// How long the emulator may take to accept connections.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a function may take for one event.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts every function [`STARTS`] times and formats the results.
pub(super) async fn measure(dir: &StackDir, stack: &Stack) -> Result<String> {
    let Some(emulator) = emulator(dir) else {
        return Ok(MISSING.to_owned());
    };
    let mut notes = Vec::new();
    let empty = empty(dir, &mut notes).await?;
    let mut handlers = functions(dir, stack).await?;
    let ours = handlers.len();
    handlers.extend(empty);

    let mut step = output::step("Starting each function, and empty ones, several times");
    // In turns, so that other load on the machine affects all of them equally.
    for round in 1..=STARTS {
        for handler in &mut handlers {
            step.update(&format!("{}, {round} of {STARTS}", handler.name));
            let (init, memory) = start(&emulator, dir, handler).await?;
            handler.inits.push(init);
            handler.memory = handler.memory.max(memory);
        }
    }
    step.done(&format!("{STARTS} times each"));
    format_results(&handlers, ours, &notes)
}

/// The runtime emulator that comes with the SAM CLI.
fn emulator(dir: &StackDir) -> Option<PathBuf> {
    let name = if cfg!(target_arch = "aarch64") { "aws-lambda-rie-arm64" } else { "aws-lambda-rie-x86_64" };
    let environment = match env::var_os("SAM") {
        Some(sam) => fs::canonicalize(sam).ok()?.ancestors().nth(2)?.to_owned(),
        None => dir.workspace().join("target/local/sam"),
    };
    let versions = fs::read_dir(environment.join("lib")).into_iter().flatten().filter_map(Result::ok);
    let mut files = versions.map(|python| python.path().join("site-packages/samcli/local/rapid").join(name));
    files.find(|file| file.exists())
}

/// A running emulator with its function. Both are killed on drop.
struct Emulated(Child);

impl Drop for Emulated {
    fn drop(&mut self) {
        // The function has its own process group. An error means that the process has already ended.
        for pid in children_of(self.0.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a function and sends it one event. Returns its init time in milliseconds and its peak memory in bytes.
async fn start(emulator: &Path, dir: &StackDir, handler: &Handler) -> Result<(f64, u64)> {
    let log = dir.path().join("emulator.log");
    let file = File::create(&log)?;
    // Bind both before closing either, so that the ports differ.
    let (outer, inner) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (outer_address, inner_address) = (outer.local_addr()?.to_string(), inner.local_addr()?.to_string());
    drop((outer, inner));
    let mut command = Command::new(emulator);
    command
        .args(["--runtime-interface-emulator-address", &outer_address, "--runtime-api-address", &inner_address])
        .args(&handler.command)
        .current_dir(dir.workspace().join("local/stack/bench"))
        .env_clear()
        .envs(["PATH", "HOME"].iter().filter_map(|name| Some((name, env::var_os(name)?))))
        // Python must not write into the source folder.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .envs(&handler.environment);
    let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
    let emulated = Emulated(child.context("cannot start AWS's runtime emulator")?);

    let url = format!("http://{outer_address}/2015-03-31/functions/function/invocations");
    let http = reqwest::Client::builder().timeout(RESPONSE_TIMEOUT).build()?;
    let began = Instant::now();
    loop {
        match http.post(&url).body(handler.event.clone()).send().await {
            // Any response, even an error, shows that it has started and read the event.
            Ok(response) => break drop(response.bytes().await?),
            Err(error) if error.is_connect() && began.elapsed() < LISTEN_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error).with_context(|| format!("{} does not respond", handler.name)),
        }
    }
    let output = fs::read_to_string(&log)?;
    let Some(init) = parse_init(&output) else { bail!("{} did not start:\n{output}", handler.name) };
    let memory = children_of(emulated.0.id()).into_iter().filter_map(peak_memory).max();
    Ok((init, memory.with_context(|| format!("{} ended:\n{output}", handler.name))?))
}

/// The init time in milliseconds, if the start succeeded.
fn parse_init(log: &str) -> Option<f64> {
    let (_, report) = log.split_once("INIT RTDONE(status: success)")?.1.split_once("INIT REPORT(")?;
    let (_, duration) = report.split_once("durationMs: ")?;
    duration.split([',', ')']).next()?.parse().ok()
}

fn format_results(handlers: &[Handler], ours: usize, notes: &[String]) -> Result<String> {
    let (functions, empty) = handlers.split_at(ours);
    let mut heading = vec!["".to_owned(), "package".to_owned(), "program".to_owned(), "init".to_owned()];
    let of = |handler: &Handler| format!("of {}'s", handler.name.trim_start_matches("empty, in "));
    heading.extend(empty.iter().map(of));
    heading.push("memory".to_owned());
    heading.extend(empty.iter().map(of));
    let mut rows = Vec::new();
    for handler in handlers {
        let sizes = match &handler.program {
            Some(program) => [megabytes(packed_size(program)?), megabytes(fs::metadata(program)?.len())],
            None => ["–".to_owned(), "–".to_owned()],
        };
        let mut row = vec![handler.name.clone()];
        row.extend(sizes);
        row.push(format!("{:.1} ms", handler.init()));
        row.extend(empty.iter().map(|empty| format!("{:.2}", handler.init() / empty.init())));
        row.push(megabytes(handler.memory));
        row.extend(empty.iter().map(|empty| format!("{:.2}", handler.memory as f64 / empty.memory as f64)));
        rows.push(row);
    }
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    let mut text = table(&heading, &rows);
    text += &format!(
        "\nInit: the median of {STARTS} cold starts under AWS's runtime emulator. Memory: the highest peak of any start (VmHWM), after \
         the first event. Package: the program, deflated.\n"
    );
    for note in notes {
        text += &format!("{note}\n");
    }
    for empty in empty {
        let slowest = functions.iter().map(|function| function.init() / empty.init()).fold(0.0, f64::max);
        text += &format!(
            "The slowest function takes {slowest:.2} times as long to start as the one that is {}.\n",
            empty.name
        );
    }
    let largest = functions.iter().map(|function| function.memory).max().unwrap_or_default();
    text += &format!("The highest memory use is {}.\n", megabytes(largest));
    Ok(text)
}

/// The size of a program in a zip archive. gzip uses the same compression.
fn packed_size(program: &Path) -> Result<u64> {
    let output = Command::new("gzip").arg("--stdout").arg(program).output().context("cannot run gzip")?;
    ensure!(output.status.success(), "gzip: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_init_from_both_report_formats() {
        let report = "(rapid) INIT RTDONE(status: success)\n(rapid) INIT REPORT(durationMs: 17.322000)\n";
        assert_eq!(parse_init(report), Some(17.322));
        let report =
            "INIT RTDONE(status: success)\nINIT REPORT(initType: on-demand, durationMs: 9.50, status: success)";
        assert_eq!(parse_init(report), Some(9.5));
        assert_eq!(parse_init("INIT RTDONE(status: error)\nINIT REPORT(durationMs: 3.0)"), None);
    }
}
