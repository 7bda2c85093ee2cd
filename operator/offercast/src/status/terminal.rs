//! The terminal output: what to look at first, then pushes, channels, queues, functions and tables.

use std::io::Write as _;

use anyhow::Result;
use domain::push::PushState;
use domain::push::waiting::WaitingFor;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};

use super::concerns::{Concern, Level};
use super::view::{Function, Push, Queue, Status, Transport};
use crate::output::{age, count, grouped};

/// Width of a progress bar in characters.
const BAR: usize = 20;
/// Characters of an offer's code that are shown.
const CODE: usize = 20;

/// Prints a snapshot, with colours where they are seen.
pub(super) fn print(status: &Status) -> Result<()> {
    let mut out = anstream::stdout().lock();
    for line in lines(status) {
        for span in &line.spans {
            match ansi(line.style.patch(span.style)) {
                Some(code) => write!(out, "\x1b[{code}m{}\x1b[0m", span.content)?,
                None => write!(out, "{}", span.content)?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The escape code of the styles that are used here.
fn ansi(style: Style) -> Option<&'static str> {
    match style.fg {
        Some(Color::Red) => Some("1;31"),
        Some(Color::Yellow) => Some("33"),
        Some(Color::Green) => Some("32"),
        Some(Color::DarkGray) => Some("2"),
        _ if style.add_modifier.contains(ratatui::style::Modifier::BOLD) => Some("1"),
        _ => None,
    }
}

/// All lines, the most important first: a terminal that is too low shows the beginning.
pub(super) fn lines(status: &Status) -> Vec<Line<'static>> {
    let mut lines: Vec<_> = status.concerns.iter().flat_map(concern).collect();
    if lines.is_empty() {
        lines.push(Line::from("All is well").green());
    }
    lines.push(Line::default());
    lines.push(heading("Pushes  (those that run, and the last of each of the newest offers)"));
    if status.pushes.is_empty() {
        lines.push(Line::from("  none yet"));
    }
    for push in &status.pushes {
        let is_ambiguous = status.pushes.iter().any(|other| other.code == push.code && other.offer != push.offer);
        lines.extend(self::push(push, is_ambiguous));
    }
    lines.push(Line::default());
    lines.push(heading("Channels"));
    lines.extend(status.transports.iter().map(transport));
    lines.push(Line::default());
    lines.extend(queues(status));
    lines.push(Line::default());
    lines.push(heading(&format!(
        "{:14} {:>9} {:>11} {:>9}  (last hour)",
        "Functions", "state", "invocations", "errors"
    )));
    lines.extend(status.functions.iter().map(function));
    lines.push(Line::default());
    lines.push(heading(&format!("{:14} {:>9}  (several for each offer and each push)", "Tables", "items")));
    lines.extend(
        status.tables.iter().map(|table| Line::from(format!("  {:12} {:>9}", table.name, grouped(table.items)))),
    );
    if let Some(inbox) = &status.inbox {
        let (emails, texts) = (count(inbox.emails, "e-mail"), count(inbox.texts, "text message"));
        lines.push(Line::default());
        lines.push(Line::from(format!("Inbox  {emails}, {texts}  {}", inbox.url)));
    }
    lines
}

fn heading(text: &str) -> Line<'static> {
    Line::from(text.to_owned()).bold()
}

fn concern(concern: &Concern) -> Vec<Line<'static>> {
    let line = Line::from(format!("! {}", concern.what));
    let line = match concern.level {
        Level::Bad => line.red(),
        Level::Notice | Level::Unknown => line.yellow(),
    };
    let remedy = Some(&concern.remedy).filter(|remedy| !remedy.is_empty());
    [line].into_iter().chain(remedy.map(|remedy| Line::from(format!("    {remedy}")))).collect()
}

/// A push, with its offer's id if another offer has the same code.
fn push(push: &Push, is_ambiguous: bool) -> Vec<Line<'static>> {
    let filled = usize::from(push.percent) * BAR / 100;
    let bar = "█".repeat(filled) + &"░".repeat(BAR - filled);
    let done = push.eligible - push.pending;
    let name = format!("{} #{}", cut(&push.code, CODE), push.number);
    let mut line = vec![Span::from(format!(
        "  {name:24} {bar} {:>3} %  {} of {}",
        push.percent,
        grouped(done),
        grouped(push.eligible)
    ))];
    let outcomes = &push.outcomes;
    let named = [
        ("sent", outcomes.sent),
        ("failed", outcomes.failed),
        ("suppressed", outcomes.suppressed),
        ("opted out", outcomes.opted_out),
        ("expired", outcomes.expired),
        ("cancelled", outcomes.cancelled),
        ("by an earlier push", outcomes.already_served),
    ];
    for (name, count) in named.into_iter().filter(|(_, count)| *count > 0) {
        let span = Span::from(format!(", {} {name}", grouped(count)));
        line.push(if name == "failed" { span.red() } else { span });
    }
    if push.state != PushState::Running {
        line.push(Span::from(format!("  {}", push.state)).dark_gray());
    }
    let mut lines = vec![Line::from(line)];
    if is_ambiguous {
        let at = push.requested_at.strftime("%Y-%m-%d %H:%M:%SZ");
        lines.push(Line::from(format!("      offer {}, requested {at}", push.offer)).dark_gray());
    }
    let mut rest = Vec::new();
    if let Some(per_second) = push.per_second.filter(|_| push.state == PushState::Running) {
        rest.push(format!("{per_second:.1} a second"));
    }
    if let Some(seconds) = push.seconds_left {
        rest.push(format!("about {} left", age(seconds)));
    }
    if let Some(waiting_for) = push.waiting_for {
        let error = push.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        rest.push(format!("waits for {}{error}", words(waiting_for)));
    }
    if !rest.is_empty() {
        lines.push(Line::from(format!("      {}", rest.join(", "))).dark_gray());
    }
    if push.customers_unevaluable > 0 {
        let (unevaluable, read) = (grouped(push.customers_unevaluable), grouped(push.customers_read));
        let line = format!("      the rule cannot be evaluated for {unevaluable} of {read} customers");
        lines.push(Line::from(line).dark_gray());
    }
    if !push.reasons.is_empty() {
        let reasons: Vec<_> =
            push.reasons.iter().map(|counted| format!("{}: {}", grouped(counted.count), counted.reason)).collect();
        lines.push(Line::from(format!("      not sent: {}", reasons.join(", "))).dark_gray());
    }
    lines
}

fn words(waiting_for: WaitingFor) -> &'static str {
    match waiting_for {
        WaitingFor::ValidFrom => "the offer to be valid",
        WaitingFor::Rate => "the rate limit",
        WaitingFor::Provider => "the provider",
        WaitingFor::DeadLetters => "dead letters to be handled",
    }
}

fn transport(transport: &Transport) -> Line<'static> {
    let state = match transport.outage {
        None => Span::from("accepts messages"),
        Some(_) => Span::from("unreachable when last tried").red(),
    };
    Line::from(vec![Span::from(format!("  {:21} ", transport.name())), state])
}

fn queues(status: &Status) -> Vec<Line<'static>> {
    let head =
        format!("{:22} {:>9} {:>11} {:>9} {:>8}", "Queues (messages)", "waiting", "in flight", "delayed", "oldest");
    let mut lines = vec![heading(&head)];
    let is_shown = |queue: &&Queue| !queue.is_dead_letters || queue.depth() > 0;
    for queue in status.queues.iter().filter(is_shown) {
        let Queue { name, is_dead_letters, waiting, in_flight, delayed, oldest } = queue;
        let [waiting, in_flight, delayed] = [*waiting, *in_flight, *delayed].map(grouped);
        let oldest = oldest.map(age).unwrap_or_default();
        let line = Line::from(format!("  {name:20} {waiting:>9} {in_flight:>11} {delayed:>9} {oldest:>8}"));
        lines.push(if *is_dead_letters { line.red() } else { line });
    }
    if status.queues.iter().all(|queue| !queue.is_dead_letters || queue.depth() == 0) {
        lines.push(Line::from("  no dead letters"));
    }
    lines
}

fn function(function: &Function) -> Line<'static> {
    let Function { name, state, invocations, errors, .. } = function;
    let (invocations, shown) = (grouped(*invocations), grouped(*errors));
    let start = Span::from(format!("  {name:12} {state:>9} {invocations:>11}"));
    let errors_span = Span::from(format!(" {shown:>9}"));
    Line::from(vec![start, if *errors > 0 { errors_span.red() } else { errors_span }])
}

fn cut(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).collect();
    if text.chars().count() > most {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::concerns::tests::status;
    use super::*;

    #[test]
    fn offers_with_the_same_code_are_told_apart() {
        let mut status = status();
        let shown = |status: &Status| lines(status).iter().any(|line| line.to_string().contains("offer 01890000-"));
        status.pushes.push(Push { number: 2, ..status.pushes[0].clone() });
        assert!(!shown(&status), "they are pushes of one offer");
        status.pushes[1].offer = "01890000-0000-7000-8000-000000000001".to_owned();
        assert!(shown(&status));
    }

    #[test]
    fn long_codes_are_cut_so_that_columns_stay_in_line() {
        assert_eq!(cut("GOLD-SUMMER-2026-EUROPE", 20), "GOLD-SUMMER-2026-EU…");
        assert_eq!(cut("CASHBK", 20), "CASHBK");
        assert_eq!(cut("🎁🎁🎁", 2), "🎁…");
    }
}
