//! What the tool says while it works. Written to stderr, so that stdout can be piped; with colours where they are seen.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anstream::eprintln;
use anyhow::Result;
use domain::channel::Channel;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const RESET: &str = "\x1b[0m";
/// How often progress is printed where a line cannot be written over.
const PRINT_EVERY: Duration = Duration::from_secs(10);

/// Environment variable: what the program is called by those who ran it.
pub const TOOL_VARIABLE: &str = "OFFERCAST_TOOL";

/// The program's name, as in the commands that it proposes.
pub fn tool() -> &'static str {
    static TOOL: LazyLock<String> =
        LazyLock::new(|| std::env::var(TOOL_VARIABLE).unwrap_or_else(|_| "offercast".to_owned()));
    &TOOL
}

/// Prints a line of the result, to stdout.
///
/// # Errors
/// If it cannot be written, as when its reader has ended.
pub fn line(text: &str) -> Result<()> {
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// A step in progress.
#[derive(Debug)]
pub struct Step {
    began: Instant,
    printed: Instant,
    is_shown: bool,
}

/// Prints the start of a step.
pub fn step(what: &str) -> Step {
    eprintln!("{BOLD}==>{RESET} {what}");
    Step { began: Instant::now(), printed: Instant::now(), is_shown: false }
}

impl Step {
    /// Updates the progress in place; where there is no terminal, prints it every ten seconds.
    pub fn update(&mut self, progress: &str) {
        let mut err = stderr();
        if err.is_terminal() {
            // Failing to print progress must not stop the work.
            let _ = write!(err, "\r\x1b[K    {progress}");
            let _ = err.flush();
            self.is_shown = true;
        } else if self.printed.elapsed() >= PRINT_EVERY {
            eprintln!("    {progress}");
            self.printed = Instant::now();
        }
    }

    /// Prints the result and the time that the step took.
    pub fn done(mut self, what: &str) {
        self.clear();
        eprintln!("    {what} ({:.1} s)", self.began.elapsed().as_secs_f32());
    }

    fn clear(&mut self) {
        if self.is_shown {
            let _ = write!(stderr(), "\r\x1b[K");
            self.is_shown = false;
        }
    }
}

/// An error, or a step that ends early, begins on a line of its own.
impl Drop for Step {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Prints what belongs to the step before.
pub fn note(text: &str) {
    eprintln!("    {text}");
}

/// Prints what needs attention.
pub fn warning(text: &str) {
    eprintln!("{YELLOW}Warning:{RESET} {text}");
}

/// Prints an error with its causes.
pub fn error(error: &anyhow::Error) {
    eprintln!("\n{RED}Error:{RESET} {error:#}");
}

/// A number with its thousands separated.
pub fn grouped(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of something: its name has an `s` if there is not one of it.
pub fn count(number: impl TryInto<u64>, what: impl Display) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", grouped(number))
}

/// What a channel carries, for people.
pub const fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "e-mail",
        Channel::Sms => "text messages",
    }
}

/// A time that has passed, in its largest unit.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!((count(1, "row"), count(2_000, "row")), ("1 row".to_owned(), "2,000 rows".to_owned()));
    }
}
