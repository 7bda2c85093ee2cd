//! Captures the log lines of a test.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

thread_local! {
    /// What this thread logged, if its test captures it.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// One subscriber for all tests, before any of them logs. If each test had its own, `tracing` might meet a line for the first time
/// just before a subscriber comes, and leave it out from then on.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| tracing::subscriber::set_global_default(Capture).expect("there is no other"));
}

/// The log lines of this thread, for as long as it lives.
pub(crate) struct Logs(());

impl Logs {
    pub(crate) fn capture() -> Self {
        LINES.set(Some(Vec::new()));
        Self(())
    }

    /// The lines with this text: the level, the message and the fields of each.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        LINES.with_borrow(|lines| lines.iter().flatten().filter(|line| line.contains(text)).cloned().collect())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct Capture;

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("delivery")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                let mut line = Line(event.metadata().level().to_string());
                event.record(&mut line);
                lines.push(line.0);
            }
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, " {value:?}").expect("writing to a string succeeds");
        } else {
            write!(self.0, " {field}={value:?}").expect("writing to a string succeeds");
        }
    }
}
