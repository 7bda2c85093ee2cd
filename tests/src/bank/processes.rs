//! The processes that run functions. On Linux, where the stack runs each function as a process.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use client::Stack;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use crate::wait_for;

/// For how long an invocation hides its messages (`HIDDEN_FOR` of crates/runtime), and one second more: MiniStack lists times
/// in whole seconds.
const HIDDEN_FOR: Duration = Duration::from_secs(31);

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

/// The processes that run the stack's functions.
#[derive(Clone, Copy)]
pub struct Processes<'a> {
    stack: &'a Stack,
}

impl<'a> Processes<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        Self { stack }
    }

    /// Kills every process of a function, as a host that fails would, while none of them is in the first milliseconds of an
    /// invocation: until its first call took effect, a message is hidden for its queue's own time, which is minutes ("Back within
    /// a minute" in docs/guarantees.md). Returns how many there were.
    pub async fn kill(self, function: &str) -> usize {
        wait_for(&format!("every invocation of {function} to have hidden its messages"), async || {
            // They begin nothing while the messages are looked at.
            let processes = self.of(function);
            let signalled = |signal| processes.iter().filter(|pid| kill(Pid::from_raw(**pid), signal).is_ok()).count();
            signalled(Signal::SIGSTOP);
            let hidden_for_minutes = self.hidden_for_minutes(function).await;
            if hidden_for_minutes > 0 {
                signalled(Signal::SIGCONT);
            }
            ensure!(hidden_for_minutes == 0, "{hidden_for_minutes} messages are hidden for minutes");
            Ok(signalled(Signal::SIGKILL))
        })
        .await
    }

    /// The number of messages that a function received and that are hidden for the queue's own time. 0 on LocalStack, which does not
    /// list when messages become visible.
    async fn hidden_for_minutes(self, function: &str) -> usize {
        let Stack { endpoint_url, queues, .. } = self.stack;
        let Some(queue) = queues.get(function) else { return 0 };
        let response =
            reqwest::get(format!("{endpoint_url}/_ministack/sqs/messages")).await.expect("the stack responds");
        if !response.status().is_success() {
            return 0;
        }
        let listed: Listed = response.json().await.expect("MiniStack lists messages");
        let queues = listed.messages.into_values().flat_map(BTreeMap::into_values).flatten();
        // Hosts may differ in their URLs.
        let name = |url: &str| url.rsplit('/').next().map(str::to_owned);
        let messages = queues.filter(|(url, _)| name(url) == name(queue)).flat_map(|(_, messages)| messages);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
        let soon = (now + HIDDEN_FOR).as_secs();
        // A deferred batch, which waits for minutes as well, was never received.
        messages.filter(|message| message.receive_count > 0 && message.visible_at > soon).count()
    }

    /// The ids of the processes that run a function at this moment.
    fn of(self, function: &str) -> Vec<i32> {
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={}", self.stack.functions[function]);
        let endpoint = format!("AWS_ENDPOINT_URL={}", self.stack.endpoint_url);
        let runs_it = |pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
            has(&name) && has(&endpoint)
        };
        let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(runs_it).collect()
    }
}
