//! What functions log, while a run lasts: each line is looked through for personal data, and kept for people.

use std::fmt::{Debug, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime::telemetry::OUR_CRATES;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::world::World;

/// What crates of others log: only what is worth a warning, as with `LogLevel=DEBUG`. Our own log at every level.
const OTHERS: Level = Level::WARN;

/// Listens to what is logged on this thread, until the guard is dropped.
#[must_use]
pub fn listen(world: &Arc<World>) -> DefaultGuard {
    let found = Arc::clone(world);
    let kept = Arc::clone(world);
    tracing::subscriber::set_default(Watch {
        spans: AtomicU64::new(0),
        leaked: Box::new(move |text: &str| found.evidence.leaked(found.clock.now(), "a log line", text)),
        keep: Box::new(move |line: &str| kept.history.remark(|| line.to_owned())),
    })
}

type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Looks through what is logged.
struct Watch {
    spans: AtomicU64,
    leaked: Sink,
    keep: Sink,
}

/// The fields of a line, as text.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = if field.name() == "message" {
            write!(self.0, " {value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
        written.expect("a string takes any text");
    }
}

impl Watch {
    fn look(&self, text: &Text) {
        if let Some(found) = super::personal(&text.0) {
            (self.leaked)(found);
        }
    }
}

impl Subscriber for Watch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target().split("::").next().unwrap_or_default();
        OUR_CRATES.contains(&target) || *metadata.level() <= OTHERS
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text::default();
        span.record(&mut text);
        self.look(&text);
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut text = Text::default();
        values.record(&mut text);
        self.look(&text);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        write!(text.0, "{} {}:", event.metadata().level(), event.metadata().target()).expect("a string takes any text");
        event.record(&mut text);
        self.look(&text);
        (self.keep)(&text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn lines_and_spans_with_personal_data_are_found() {
        let (leaks, lines) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (found, kept) = (Arc::clone(&leaks), Arc::clone(&lines));
        let watch = Watch {
            spans: AtomicU64::new(0),
            leaked: Box::new(move |text: &str| found.lock().unwrap().push(text.to_owned())),
            keep: Box::new(move |line: &str| kept.lock().unwrap().push(line.to_owned())),
        };
        tracing::subscriber::with_default(watch, || {
            tracing::debug!(target: "delivery::pipeline", { customer.id = "c-1" }, "notification sent");
            tracing::warn!(target: "delivery::pipeline", error = "zq1.v0@person1.example is unknown", "not sent");
            tracing::error!(target: "hyper", "Dear Zq1Name");
            tracing::debug!(target: "hyper", "Dear Zq1Name");
            let _span = tracing::info_span!(target: "runtime::telemetry", "work", name = "Zq1Name");
        });
        assert_eq!(lines.lock().unwrap()[0], "DEBUG delivery::pipeline: notification sent customer.id=\"c-1\"");
        assert_eq!((lines.lock().unwrap().len(), leaks.lock().unwrap().len()), (3, 3));
    }
}
