//! Functions in containers, as the SAM CLI runs them.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use client::STACK_VARIABLE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};
use tokio::net::{TcpStream, UnixListener};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::{Bank, free_port, in_repository, program, wait_for};

/// A variable that the template sets for all functions.
const FOR_ALL: &str = "        AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH: \"true\"\n";

/// The SAM CLI, with the template and all functions laid out for it. Ended when dropped.
///
/// A function is invoked with `sam local invoke` first. From then on `sam local start-lambda` invokes it, which need not start a
/// Python each time. In a new container too: SAM watches the code of those that stay, and cannot read the sockets beside it.
///
/// SAM gives a container a network of its own, and the stack listens only on this machine's loopback address. So
/// `relay` runs the function in the container and forwards its calls to this machine through sockets beside the code.
pub struct Sam<'a> {
    bank: &'a Bank,
    folder: PathBuf,
    /// The functions that `sam local invoke` invoked.
    invoked: Mutex<BTreeSet<String>>,
    /// `sam local start-lambda`, and its URL.
    server: Child,
    url: String,
}

impl<'a> Sam<'a> {
    /// Lays functions out for SAM: the programs that the stack runs, since a release build takes long.
    pub async fn start(bank: &'a Bank) -> Self {
        let stack = PathBuf::from(env::var_os(STACK_VARIABLE).expect("a bank has a stack"));
        let folder = stack.with_file_name("sam");
        lay_out(bank, &folder.join("code")).expect("the functions can be laid out");
        let mut template = in_repository("template.yaml");
        let mut environment = Map::new();
        for function in bank.stack.functions.keys() {
            let source = format!("CodeUri: functions/{function}\n");
            assert!(template.contains(&source), "template.yaml has no {source}");
            template = template.replace(&source, "CodeUri: code\n");
            let mut variables = bank.aws().environment_of(function).await;
            variables.insert("AWS_ENDPOINT_URL".to_owned(), bank.stack.endpoint_url.clone());
            environment.insert(logical_id(function), json!(variables));
        }
        // SAM passes on only the variables that the template lists.
        assert!(template.contains(FOR_ALL), "template.yaml has no {FOR_ALL}");
        let template = template.replace(FOR_ALL, &format!("{FOR_ALL}        AWS_ENDPOINT_URL: \"\"\n"));
        fs::write(folder.join("template.yaml"), template).expect("the template can be written");
        let environment = Value::Object(environment).to_string();
        fs::write(folder.join("environment.json"), environment).expect("the variables can be written");

        let port = free_port().to_string();
        let mut server = sam(bank, &folder, &["start-lambda", "--port", &port]);
        let log = fs::File::create(folder.join("start-lambda.log")).expect("a log can be written");
        let server = server.stdout(log.try_clone().expect("the log is open")).stderr(log).spawn();
        let server = server.expect("SAM starts");
        wait_for("SAM to listen", async || Ok(TcpStream::connect(format!("127.0.0.1:{port}")).await?)).await;
        let url = format!("http://127.0.0.1:{port}/2015-03-31/functions");
        Self { bank, folder, invoked: Mutex::default(), server, url }
    }

    /// Invokes a function in a container, on the bank's stack, and returns its response.
    ///
    /// # Errors
    /// With the function's own error.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let is_first = self.invoked.lock().await.insert(function.to_owned());
        let response =
            if is_first { self.invoke_once(function, event).await } else { self.call(function, event).await }?;
        if response.get("errorType").is_some() {
            bail!("{response}");
        }
        Ok(response)
    }

    /// With `sam local invoke`, in a container of its own.
    async fn invoke_once(&self, function: &str, event: &Value) -> Result<Value> {
        fs::write(self.folder.join("event.json"), event.to_string())?;
        let arguments = ["invoke", &logical_id(function), "--event", "event.json"];
        let output = sam(self.bank, &self.folder, &arguments).output().await.context("cannot run SAM")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let log = String::from_utf8_lossy(&output.stderr);
        // The function's log, which is shown if the test fails.
        eprintln!("{log}");
        if !output.status.success() {
            bail!("{log}");
        }
        serde_json::from_str(&printed).with_context(|| format!("{printed:?}, and {log}"))
    }

    /// As the SDK invokes a function, but at `sam local start-lambda`.
    async fn call(&self, function: &str, event: &Value) -> Result<Value> {
        let url = format!("{}/{}/invocations", self.url, logical_id(function));
        let response = reqwest::Client::new().post(url).body(event.to_string()).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            let log = fs::read_to_string(self.folder.join("start-lambda.log")).unwrap_or_default();
            bail!("{status}: {text}, and {log}");
        }
        serde_json::from_str(&text).with_context(|| text.clone())
    }
}

impl Drop for Sam<'_> {
    fn drop(&mut self) {
        // As Ctrl-C: SAM then ends its containers. If it has ended already, there is nothing to end.
        let id = self.server.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            let _ = kill(Pid::from_raw(id), Signal::SIGINT);
        }
    }
}

/// A command of `sam local`, with the template, the functions' variables and the bank's stack.
fn sam(bank: &Bank, folder: &Path, arguments: &[&str]) -> Command {
    let stack = &bank.stack;
    let architecture = if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" };
    let mut command = Command::new(env::var_os("SAM").unwrap_or_else(|| "sam".into()));
    command
        .current_dir(folder)
        .arg("local")
        .args(arguments)
        .args(["--template", "template.yaml", "--env-vars", "environment.json"])
        .args(["--parameter-overrides", &format!("Architecture={architecture}")])
        // SAM looks up the caller's identity.
        .env("AWS_ENDPOINT_URL", &stack.endpoint_url)
        .env("AWS_REGION", &stack.region)
        .env("AWS_DEFAULT_REGION", &stack.region)
        .env("AWS_ACCESS_KEY_ID", &stack.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &stack.secret_access_key)
        .env("SAM_CLI_TELEMETRY", "0");
    command
}

/// A function's name in the template.
fn logical_id(function: &str) -> String {
    let (first, rest) = function.split_at(1);
    format!("{}{rest}Function", first.to_uppercase())
}

/// Copies all programs and the libraries that they were linked with, since the image may have older ones.
fn lay_out(bank: &Bank, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let (libraries, sockets) = (folder.join("lib"), folder.join("sockets"));
    fs::create_dir_all(&libraries)?;
    fs::create_dir_all(&sockets)?;
    let mut ldd = std::process::Command::new("ldd");
    let functions = bank.stack.functions.keys().map(|function| (program(function), logical_id(function)));
    for (from, name) in functions.chain([(program("relay"), "relay".to_owned())]) {
        link(&from, &folder.join(name))?;
        ldd.arg(from);
    }
    let listed = String::from_utf8(ldd.output().context("cannot run ldd")?.stdout)?;
    let mut loader = None;
    // A line that ends with a colon is a program, not a library.
    for library in listed.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':')) {
        let file = library.rsplit('/').next().unwrap_or_default();
        fs::copy(library, libraries.join(file))?;
        loader = loader.or_else(|| file.starts_with("ld-").then(|| file.to_owned()));
    }
    let run =
        format!("/var/task/lib/{} --library-path /var/task/lib /var/task", loader.context("ldd lists no loader")?);
    let bootstrap = format!("#!/bin/sh\nexec {run}/relay /var/task/sockets {run}/$AWS_LAMBDA_FUNCTION_NAME\n");
    fs::write(folder.join("bootstrap"), bootstrap)?;
    fs::set_permissions(folder.join("bootstrap"), fs::Permissions::from_mode(0o755))?;
    for url in [&bank.stack.endpoint_url, &bank.stack.smtp_url] {
        let (_, address) = url.split_once("://").context("a URL has a scheme")?;
        let (_, port) = address.rsplit_once(':').context("a local URL has a port")?;
        listen(&sockets.join(port), address.to_owned())?;
    }
    Ok(())
}

/// Links a file, or copies it where that is impossible: programs that are not stripped are large.
fn link(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(())
}

/// Forwards connections at a socket to an address, for as long as the test runs.
fn listen(socket: &Path, address: String) -> Result<()> {
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut called = TcpStream::connect(address).await?;
                called.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut caller, &mut called).await
            });
        }
    });
    Ok(())
}
