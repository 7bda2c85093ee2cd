//! Log lines: JSON on Lambda, with the same names everywhere.
//!
//! Identifiers are fields with dotted names (`trace.id`, `offer.id`, `push.number`, `customer.id`), numbers carry their unit
//! (`duration_ms`), a failure is logged once, at the boundary, and no address, number or name ever appears. What is true of
//! a whole piece of work, such as which push it is for, stands in its span, and so in each of its lines.

use std::env;
use std::time::Instant;

use domain::PushId;
use domain::queue::Origin;
use lambda_runtime::tracing::subscriber::EnvFilter;
use tracing::Span;
use tracing::field::Empty;

/// The least severe lines to keep.
///
/// Not Lambda's own `AWS_LAMBDA_LOG_LEVEL`: with that, Lambda drops what has no level, and so the metrics.
const LEVEL_VARIABLE: &str = "LOG_LEVEL";
/// Our own crates. Of the others, DEBUG would tell of every byte.
const OURS: [&str; 13] = [
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

/// Begins logging: in the format that Lambda's logging configuration asks for, at the level of `LOG_LEVEL`.
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
    let ours = OURS.map(|name| format!(",{name}={level}"));
    format!("info{}", ours.concat())
}

/// The span of one message or record, to be told more of by [`record_push`] once it is read.
pub fn work_span() -> Span {
    tracing::info_span!("work", trace.id = Empty, offer.id = Empty, push.number = Empty, channel = Empty)
}

/// Notes in the current span which push it is for, and which call that goes back to.
pub fn record_push(push: PushId, origin: Option<&Origin>) {
    let span = Span::current();
    span.record("offer.id", tracing::field::display(push.offer));
    span.record("push.number", push.number);
    if let Some(trace) = origin.and_then(|origin| origin.trace) {
        span.record("trace.id", tracing::field::display(trace));
    }
}

/// Whole milliseconds since then.
pub fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_is_of_our_own_crates_alone() {
        assert_eq!(filter("WARN"), "WARN");
        let debug = filter("DEBUG");
        assert!(debug.starts_with("info,") && debug.contains(",delivery=DEBUG"), "{debug}");
        assert!(EnvFilter::try_new(debug).is_ok());
    }
}
