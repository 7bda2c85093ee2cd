//! The commands of `cargo xtask`. `xtask` checks that the machine has what is needed, builds, and runs this program.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the steps of `up` and `down` | `up` |
//! | the AWS emulators: MiniStack, LocalStack | `emulator` |
//! | the key that deploys to an emulator | `administrator` |
//! | how services are started, awaited and stopped | `services`, `process` |
//! | the record of the running stack | `running_stack` |
//! | files that hold keys | `private_file` |
//! | options shared by several commands | `options` |
//! | packaging functions and deploying `template.yaml` | `package`, `deploy` |
//! | the sample customers and the sample offer | `sample` |
//! | `status` and the status page | `status` |
//! | the benchmarks | `bench` |
//! | Ctrl-C | `shutdown` |
//! | progress output | `progress` |
//! | `load`, `logs`, `redrive`, `demo`, `test` | the module of that name |
//! | where files are kept | `stack_dir` |

mod administrator;
mod bench;
mod demo;
mod deploy;
mod emulator;
mod load;
mod logs;
mod options;
mod package;
mod private_file;
mod process;
mod progress;
mod redrive;
mod running_stack;
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
use shutdown::Interrupted;
use stack_dir::StackDir;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Runs Offercast on this machine, without an AWS account or Docker.", after_help = "cargo xtask doctor --on-aws STACK checks an AWS account before the first push. cargo xtask simulate runs the pipeline under seeded faults.", version = None)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, start the local stack, deploy, and show a first e-mail.
    Up {
        /// Return once everything is up and leave it running.
        #[arg(long)]
        detach: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Stop everything that `up` started.
    Down,
    /// Show pushes, functions, queues, tables and the inbox.
    Status {
        /// Keep refreshing.
        #[arg(long, short)]
        watch: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Serve the status page. `up` starts this.
    #[command(hide = true)]
    ServeStatus {
        /// The path of stack.json. Changes to it are picked up.
        stack_file: PathBuf,
        /// The local port to listen on.
        #[arg(long)]
        port: u16,
    },
    /// Make a signed API call, for example: cargo xtask call GET /offers.
    Call {
        /// The HTTP method: GET, POST, PUT or DELETE.
        method: String,
        /// The path, for example /offers/<id>.
        path: String,
        /// The JSON body, or @FILE to read it from a file.
        body: Option<String>,
    },
    /// Store customers: those of a CSV file, or 2,000 generated ones.
    Load {
        /// A CSV file, optionally gzipped (.gz). Default: generate 2,000 customers.
        ///
        /// The columns id, name, email, mobile, channels (separated by ;), locale and timeZone become the customer's
        /// fields. Required ones that are missing are generated. Every other column becomes an attribute.
        file: Option<PathBuf>,
    },
    /// Show the functions' logs.
    Logs {
        /// offer, customer, preferences, push, audience, email, sms or feedback. Default: all functions.
        function: Option<String>,
        /// Keep showing new lines.
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// List dead letters, send those of a queue again, or drop one.
    Redrive {
        /// push, audience, email, sms or feedback. Default: list the dead letters of all queues.
        queue: Option<String>,
        /// Drop this dead letter instead of sending the queue's dead letters again.
        #[arg(long, value_name = "ID", requires = "queue")]
        drop: Option<String>,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Stop the SMTP server and kill functions during a push to 1,800 of 2,000 customers, then count lost and duplicate
    /// e-mails.
    Demo {
        #[command(flatten)]
        options: Options,
    },
    /// Measure release builds on a separate stack: size, start-up time, memory, and pushes.
    Bench {
        /// The benchmarks to run. Default: all.
        parts: Vec<bench::Part>,
    },
    /// Run all tests on a separate stack.
    Test {
        #[command(flatten)]
        options: Options,
        /// A group (--test consent), part of a test's name, or arguments for cargo test.
        ///
        /// One group: cargo xtask test -- --test consent
        /// One test: cargo xtask test -- unsubscribe_links_survive_key_rotation
        #[arg(last = true, verbatim_doc_comment)]
        arguments: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("\n{error}");
            ExitCode::FAILURE
        }
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
