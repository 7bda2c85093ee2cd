//! `cargo xtask doctor`: prints what the checks found.

use std::env;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use doctor::{Aws, Channel, State, examine, render};

/// Checks what an AWS account must have before the first push of a stack. It only reads.
///
/// The stack and its public URL; Lambda's concurrency; who hears the alarms; the KMS key and its policy. E-mail: SES's sandbox,
/// quota, identity, DKIM, SPF, DMARC, configuration set and events, or the SMTP server's port. Text messages: SNS's sandbox,
/// spending limit, sender, delivery log and opt-out list.
///
/// Ends with status 1 if a check failed, and with 2 if nothing could be checked.
#[derive(Parser)]
#[command(name = "cargo xtask doctor", bin_name = "cargo xtask doctor", version = None)]
struct Arguments {
    /// The CloudFormation stack to check, with the AWS CLI's credentials and region.
    #[arg(long = "on-aws", value_name = "STACK")]
    on_aws: Option<String>,
    /// The stack's region. Default: that of the AWS CLI.
    #[arg(long)]
    region: Option<String>,
    /// Check this channel only. Default: both.
    #[arg(long)]
    channel: Option<Channel>,
}

/// The status with which clap ends as well.
const NOT_CHECKED: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { on_aws, region, channel } = Arguments::parse();
    let Some(stack) = on_aws else {
        eprintln!("{}", Arguments::command().render_long_help());
        return ExitCode::from(NOT_CHECKED);
    };
    let channels = channel.map_or_else(|| vec![Channel::Email, Channel::Sms], |channel| vec![channel]);
    match examine(&Aws::from_env(region).await, &stack, &channels).await {
        Ok(findings) => {
            // https://no-color.org
            let colours = stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            print!("{}", render(&findings, colours));
            ExitCode::from(u8::from(findings.iter().any(|finding| finding.state == State::Failed)))
        }
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}
