//! A mail server that takes every message and discards it (RFC 5321), as fast as it can or after a while.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The mail server.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) url: String,
    taken: Arc<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Sink {
    /// Starts it. It takes so long for each message.
    pub(crate) async fn start(delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let sink = Self { url: format!("smtp://{}", listener.local_addr()?), taken: Arc::default() };
        let taken = sink.taken.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = taken.clone();
                // A client that goes away ends its session.
                tokio::spawn(async move { serve(stream, delay, &taken).await });
            }
        });
        Ok(sink)
    }

    /// How many messages came since this was called before, and their bytes.
    pub(crate) fn take_taken(&self) -> (u64, u64) {
        (self.taken.messages.swap(0, Ordering::Relaxed), self.taken.bytes.swap(0, Ordering::Relaxed))
    }
}

async fn serve(stream: TcpStream, delay: Duration, taken: &Taken) -> Result<()> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let (mut lines, mut replies) = (BufReader::new(read), BufWriter::new(write));
    replies.write_all(b"220 sink\r\n").await?;
    let mut line = Vec::new();
    loop {
        // Replies to commands that came together go together.
        if lines.buffer().is_empty() {
            replies.flush().await?;
        }
        line.clear();
        if lines.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"EHLO" => b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            b"DATA" => {
                replies.write_all(b"354 go on\r\n").await?;
                replies.flush().await?;
                while line != b".\r\n" {
                    line.clear();
                    if lines.read_until(b'\n', &mut line).await? == 0 {
                        return Ok(());
                    }
                    taken.bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
                }
                taken.messages.fetch_add(1, Ordering::Relaxed);
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                b"250 taken\r\n"
            }
            b"QUIT" => {
                replies.write_all(b"221 bye\r\n").await?;
                return Ok(replies.flush().await?);
            }
            _ => b"250 ok\r\n",
        };
        replies.write_all(reply).await?;
    }
}
