//! Findings as text.

use std::fmt::Write;

use crate::finding::{Finding, State};

/// The findings, the worst last, where a terminal shows them; then how many there are of each state.
pub fn render(findings: &[Finding], colours: bool) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.state);
    let width = sorted.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Finding { check, state, what, remedy } in sorted {
        let (word, colour) = look(*state);
        let word = if colours { format!("\x1b[{colour}m{word:<7}\x1b[0m") } else { format!("{word:<7}") };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}  {check:<width$}  {what}");
        if !remedy.is_empty() {
            let _ = writeln!(text, "{:9}{:width$}  -> {remedy}", "", "");
        }
    }
    let _ = writeln!(text, "\n{}", counts(findings));
    text
}

/// A state's word and colour (ANSI).
fn look(state: State) -> (&'static str, &'static str) {
    match state {
        State::Ok => ("ok", "32"),
        State::Skipped => ("skipped", "2"),
        State::Unknown => ("unknown", "35"),
        State::Warning => ("warning", "33"),
        State::Failed => ("FAILED", "1;31"),
    }
}

fn counts(findings: &[Finding]) -> String {
    let of = |state: State| findings.iter().filter(|finding| finding.state == state).count();
    let states = [State::Failed, State::Warning, State::Unknown, State::Skipped, State::Ok];
    let words =
        [("failed", "failed"), ("warning", "warnings"), ("unknown", "unknown"), ("skipped", "skipped"), ("ok", "ok")];
    let each = states.into_iter().zip(words).map(|(state, word)| (of(state), word)).filter(|(count, _)| *count > 0);
    let each: Vec<String> =
        each.map(|(count, (one, many))| format!("{count} {}", if count == 1 { one } else { many })).collect();
    format!("{} checks: {}", findings.len(), each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::failed("DKIM", "off", "switch it on"),
            Finding::ok("stack", "complete"),
            Finding::warning("SES rate", "low", "ask for more"),
            Finding::warning("DMARC", "weak", ""),
        ]
    }

    #[test]
    fn the_worst_comes_last_with_its_remedy_and_then_the_count() {
        let expected = "\
ok       stack     complete
warning  SES rate  low
                   -> ask for more
warning  DMARC     weak
FAILED   DKIM      off
                   -> switch it on

4 checks: 1 failed, 2 warnings, 1 ok
";
        assert_eq!(render(&findings(), false), expected);
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        assert!(!render(&findings(), false).contains('\x1b'));
        assert!(render(&findings(), true).contains("\x1b[1;31mFAILED \x1b[0m  DKIM"));
    }
}
