//! A process of a function, and the Runtime API that gives it events ("Using the Lambda runtime API for custom runtimes" in the
//! Lambda Developer Guide).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Segment, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};

use crate::quota::Quota;

/// How a function is run.
#[derive(Debug)]
pub(crate) struct Program {
    command: Vec<OsString>,
    folder: PathBuf,
}

impl Program {
    /// A program of its own.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { command: vec![path.into()], folder: PathBuf::from(".") }
    }

    /// A command in the folder of the peers.
    pub(crate) fn of_peer(folder: &Path, command: impl IntoIterator<Item = &'static str>) -> Result<Self> {
        let folder = std::path::absolute(folder)?;
        let in_folder = |part: &str| {
            let path = folder.join(part);
            if path.exists() { path.into() } else { part.into() }
        };
        Ok(Self { command: command.into_iter().map(in_folder).collect(), folder })
    }
}

/// The time-out of the functions that send (template.yaml).
const TIMEOUT: Duration = Duration::from_secs(150);

/// A function's process, which waits for events. Killed on drop.
pub(crate) struct Function {
    process: Child,
    pid: Pid,
    events: mpsc::Sender<String>,
    results: mpsc::Receiver<Outcome>,
    /// From the start of the program until it asked for its first event.
    pub(crate) init: Duration,
    /// The processor time until then.
    pub(crate) init_time: Duration,
}

/// What a function said of an event.
type Outcome = Result<Value, String>;

struct Runtime {
    events: Mutex<mpsc::Receiver<String>>,
    results: mpsc::Sender<Outcome>,
    started: mpsc::Sender<Instant>,
}

impl Function {
    /// Starts a program with this environment.
    pub(crate) async fn start(
        program: &Program,
        environment: &BTreeMap<String, String>,
        quota: Option<&Quota>,
    ) -> Result<Self> {
        let (events, next) = mpsc::channel(1);
        let (send, results) = mpsc::channel(1);
        let (started, mut ready) = mpsc::channel(1);
        let runtime = Runtime { events: Mutex::new(next), results: send, started };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_event))
            .route("/2018-06-01/runtime/invocation/{id}/{result}", post(result))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(Arc::new(runtime));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (path, arguments) = program.command.split_first().context("a program has a name")?;
        let mut command = Command::new(path);
        command.args(arguments).current_dir(&program.folder);
        command.env_clear().envs(environment).env("AWS_LAMBDA_RUNTIME_API", address);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command.env("AWS_LAMBDA_LOG_STREAM_NAME", "rig").env("AWS_LAMBDA_LOG_GROUP_NAME", "rig");
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let began = Instant::now();
        let process = command.spawn().with_context(|| format!("cannot run {}", path.display()))?;
        let pid = Pid::from_raw(i32::try_from(process.id().context("the process has ended")?)?);
        if let Some(quota) = quota {
            quota.limit(pid)?;
        }
        let at = tokio::time::timeout(Duration::from_secs(30), ready.recv()).await.ok().flatten();
        let init = at.with_context(|| format!("{} does not ask for events", path.display()))? - began;
        let mut function = Self { process, pid, events, results, init, init_time: Duration::ZERO };
        function.init_time = function.processor_time()?;
        Ok(function)
    }

    /// Sends it one message of a queue, and waits until it is done.
    ///
    /// # Errors
    /// If it fails, or returns the message as not handled.
    pub(crate) async fn handle(&mut self, message: &str) -> Result<()> {
        let event = json!({"Records": [{
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "receiptHandle": "receipt", "body": message,
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1767225600000", "SenderId": "rig",
                           "ApproximateFirstReceiveTimestamp": "1767225600001"},
            "messageAttributes": {}, "md5OfBody": "0", "eventSource": "aws:sqs", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:queue",
        }]});
        let outcome = self.invoke(&event).await?;
        let failures = &outcome["batchItemFailures"];
        ensure!(failures.as_array().is_none_or(Vec::is_empty), "a message was not handled: {failures}");
        Ok(())
    }

    /// Invokes it with an event, and returns its response.
    pub(crate) async fn invoke(&mut self, event: &Value) -> Result<Value> {
        self.events.send(event.to_string()).await?;
        let outcome = self.results.recv().await.context("the function's Runtime API ended")?;
        outcome.map_err(anyhow::Error::msg)
    }

    /// The processor time that it has used so far, in all its threads.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let time: ClockId = clock_getcpuclockid(self.pid)?;
        Ok(Duration::from(time.now()?))
    }

    /// The most memory that it has had, in bytes (proc(5), `VmHWM`).
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("Linux reports VmHWM")?;
        let kilobytes: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
        Ok(kilobytes * 1_024)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.kill().await.context("cannot end the function")
    }
}

async fn next_event(State(runtime): State<Arc<Runtime>>) -> Response {
    // Only the first time counts, and is waited for.
    let _ = runtime.started.try_send(Instant::now());
    let Some(event) = runtime.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = (Timestamp::now() + TIMEOUT).as_millisecond().to_string();
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", &deadline),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:rig"),
        ("content-type", "application/json"),
    ];
    (headers, event).into_response()
}

async fn result(
    State(runtime): State<Arc<Runtime>>,
    Segment((_, result)): Segment<(String, String)>,
    body: Bytes,
) -> StatusCode {
    let text = String::from_utf8_lossy(&body).into_owned();
    let outcome =
        if result == "response" { serde_json::from_str(&text).map_err(|error| error.to_string()) } else { Err(text) };
    // The one who waits for it may have given up.
    let _ = runtime.results.send(outcome).await;
    StatusCode::ACCEPTED
}

async fn init_error(State(runtime): State<Arc<Runtime>>, body: Bytes) -> StatusCode {
    let _ = runtime.results.send(Err(String::from_utf8_lossy(&body).into_owned())).await;
    StatusCode::ACCEPTED
}
