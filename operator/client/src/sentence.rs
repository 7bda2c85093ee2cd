//! What went wrong with a call of an AWS service, as a sentence.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// The service's own message; if there was no response, why not. Without headers, bodies and the names of types, which
/// `DisplayErrorContext` has.
pub fn sentence<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => match (service.err().message(), service.err().code()) {
            (Some(message), _) => message.to_owned(),
            (None, Some(code)) => code.to_owned(),
            (None, None) => "the service reported an error without saying which".to_owned(),
        },
        SdkError::TimeoutError(_) => "there was no response in time".to_owned(),
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().map(|error| cause_of(error));
            format!("there is no connection: {}", cause.unwrap_or_else(|| "unknown cause".to_owned()))
        }
        other => DisplayErrorContext(other).to_string(),
    }
}

/// The last of an error's causes, such as `Connection refused`.
pub fn cause_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
