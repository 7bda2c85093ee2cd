//! Runs the inbox on loopback until it is stopped.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use clap::Parser;
use inbox::{Faults, Messages, Texts, smtp, web};
use tokio::net::TcpListener;

/// An SMTP server that stores all e-mail, with a web page and a JSON API. Listens on loopback only.
#[derive(Parser)]
struct Arguments {
    /// The SMTP port.
    #[arg(long)]
    smtp_port: u16,
    /// The port of the page and the API.
    #[arg(long)]
    web_port: u16,
    /// Where the emulator of AWS is, which records the text messages that are sent through it.
    #[arg(long, requires = "region")]
    endpoint_url: Option<String>,
    /// The region in which they are sent.
    #[arg(long)]
    region: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listen = async |port: u16| {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .await
            .with_context(|| format!("cannot listen on port {port}"))
    };
    let smtp_listener = listen(arguments.smtp_port).await?;
    let web_listener = listen(arguments.web_port).await?;
    let messages = Messages::default();
    let faults = Faults::default();
    let texts = Texts::new(arguments.endpoint_url.zip(arguments.region));
    tokio::select! {
        ended = smtp::serve(smtp_listener, messages.clone(), faults.clone()) => ended?,
        ended = axum::serve(web_listener, web::router(messages, faults, texts)) => ended?,
    }
    Ok(())
}
