//! What will probably go wrong with an offer that is posted: found in little time, from a part of the customers.

use std::time::Duration;

use domain::offer::Policy;
use domain::{Audience, Offer, Text, customer::OWN_FIELDS};
use jiff::SignedDuration;
use store::customers::Segment;
use tokio::time::{Instant, timeout_at};

use super::audience;
use super::findings::{self, Draft, Finding};
use super::lacking::Lacking;
use super::tally::Survey;
use crate::app::App;

/// Time for looking: the caller waits for it before the offer is stored.
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// For composing messages to customers who were read, and the rest.
const MARGIN: Duration = Duration::from_millis(200);
/// Customers who are read at most.
const MOST_CUSTOMERS: u64 = 10_000;
/// Customers who are read for the rule: a page. An attribute that all of them lack is probably misspelt.
const MOST_FOR_RULE: u16 = 1_000;
/// Another offer with the same code is probably the same one if it was posted this shortly before.
const SAME_CODE_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The newest offers, among which one with the same code is looked for: a page.
const OFFERS_READ: u16 = 50;

/// The warnings about an offer. None of what cannot be found in three seconds: that must not keep an offer from being stored.
pub(crate) async fn of(app: &App, offer: &Offer) -> Vec<Finding> {
    let until = Instant::now() + TIME_LIMIT;
    let (of_rule, of_audience) = tokio::join!(of_rule(app, offer, until), of_audience(app, offer, until));
    of_rule.into_iter().chain(of_audience.unwrap_or_default()).collect()
}

/// The same, and whether there is another offer with its code: for a caller who wants no offer with warnings.
pub(crate) async fn strict(app: &App, offer: &Offer) -> Vec<Finding> {
    let (mut warnings, repeated) = tokio::join!(of(app, offer), repeated(app, offer, Instant::now() + TIME_LIMIT));
    warnings.extend(repeated);
    warnings
}

/// Whether the rule reads what no customer has.
async fn of_rule(app: &App, offer: &Offer, until: Instant) -> Option<Finding> {
    offer.eligibility.as_ref()?;
    let audience = Audience::of(offer).ok()?;
    let (whole, projection) = (Segment { number: 0, of: 1 }, audience.projection());
    let page = timeout_at(until, app.customers.scan(whole, &projection, None, MOST_FOR_RULE)).await.ok()?;
    let page = page.inspect_err(|error| tracing::info!(%error, "no warnings: customers cannot be read")).ok()?;
    let mut lacking = Lacking::default();
    // Without evaluating it, which may take long.
    page.customers.iter().for_each(|customer| lacking.add(&audience, customer, false));
    Finding::unknown_attribute(&lacking)
}

/// `None` if nothing can be found in time.
async fn of_audience(app: &App, offer: &Offer, until: Instant) -> Option<Vec<Finding>> {
    if !depends_on_customers(offer, &app.policy) {
        return None;
    }
    let counted_until = until - MARGIN;
    let audience = Audience::of(offer).ok()?;
    let survey = Survey::new(offer, audience, &app.sample_composer, counted_until).of_at_most(MOST_CUSTOMERS);
    let counted = audience::count(&app.customers, &survey, counted_until).await;
    let count = counted.inspect_err(|error| tracing::info!(?error, "no warnings: customers cannot be counted")).ok()?;
    let draft = Draft { offer, policy: &app.policy, now: app.sources.now(), count: &count, samples: &[] };
    Some(findings::warnings(&draft))
}

/// Whether customers may lack something for it: a value that a text names without a default, or their language.
pub(super) fn depends_on_customers(offer: &Offer, policy: &Policy) -> bool {
    let announcement = &offer.announcement;
    let languages = announcement.languages(&policy.default_language);
    let texts = languages.iter().flat_map(|language| announcement.texts_in(language).all());
    languages.len() > 1 || texts.into_iter().any(needs_attribute)
}

fn needs_attribute(text: &Text) -> bool {
    let with_default = text.fields_with_default();
    // Of one attribute, each placeholder needs a default.
    let count = |names: &[&str], name: &str| names.iter().filter(|own| **own == name).count();
    let named: Vec<_> = text.fields().into_iter().map(|(name, _)| name).collect();
    let lacks_default = |name: &&str| count(&named, name) > count(&with_default, name);
    named.iter().any(|name| !OWN_FIELDS.contains(name) && lacks_default(name))
}

/// An earlier offer with the same code.
pub(super) async fn repeated(app: &App, offer: &Offer, until: Instant) -> Option<Finding> {
    let newest = timeout_at(until, app.offers.list(OFFERS_READ, None)).await.ok()?;
    let newest = newest.inspect_err(|error| tracing::info!(%error, "no warnings: offers cannot be listed")).ok()?;
    let before = |other: &Offer| offer.created_at.duration_since(other.created_at);
    let is_same = |other: &&Offer| other.id != offer.id && other.code == offer.code && !before(other).is_negative();
    let first = newest.items.iter().find(is_same).filter(|other| before(other) <= SAME_CODE_WITHIN)?;
    Some(Finding::code_repeated(first, before(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attributes_without_a_default_need_customers_to_be_read() {
        for (text, expected) in [
            ("Hello", false),
            ("Hello {{ customer.name }}, {{ customer.locale }}", false),
            ("Your {{ customer.card | default: \"card\" }}", false),
            ("Your {{ customer.card }}", true),
            ("Your {{ customer.card | default: \"card\" }}, {{ customer.card }}", true),
        ] {
            let offer = testing::offer(serde_json::json!({"code": "A", "description": text}));
            let texts = offer.announcement.texts_in(&language::Language::english()).all();
            assert_eq!(texts.into_iter().any(needs_attribute), expected, "{text}");
        }
    }
}
