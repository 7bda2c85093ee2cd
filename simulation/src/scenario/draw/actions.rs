//! What people do, and when: mostly while a push runs.

use domain::Channel;

use super::customers::person;
use super::{between, skewed, weighted};
use crate::chance::Chance;
use crate::people::action::{Action, Change, Post, Rate};
use crate::people::person::{Mailbox, email, mobile};
use crate::scenario::{Scenario, TimedAction};

/// When the first offer is posted at the earliest, in milliseconds: by then all customers are stored.
const FIRST_OFFER: u64 = 20_000;
/// When the last one is, in milliseconds.
const LAST_OFFER: u64 = 2_400_000;
const MINUTE: u64 = 60_000;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cancel,
    PushAgain,
    Put,
    Delete,
    Unsubscribe,
    AnswerStop,
    Lift,
    RotateLinkKeys,
    ChangeSmtpPassword,
    Hold,
    ChangeRate,
    Redrive,
    Purge,
    Deploy,
}

const KINDS: &[(usize, Kind)] = &[
    (10, Kind::Cancel),
    (12, Kind::PushAgain),
    (28, Kind::Put),
    (10, Kind::Delete),
    (14, Kind::Unsubscribe),
    (12, Kind::AnswerStop),
    (10, Kind::Lift),
    (4, Kind::RotateLinkKeys),
    (2, Kind::ChangeSmtpPassword),
    (5, Kind::Hold),
    (8, Kind::ChangeRate),
    (4, Kind::Redrive),
    (4, Kind::Purge),
    (7, Kind::Deploy),
];

/// Draws what people do.
pub(super) fn draw(chance: &Chance, scenario: &Scenario) -> Vec<TimedAction> {
    let mut draw = Draw { chance, scenario, actions: Vec::new(), newcomers: 0 };
    let offers = weighted(chance, &[(60, 1), (30, 2), (10, 3)]);
    for number in 1..=offers {
        let after = if number == 1 { MINUTE } else { LAST_OFFER };
        let posted = FIRST_OFFER + skewed(chance, 100, after);
        let post = draw.post(number);
        let starts = posted + post.starts_after_ms.unwrap_or_default();
        let code = post.code.clone();
        draw.at(posted, Action::PostOffer(post));
        for _ in 0..weighted(chance, &[(25, 0), (25, 1), (20, 2), (15, 3), (10, 5), (5, 8)]) {
            draw.during_push(&code, starts);
        }
    }
    let Draw { mut actions, newcomers, .. } = draw;
    let wave = Chance::of(scenario.seed, "wave");
    if wave.happens(0.05) {
        let mut draw = Draw { chance: &wave, scenario, actions: Vec::new(), newcomers };
        let first_offer = actions[0].at_ms;
        draw.wave(first_offer);
        actions.append(&mut draw.actions);
    }
    // Stable: of two at the same time, the one that was drawn first.
    actions.sort_by_key(|timed| timed.at_ms);
    actions
}

struct Draw<'a> {
    chance: &'a Chance,
    scenario: &'a Scenario,
    actions: Vec<TimedAction>,
    newcomers: u32,
}

impl Draw<'_> {
    fn at(&mut self, at_ms: u64, action: Action) {
        self.actions.push(TimedAction { at_ms, action });
    }

    fn post(&self, number: u32) -> Post {
        let chance = self.chance;
        let channels: &[Channel] =
            weighted(chance, &[(70, &[Channel::Email, Channel::Sms]), (20, &[Channel::Email]), (10, &[Channel::Sms])]);
        let rules = &[
            (65, None),
            (15, Some(r#"customer.tier == "gold""#)),
            (10, Some("customer.balance > 300")),
            (5, Some(r#"customer.tier != "gold" && customer.balance < 900"#)),
            (5, Some("customer.balance < 0")),
        ];
        Post {
            code: format!("OFFER-{number}"),
            channels: channels.iter().copied().collect(),
            eligibility: weighted(chance, rules).map(str::to_owned),
            starts_after_ms: chance.happens(0.15).then(|| skewed(chance, 5_000, 20 * MINUTE)),
            valid_for_ms: chance.happens(0.3).then(|| skewed(chance, 20_000, 180 * MINUTE)),
            names_tier: chance.happens(0.2),
        }
    }

    /// Many customers act within minutes of an offer: while its batches wait for the rate, and between two scans of a page.
    fn wave(&mut self, posted: u64) {
        let most = (self.scenario.customers.len() as u64 / 2).max(1);
        for _ in 0..skewed(self.chance, 1, most) {
            let at = posted + skewed(self.chance, 500, 4 * MINUTE);
            match self.chance.below(4) {
                0 => self.put(at),
                1 => self.by_anyone(at, |customer| Action::DeleteCustomer { customer }),
                2 => self.by_anyone(at, |customer| Action::Unsubscribe { customer }),
                _ => self.by_anyone(at, |customer| Action::AnswerStop { customer }),
            }
        }
    }

    /// Something that comes soon after a push has started, or later.
    fn during_push(&mut self, code: &str, starts: u64) {
        let chance = self.chance;
        let after =
            if chance.happens(0.85) { skewed(chance, 50, 10 * MINUTE) } else { skewed(chance, MINUTE, 50 * MINUTE) };
        let at = starts + after;
        let offer = code.to_owned();
        match weighted(chance, KINDS) {
            Kind::Cancel => self.at(at, Action::Cancel { offer }),
            Kind::PushAgain => {
                let action = Action::PushAgain { offer, retry_rejected: chance.happens(0.5) };
                // Mostly once the push before has ended.
                let at = if chance.happens(0.7) { at + 5 * MINUTE } else { at };
                self.at(at, action);
            }
            Kind::Put => self.put(at),
            Kind::Delete => self.by_anyone(at, |customer| Action::DeleteCustomer { customer }),
            Kind::Unsubscribe => {
                let customer = self.customer();
                self.at(at, Action::Unsubscribe { customer: customer.clone() });
                // What is taken back after that.
                if chance.happens(0.2) {
                    self.at(
                        at + skewed(chance, 1_000, 10 * MINUTE),
                        Action::LiftSuppression { customer, channel: Channel::Email },
                    );
                }
            }
            Kind::AnswerStop => self.by_anyone(at, |customer| Action::AnswerStop { customer }),
            Kind::Lift => {
                let (customer, channel) = (self.customer(), *chance.pick(&Channel::ALL));
                self.at(at, Action::LiftSuppression { customer, channel });
            }
            Kind::RotateLinkKeys => self.at(at, Action::RotateLinkKeys),
            Kind::ChangeSmtpPassword => self.at(at, Action::ChangeSmtpPassword),
            Kind::Hold => {
                self.at(at, Action::HoldSending);
                self.at(at + skewed(chance, 1_000, 60 * MINUTE), Action::ResumeSending);
            }
            Kind::ChangeRate => {
                let rate = *chance.pick(&[Rate::Email, Rate::FallbackEmail, Rate::Sms]);
                let per_second = u32::try_from(skewed(chance, 1, 500)).expect("it is at most 500");
                self.at(at, Action::ChangeRate { rate, per_second });
            }
            Kind::Redrive => {
                let queues = ["AudienceDeadLetters", "EmailDeadLetters", "SmsDeadLetters", "FeedbackDeadLetters"];
                self.at(at, Action::Redrive { queue: (*chance.pick(&queues)).to_owned() });
            }
            Kind::Purge => {
                let queues = ["AudienceQueue", "EmailQueue", "SmsQueue"];
                self.at(at, Action::Purge { queue: (*chance.pick(&queues)).to_owned() });
            }
            Kind::Deploy => self.at(at, Action::Deploy),
        }
    }

    fn put(&mut self, at: u64) {
        let chance = self.chance;
        if chance.happens(0.15) {
            self.newcomers += 1;
            let number = u32::try_from(self.scenario.customers.len()).expect("it is at most 2,000") + self.newcomers;
            let person = person(chance, number);
            self.at(at, Action::PutCustomer { customer: person.id.clone(), change: Change::New(person) });
            return;
        }
        let Some(person) = self.anyone() else { return };
        let (customer, number) = (person.id.clone(), person.number());
        let channel = *chance.pick(&Channel::ALL);
        let put = |change| Action::PutCustomer { customer: customer.clone(), change };
        match chance.below(10) {
            0..5 => {
                let version = u32::try_from(between(chance, 1, 4)).expect("it is at most 4");
                let address = match channel {
                    Channel::Email => email(number, version, Mailbox::Reads),
                    Channel::Sms => mobile(number, version),
                };
                self.at(at, put(Change::Address { channel, address }));
            }
            5..9 => {
                self.at(at, put(Change::Withdraw { channel }));
                if chance.happens(0.3) {
                    self.at(at + skewed(chance, MINUTE, 20 * MINUTE), put(Change::Consent { channel }));
                }
            }
            _ => self.at(at, put(Change::Consent { channel })),
        }
    }

    /// An action that is by one of the customers, or about them.
    fn by_anyone(&mut self, at: u64, action: fn(String) -> Action) {
        let customer = self.customer();
        self.at(at, action(customer));
    }

    fn customer(&self) -> String {
        self.anyone().map_or_else(|| "c1".to_owned(), |person| person.id.clone())
    }

    fn anyone(&self) -> Option<&crate::people::Person> {
        let customers = &self.scenario.customers;
        (!customers.is_empty()).then(|| self.chance.pick(customers))
    }
}
