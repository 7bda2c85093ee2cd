//! `customer`: what a customer is and was sent, and why they did not get an offer.

use anyhow::{Context, Result, bail};
use client::Api;
use domain::channel::{Channel, Channels};
use domain::customer::{Customer, Projection};
use domain::eligibility::{RuleText, Verdict};
use domain::offer::Offer;
use serde_json::Value;

use crate::offers::{Pages, accepted, encoded, print};
use crate::output::{self, tool};

/// Prints what a customer is, and what they were sent.
///
/// # Errors
/// If the API does not respond.
pub async fn show(api: &Api, id: &str) -> Result<()> {
    if let Some(body) = stored(api, id).await? {
        // A record of an earlier release may be none now.
        if let Ok(customer) = Customer::parse(id, body)
            && let Err(why) = reached(&customer, &Channels::from([Channel::Email, Channel::Sms]))
        {
            output::line(&format!("\nNo offer reaches this customer: {why}."))?;
        }
    }
    let mut deliveries = deliveries(api, id);
    let mut is_first = true;
    while let Some(delivery) = deliveries.next().await? {
        if is_first {
            output::line("\nSent to this customer, the newest offer first:")?;
            is_first = false;
        }
        output::line(&line(&delivery))?;
    }
    if is_first {
        output::line("\nNothing was sent to this customer.")?;
    }
    let tool = tool();
    output::note(&format!("Why they did or did not get one offer: {tool} customer {id} --offer OFFER"));
    Ok(())
}

/// Prints whether a customer got an offer, and why.
///
/// # Errors
/// If there is no such offer, or the API does not respond.
pub async fn explain(api: &Api, id: &str, offer: &str) -> Result<()> {
    let offer: Offer = serde_json::from_value(accepted(api, "GET", &format!("/offers/{}", encoded(offer)), b"").await?)
        .context("the API responded with an offer that this release cannot read")?;
    let Some(body) = stored(api, id).await? else { return Ok(()) };
    let mut deliveries = deliveries(api, id);
    let mut is_first = true;
    while let Some(delivery) = deliveries.next().await? {
        if delivery["offer"]["id"] == offer.id.to_string() {
            if is_first {
                output::line("")?;
            }
            is_first = false;
            output::line(&line(&delivery))?;
        }
    }
    if is_first {
        let why = match Customer::parse(id, body) {
            Ok(customer) => why_nothing(&customer, &offer)?,
            Err(faults) => format!("their record, which an earlier release stored, cannot be read now: {faults}"),
        };
        output::line(&format!("\n{} was not sent to this customer: {why}.", offer.code))?;
    }
    Ok(())
}

/// Prints the customer's record, and returns it.
async fn stored(api: &Api, id: &str) -> Result<Option<Value>> {
    let customer = api.call("GET", &format!("/customers/{}", encoded(id)), &[], b"").await?;
    match customer.status {
        200 => {
            print(&customer)?;
            Ok(Some(customer.json()))
        }
        // Their deliveries are kept.
        404 => {
            output::note("There is no customer with this id now");
            Ok(None)
        }
        _ => bail!("{}", customer.problem()),
    }
}

fn deliveries<'a>(api: &'a Api, customer: &str) -> Pages<'a> {
    Pages::new(api, format!("/customers/{}/deliveries", encoded(customer)))
}

fn line(delivery: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (offer, code) = (text(&delivery["offer"]["id"]), text(&delivery["offer"]["code"]));
    let [at, channel, state] = ["updatedAt", "channel", "state"].map(|name| text(&delivery[name]));
    let reason = delivery["reason"].as_str().map(|reason| format!("\n      {reason}")).unwrap_or_default();
    format!("  {at} {channel:6} {state:10} {code} ({offer}){reason}")
}

/// Why a customer who is stored now has no delivery of an offer. The rule comes first, as in a push.
fn why_nothing(customer: &Customer, offer: &Offer) -> Result<String> {
    let rule = offer.eligibility.as_ref();
    let compiled = rule.map(RuleText::compile).transpose().context("this release cannot read the offer's rule")?;
    let source = rule.map_or("", RuleText::source);
    let verdict = compiled.as_ref().map_or(Verdict::Eligible, |rule| rule.verdict(customer));
    Ok(match (verdict, compiled) {
        (Verdict::NotEligible, _) => format!("they are not eligible, since the rule is false for them: {source}"),
        (Verdict::Unevaluable, Some(rule)) => match lacking(customer, &rule.projection()) {
            lacking if lacking.is_empty() => {
                format!("the rule has no result for their attributes, so they are not eligible: {source}")
            }
            lacking => format!("the rule cannot be evaluated, since they have no {}: {source}", lacking.join(", no ")),
        },
        _ => match reached(customer, &offer.channels) {
            Err(why) => why,
            Ok(()) => format!(
                "they would get it now. When the push read them they were not as they are now, or it has not read them \
                 yet. {} push {} sends it to all who did not get it yet",
                tool(),
                offer.id
            ),
        },
    })
}

/// The attributes that a rule reads and a customer lacks.
fn lacking(customer: &Customer, read: &Projection) -> Vec<String> {
    match read {
        Projection::Whole => Vec::new(),
        Projection::Attributes(names) => names.iter().filter(|name| customer.field(name).is_none()).cloned().collect(),
    }
}

/// Whether at least one of the channels reaches a customer.
///
/// # Errors
/// Why none does.
fn reached(customer: &Customer, channels: &Channels) -> Result<(), String> {
    if channels.iter().any(|channel| customer.reachable_by(*channel)) {
        return Ok(());
    }
    if customer.channels.is_empty() {
        return Err("they consented to no channel (\"channels\": [])".to_owned());
    }
    let why = |channel: &Channel| {
        let (name, missing) = match channel {
            Channel::Email => ("e-mail", "address (\"email\")"),
            Channel::Sms => ("text messages", "number (\"mobile\")"),
        };
        if customer.channels.contains(channel) {
            format!("they consented to {name}, but have no {missing}")
        } else {
            format!("they did not consent to {name}")
        }
    };
    Err(channels.iter().map(why).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOLD: &str = "customer.tier == 'gold'";

    fn offer(channels: &[&str], rule: Option<&str>) -> Offer {
        serde_json::from_value(json!({
            "id": "01980000-0000-7000-8000-000000000001", "code": "A", "description": "B", "language": "en",
            "markup": "commonmark", "channels": channels, "eligibility": rule,
            "createdAt": "2026-06-01T12:00:00Z", "createdBy": "bank"
        }))
        .unwrap()
    }

    #[test]
    fn each_reason_why_a_customer_got_nothing_is_named() {
        let person =
            json!({"name": "A", "email": "a@b.example", "channels": ["email"], "attributes": {"tier": "gold"}});
        let with = |changes: Value| {
            let mut person = person.clone();
            person.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            Customer::parse("c-1", person).unwrap()
        };
        for (changes, channels, rule, why) in [
            (json!({"channels": []}), &["email", "sms"][..], None, "they consented to no channel (\"channels\": [])"),
            (json!({}), &["sms"], None, "they did not consent to text messages"),
            (
                json!({"channels": ["sms"]}),
                &["email", "sms"],
                None,
                "they did not consent to e-mail; they consented to text messages, but have no number (\"mobile\")",
            ),
            (
                json!({"attributes": {"tier": "basic"}}),
                &["email"],
                Some(GOLD),
                "they are not eligible, since the rule is false for them: customer.tier == 'gold'",
            ),
            // Also of one whom nothing reaches.
            (
                json!({"attributes": {}, "channels": []}),
                &["email"],
                Some(GOLD),
                "the rule cannot be evaluated, since they have no tier: customer.tier == 'gold'",
            ),
            (
                json!({"attributes": {"tier": "gold", "children": 0}}),
                &["email"],
                Some("customer.tier / customer.children > 2"),
                "the rule has no result for their attributes, so they are not eligible: customer.tier / customer.children > 2",
            ),
            (json!({}), &["email"], Some(GOLD), "they would get it now."),
        ] {
            let said = why_nothing(&with(changes), &offer(channels, rule)).unwrap();
            assert!(said.starts_with(why), "{said}");
        }
    }
}
