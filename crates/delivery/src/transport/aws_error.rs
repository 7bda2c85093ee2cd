//! What an AWS service's answer to one attempt means for the customer.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sesv2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::SendError;
use super::redact::redact;

/// For the answer. It takes a fraction of a second as a rule; one that is not waited for costs a second copy.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the service itself refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This recipient or this message, whenever asked.
    Message,
    /// One too many for the moment.
    Rate,
    /// Everything, from anybody: the account, our role, the service's own trouble.
    Everything,
}

/// Too many a second, or everything else.
pub(crate) fn classify_throttling<E: ProvideErrorMetadata>(error: &E, _said: &str) -> Refusal {
    let code = error.code().unwrap_or_default();
    if code.starts_with("Throttl") || code == "TooManyRequestsException" { Refusal::Rate } else { Refusal::Everything }
}

/// Sorts an answer. `refusal` knows the service's own words; everything before them is the same for all services.
pub(crate) fn classify_sdk_error<E, R>(error: &SdkError<E, R>, refusal: impl FnOnce(&E, &str) -> Refusal) -> SendError
where
    E: Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => {
            let service = service.err();
            let said = match service.code().zip(service.message()) {
                Some((code, message)) => redact(&format!("{code}: {message}")),
                None => redact(&service.to_string()),
            };
            match refusal(service, &said) {
                Refusal::Message => SendError::Rejected(said),
                Refusal::Rate => SendError::Throttled(said),
                Refusal::Everything => SendError::Unreachable(said),
            }
        }
        // No credentials, no connection: nothing was handed over.
        SdkError::ConstructionFailure(_) => SendError::Unreachable(describe(error)),
        SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_timeout() || is_no_connection(error) => {
            SendError::Unreachable(describe(error))
        }
        // The request may have arrived.
        _ => SendError::Unanswered(describe(error)),
    }
}

fn describe(error: &impl Error) -> String {
    redact(&DisplayErrorContext(error).to_string())
}

/// Whether there was no connection, so that nothing can have gone over it.
fn is_no_connection(error: &dyn Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        cause = error.source();
    }
    false
}

/// A service that answers as it is told to, once.
#[cfg(test)]
pub(crate) mod tests {
    use aws_sdk_sesv2::config::retry::RetryConfig;
    use aws_sdk_sesv2::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What the service says.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct CannedResponse<'a> {
        pub(crate) status: u16,
        /// The kind of error, where the protocol has it in a header.
        pub(crate) kind: &'a str,
        pub(crate) body: &'a str,
    }

    /// For clients of a service at `url`, with one attempt for each call.
    pub(crate) fn config(url: &str) -> aws_config::SdkConfig {
        aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(url)
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build()
    }

    /// An address where nobody listens.
    pub(crate) async fn closed_port() -> String {
        format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap())
    }

    /// Takes one request and gives one answer, or hangs up without one. Tells what was asked.
    pub(crate) async fn ask<T>(answer: Option<CannedResponse<'_>>, call: impl AsyncFnOnce(String) -> T) -> (T, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = answer.map(|CannedResponse { status, kind, body }| {
            format!(
                "HTTP/1.1 {status} x\r\nx-amzn-errortype: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        });
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !is_whole(&asked) {
                assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
            }
            if let Some(answer) = answer {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            String::from_utf8(asked).unwrap()
        });
        let called = call(url).await;
        (called, server.await.unwrap())
    }

    fn is_whole(request: &[u8]) -> bool {
        let request = String::from_utf8_lossy(request);
        let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        body.len() >= length.unwrap_or(0)
    }
}
