//! Measures the functions by themselves: one process of each, behind a fast AWS in this process, sends offers to many customers. So
//! what the work itself costs is not hidden by a slow emulator, by other functions, or by sleeping. Peers in Node.js and Python do
//! the work of `email` in the same run.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the pushes and previews, and who sends | `pushes` |
//! | the customers and the offers | `bank` |
//! | what is measured, and the tables | `report` |
//! | the store, the queues, the secrets, SNS | `aws` |
//! | TLS | `tls` |
//! | the mail server | `sink` |
//! | a function's process and its events | `function` |
//! | a part of a processor | `quota` |
//! | the work of `email` in other languages | the folder `peers` |

mod aws;
mod bank;
mod function;
mod pushes;
mod quota;
mod report;
mod sink;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

/// Measures one process of each function.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of the functions' programs.
    #[arg(long, default_value = "target/release")]
    functions: PathBuf,
    /// The folder of the peers: `peer.cjs`, `peer.py`, and `venv` with what that needs. Without it, they are left out.
    #[arg(long)]
    peers: Option<PathBuf>,
    #[arg(long, default_value_t = 10_000)]
    customers: u32,
    /// As for a large audience (functions/push/src/start.rs).
    #[arg(long, default_value_t = 5_000)]
    customers_per_slice: u32,
    /// Pushes that are measured, after one to warm up.
    #[arg(long, default_value_t = 3)]
    pushes: u32,
    /// How many milliseconds each call of DynamoDB takes, besides the usual.
    #[arg(long, default_value_t = 0)]
    store_ms: u64,
    /// How many milliseconds the mail server takes for each message, besides the usual.
    #[arg(long, default_value_t = 0)]
    smtp_ms: u64,
    /// Calls of AWS go over TLS.
    #[arg(long)]
    tls: bool,
    /// The part of a processor that all functions together have, such as 0.1447 for 256 MB. Needs Linux and root.
    #[arg(long)]
    processor: Option<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let measured = pushes::measure(&pushes::Plan {
        functions: arguments.functions,
        peers: arguments.peers,
        customers: arguments.customers,
        customers_per_slice: arguments.customers_per_slice,
        pushes: arguments.pushes,
        store_delay: Duration::from_millis(arguments.store_ms),
        smtp_delay: Duration::from_millis(arguments.smtp_ms),
        is_encrypted: arguments.tls,
        quota: arguments.processor,
    })
    .await?;
    print!("{measured}");
    Ok(())
}
