//! What operators do with a deployment, on this machine or on AWS: the program `offercast`.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the commands and their arguments | this file |
//! | which deployment a command is about | [`target`] |
//! | progress, colours, numbers | [`output`] |
//! | `status` and the status page | [`status`] |
//! | `logs` | [`logs`] |
//! | `redrive` | [`redrive`] |
//! | `load` | [`load`] |
//! | `call`, `push`, `cancel`, `deliveries` | [`offers`] |
//! | `customer` | [`customers`] |
//! | `preview` | [`preview`] |
//! | `env` | [`environment`] |
//! | `doctor` | the crate `doctor` |

pub mod customers;
pub mod environment;
pub mod load;
pub mod logs;
pub mod offers;
pub mod output;
pub mod preview;
pub mod redrive;
pub mod status;
pub mod target;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::load::LoadArgs;
use crate::logs::LogArgs;
use crate::status::Served;
use crate::target::{Target, TargetArgs};

/// The status of a program that could not do what it was asked for, as clap's own for wrong arguments.
const NOT_DONE: u8 = 2;

/// Shows and operates a deployment of Offercast: the local stack, or one on AWS (--stack NAME).
#[derive(Debug, Parser)]
#[command(name = "offercast", bin_name = output::tool(), version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show pushes, functions, queues, tables and the inbox.
    Status {
        /// Keep refreshing.
        #[arg(long, short)]
        watch: bool,
        /// Print JSON.
        #[arg(long, conflicts_with = "page")]
        json: bool,
        /// Serve the status page of a stack on AWS on this machine, at this port. That of the local stack is up already.
        #[arg(long, value_name = "PORT", conflicts_with = "watch")]
        page: Option<u16>,
    },
    /// Serve the status page. `cargo xtask up` starts this.
    #[command(hide = true)]
    ServeStatus {
        /// The path of stack.json. Changes to it are picked up.
        stack_file: std::path::PathBuf,
        /// The local port to listen on.
        #[arg(long)]
        port: u16,
    },
    /// Show the functions' logs.
    Logs(LogArgs),
    /// List dead letters, send those of a queue again, or drop one.
    Redrive {
        /// push, audience, email, sms or feedback. Default: list the dead letters of all queues.
        queue: Option<String>,
        /// Drop this dead letter instead of sending the queue's dead letters again.
        #[arg(long, value_name = "ID", requires = "queue")]
        drop: Option<String>,
    },
    /// Store customers: those of a CSV file, or 2,000 generated ones.
    Load(LoadArgs),
    /// Make a signed API call, for example: call GET /offers.
    Call {
        /// The HTTP method: GET, POST, PUT or DELETE.
        method: String,
        /// The path, for example /offers/<id>.
        path: String,
        /// The JSON body, or @FILE to read it from a file.
        body: Option<String>,
    },
    /// Show what an offer would do, and the messages that it would send. Nothing is stored.
    Preview {
        /// A file with the offer as JSON, or the JSON itself.
        offer: String,
        /// Print the API's response.
        #[arg(long)]
        json: bool,
    },
    /// Push an offer again: to customers that it was not sent to yet.
    Push {
        /// The offer's id, or its code.
        offer: String,
    },
    /// Cancel a push.
    Cancel {
        /// The offer's id, or its code.
        offer: String,
        /// The push's number; the first has number 1.
        number: u32,
    },
    /// Show a customer, and what they were sent; or why they did or did not get an offer.
    Customer {
        /// The customer's id.
        id: String,
        /// An offer's id or code: say whether they got it, and why not.
        #[arg(long)]
        offer: Option<String>,
    },
    /// List the outcome of each notification of an offer, one a line.
    Deliveries {
        /// The offer's id, or its code.
        offer: String,
        /// Only those in this state, such as failed.
        #[arg(long)]
        state: Option<String>,
        /// Print CSV instead of JSON.
        #[arg(long)]
        csv: bool,
    },
    /// Check, read-only, what an AWS account must have before the first push of a stack: --stack NAME is required.
    ///
    /// The stack and its public URL; Lambda's concurrency; who hears the alarms; the KMS key and its policy. E-mail: SES's
    /// sandbox, quota, identity, DKIM, SPF, DMARC, configuration set and events, or the SMTP server's port. Text messages: SNS's
    /// sandbox, spending limit, sender, delivery log and opt-out list. Ends with status 1 if a check failed, and with 2 if
    /// nothing could be checked.
    Doctor {
        /// Check this channel only. Default: both.
        #[arg(long)]
        channel: Option<doctor::Channel>,
    },
    /// Print the variables with which curl and the AWS CLI use the local stack: eval "$(offercast env)".
    Env,
}

/// Runs a command.
///
/// # Errors
/// If it could not be done. What it found is in the code.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { command, target } = arguments;
    let stack = target.on_aws().map(|name| format!(" --stack {name}")).unwrap_or_default();
    let success = |is_fine: bool| if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match command {
        Command::Status { page: Some(port), .. } => serve(target, port).await?,
        Command::Status { watch, json, page: None } => status::show(target.resolve().await?, json, watch).await?,
        Command::ServeStatus { stack_file, port } => status::serve(Served::File(stack_file), port).await?,
        Command::Logs(args) => logs::show(&target.deployment().await?, &args).await?,
        Command::Redrive { queue, drop } => {
            let on_aws = target.on_aws();
            redrive::redrive(&target.deployment().await?, on_aws, queue.as_deref(), drop.as_deref()).await?;
        }
        Command::Load(args) => return Ok(success(load(&target, &args).await?)),
        Command::Call { method, path, body } => {
            let api = target.resolve().await?.api()?;
            return Ok(success(offers::call(&api, &method, &path, body.as_deref()).await?));
        }
        Command::Preview { offer, json } => preview::preview(&target.resolve().await?.api()?, &offer, json).await?,
        Command::Push { offer } => {
            let api = target.resolve().await?.api()?;
            offers::push(&api, offers::id_of(&api, &offer, &stack).await?).await?;
        }
        Command::Cancel { offer, number } => {
            let api = target.resolve().await?.api()?;
            offers::cancel(&api, offers::id_of(&api, &offer, &stack).await?, number).await?;
        }
        Command::Customer { id, offer } => {
            let api = target.resolve().await?.api()?;
            match offer {
                Some(offer) => {
                    customers::explain(&api, &id, offers::id_of(&api, &offer, &stack).await?, &stack).await?;
                }
                None => customers::show(&api, &id, &stack).await?,
            }
        }
        Command::Deliveries { offer, state, csv } => {
            let api = target.resolve().await?.api()?;
            offers::deliveries(&api, offers::id_of(&api, &offer, &stack).await?, state.as_deref(), csv).await?;
        }
        Command::Doctor { channel } => return examine(&target, channel).await,
        Command::Env => environment::print(&target.resolve().await?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves the status page of a stack on AWS.
async fn serve(target: TargetArgs, port: u16) -> Result<()> {
    if let Target::Local(stack) = target.resolve().await? {
        let url = stack.status_url.unwrap_or_default();
        return output::line(&format!("The status page of the local stack is at {url}"));
    }
    output::line(&format!("The status page is at http://127.0.0.1:{port}/ until you press Ctrl-C"))?;
    status::serve(Served::Target(Box::new(target)), port).await
}

async fn load(target: &TargetArgs, args: &LoadArgs) -> Result<bool> {
    // A check of a file needs no stack.
    if args.dry_run {
        return load::load(None, args).await;
    }
    let target = target.resolve().await?;
    anyhow::ensure!(
        target.is_local() || args.file.is_some(),
        "customers are made up for the local stack only; name a file"
    );
    load::load(Some(&target.api()?), args).await
}

/// Prints what the checks found. The status is 1 if one failed.
async fn examine(target: &TargetArgs, channel: Option<doctor::Channel>) -> Result<ExitCode> {
    let Some(stack) = target.on_aws() else {
        eprintln!("doctor checks a stack on AWS: name it with --stack NAME");
        return Ok(ExitCode::from(NOT_DONE));
    };
    let channels = channel.map_or_else(|| vec![doctor::Channel::Email, doctor::Channel::Sms], |channel| vec![channel]);
    let aws = doctor::Aws::from_env(target.region().map(str::to_owned)).await;
    match doctor::examine(&aws, stack, &channels).await {
        Ok(findings) => {
            output::line(doctor::render(&findings, true).trim_end())?;
            Ok(ExitCode::from(u8::from(findings.iter().any(|finding| finding.state == doctor::State::Failed))))
        }
        Err(error) => {
            output::error(&error);
            Ok(ExitCode::from(NOT_DONE))
        }
    }
}
