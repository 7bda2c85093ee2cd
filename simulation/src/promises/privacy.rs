//! Privacy: no name, address or number of a customer in a log line, a queue's message or an event.

use super::Violation;
use super::facts::{Facts, Leak};
use super::tables::scan;
use crate::people::person::{EMAIL_MARK, MOBILE_DIGITS_MARK, NAME_MARK, NAME_REST};
use crate::world::World;

pub mod logs;
pub mod metrics;

const PROMISE: &str = "no personal data";

/// All tables but Customers.
const TABLES: [&str; 5] = ["Offers", "Pushes", "Deliveries", "Suppressions", "Pacing"];

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let leaks = facts.leaks.iter();
    let what = leaks.map(|Leak { at, place, text }| format!("{place} at {at}: {text}"));
    what.map(|what| Violation { promise: PROMISE, what }).collect()
}

/// The personal datum in a text, with what surrounds it.
pub fn personal(text: &str) -> Option<&str> {
    // Letters alone may be a part of an identifier.
    let is_name = |at: &usize| {
        text[at + NAME_MARK.len()..].trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(NAME_REST)
    };
    let name = || text.match_indices(NAME_MARK).map(|(at, _)| at).find(is_name);
    let at = text.find(EMAIL_MARK).or_else(|| text.find(MOBILE_DIGITS_MARK)).or_else(name)?;
    let from = text.floor_char_boundary(at.saturating_sub(AROUND));
    let until = text.ceil_char_boundary((at + AROUND).min(text.len()));
    Some(&text[from..until])
}

/// Personal data in the tables: only Customers may have any.
pub fn tables(world: &World) -> Vec<Leak> {
    let leaks = TABLES.into_iter().flat_map(|table| {
        let items = scan(&world.dynamo, table);
        let texts = items.iter().map(ToString::to_string);
        let found = texts.filter_map(|item| personal(&item).map(str::to_owned)).take(2);
        found.map(|text| (table, text)).collect::<Vec<_>>()
    });
    let at = world.clock.now();
    leaks.map(|(table, text)| Leak { at, place: format!("the table {table}"), text }).collect()
}

/// How much of what surrounds a personal datum is shown, in bytes.
const AROUND: usize = 80;

/// Checks texts, such as the bodies of messages. `place` is where they are.
pub fn check_bodies<'t>(place: &str, bodies: impl IntoIterator<Item = &'t str>) -> Vec<Violation> {
    let found = bodies.into_iter().filter_map(personal);
    found.map(|text| Violation { promise: PROMISE, what: format!("{place}: {text}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, at, broken_by};
    use super::*;

    #[test]
    fn an_ordinary_run_shows_no_personal_data() {
        assert_eq!(check(&samples::facts()), []);
        let leak = Leak { at: at(0), place: "a log line".to_owned(), text: "to zq1@person.example".to_owned() };
        let what = broken_by(check, |facts| facts.leaks.push(leak));
        assert!(what[0].starts_with("a log line at"), "{what:?}");
    }

    #[test]
    fn names_addresses_and_numbers_are_found() {
        for text in ["Dear Zq17Name", "zq17.v0@person17.example", "to +4915123450017", "to%3D%2B4915123450017"] {
            assert_eq!(check_bodies("EmailQueue", [text]).len(), 1, "{text}");
        }
        let harmless = [r#"{"customers": ["c17"]}"#, "k1.aZqx0Zq", "person 17", "ü"];
        assert_eq!(check_bodies("EmailQueue", harmless), []);
        let long = "ü".repeat(100);
        assert!(personal(&format!("{long}Zq1Name{long}")).unwrap().contains("Zq1Name"));
    }
}
