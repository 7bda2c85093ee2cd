//! Who is in an offer's audience, and on which channels each of them is reached. The audience function and the preview
//! both decide it here.

use crate::channel::Channels;
use crate::customer::{Customer, Projection};
use crate::eligibility::{InvalidRule, Rule, RuleText, Verdict};
use crate::offer::Offer;
use crate::push::ScanCounts;

/// The audience of one offer: its rule, compiled, and its channels.
#[derive(Debug)]
pub struct Audience<'o> {
    channels: &'o Channels,
    /// `None`: everyone is eligible.
    rule: Option<Rule>,
}

/// What an offer's audience says of one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The offer is for this customer. They get one notification on each of these channels: those of the offer that
    /// they consented to and have an address for. There may be none.
    Eligible(Channels),
    /// The offer is not for this customer.
    NotEligible,
    /// The rule could not be evaluated for the customer: they lack an attribute that it reads, or have it of another
    /// type, or it has no value for them (`/ 0`) or no truth value. Not eligible, and counted.
    Unevaluable,
}

impl<'o> Audience<'o> {
    /// The audience of an offer. Compiles its rule, so call it once for many customers.
    ///
    /// # Errors
    /// If this release does not accept the rule, which an earlier one stored.
    pub fn of(offer: &'o Offer) -> Result<Self, InvalidRule> {
        let rule = offer.eligibility.as_ref().map(RuleText::compile).transpose()?;
        Ok(Self { channels: &offer.channels, rule })
    }

    /// The attributes that a customer must be read with for [`Audience::select`].
    pub fn projection(&self) -> Projection {
        self.rule.as_ref().map_or_else(|| Projection::from_iter([]), Rule::projection)
    }

    /// Whether the offer is for a customer, and where it reaches them.
    pub fn select(&self, customer: &Customer) -> Selection {
        match self.rule.as_ref().map_or(Verdict::Eligible, |rule| rule.verdict(customer)) {
            Verdict::Eligible => {
                let reached = self.channels.iter().copied().filter(|channel| customer.reachable_by(*channel));
                Selection::Eligible(reached.collect())
            }
            Verdict::NotEligible => Selection::NotEligible,
            Verdict::Unevaluable => Selection::Unevaluable,
        }
    }

    /// What the rule reads, and a customer does not have: see [`Rule::lacking`].
    pub fn lacking<'a>(&'a self, customer: &'a Customer) -> impl Iterator<Item = &'a str> {
        self.rule.iter().flat_map(|rule| rule.lacking(customer))
    }
}

impl ScanCounts {
    /// Counts one customer who was read.
    pub fn count(&mut self, selection: &Selection) {
        self.customers_read += 1;
        match selection {
            Selection::Eligible(channels) => {
                self.customers_eligible += 1;
                self.notifications += channels.len() as u64;
            }
            Selection::NotEligible => {}
            Selection::Unevaluable => self.customers_unevaluable += 1,
        }
    }

    /// Counts customers whose items could not be read: no rule can be evaluated for them.
    pub fn count_unreadable(&mut self, customers: usize) {
        let customers = customers as u64;
        self.customers_read += customers;
        self.customers_unevaluable += customers;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::channel::Channel;
    use crate::offer::{Posted, tests_policy};

    fn offer(body: Value) -> Offer {
        let posted = Posted {
            id: "01980000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-06-01T12:00:00Z".parse().unwrap(),
            by: "bank",
            policy: &tests_policy(),
        };
        Offer::parse(body, &posted).unwrap()
    }

    fn customer(body: Value) -> Customer {
        Customer::parse("c-1", body).unwrap()
    }

    #[test]
    fn only_consented_channels_with_an_address_reach_an_eligible_customer() {
        let both = Channels::from([Channel::Email, Channel::Sms]);
        let email = json!({"name": "A", "email": "a@b.example", "channels": ["email", "sms"]});
        let all = json!({"name": "A", "email": "a@b.example", "mobile": "+351912345678", "channels": ["email", "sms"]});
        let silent = json!({"name": "A", "email": "a@b.example", "mobile": "+351912345678", "channels": []});
        for (channels, body, reached) in [
            (json!(["email", "sms"]), &all, both),
            (json!(["sms"]), &all, Channels::from([Channel::Sms])),
            (json!(["email", "sms"]), &email, Channels::from([Channel::Email])),
            (json!(["sms"]), &email, Channels::new()),
            (json!(["email", "sms"]), &silent, Channels::new()),
        ] {
            let offer = offer(json!({"code": "A", "description": "B", "channels": channels}));
            let selection = Audience::of(&offer).unwrap().select(&customer(body.clone()));
            assert_eq!(selection, Selection::Eligible(reached), "{channels} {body}");
        }
    }

    #[test]
    fn every_customer_who_is_read_is_counted_once() {
        let offer = offer(json!({"code": "A", "description": "B", "eligibility": "customer.tier == 'gold'"}));
        let audience = Audience::of(&offer).unwrap();
        let mut counts = ScanCounts::default();
        for attributes in [json!({"tier": "gold"}), json!({"tier": "silver"}), json!({})] {
            let body = json!({"name": "A", "email": "a@b.example", "channels": ["email"], "attributes": attributes});
            counts.count(&audience.select(&customer(body)));
        }
        counts.count_unreadable(2);
        let expected =
            ScanCounts { customers_read: 5, customers_eligible: 1, customers_unevaluable: 3, notifications: 1 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn offer_whose_stored_rule_is_refused_has_no_audience() {
        let mut offer = offer(json!({"code": "A", "description": "B", "eligibility": "true"}));
        offer.eligibility = Some(serde_json::from_value(json!("customer.tier ==")).unwrap());
        assert!(matches!(Audience::of(&offer), Err(InvalidRule::Syntax { .. })));
    }
}
