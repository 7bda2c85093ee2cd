//! Errors of AWS calls: what the result of one attempt means for the customer.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sesv2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::redact::redact;
use super::{RefusalKind, SendError};

/// The timeout of a response. It usually takes a fraction of a second; giving up early risks a second copy.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How much the service refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalScope {
    /// This recipient or this message, permanently.
    ThisMessage,
    /// One request too many for the moment.
    ForNow,
    /// Every message: because of the account, our role, or an outage of the service.
    AllMessages,
}

/// Throttling, under each of its names, is for now. Any other error refuses all messages.
pub(crate) fn classify_throttling<E: ProvideErrorMetadata>(error: &E, _text: &str) -> RefusalScope {
    let code = error.code().unwrap_or_default();
    if code.starts_with("Throttl") || code == "TooManyRequestsException" {
        RefusalScope::ForNow
    } else {
        RefusalScope::AllMessages
    }
}

/// Classifies an error. `classify_refusal` knows the service's own errors; all others are the same for every service.
pub(crate) fn classify_sdk_error<E, R>(
    error: &SdkError<E, R>,
    classify_refusal: impl FnOnce(&E, &str) -> RefusalScope,
) -> SendError
where
    E: Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => {
            let service = service.err();
            let text = match service.code().zip(service.message()) {
                Some((code, message)) => redact(&format!("{code}: {message}")),
                None => redact(&service.to_string()),
            };
            match classify_refusal(service, &text) {
                RefusalScope::ThisMessage => SendError::refused(RefusalKind::Recipient, text),
                RefusalScope::ForNow => SendError::refused(RefusalKind::Temporary, text),
                RefusalScope::AllMessages => SendError::Unreachable(text),
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

/// Whether no connection was made, so that nothing can have been sent.
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

/// A service with one canned response.
#[cfg(test)]
pub(crate) mod tests {
    use aws_sdk_sesv2::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
    use runtime::Aws;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// The response.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct CannedResponse<'a> {
        pub(crate) status: u16,
        /// The kind of error, where the protocol has it in a header.
        pub(crate) kind: &'a str,
        pub(crate) body: &'a str,
    }

    /// Clients for a service at `url`, with deployed timeouts.
    pub(crate) fn aws_at(url: &str) -> Aws {
        let config = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(url)
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
            .build();
        Aws::new(config, runtime::sources::system())
    }

    /// An address without a listener.
    pub(crate) async fn closed_port() -> String {
        format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap())
    }

    /// Runs `call` against a server that reads one request and then responds or hangs up. Returns the request as well.
    pub(crate) async fn respond_once<T>(
        response: Option<CannedResponse<'_>>,
        call: impl AsyncFnOnce(String) -> T,
    ) -> (T, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let response = response.map(|CannedResponse { status, kind, body }| {
            format!(
                "HTTP/1.1 {status} x\r\nx-amzn-errortype: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        });
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_complete(&request) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            if let Some(response) = response {
                stream.write_all(response.as_bytes()).await.unwrap();
            }
            String::from_utf8(request).unwrap()
        });
        let result = call(url).await;
        (result, server.await.unwrap())
    }

    fn is_complete(request: &[u8]) -> bool {
        let request = String::from_utf8_lossy(request);
        let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        body.len() >= length.unwrap_or(0)
    }
}
