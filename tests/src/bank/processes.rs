//! The processes that run functions. On Linux, where the stack runs each function as a process.

use client::Stack;

/// The processes that run the stack's functions.
#[derive(Clone, Copy)]
pub struct Processes<'a> {
    stack: &'a Stack,
}

impl<'a> Processes<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        Self { stack }
    }

    /// Kills every process of a function, as a host that fails would. Returns how many there were.
    pub fn kill(self, function: &str) -> usize {
        let processes = self.of(function);
        let kill =
            |pid: &&i32| nix::sys::signal::kill(nix::unistd::Pid::from_raw(**pid), nix::sys::signal::SIGKILL).is_ok();
        processes.iter().filter(kill).count()
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
