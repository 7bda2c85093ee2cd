//! A function's process, run by a test as Lambda runs it, so that the test decides when it is frozen and what its
//! deadline is. The Runtime API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

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

/// A function's process. It is killed when dropped.
pub struct Function {
    process: Child,
    work: mpsc::Sender<(Value, jiff::Timestamp)>,
    responses: mpsc::Receiver<Value>,
    server: tokio::task::JoinHandle<()>,
}

struct RuntimeApi {
    work: Mutex<mpsc::Receiver<(Value, jiff::Timestamp)>>,
    responses: mpsc::Sender<Value>,
}

impl Function {
    /// Starts a function as it is deployed, with these variables added to its environment.
    pub async fn start(bank: &Bank, name: &str, environment: &[(&str, &str)]) -> Self {
        let (work, next) = mpsc::channel(1);
        let (sender, responses) = mpsc::channel(1);
        let api = Arc::new(RuntimeApi { work: Mutex::new(next), responses: sender });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_work))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(take_response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(take_response))
            .with_state(api);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });

        let mut command = Command::new(program(name));
        command
            .env_clear()
            .envs(bank.aws().environment_of(name).await)
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
        Self { process, work, responses, server }
    }

    /// Invokes it with an event and a deadline. Does not wait for the response.
    pub async fn begin(&self, event: Value, may_take: Duration) {
        let may_take = jiff::SignedDuration::try_from(may_take).expect("a short time");
        self.work.send((event, jiff::Timestamp::now() + may_take)).await.expect("the function takes work");
    }

    /// Waits for its response to the event, or its error.
    pub async fn response(&mut self) -> Value {
        let response = tokio::time::timeout(Duration::from_secs(60), self.responses.recv());
        response.await.expect("the function responds in time").expect("the function responds")
    }

    /// Stops it where it is, as Lambda freezes an environment.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it continue.
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
        // Fails if the process has ended already, which is the aim.
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

async fn take_response(State(api): State<Arc<RuntimeApi>>, body: String) -> StatusCode {
    let response = serde_json::from_str(&body).expect("a function responds with JSON");
    api.responses.send(response).await.expect("the test waits for it");
    StatusCode::ACCEPTED
}
