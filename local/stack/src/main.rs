//! The local stack, and what one does with it. `cargo xtask` runs this after checking that the machine has what it
//! needs.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what `up` and `down` do, step by step | `up` |
//! | what answers for AWS: MiniStack, LocalStack | `emulator` |
//! | how it and the inbox are run and ended | `services`, `process` |
//! | what is up, on file | `run` |
//! | options that several commands take | `options` |
//! | how functions are packed, and `template.yaml` deployed | `package`, `deploy` |
//! | the sample customers and the sample offer | `sample` |
//! | what `status` and the status page show | `status` |
//! | what `bench` measures | `bench` |
//! | `load`, `logs`, `redrive`, `demo`, `test` | the module of that name |
//! | where files go | `stack_dir` |

mod bench;
mod demo;
mod deploy;
mod emulator;
mod load;
mod logs;
mod options;
mod package;
mod process;
mod progress;
mod redrive;
mod run;
mod sample;
mod services;
mod shutdown;
mod stack_dir;
mod status;
mod test;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use client::{Api, Stack};
use options::{Options, TargetArgs, running};
use stack_dir::StackDir;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Runs Offercast on this machine: no AWS account, no Docker.", version = None)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build, start the local AWS stack and the inbox, deploy, and show a first e-mail.
    Up {
        /// Return when everything is up, and leave it running.
        #[arg(long)]
        detach: bool,
        #[command(flatten)]
        options: Options,
    },
    /// End what `up` started.
    Down,
    /// Show what runs, and how it is: pushes, functions, queues, tables, what arrived.
    Status {
        /// Go on showing it.
        #[arg(long, short)]
        watch: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Serve the status page, as `up` has it done.
    #[command(hide = true)]
    ServeStatus {
        /// Says where the stack is; read anew whenever it changes.
        stack_file: PathBuf,
        /// Of this machine.
        #[arg(long)]
        port: u16,
    },
    /// Call the API with a signature: cargo xtask call GET /offers.
    Call {
        /// GET, POST, PUT or DELETE.
        method: String,
        /// The path, as in /offers/<id>.
        path: String,
        /// JSON, or @file.
        body: Option<String>,
    },
    /// Put customers: from a CSV file (plain or .gz), or 2,000 made up.
    Load {
        /// Columns id, name, email, mobile, channels (separated by ;), locale, timeZone are a customer's own, missing ones are made up;
        /// every other column is an attribute.
        file: Option<PathBuf>,
    },
    /// Show what the functions log.
    Logs {
        /// One function: offer, customer, preferences, push, audience, email, sms or feedback. All of them if left out.
        function: Option<String>,
        /// Go on showing what comes.
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Look at dead letters, drop one, or send those of a queue again.
    Redrive {
        /// push, audience, email, sms or feedback. Lists the letters of all queues if left out.
        queue: Option<String>,
        /// Drop this letter instead.
        #[arg(long, value_name = "ID", requires = "queue")]
        drop: Option<String>,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Stop the SMTP server and kill functions in the middle of a push to 2,000 customers, and count who was lost.
    Demo {
        #[command(flatten)]
        options: Options,
    },
    /// Measure the functions, built with the release profile, on a stack of its own: their size, start and memory, and pushes.
    Bench {
        /// One of them alone; all if left out.
        parts: Vec<bench::Part>,
    },
    /// Run every test, on a stack of its own.
    Test {
        #[command(flatten)]
        options: Options,
        /// Handed to `cargo test`, as in: cargo xtask test -- at_size
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            progress::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    let dir = StackDir::in_workspace(stack_dir::DEFAULT)?;
    match command {
        Command::Up { detach, options } => up::up(&dir, &options, detach).await?,
        Command::Down => up::down(&dir)?,
        Command::Status { watch, json, target } => {
            status::show(target.resolve(&dir).await?, json, watch).await?;
        }
        Command::ServeStatus { stack_file, port } => status::serve(stack_file, port).await?,
        Command::Call { method, path, body } => return call(&running(&dir)?, &method, &path, body).await,
        Command::Load { file } => load::load(&running(&dir)?, file.as_deref()).await?,
        Command::Logs { function, follow, target } => {
            logs::show(&target.deployment(&dir).await?, function.as_deref(), follow).await?;
        }
        Command::Redrive { queue, drop, target } => {
            redrive::redrive(&target.deployment(&dir).await?, queue.as_deref(), drop.as_deref()).await?;
        }
        Command::Demo { options } => demo::demo(&options).await?,
        Command::Bench { parts } => bench::bench(&parts).await?,
        Command::Test { options, arguments } => return test::test(&options, &arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn call(stack: &Stack, method: &str, path: &str, body: Option<String>) -> Result<ExitCode> {
    let body = match body.as_deref().map(|body| (body, body.strip_prefix('@'))) {
        Some((_, Some(file))) => std::fs::read(file).with_context(|| format!("cannot read {file}"))?,
        Some((body, None)) => body.as_bytes().to_vec(),
        None => Vec::new(),
    };
    let response = Api::new(stack).call(&method.to_uppercase(), path, &[], &body).await?;
    eprintln!("{}", response.status);
    match response.json() {
        serde_json::Value::Null => println!("{}", response.text),
        json => println!("{json:#}"),
    }
    Ok(if response.status < 400 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
