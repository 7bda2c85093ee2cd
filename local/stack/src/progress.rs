//! What a person sees while things happen. On the error stream, so that output can be piped.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// A step that takes a moment.
pub(crate) struct Step {
    began: Instant,
    shown: bool,
}

/// Says what is being done.
pub(crate) fn step(what: &str) -> Step {
    eprintln!("\x1b[1m==>\x1b[0m {what}");
    Step { began: Instant::now(), shown: false }
}

impl Step {
    /// Says how far it is, on one line that changes.
    pub(crate) fn update(&mut self, how_far: &str) {
        let mut err = std::io::stderr();
        if err.is_terminal() {
            // A progress line that cannot be shown is no reason to stop.
            let _ = write!(err, "\r\x1b[K    {how_far}");
            let _ = err.flush();
            self.shown = true;
        }
    }

    /// Says that it is done, and how long it took.
    pub(crate) fn done(mut self, what: &str) {
        if self.shown {
            self.update("");
            eprint!("\r");
        }
        eprintln!("    {what} ({:.1} s)", self.began.elapsed().as_secs_f32());
    }
}

/// Says why it did not work.
pub(crate) fn print_error(error: &anyhow::Error) {
    eprintln!("\n\x1b[1;31mError:\x1b[0m {error:#}");
}
