//! Progress output. Written to stderr so that stdout can be piped.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// A step in progress.
pub(crate) struct Step {
    began: Instant,
    shown: bool,
}

/// Prints the start of a step.
pub(crate) fn step(what: &str) -> Step {
    eprintln!("\x1b[1m==>\x1b[0m {what}");
    Step { began: Instant::now(), shown: false }
}

impl Step {
    /// Updates the progress line in place.
    pub(crate) fn update(&mut self, progress: &str) {
        let mut err = std::io::stderr();
        if err.is_terminal() {
            // Failing to print progress must not stop the work.
            let _ = write!(err, "\r\x1b[K    {progress}");
            let _ = err.flush();
            self.shown = true;
        }
    }

    /// Prints the result and the time that the step took.
    pub(crate) fn done(mut self, what: &str) {
        if self.shown {
            self.update("");
            eprint!("\r");
        }
        eprintln!("    {what} ({:.1} s)", self.began.elapsed().as_secs_f32());
    }
}

/// Prints an error with its causes.
pub(crate) fn print_error(error: &anyhow::Error) {
    eprintln!("\n\x1b[1;31mError:\x1b[0m {error:#}");
}
