//! Messages per second through the SMTP transport, to postfix's `smtp-sink`, which discards them. For comparison, in
//! the same run: nodemailer's pool, if npm can fetch it, and postfix's `smtp-source`, which shows the limit of the
//! sink. Then the same with a round-trip time of 20 ms, as to a mail server in another region.
//!
//!     cargo bench -p delivery --bench smtp
//!
//! `smtp-sink` is part of postfix (Debian: `apt-get install postfix`); set `SMTP_SINK` to its path if it is elsewhere.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use delivery::transport::smtp::ServerSettings;
use delivery::{Email, SmtpTransport, Transport};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use lettre::Message;
use lettre::message::MultiPart;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const CONNECTIONS: usize = 10;
const MESSAGES: usize = 20_000;
/// With a round-trip time, each takes longer.
const DELAYED_MESSAGES: usize = 4_000;
const ROUND_TRIP: Duration = Duration::from_millis(20);
const NODEMAILER: &str = "nodemailer@7";

fn main() -> Result<()> {
    let sink = Sink::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("without delay:");
    compare(&runtime, &sink, sink.port, MESSAGES)?;
    println!("with a round-trip time of {} ms:", ROUND_TRIP.as_millis());
    let distant = runtime.block_on(distant(sink.port))?;
    compare(&runtime, &sink, distant, DELAYED_MESSAGES)
}

fn compare(runtime: &tokio::runtime::Runtime, sink: &Sink, port: u16, messages: usize) -> Result<()> {
    runtime.block_on(ours(port, messages / 10))?;
    let ours = runtime.block_on(ours(port, messages))?;
    println!("offercast, {CONNECTIONS} connections: {ours:.0} messages a second");
    match nodemailer(port, messages) {
        Ok(theirs) => println!("nodemailer's pool, as many: {theirs:.0}; ours is {:.1} times that", ours / theirs),
        Err(error) => println!("nodemailer's pool: not measured ({error:#})"),
    }
    match smtp_source(sink, port, messages) {
        Ok(source) => println!("smtp-source, as many: {source:.0}; ours is {:.1} times that", ours / source),
        Err(error) => println!("smtp-source: not measured ({error:#})"),
    }
    Ok(())
}

/// The port of a proxy to the sink, half a round trip away in each direction.
async fn distant(sink: u16) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", sink)).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::try_join!(delay(from_client, to_server), delay(from_server, to_client))
            });
        }
    });
    Ok(port)
}

/// Passes on what comes, each piece half a round trip later.
async fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    let (late, mut due) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let read = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut bytes).await?;
            let at = tokio::time::Instant::now() + ROUND_TRIP / 2;
            if count == 0 || late.send((at, bytes[..count].to_vec())).is_err() {
                drop(late);
                return Ok::<_, std::io::Error>(());
            }
        }
    };
    let write = async {
        while let Some((at, bytes)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

async fn ours(port: u16, messages: usize) -> Result<f64> {
    let url = format!("smtp://127.0.0.1:{port}");
    let transport = SmtpTransport::new(
        Box::new(move || std::future::ready(Ok(ServerSettings::of(&url))).boxed()),
        "bank.example".parse()?,
        runtime::sources::system(),
    );
    let emails: Vec<_> = (0..messages).map(email).collect::<Result<_>>()?;
    let began = Instant::now();
    stream::iter(&emails)
        .map(|email| transport.send(email, Timestamp::MAX))
        .buffer_unordered(CONNECTIONS)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(per_second(messages, began.elapsed()))
}

fn email(number: usize) -> Result<Email> {
    let message = Message::builder()
        .from("offers@bank.example".parse()?)
        .to(format!("customer-{number}@example.com").parse()?)
        .subject("Save Cash On Transactions")
        .multipart(MultiPart::alternative_plain_html(text(), format!("<p>{}</p>", text())))?;
    Ok(Email::new(&message)?)
}

/// About 2 kB with both parts, like an offer.
fn text() -> String {
    "Get 5% cashback on 5000 spent. ".repeat(30)
}

fn nodemailer(port: u16, messages: usize) -> Result<f64> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/local/nodemailer");
    std::fs::create_dir_all(&folder)?;
    if !folder.join("node_modules/nodemailer").exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", NODEMAILER]).current_dir(&folder);
        output(&mut npm)?;
    }
    let script = format!(
        "const transport = require('nodemailer').createTransport(
           {{host: '127.0.0.1', port: {port}, ignoreTLS: true, pool: true, maxConnections: {CONNECTIONS}, maxMessages: Infinity}});
         const text = {text:?};
         const send = (count) => Promise.all(Array.from({{length: count}}, (_, i) => transport.sendMail({{
           from: 'offers@bank.example', to: `customer-${{i}}@example.com`, subject: 'Save Cash On Transactions',
           text, html: `<p>${{text}}</p>`}})));
         (async () => {{
           await send({warm});
           const began = process.hrtime.bigint();
           await send({messages});
           console.log(Number(process.hrtime.bigint() - began) / 1e9);
           transport.close();
         }})();",
        text = text(),
        warm = messages / 10
    );
    let seconds: f64 = output(Command::new("node").args(["-e", &script]).current_dir(&folder))?.trim().parse()?;
    Ok(per_second(messages, Duration::from_secs_f64(seconds)))
}

fn smtp_source(sink: &Sink, port: u16, messages: usize) -> Result<f64> {
    let mut source = Command::new(sink.program.with_file_name("smtp-source"));
    let length = email(0)?.bytes().len().to_string();
    source.args(["-d", "-s", &CONNECTIONS.to_string(), "-m", &messages.to_string(), "-l", &length]);
    source.args(["-f", "offers@bank.example", "-t", "customer@example.com", &format!("127.0.0.1:{port}")]);
    let began = Instant::now();
    output(&mut source)?;
    Ok(per_second(messages, began.elapsed()))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{} not found", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[expect(clippy::cast_precision_loss, reason = "some thousand messages")]
fn per_second(messages: usize, took: Duration) -> f64 {
    messages as f64 / took.as_secs_f64()
}

/// A running `smtp-sink`; dropping this stops it.
struct Sink {
    program: PathBuf,
    port: u16,
    process: std::process::Child,
}

impl Sink {
    fn start() -> Result<Self> {
        let named = env::var_os("SMTP_SINK").map(PathBuf::from);
        let program = named.unwrap_or_else(|| PathBuf::from("/usr/sbin/smtp-sink"));
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // It refuses to run as root.
        let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
        let process = Command::new(&program)
            .args(if is_root { &["-u", "nobody"][..] } else { &[] })
            .args([format!("127.0.0.1:{port}"), "1000".to_owned()])
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} not found; it is part of postfix", program.display()))?;
        let sink = Self { program, port, process };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > Duration::from_secs(5) {
                bail!("smtp-sink does not accept connections");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(sink)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
