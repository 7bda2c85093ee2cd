//! The mail server that `up --smtp` names.

use std::time::Duration;

use smtp::ServerUrl;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The server of a URL, as it is shown: without a password. `None` if it is no URL of a server; the functions say what is wrong
/// with it.
pub(crate) fn shown(url: &str) -> Option<String> {
    url.parse().ok().map(|server: ServerUrl| server.to_string())
}

/// Why no connection can be opened to the server of a URL. `None` if one can, or the URL is none.
pub(crate) async fn refusal(url: &str) -> Option<String> {
    let server: ServerUrl = url.parse().ok()?;
    let address = (server.host, server.port);
    match timeout(TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no connection within {} s", TIMEOUT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_without_a_server_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        assert_eq!(refusal(&url).await, None);
        drop(listener);
        assert!(refusal(&url).await.is_some());
    }
}
