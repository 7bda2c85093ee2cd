//! The commands of `cargo xtask`. `xtask` checks that the machine has what is needed, builds, and runs this program.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the steps of `up` and `down` | `up` |
//! | the parameters of a local stack | `settings` |
//! | the AWS emulators: MiniStack, LocalStack | `emulator` |
//! | the key that deploys to an emulator | `administrator` |
//! | how services are started, awaited and stopped | `services`, `process` |
//! | the record of the running stack | `running_stack` |
//! | files that hold keys | `private_file` |
//! | the commands and their arguments | `local/commands` |
//! | how a stack is set up | `options` |
//! | what is deployed, and how | `packages`, and the crate `package`; `deploy` |
//! | the sample customers and the sample offer | `sample` |
//! | the benchmarks | `bench` |
//! | Ctrl-C | `shutdown` |
//! | `demo`, `test` | the module of that name |
//! | the commands of operators, such as `status` and `load` | `operator/offercast` |
//! | where files are kept | `stack_dir` |

mod administrator;
mod bench;
mod demo;
mod deploy;
mod emulator;
mod mail_server;
mod options;
mod packages;
mod private_file;
mod process;
mod running_stack;
mod sample;
mod services;
mod settings;
mod shutdown;
mod stack_dir;
mod test;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use commands::{Arguments, Command};
use offercast::output;
use shutdown::Interrupted;
use stack_dir::StackDir;
use up::Up;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("\n{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    let dir = StackDir::in_workspace(stack_dir::DEFAULT)?;
    match command {
        Command::Up { detach, reset, ports, package, options } => {
            up::up(&dir, Up { options: options.into(), detach, reset, ports, package }).await?;
        }
        Command::Down => up::down(&dir)?,
        Command::Demo { update, options } => {
            demo::demo(&options.into(), update.as_deref()).await?;
        }
        Command::Bench { parts } => bench::bench(&parts).await?,
        Command::Release { .. } => anyhow::bail!("`release`, a program of local/package, builds releases"),
        Command::Test { options, arguments } => return test::test(&options.into(), &arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}
