//! Log lines: JSON on Lambda, with the same field names in every function.
//!
//! Identifiers are fields with dotted names (`trace.id`, `offer.id`, `push.number`, `customer.id`), numbers carry their
//! unit (`duration_ms`), a failure is logged once, at the boundary. No e-mail address, phone number or customer's name
//! is ever logged. Fields of a whole piece of work, such as its push, are recorded on its span and so appear in each of
//! its lines.

use std::env;

use domain::{PushId, TraceId};
use lambda_runtime::tracing::subscriber::EnvFilter;
use tracing::Span;
use tracing::field::Empty;

/// The environment variable with the log level.
///
/// Not Lambda's own `AWS_LAMBDA_LOG_LEVEL`: with that, Lambda drops lines without a level, which include the metrics.
const LEVEL_VARIABLE: &str = "LOG_LEVEL";
/// Our own crates. At DEBUG, the others would log every byte.
pub const OUR_CRATES: [&str; 13] = [
    "api",
    "audience",
    "customer",
    "delivery",
    "domain",
    "email",
    "feedback",
    "offer",
    "preferences",
    "push",
    "runtime",
    "sms",
    "store",
];

/// Starts logging, in the format of Lambda's logging configuration and at the level in `LOG_LEVEL`.
pub fn init() {
    let level = env::var(LEVEL_VARIABLE).unwrap_or_else(|_| "INFO".to_owned());
    let collector =
        lambda_runtime::tracing::subscriber::fmt().with_target(false).with_env_filter(EnvFilter::new(filter(&level)));
    if env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json")) {
        collector.json().init();
    } else {
        collector.init();
    }
}

fn filter(level: &str) -> String {
    if !level.eq_ignore_ascii_case("debug") && !level.eq_ignore_ascii_case("trace") {
        return level.to_owned();
    }
    let our_crates = OUR_CRATES.map(|name| format!(",{name}={level}"));
    format!("info{}", our_crates.concat())
}

/// The span of one message or record. [`record_push`] adds its push once it is parsed.
pub fn work_span() -> Span {
    tracing::info_span!("work", trace.id = Empty, offer.id = Empty, push.number = Empty, channel = Empty)
}

/// Records on the current span the push that it is for, and the trace id of the API call that caused it.
pub fn record_push(push: PushId, trace: Option<TraceId>) {
    let span = Span::current();
    span.record("offer.id", tracing::field::display(push.offer));
    span.record("push.number", push.number);
    if let Some(trace) = trace {
        span.record("trace.id", tracing::field::display(trace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_level_applies_only_to_our_crates() {
        assert_eq!(filter("WARN"), "WARN");
        let debug = filter("DEBUG");
        assert!(debug.starts_with("info,") && debug.contains(",delivery=DEBUG"), "{debug}");
        assert!(EnvFilter::try_new(debug).is_ok());
    }
}
