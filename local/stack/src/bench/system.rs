//! Facts about processes and the machine, from /proc (proc(5)).

use std::collections::HashMap;
use std::fs;

use client::Stack;

/// The ids of all processes.
fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The running child processes of `parent`.
pub(super) fn children_of(parent: u32) -> Vec<i32> {
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name is in parentheses and may contain anything; state and parent follow it.
        let of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        of == Some(parent)
    };
    processes().filter(is_child).collect()
}

/// A process's peak memory in bytes.
pub(super) fn peak_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Processor time of each thread of a process, in nanoseconds. Not from `stat`, whose unit of 10 ms is too coarse for a
/// scan of a thousand customers.
fn processor_time(pid: i32) -> impl Iterator<Item = (i32, u64)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    threads.filter_map(|thread| {
        let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name().to_str()?.parse().ok()?, times.split_whitespace().next()?.parse().ok()?))
    })
}

/// Processor time and peak memory of a stack's functions. A process that has ended counts with its values at the last
/// sample.
pub(super) struct ProcessMonitor {
    /// Functions, each with the environment variable that identifies its processes.
    functions: Vec<(String, String)>,
    endpoint: String,
    /// Nanoseconds by function, process and thread.
    time: HashMap<(String, i32, i32), u64>,
    memory: HashMap<String, u64>,
}

impl ProcessMonitor {
    pub(super) fn new(stack: &Stack) -> Self {
        let variable =
            |(name, function): (&String, &String)| (name.clone(), format!("AWS_LAMBDA_FUNCTION_NAME={function}"));
        Self {
            functions: stack.functions.iter().map(variable).collect(),
            endpoint: format!("AWS_ENDPOINT_URL={}", stack.endpoint_url),
            time: HashMap::new(),
            memory: HashMap::new(),
        }
    }

    pub(super) fn sample(&mut self) {
        for pid in processes() {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
            let Some((function, _)) = self.functions.iter().find(|(_, name)| has(name) && has(&self.endpoint)) else {
                continue;
            };
            for (thread, nanoseconds) in processor_time(pid) {
                self.time.insert((function.clone(), pid, thread), nanoseconds);
            }
            let most = self.memory.entry(function.clone()).or_default();
            *most = peak_memory(pid).unwrap_or_default().max(*most);
        }
    }

    /// A function's processor time so far, in seconds.
    pub(super) fn seconds(&self, function: &str) -> f64 {
        let nanoseconds: u64 = self.time.iter().filter(|((of, ..), _)| of == function).map(|(_, time)| time).sum();
        nanoseconds as f64 / 1e9
    }

    /// The peak memory of a process of each function so far.
    pub(super) fn memory(&self) -> &HashMap<String, u64> {
        &self.memory
    }
}

/// The machine in one line.
pub(super) fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let value =
            text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start_matches([' ', '\t', ':', '='])));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let processor = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|memory| memory.split_whitespace().next()?.parse::<u64>().ok())
        .map_or_else(String::new, |kilobytes| format!(", {:.0} GiB", kilobytes as f64 / f64::from(1 << 20)));
    let system = field(&read("/etc/os-release"), "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processor}, {cores} cores{memory}; {system}, Linux {}", kernel.trim())
}
