//! The commands of `cargo xtask` and their arguments. `xtask` parses them before it builds anything; `local/stack` runs them.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Commands that `cargo xtask` hands on to `offercast`.
pub const OF_OFFERCAST: [&str; 12] = [
    "status",
    "logs",
    "redrive",
    "load",
    "call",
    "preview",
    "push",
    "cancel",
    "customer",
    "deliveries",
    "doctor",
    "env",
];
/// The command that `cargo xtask` hands on to `local/package`.
pub const RELEASE: &str = "release";
/// The command that `cargo xtask` hands on to `simulation`.
pub const SIMULATE: &str = "simulate";

const OTHERS: &str = "\
Commands of offercast, for the local stack and for stacks on AWS (--stack NAME):
  status, logs, redrive, load, call, preview, push, cancel, customer, deliveries, doctor, env
  cargo xtask COMMAND --help explains each.

Simulation:
  simulate  Run the whole pipeline under faults that seeds decide, on virtual time";

/// The arguments of `cargo xtask`.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Runs Offercast on this machine, without an AWS account or Docker.",
    after_help = OTHERS,
    version = None
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What belongs to development.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build everything, start the local stack, deploy, and show a first e-mail.
    ///
    /// Settings of the last `up` are kept while the stack is up: --set and --smtp change those that they name.
    Up {
        /// Return once everything is up and leave it running.
        #[arg(long)]
        detach: bool,
        /// Begin with the settings of a new stack again.
        #[arg(long)]
        reset: bool,
        /// The ports of AWS, of the inbox's SMTP server, of the inbox and of the status page: free ones take the place of those
        /// that are taken. Default: 4566,1025,8025,8030.
        #[arg(long, value_name = "AWS,SMTP,INBOX,STATUS", value_parser = parse_ports)]
        ports: Option<[u16; 4]>,
        /// Deploy this archive of `cargo xtask release` instead of the working tree.
        #[arg(long, value_name = "FILE")]
        package: Option<std::path::PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// Stop everything that `up` started.
    Down,
    /// Stop the SMTP server and kill functions during a push to 1,800 of 2,000 customers, then count lost and duplicate
    /// e-mails.
    Demo {
        /// Instead, deploy the release TO during two pushes of the release FROM, take it back, and count as well. Both are archives
        /// of `cargo xtask release`.
        #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
        update: Option<Vec<std::path::PathBuf>>,
        #[command(flatten)]
        options: Options,
    },
    /// Measure release builds on a separate stack: size, start-up time, memory, and pushes.
    Bench {
        /// The benchmarks to run. Default: all.
        parts: Vec<Part>,
    },
    /// Build what can be deployed without compiling: packages of the functions with their template, and `offercast`.
    Release {
        /// For these processors. Default: both.
        #[arg(long = "architecture", value_name = "ARCHITECTURE", default_values = ["arm64", "x86_64"])]
        architectures: Vec<Architecture>,
        /// To try the functions' packages: without optimisation, bills of materials and `offercast`, and from a working tree with
        /// changes.
        #[arg(long)]
        trial: bool,
    },
    /// Run all tests on a separate stack.
    Test {
        #[command(flatten)]
        options: Options,
        /// A group (--test consent), part of a test's name, or arguments for cargo test.
        ///
        /// One group: cargo xtask test -- --test consent
        /// One story: cargo xtask test -- --test consent unsubscribe_links_survive_key_rotation
        #[arg(last = true, verbatim_doc_comment)]
        arguments: Vec<String>,
    },
}

/// Which stack to start, and how it is set up.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// The AWS emulator to run on. Default: the one that is up, or else ministack.
    ///
    /// ministack: starts fast and enforces IAM roles.
    /// localstack: event sources behave as on AWS.
    /// URL: an emulator that already runs on this machine, for example http://127.0.0.1:4566.
    #[arg(long, value_name = "ministack|localstack|URL", verbatim_doc_comment, value_parser = parse_stack)]
    pub stack: Option<String>,
    /// Deliver e-mail to this server instead of the built-in inbox, for example smtp://127.0.0.1:2525.
    #[arg(long, value_name = "URL")]
    pub smtp: Option<String>,
    /// Override a parameter of template.yaml, for example --set BrandName=Acme.
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = parse_setting)]
    pub set: Vec<(String, String)>,
}

/// A processor architecture of Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    #[value(name = "arm64")]
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// That of this machine, if Lambda has it.
    pub fn of_this_machine() -> Option<Self> {
        [Self::Arm64, Self::X86_64].into_iter().find(|architecture| architecture.of_rust() == std::env::consts::ARCH)
    }

    /// Lambda's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// Rust's name for it.
    pub const fn of_rust(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }
}

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Size, start-up time and memory of each function, compared with empty ones.
    Functions,
    /// One process of each function by itself, beside peers in Node.js and Python: processor time and calls for a customer and for a
    /// message.
    Process,
    /// Pushes to 1,000, 10,000 and 45,211 customers.
    Pushes,
    /// E-mails per second over SMTP.
    Smtp,
}

fn parse_stack(stack: &str) -> Result<String, &'static str> {
    let is_known = ["ministack", "localstack"].contains(&stack) || stack.starts_with("http://");
    is_known.then(|| stack.to_owned()).ok_or("expected ministack, localstack or a URL that begins with http://")
}

fn parse_setting(setting: &str) -> Result<(String, String), &'static str> {
    let (name, value) = setting.split_once('=').ok_or("expected PARAMETER=VALUE, for example BrandName=Acme")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_ports(ports: &str) -> Result<[u16; 4], &'static str> {
    let ports: Option<Vec<u16>> =
        ports.split(',').map(|port| port.trim().parse().ok().filter(|port| *port > 0)).collect();
    ports.and_then(|ports| ports.try_into().ok()).ok_or("expected four ports, for example 4566,1025,8025,8030")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        let all = ["cargo xtask"].iter().chain(arguments);
        Arguments::try_parse_from(all).map(|arguments| arguments.command).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_argument_is_named() {
        for (arguments, expected) in [
            (&["up", "--detatch"][..], "'--detatch'"),
            (&["up", "--set", "BrandName"], "expected PARAMETER=VALUE"),
            (&["up", "--stack", "aws"], "expected ministack, localstack or a URL"),
            (&["up", "--ports", "1,2,3"], "expected four ports"),
            (&["bench", "sizes"], "possible values"),
            (&["ups"], "unrecognized subcommand"),
        ] {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let up = parsed(&["up", "--ports", "1,2,3,4", "--set", "A=b=c"]).unwrap();
        let Command::Up { ports, options, .. } = up else { panic!("{up:?}") };
        assert_eq!((ports, &options.set[..]), (Some([1, 2, 3, 4]), &[("A".to_owned(), "b=c".to_owned())][..]));
    }

    #[test]
    fn help_names_the_commands_that_are_handed_on() {
        assert!(OF_OFFERCAST.iter().chain([&SIMULATE]).all(|command| OTHERS.contains(command)));
    }
}
