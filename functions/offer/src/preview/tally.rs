//! What a preview counts of the customers that it reads.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::audience::{Audience, Selection};
use domain::customer::Projection;
use domain::offer::Rendered;
use domain::push::ScanCounts;
use domain::{Channel, Customer, CustomerId, Offer, Text};
use tokio::time::Instant;

use super::lacking::Lacking;
use super::languages::Languages;
use super::ranking::Ranking;
use super::sample::SampleComposer;
use super::sample_customers::{Defaults, SampleCustomers, Traits};
use super::texts::{TextCounts, TextLengths};

/// What is counted: the customers that an offer is for, and the messages to them that can be composed.
pub(super) struct Survey<'o> {
    pub(super) offer: &'o Offer,
    pub(super) composer: &'o SampleComposer,
    audience: Audience<'o>,
    defaults: Defaults,
    /// From then on, messages are no longer composed: it takes much longer than counting customers, whose number is to be
    /// exact if it can be.
    pub(super) compose_until: Instant,
    /// How many customers are read at most.
    pub(super) most_customers: u64,
}

impl<'o> Survey<'o> {
    pub(super) fn new(
        offer: &'o Offer,
        audience: Audience<'o>,
        composer: &'o SampleComposer,
        compose_until: Instant,
    ) -> Self {
        let defaults = Defaults::of(&offer.announcement, &composer.default_language);
        Self { offer, composer, audience, defaults, compose_until, most_customers: u64::MAX }
    }

    /// Ends after so many customers, as if the time had ended.
    pub(super) fn of_at_most(self, most_customers: u64) -> Self {
        Self { most_customers, ..self }
    }

    /// The attributes that a customer must be read with: those that the rule reads, or a text of any language.
    pub(super) fn projection(&self) -> Projection {
        let announcement = &self.offer.announcement;
        let languages = announcement.languages(&self.composer.default_language).into_iter();
        let texts = languages.flat_map(|language| announcement.texts_in(language).all());
        let in_texts = texts.flat_map(Text::fields).map(|(name, _)| name).collect();
        self.audience.projection().union(in_texts)
    }
}

/// What was counted of an offer's audience.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) scan: ScanCounts,
    pub(super) lacking: Lacking,
    pub(super) channels: BTreeMap<Channel, ChannelTally>,
    /// Of the eligible customers.
    pub(super) languages: Languages,
    pub(super) sample_customers: SampleCustomers,
    pub(super) texts: TextLengths,
    /// How long the rule was evaluated.
    pub(super) evaluating: Duration,
    /// How long messages were composed.
    pub(super) composing: Duration,
}

/// What was counted of the customers that a channel reaches.
#[derive(Debug, Default)]
pub(super) struct ChannelTally {
    pub(super) notifications: u64,
    /// For how many of them it was tried to compose the message.
    pub(super) composed: u64,
    /// For how many of those it failed.
    pub(super) failed: u64,
    pub(super) reasons: Ranking,
}

impl ChannelTally {
    /// Whether it was tried for all of them.
    pub(super) fn is_composed(&self) -> bool {
        self.composed == self.notifications
    }
}

impl Tally {
    /// Counts a customer.
    pub(super) fn add(&mut self, survey: &Survey<'_>, customer: &Customer) {
        let began = Instant::now();
        let selection = survey.audience.select(customer);
        let evaluated = Instant::now();
        self.evaluating += evaluated - began;
        self.scan.count(&selection);
        self.lacking.add(&survey.audience, customer, selection == Selection::Unevaluable);
        let Selection::Eligible(channels) = selection else { return };
        let announcement = &survey.offer.announcement;
        let default_language = &survey.composer.default_language;
        let language = self.languages.count(announcement, default_language, customer.locale.as_deref());
        let defaults = survey.defaults.used(&language, customer);
        for channel in channels {
            self.channels.entry(channel).or_default().notifications += 1;
            let fails = began < survey.compose_until && {
                let rendered = survey.offer.render(customer, channel, default_language);
                let message = rendered.and_then(|rendered| self.compose(survey, channel, &customer.id, &rendered));
                self.count_message(channel, message)
            };
            self.sample_customers.consider(customer, &Traits { channel, language: &language, defaults, fails });
        }
        self.composing += evaluated.elapsed();
    }

    /// Composes the message to a customer. E-mails are only rendered, which takes a fifth of the time: laying them out fails
    /// for no text that an offer may have.
    fn compose(
        &mut self,
        survey: &Survey<'_>,
        channel: Channel,
        customer: &CustomerId,
        rendered: &Rendered,
    ) -> Result<(), String> {
        let language = self.languages.of(&rendered.language);
        match channel {
            Channel::Email => {
                language.longest_subject = language.longest_subject.max(rendered.subject.chars().count());
            }
            Channel::Sms => {
                let text = survey.composer.sms.write(survey.offer, rendered)?;
                language.texts += TextCounts::from(&text);
                self.texts.consider(customer, &text);
            }
        }
        Ok(())
    }

    /// Counts a message, and returns whether it cannot be composed.
    fn count_message(&mut self, channel: Channel, message: Result<(), String>) -> bool {
        let counts = self.channels.entry(channel).or_default();
        counts.composed += 1;
        let Err(reason) = message else { return false };
        counts.failed += 1;
        counts.reasons.add(&reason, 1);
        true
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.scan += other.scan;
        self.lacking.merge(&other.lacking);
        self.evaluating += other.evaluating;
        self.composing += other.composing;
        self.languages.merge(other.languages);
        self.sample_customers.merge(other.sample_customers);
        self.texts.merge(other.texts);
        for (channel, ChannelTally { notifications, composed, failed, reasons }) in other.channels {
            let counts = self.channels.entry(channel).or_default();
            counts.notifications += notifications;
            counts.composed += composed;
            counts.failed += failed;
            counts.reasons.merge(&reasons);
        }
    }
}
