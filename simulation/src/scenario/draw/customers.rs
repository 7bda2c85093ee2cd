//! The customers of the beginning.

use domain::Channel;
use serde_json::json;

use super::{between, skewed, weighted};
use crate::chance::Chance;
use crate::people::Person;
use crate::people::person::{Mailbox, email};

/// There are mobile numbers for fewer customers, those who come later included.
const MOST: u32 = 1_900;

/// Draws the customers, as many as asked for.
pub(super) fn draw(chance: &Chance, number: Option<u32>) -> Vec<Person> {
    // Drawn in any case, so that the customers of a seed are the same ones whatever their number.
    let drawn = match chance.below(100) {
        0..5 => 1,
        5..20 => between(chance, 2, 4),
        20..92 => skewed(chance, 5, 60),
        _ => between(chance, 61, 300),
    };
    let number = number.unwrap_or_else(|| u32::try_from(drawn).expect("it is at most 300"));
    assert!(number < MOST, "there are numbers for fewer than {MOST} customers");
    let mut people: Vec<Person> = Vec::new();
    let is_forgotten = chance.happens(0.04);
    for number in 1..=number {
        let mut person = person(chance, number);
        // A bank whose customers have mostly left their mailboxes.
        if is_forgotten && chance.happens(0.8) {
            person.email = Some(email(number, 0, Mailbox::Bounces));
        }
        // A couple with one mailbox.
        if chance.happens(0.05)
            && let Some(before) = people.last()
        {
            person.email.clone_from(&before.email);
        }
        people.push(person);
    }
    people
}

/// Draws the customer with this number.
pub(super) fn person(chance: &Chance, number: u32) -> Person {
    let mut person = Person::numbered(number);
    let channels: &[Channel] = weighted(
        chance,
        &[(40, &[Channel::Email]), (20, &[Channel::Sms]), (37, &[Channel::Email, Channel::Sms]), (3, &[])],
    );
    person.channels = channels.iter().copied().collect();
    let mailboxes =
        &[(89, Mailbox::Reads), (4, Mailbox::Bounces), (3, Mailbox::BouncesForNow), (4, Mailbox::Complains)];
    let mailbox = weighted(chance, mailboxes);
    person.email = (!chance.happens(0.03)).then(|| email(number, 0, mailbox));
    if chance.happens(0.03) {
        person.mobile = None;
    }
    let tier = weighted(chance, &[(45, Some("gold")), (40, Some("silver")), (15, None)]);
    if let Some(tier) = tier {
        person.attributes.insert("tier".to_owned(), json!(tier));
    }
    person.attributes.insert("balance".to_owned(), json!(between(chance, 0, 1_000)));
    person
}
