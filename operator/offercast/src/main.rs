//! `offercast`: what operators do with a deployment, on this machine or on AWS.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use offercast::{Arguments, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        // As if the rest had not been asked for: `offercast logs | head`.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            offercast::output::error(&error);
            ExitCode::FAILURE
        }
    }
}
