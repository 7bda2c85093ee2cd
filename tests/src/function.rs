//! A function's process, run by a test as Lambda runs it, so that the test says when it is frozen, and how long it may take.
//! The Runtime API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use crate::{Bank, program};

/// A function's process. Ends when dropped.
pub struct Function {
    process: Child,
    work: mpsc::Sender<(Value, jiff::Timestamp)>,
    answers: mpsc::Receiver<Value>,
    server: tokio::task::JoinHandle<()>,
}

struct RuntimeApi {
    work: Mutex<mpsc::Receiver<(Value, jiff::Timestamp)>>,
    answers: mpsc::Sender<Value>,
}

impl Function {
    /// Starts a function as it is deployed, but for what `environment` says.
    pub async fn start(bank: &Bank, name: &str, environment: &[(&str, &str)]) -> Self {
        let (work, next) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        let api = Arc::new(RuntimeApi { work: Mutex::new(next), answers: answer });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_work))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(answered))
            .with_state(api);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });

        let mut command = Command::new(program(name));
        command
            .env_clear()
            .envs(bank.environment_of(name).await)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", &bank.stack.region)
            .env("AWS_ENDPOINT_URL", &bank.stack.endpoint_url)
            .env("AWS_ACCESS_KEY_ID", &bank.stack.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &bank.stack.secret_access_key)
            .envs(environment.iter().copied());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the function starts");
        Self { process, work, answers, server }
    }

    /// Gives it an event, to be done by a deadline. Does not wait for it.
    pub async fn begin(&self, event: Value, may_take: Duration) {
        let may_take = jiff::SignedDuration::try_from(may_take).expect("a short time");
        self.work.send((event, jiff::Timestamp::now() + may_take)).await.expect("the function takes work");
    }

    /// Its answer to what it was given, or its error.
    pub async fn answer(&mut self) -> Value {
        let answer = tokio::time::timeout(Duration::from_secs(60), self.answers.recv());
        answer.await.expect("the function answers in time").expect("the function answers")
    }

    /// Stops it where it is.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("the function runs");
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended; that is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.server.abort();
    }
}

async fn next_work(State(api): State<Arc<RuntimeApi>>) -> Response {
    let Some((event, deadline)) = api.work.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "1".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.as_millisecond().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:test".to_owned()),
    ];
    (headers, event.to_string()).into_response()
}

async fn answered(State(api): State<Arc<RuntimeApi>>, body: String) -> StatusCode {
    let answer = serde_json::from_str(&body).expect("a function answers with JSON");
    api.answers.send(answer).await.expect("the test waits for it");
    StatusCode::ACCEPTED
}
