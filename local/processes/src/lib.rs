//! The processes that run a local stack's functions, and how to kill them, as a failing host would.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use client::Stack;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::time::timeout;

/// The program of every function, as Lambda has it.
const PROGRAM: &str = "bootstrap";
/// For how long an invocation hides its messages (`HIDDEN_FOR` of crates/runtime), and one second more: MiniStack lists times
/// in whole seconds.
const HIDDEN_FOR: Duration = Duration::from_secs(31);
/// How long to wait for a moment at which a function may be killed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The messages of all queues, as MiniStack lists them: by account, region and URL.
#[derive(Deserialize)]
struct Listed {
    messages: BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<Message>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    receive_count: u32,
    /// In seconds since 1970.
    visible_at: u64,
}

/// The processes that run a stack's functions.
#[derive(Clone, Copy)]
pub struct Processes<'a> {
    stack: &'a Stack,
}

impl<'a> Processes<'a> {
    pub fn new(stack: &'a Stack) -> Self {
        Self { stack }
    }

    /// Kills (SIGKILL) every process of a function while none of them is in the first milliseconds of an invocation: until its
    /// first call took effect, a message is hidden for its queue's own time, which is minutes ("Back within a minute" in
    /// docs/guarantees.md). Returns how many there were.
    ///
    /// # Errors
    /// If the processes or messages cannot be listed, or there is no such moment within a minute.
    pub async fn kill(self, function: &str) -> Result<usize> {
        let began = Instant::now();
        loop {
            // They begin nothing while the messages are looked at.
            let stopped = Stopped::all(self.of(function)?);
            let hidden = timeout(TIMEOUT, self.hidden_for_minutes(function)).await.context("MiniStack hangs")??;
            if hidden == 0 {
                return Ok(signalled(&stopped.0, Signal::SIGKILL));
            }
            drop(stopped);
            let is_over = began.elapsed() > TIMEOUT;
            ensure!(!is_over, "{function} cannot be killed: {hidden} of its messages are hidden for minutes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The number of messages that a function received and that are hidden for the queue's own time. 0 on LocalStack, which does not
    /// list when messages become visible.
    async fn hidden_for_minutes(self, function: &str) -> Result<usize> {
        let Stack { endpoint_url, queues, .. } = self.stack;
        let Some(queue) = queues.get(function) else { return Ok(0) };
        let response = reqwest::get(format!("{endpoint_url}/_ministack/sqs/messages")).await?;
        if !response.status().is_success() {
            return Ok(0);
        }
        let listed: Listed = response.json().await.context("MiniStack does not list messages as expected")?;
        let queues = listed.messages.into_values().flat_map(BTreeMap::into_values).flatten();
        // Hosts may differ in their URLs.
        let name = |url: &str| url.rsplit('/').next().map(str::to_owned);
        let messages = queues.filter(|(url, _)| name(url) == name(queue)).flat_map(|(_, messages)| messages);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
        let soon = (now + HIDDEN_FOR).as_secs();
        // A deferred batch, which waits for minutes as well, was never received.
        Ok(messages.filter(|message| message.receive_count > 0 && message.visible_at > soon).count())
    }

    /// The processes that run a function at this moment.
    fn of(self, function: &str) -> Result<Vec<Pid>> {
        let name =
            self.stack.functions.get(function).with_context(|| format!("the stack has no function {function}"))?;
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={name}");
        let endpoint = format!("AWS_ENDPOINT_URL={}", self.stack.endpoint_url);
        let listed = Command::new("ps").args(["-A", "-ww", "-o", "pid=,comm="]).output().context("cannot run ps")?;
        ensure!(listed.status.success(), "ps lists no processes: {}", String::from_utf8_lossy(&listed.stderr).trim());
        let is_ours = |line: &str| {
            let (pid, program) = line.trim().split_once(' ')?;
            let pid = Pid::from_raw(pid.parse().ok()?);
            let is_function = program.trim().rsplit('/').next() == Some(PROGRAM);
            let environment = is_function.then(|| environment(pid))?;
            (environment.contains(&name) && environment.contains(&endpoint)).then_some(pid)
        };
        Ok(String::from_utf8_lossy(&listed.stdout).lines().filter_map(is_ours).collect())
    }
}

/// Processes that stand still until this is dropped.
struct Stopped(Vec<Pid>);

impl Stopped {
    fn all(processes: Vec<Pid>) -> Self {
        signalled(&processes, Signal::SIGSTOP);
        Self(processes)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signalled(&self.0, Signal::SIGCONT);
    }
}

/// The number of processes that got a signal.
fn signalled(processes: &[Pid], signal: Signal) -> usize {
    processes.iter().filter(|pid| kill(**pid, signal).is_ok()).count()
}

/// A process's environment; empty if it has ended.
fn environment(pid: Pid) -> Vec<String> {
    let words = |text: &[u8], ends: fn(&u8) -> bool| {
        text.split(ends).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    };
    if cfg!(target_os = "linux") {
        return words(&fs::read(format!("/proc/{pid}/environ")).unwrap_or_default(), |byte| *byte == 0);
    }
    // macOS: the command and the environment.
    let shown = Command::new("ps").args(["-E", "-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    words(&shown.map(|output| output.stdout).unwrap_or_default(), u8::is_ascii_whitespace)
}
