//! Measures the functions by themselves: one process of `audience` and one of `email`, behind a fast AWS in this process, send an
//! offer to many customers. So what the work itself costs is not hidden by a slow emulator, by other functions, or by sleeping.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the pushes, and what is measured of them | `pushes` |
//! | the store, the queues and the secrets | `aws` |
//! | the mail server | `sink` |
//! | a function's process and its events | `function` |

mod aws;
mod function;
mod pushes;
mod sink;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

/// Measures one process of `audience` and one of `email`.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of the functions' programs.
    #[arg(long, default_value = "target/release")]
    functions: PathBuf,
    #[arg(long, default_value_t = 10_000)]
    customers: usize,
    /// Pushes that are measured, after one to warm up.
    #[arg(long, default_value_t = 3)]
    pushes: u32,
    /// How many milliseconds each call of DynamoDB takes, besides the usual.
    #[arg(long, default_value_t = 0)]
    store_ms: u64,
    /// How many milliseconds the mail server takes for each message, besides the usual.
    #[arg(long, default_value_t = 0)]
    smtp_ms: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let measured = pushes::measure(&pushes::Plan {
        functions: arguments.functions,
        customers: arguments.customers,
        pushes: arguments.pushes,
        store_delay: Duration::from_millis(arguments.store_ms),
        smtp_delay: Duration::from_millis(arguments.smtp_ms),
    })
    .await?;
    print!("{measured}");
    Ok(())
}
