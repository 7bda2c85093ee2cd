//! `customer`: what a customer is and was sent, and why they did not get an offer.

use anyhow::{Context, Result, bail};
use client::Api;
use domain::OfferId;
use domain::channel::{Channel, Channels};
use domain::customer::Customer;
use domain::eligibility::{Rule, Verdict};
use domain::offer::Offer;
use domain::push::PushState;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::offers::{Pages, accepted, encoded, print};
use crate::output::{self, tool};

/// How many values are shown of those that a rule reads.
const VALUES_SHOWN: usize = 5;

/// Prints what a customer is, and what they were sent. `stack` is the argument that names the stack, for commands that are proposed.
///
/// # Errors
/// If the API does not respond.
pub async fn show(api: &Api, id: &str, stack: &str) -> Result<()> {
    // A record of an earlier release may be none now.
    if let Some(Ok(customer)) = stored(api, id).await?.map(|body| Customer::parse(id, body))
        && let Some(why) = unreachable(&customer, &Channels::from(Channel::ALL))
    {
        output::line(&format!("\nNo offer reaches this customer: {why}."))?;
    }
    let mut deliveries = Pages::new(api, "deliveries", format!("/customers/{}/deliveries", encoded(id)));
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
    output::note(&format!("Why they did or did not get one offer: {tool} customer {id} --offer OFFER{stack}"));
    Ok(())
}

/// Prints whether a customer got an offer, and why, for each of its channels.
///
/// # Errors
/// If there is no such offer, or the API does not respond.
pub async fn explain(api: &Api, id: &str, offer: OfferId, stack: &str) -> Result<()> {
    let path = format!("/offers/{offer}");
    let offer: Offer = serde_json::from_value(accepted(api, "GET", &path, b"").await?)
        .context("the API responded with an offer that this release cannot read")?;
    let body = stored(api, id).await?;
    output::line("")?;
    let mut deliveries = Pages::new(api, "deliveries", format!("{path}/deliveries?customer={}", encoded(id)));
    let mut without = offer.channels.clone();
    while let Some(mut delivery) = deliveries.next().await? {
        without.retain(|channel| delivery["channel"] != channel.to_string());
        delivery["offer"] = json!({"id": offer.id, "code": offer.code});
        output::line(&line(&delivery))?;
    }
    if let Some(body) = body.filter(|_| !without.is_empty()) {
        let push = last_push(api, &path).await?;
        let why = match Customer::parse(id, body) {
            Ok(customer) => why_nothing(&customer, &offer, &without, &push, Timestamp::now(), stack)?,
            Err(faults) => format!("their record, which an earlier release stored, cannot be read now: {faults}"),
        };
        let channels = without.iter().map(|channel| output::channel(*channel)).collect::<Vec<_>>().join(" or ");
        output::line(&format!("{} was not sent to this customer by {channels}: {why}.", offer.code))?;
    }
    Ok(())
}

/// The offer's newest push.
async fn last_push(api: &Api, offer: &str) -> Result<LastPush> {
    let mut last = LastPush::default();
    for number in 1.. {
        let response = api.call("GET", &format!("{offer}/pushes/{number}"), &[], b"").await?;
        match response.status {
            200 => last = serde_json::from_value(response.json()).context("the API responded with no push")?,
            404 => break,
            _ => bail!("{}", response.problem()),
        }
    }
    Ok(last)
}

/// What is asked of a push.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastPush {
    number: u32,
    state: Option<PushState>,
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

fn line(delivery: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (offer, code) = (text(&delivery["offer"]["id"]), text(&delivery["offer"]["code"]));
    let [at, channel, state] = ["updatedAt", "channel", "state"].map(|name| text(&delivery[name]));
    let reason = delivery["reason"].as_str().map(|reason| format!("\n      {reason}")).unwrap_or_default();
    format!("  {at} {channel:6} {state:10} {code} ({offer}){reason}")
}

/// Why a customer who is stored now has no delivery of an offer on these channels. All reasons that hold, since one may be mended
/// in vain.
fn why_nothing(
    customer: &Customer,
    offer: &Offer,
    channels: &Channels,
    push: &LastPush,
    now: Timestamp,
    stack: &str,
) -> Result<String> {
    let reasons: Vec<_> = not_eligible(customer, offer)?.into_iter().chain(unreachable(customer, channels)).collect();
    if !reasons.is_empty() {
        return Ok(reasons.join("; and "));
    }
    let (number, tool, id) = (push.number, tool(), offer.id);
    Ok(match push.state {
        Some(PushState::Scheduled) => format!("push {number} has not begun; they get it then"),
        Some(PushState::Running) => {
            format!("push {number} is not done; if it read them as they are now, they get it yet")
        }
        _ if offer.has_expired(now) => {
            "the offer has expired. What was sent of it is not kept longer than 30 days after its last push date"
                .to_owned()
        }
        Some(PushState::Cancelled) => {
            format!("push {number} was cancelled. {tool} push {id}{stack} begins another one")
        }
        Some(PushState::Completed) | None => format!(
            "they were stored or changed after push {number} had read the customers. {tool} push {id}{stack} sends it to all who \
             did not get it yet"
        ),
    })
}

/// Why the offer is not for a customer, if it is not.
fn not_eligible(customer: &Customer, offer: &Offer) -> Result<Option<String>> {
    let Some(text) = &offer.eligibility else { return Ok(None) };
    let (rule, source) = (text.compile().context("this release cannot read the offer's rule")?, text.source());
    Ok(match rule.verdict(customer) {
        Verdict::Eligible => None,
        Verdict::NotEligible => {
            let values = values(customer, &rule);
            Some(format!("they are not eligible, since the rule is false for them{values}: {source}"))
        }
        Verdict::Unevaluable => Some(match rule.lacking(customer).collect::<Vec<_>>().as_slice() {
            [] => format!("the rule has no result for their attributes, so they are not eligible: {source}"),
            lacking => format!("the rule cannot be evaluated, since they have no {}: {source}", lacking.join(", no ")),
        }),
    })
}

/// What a customer has of what a rule reads.
fn values(customer: &Customer, rule: &Rule) -> String {
    let value = |name: &str| Some(format!("{name} is {}", customer.field(name)?));
    let values: Vec<_> = rule.reads().filter_map(value).take(VALUES_SHOWN).collect();
    if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) }
}

/// Why none of the channels reaches a customer, if none does.
fn unreachable(customer: &Customer, channels: &Channels) -> Option<String> {
    if channels.iter().any(|channel| customer.reachable_by(*channel)) {
        return None;
    }
    if customer.channels.is_empty() {
        return Some("they consented to no channel (\"channels\": [])".to_owned());
    }
    let why = |channel: &Channel| {
        let missing = match channel {
            Channel::Email => "address (\"email\")",
            Channel::Sms => "number (\"mobile\")",
        };
        if customer.channels.contains(channel) {
            format!("they consented to {}, but have no {missing}", output::channel(*channel))
        } else {
            format!("they did not consent to {}", output::channel(*channel))
        }
    };
    Some(channels.iter().map(why).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLD: &str = "customer.tier == 'gold'";
    /// A day after the offer was posted.
    const NOW: Timestamp = Timestamp::constant(1_780_401_600, 0);

    fn offer(channels: &[&str], rule: Option<&str>) -> Offer {
        serde_json::from_value(json!({
            "id": "01980000-0000-7000-8000-000000000001", "code": "A", "subject": "S", "description": "B", "language": "en",
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
                "they are not eligible, since the rule is false for them (tier is \"basic\"): customer.tier == 'gold'",
            ),
            // Both, since one would be mended in vain.
            (
                json!({"attributes": {}, "channels": []}),
                &["email"],
                Some(GOLD),
                "the rule cannot be evaluated, since they have no tier: customer.tier == 'gold'; and they consented to no channel",
            ),
            (
                json!({"attributes": {"tier": "gold", "children": 0}}),
                &["email"],
                Some("customer.tier / customer.children > 2"),
                "the rule has no result for their attributes, so they are not eligible: customer.tier / customer.children > 2",
            ),
            (json!({}), &["email"], Some(GOLD), "they were stored or changed after push 1 had read the customers."),
        ] {
            let (offer, push) = (offer(channels, rule), LastPush { number: 1, state: Some(PushState::Completed) });
            let said = why_nothing(&with(changes), &offer, &offer.channels, &push, NOW, "").unwrap();
            assert!(said.starts_with(why), "{said}");
        }
        for (state, valid_until, why) in [
            (PushState::Scheduled, None, "push 2 has not begun"),
            (PushState::Running, None, "push 2 is not done"),
            (PushState::Cancelled, None, "push 2 was cancelled"),
            (PushState::Completed, Some(Timestamp::UNIX_EPOCH), "the offer has expired"),
        ] {
            let offer = Offer { valid_until, ..offer(&["email"], Some(GOLD)) };
            let push = LastPush { number: 2, state: Some(state) };
            let said =
                why_nothing(&with(json!({})), &offer, &offer.channels, &push, NOW, " --stack production").unwrap();
            assert!(said.starts_with(why), "{said}");
        }
    }
}
