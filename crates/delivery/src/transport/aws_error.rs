//! Errors of AWS calls: what the result of one attempt means for the customer.
//!
//! Tables decide, row by row: the service's own, then [`COMMON`], then the HTTP status. Where a table needs the words of an
//! error, because the service has one code for several things, the row says where they are documented. An error that no
//! table lists may be the recipient's, the message's or ours: it is ambiguous.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::redact::redact;
use super::{RefusalKind, SendError, Suspect};

/// The timeout of a response. It usually takes a fraction of a second; giving up early risks a second copy.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The service accepts nothing from us: the account, our role, our settings, or an outage.
    Unreachable,
    /// It refuses this message.
    Refused(RefusalKind),
    /// It may have accepted the message.
    Unanswered,
}

/// A row of a table of errors.
#[derive(Debug)]
pub(super) struct Row {
    /// The codes of the error: these, or any.
    codes: &'static [&'static str],
    /// What its text contains, in lower case. Addresses and numbers are redacted.
    words: &'static str,
    meaning: Meaning,
    /// Where it is documented, or reported by those who met it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reader; a test checks that each row has one"))]
    pub(super) source: &'static str,
}

impl Row {
    pub(super) const fn new(
        codes: &'static [&'static str],
        words: &'static str,
        meaning: Meaning,
        source: &'static str,
    ) -> Self {
        Self { codes, words, meaning, source }
    }

    fn matches(&self, code: &str, text: &str) -> bool {
        (self.codes.is_empty() || self.codes.contains(&code)) && text.contains(self.words)
    }
}

/// Errors that are the same for every service.
pub(super) const COMMON: &[Row] = &[
    Row::new(
        &["Throttling", "ThrottlingException", "ThrottledException", "Throttled", "TooManyRequestsException"],
        "",
        Meaning::Refused(RefusalKind::Temporary),
        "Common error types (API references of SES v2 and SNS)",
    ),
    Row::new(
        &["RequestAbortedException", "RequestTimeoutException"],
        "",
        Meaning::Refused(RefusalKind::Temporary),
        "Common error types: the request did not arrive as a whole",
    ),
    Row::new(
        &["RequestEntityTooLargeException"],
        "",
        Meaning::Refused(RefusalKind::Message),
        "Common error types: the request is too large",
    ),
    // Most of them come with the status 401, 403 or 404, not all from every service.
    Row::new(
        &[
            "AccessDenied",
            "AccessDeniedException",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "NotAuthorized",
            "OptInRequired",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ],
        "",
        Meaning::Unreachable,
        "Common error types: credentials, permissions, signature or clock",
    ),
];

/// What an error that the service responded with means. `own` is the service's own table, and wins.
fn meaning(own: &[Row], status: u16, code: &str, text: &str) -> Meaning {
    // 501, 503 and 505 say that the request was not handled (RFC 9110, 15.6). After the others it may have been.
    if status >= 500 && !matches!(status, 501 | 503 | 505) {
        return Meaning::Unanswered;
    }
    let text = text.to_ascii_lowercase();
    if let Some(row) = own.iter().chain(COMMON).find(|row| row.matches(code, &text)) {
        return row.meaning;
    }
    match status {
        408 | 429 => Meaning::Refused(RefusalKind::Temporary),
        413 => Meaning::Refused(RefusalKind::Message),
        401 | 403 | 404 => Meaning::Unreachable,
        // The content is read last, so an error that is not known to be about it may as well be about us.
        400..500 => Meaning::Refused(RefusalKind::Ambiguous(Suspect::Sender)),
        _ => Meaning::Unreachable,
    }
}

/// Classifies an error. `own` is the service's own table.
pub(super) fn classify_sdk_error<E>(error: &SdkError<E, HttpResponse>, own: &[Row]) -> SendError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(refusal) => {
            let (status, service) = (refusal.raw().status().as_u16(), refusal.err());
            let text = match service.code().zip(service.message()) {
                Some((code, message)) => redact(&format!("{code}: {message}")),
                // Such as a page of a proxy: what there is to know is the status.
                None if service.code().is_none() => format!("HTTP status {status}"),
                None => redact(&service.to_string()),
            };
            match meaning(own, status, service.code().unwrap_or_default(), &text) {
                Meaning::Unreachable => SendError::Unreachable(text),
                Meaning::Refused(kind) => SendError::refused(kind, text),
                Meaning::Unanswered => SendError::Unanswered(text),
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

/// The error and its causes, redacted.
pub(super) fn describe(error: &impl Error) -> String {
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
