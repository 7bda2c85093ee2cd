//! The terminal output.

use std::fmt::Write;

use domain::push::PushState;
use domain::push::waiting::WaitingFor;

use super::view::{Function, Push, Queue, Status};

/// Width of a progress bar in characters.
const BAR: usize = 20;
/// Moves the cursor to the top left and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Prints a snapshot, over the previous one if `clear_first`.
pub(super) fn print(status: &Status, clear_first: bool) {
    // In one write, so that the screen does not flicker.
    print!("{}{}", if clear_first { CLEAR } else { "" }, render(status));
    let _ = std::io::Write::flush(&mut std::io::stdout());
}

fn render(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, status);
    text
}

fn write(text: &mut String, status: &Status) -> std::fmt::Result {
    for error in &status.read_errors {
        writeln!(text, "! {error}")?;
    }
    writeln!(text, "Pushes")?;
    if status.pushes.is_empty() {
        writeln!(text, "  none yet")?;
    }
    for push in &status.pushes {
        write_push(text, push)?;
    }
    writeln!(text, "\n{:14} {:>9} {:>11} {:>7}  (last hour)", "Functions", "state", "invocations", "errors")?;
    for Function { name, state, invocations, errors, .. } in &status.functions {
        writeln!(text, "  {name:12} {state:>9} {invocations:>11} {errors:>7}")?;
    }
    writeln!(text, "\n{:14} {:>9} {:>11} {:>7} {:>8}", "Queues", "waiting", "in flight", "delayed", "oldest")?;
    let is_shown = |queue: &&Queue| !queue.is_dead_letters || queue.depth() > 0;
    for queue in status.queues.iter().filter(is_shown) {
        let Queue { name, is_dead_letters, waiting, in_flight, delayed, oldest } = queue;
        let mark = if *is_dead_letters { "  <- cargo xtask redrive" } else { "" };
        let oldest = oldest.map(age).unwrap_or_default();
        writeln!(text, "  {name:20} {waiting:>3} {in_flight:>11} {delayed:>7} {oldest:>8}{mark}")?;
    }
    if status.queues.iter().all(|queue| !queue.is_dead_letters || queue.depth() == 0) {
        writeln!(text, "  no dead letters")?;
    }
    writeln!(text, "\n{:14} {:>9}", "Tables", "items")?;
    for table in &status.tables {
        writeln!(text, "  {:12} {:>9}", table.name, table.items)?;
    }
    if let Some(inbox) = &status.inbox {
        let (emails, texts) = (counted(inbox.emails, "e-mail"), counted(inbox.texts, "text message"));
        writeln!(text, "\nInbox  {emails}, {texts}  {}", inbox.url)?;
    }
    Ok(())
}

fn write_push(text: &mut String, push: &Push) -> std::fmt::Result {
    let done = usize::from(push.percent) * BAR / 100;
    let bar = "█".repeat(done) + &"░".repeat(BAR - done);
    let done = push.eligible - push.pending;
    write!(text, "  {:12} #{} {bar} {:>3} %  {done} of {}", push.code, push.number, push.percent, push.eligible)?;
    let outcomes = &push.outcomes;
    let named = [
        ("sent", outcomes.sent),
        ("failed", outcomes.failed),
        ("suppressed", outcomes.suppressed),
        ("opted out", outcomes.opted_out),
        ("expired", outcomes.expired),
        ("cancelled", outcomes.cancelled),
        ("already served", outcomes.already_served),
    ];
    for (name, count) in named.into_iter().filter(|(_, count)| *count > 0) {
        write!(text, ", {count} {name}")?;
    }
    if push.state != PushState::Running {
        write!(text, "  {}", push.state)?;
    }
    if let Some(waiting_for) = push.waiting_for {
        let what = match waiting_for {
            WaitingFor::ValidFrom => "the offer to be valid",
            WaitingFor::Rate => "the rate limit",
            WaitingFor::Provider => "the provider",
            WaitingFor::DeadLetters => "dead letters to be handled",
        };
        write!(text, "\n               waits for {what}")?;
        if let Some(error) = &push.last_error {
            write!(text, ": {error}")?;
        }
    }
    writeln!(text)
}

fn counted(count: u64, singular: &str) -> String {
    format!("{count} {singular}{}", if count == 1 { "" } else { "s" })
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}
