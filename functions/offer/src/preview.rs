//! What an offer would do, before it is posted: how many it would reach, and how it would read. Nothing is stored, and
//! nobody is told but those who are named as test recipients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Body, Caller, Problem};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use axum::Json;
use axum::extract::State;
use delivery::SmsComposer;
use delivery::compose::letterhead::{Content, Letterhead};
use delivery::compose::segments;
use domain::eligibility::{Evaluator, Verdict};
use domain::fields::Fields;
use domain::offer::Posted;
use domain::{Channel, Customer, CustomerId, EmailAddress, Faults, Mobile, Offer, Rule};
use futures::future::{join_all, try_join_all};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Customers, StoreError};

use crate::App;

/// For counting and for test messages. API Gateway waits 29 seconds for the whole answer.
const ANSWER_TIME: Duration = Duration::from_secs(26);
/// How long the answer to a test message is waited for.
pub(crate) const TEST_TIME: Duration = Duration::from_secs(8);
/// Segments counted at a time: what stays in memory is a page of each.
const SEGMENTS: u32 = 4;
const PAGE: u16 = 500;
/// Most test recipients.
const TEST_RECIPIENTS_LIMIT: usize = 10;
/// Where the unsubscribe link of a preview leads: nowhere (RFC 2606). A customer's own would work for whoever clicks it.
const NO_LINK: &str = "https://unsubscribe.invalid/each-customer-has-her-own-link";

/// Previews offers.
pub(crate) struct Previewer {
    pub(crate) customers: Customers,
    pub(crate) letterhead: Letterhead,
    pub(crate) sms: SmsComposer,
    pub(crate) tester: Tester,
}

/// Sends test messages, through the channels' own functions.
pub(crate) struct Tester {
    /// Makes one attempt for each call, and waits [`TEST_TIME`] for its answer.
    pub(crate) lambda: Client,
    pub(crate) email_function: String,
    pub(crate) sms_function: String,
    pub(crate) from: String,
    pub(crate) reply_to: String,
}

#[derive(Serialize)]
struct PreviewView<'a> {
    audience: AudienceView,
    messages: BTreeMap<Channel, SampleView<'a>>,
    tests: Vec<TestView>,
}

/// Before suppressions, which are looked at when sending.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AudienceView {
    /// Customers for whom the rule holds.
    customers: u64,
    /// Notifications: of those, whom each channel reaches.
    notifications: BTreeMap<Channel, u64>,
    /// Customers who lack what the rule reads, or have it of another type.
    unevaluable: u64,
    /// Whether every customer was counted; otherwise the counts are reckoned up from `customersRead`.
    exact: bool,
    customers_read: u64,
}

/// One channel's message as one customer would read it.
struct Sample {
    /// Whom it is written to; nobody in particular, if it reaches nobody.
    customer: Option<CustomerId>,
    written: Result<Message, String>,
}

enum Message {
    Email {
        content: Content,
        /// The description alone, without what surrounds it.
        said: String,
    },
    Sms {
        text: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SampleView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<&'a CustomerId>,
    #[serde(flatten)]
    written: Written<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Email { subject: &'a str, text: &'a str, html: &'a str },
    Sms { text: &'a str, segments: usize },
    Unwritable { error: &'a str },
}

impl<'a> From<&'a Sample> for SampleView<'a> {
    fn from(sample: &'a Sample) -> Self {
        let written = match &sample.written {
            Ok(Message::Email { content: Content { subject, text, html }, .. }) => {
                Written::Email { subject, text, html }
            }
            Ok(Message::Sms { text }) => Written::Sms { text, segments: segments::count(text) },
            Err(error) => Written::Unwritable { error },
        };
        Self { customer: sample.customer.as_ref(), written }
    }
}

/// What became of one test message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TestView {
    recipient: String,
    channel: Channel,
    #[serde(flatten)]
    result: Tested,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Tested {
    Sent { message_id: Value },
    NotSent { error: String },
}

/// Whom a test message goes to.
enum TestRecipient {
    Email(EmailAddress),
    Sms(Mobile),
}

impl std::str::FromStr for TestRecipient {
    type Err = String;

    fn from_str(string: &str) -> Result<Self, String> {
        if string.starts_with('+') {
            string.parse().map(Self::Sms).map_err(|error: domain::address::InvalidMobile| error.to_string())
        } else {
            string.parse().map(Self::Email).map_err(|error: domain::address::InvalidEmailAddress| error.to_string())
        }
    }
}

impl TestRecipient {
    fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Sms(_) => Channel::Sms,
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Email(address) => address.as_str(),
            Self::Sms(mobile) => mobile.as_str(),
        }
    }
}

/// `POST /offers/preview`.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(mut body): Body,
) -> Result<Json<Value>, Problem> {
    let recipients = body.as_object_mut().and_then(|body| body.remove("testRecipients"));
    let posted = Posted { at: domain::clock::now(), by: &caller, default_subject: &app.default_subject };
    let (offer, recipients) = match (Offer::parse(body, &posted), test_recipients(recipients)) {
        (Ok(offer), Ok(recipients)) => (offer, recipients),
        (offer, recipients) => return Err(all_faults(offer.err(), recipients.err()).into()),
    };

    let Previewer { tester, .. } = &app.preview;
    let counting_time = if recipients.is_empty() { ANSWER_TIME } else { ANSWER_TIME - TEST_TIME };
    let audience = app.preview.count(&offer, Instant::now() + counting_time).await?;
    let samples: BTreeMap<_, _> = offer
        .channels
        .iter()
        .map(|channel| (*channel, app.preview.sample(*channel, &offer, audience.samples.get(channel))))
        .collect();
    let view = app.preview.reckon(&offer, &audience).await?;
    // Last: whoever is told of a failure tries again, and the tests would go out again.
    let tests =
        join_all(recipients.iter().map(|recipient| tester.test(recipient, samples.get(&recipient.channel())))).await;
    tracing::info!(
        offer.code = offer.code,
        customers = audience.customers,
        read = audience.read,
        tests = tests.len(),
        "offer previewed"
    );
    let messages = samples.iter().map(|(channel, sample)| (*channel, sample.into())).collect();
    Ok(Json(json!(PreviewView { audience: view, messages, tests })))
}

fn test_recipients(value: Option<Value>) -> Result<Vec<TestRecipient>, Faults> {
    let mut fields = Fields::of(json!({"testRecipients": value}))?;
    let recipients = fields.list("testRecipients", str::parse::<TestRecipient>).unwrap_or_default();
    if recipients.len() > TEST_RECIPIENTS_LIMIT {
        fields.fault("testRecipients", format!("must name at most {TEST_RECIPIENTS_LIMIT}, not {}", recipients.len()));
    }
    fields.finish(&["testRecipients"])?;
    Ok(recipients)
}

fn all_faults(offer: Option<Faults>, recipients: Option<Faults>) -> Faults {
    let mut all = Faults::default();
    for fault in offer.into_iter().chain(recipients).flat_map(Faults::into_vec) {
        all.add(fault.field, fault.detail);
    }
    all
}

/// Whom an offer would reach, as far as customers were read.
#[derive(Default)]
struct Audience {
    read: u64,
    customers: u64,
    unevaluable: u64,
    notifications: BTreeMap<Channel, u64>,
    /// Of each channel, who has the smallest id: the same at every preview.
    samples: BTreeMap<Channel, Customer>,
    /// Whether the time was over before all were read.
    is_cut_short: bool,
}

impl Audience {
    fn add(&mut self, other: Self) {
        self.read += other.read;
        self.customers += other.customers;
        self.unevaluable += other.unevaluable;
        self.is_cut_short |= other.is_cut_short;
        for (channel, count) in other.notifications {
            *self.notifications.entry(channel).or_default() += count;
        }
        for (channel, customer) in other.samples {
            self.offer_sample(channel, &customer);
        }
    }

    fn offer_sample(&mut self, channel: Channel, customer: &Customer) {
        if self.samples.get(&channel).is_none_or(|sample| customer.id < sample.id) {
            self.samples.insert(channel, customer.clone());
        }
    }
}

impl Previewer {
    /// Reads customers until the time is over.
    async fn count(&self, offer: &Offer, until: Instant) -> Result<Audience, StoreError> {
        let mut audience = Audience::default();
        for segment in try_join_all((0..SEGMENTS).map(|segment| self.count_segment(offer, segment, until))).await? {
            audience.add(segment);
        }
        Ok(audience)
    }

    async fn count_segment(&self, offer: &Offer, segment: u32, until: Instant) -> Result<Audience, StoreError> {
        let mut audience = Audience::default();
        let mut after = None;
        loop {
            let page = self.customers.scan(segment, SEGMENTS, after.as_ref(), PAGE).await?;
            audience.read += page.customers.len() as u64 + page.unreadable;
            audience.unevaluable += page.unreadable;
            let evaluator = offer.eligibility.as_ref().map(Rule::evaluator);
            for customer in &page.customers {
                let verdict = evaluator
                    .as_ref()
                    .map_or(Verdict::Eligible, |evaluator: &Evaluator<'_>| evaluator.verdict(customer));
                match verdict {
                    Verdict::Eligible => audience.customers += 1,
                    Verdict::NotEligible => continue,
                    Verdict::Unevaluable => {
                        audience.unevaluable += 1;
                        continue;
                    }
                }
                for channel in offer.channels.iter().filter(|channel| customer.reachable_by(**channel)) {
                    *audience.notifications.entry(*channel).or_default() += 1;
                    audience.offer_sample(*channel, customer);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(audience);
            }
            if Instant::now() >= until {
                audience.is_cut_short = true;
                return Ok(audience);
            }
        }
    }

    /// The size of the audience: counted, or reckoned up from what was read.
    async fn reckon(&self, offer: &Offer, audience: &Audience) -> Result<AudienceView, StoreError> {
        let exact = !audience.is_cut_short;
        let all = if exact { audience.read } else { self.customers.approximate_count().await?.max(audience.read) };
        let reckon = |count: u64| if exact { count } else { in_proportion(count, all, audience.read) };
        Ok(AudienceView {
            customers: reckon(audience.customers),
            notifications: offer
                .channels
                .iter()
                .map(|channel| (*channel, reckon(audience.notifications.get(channel).copied().unwrap_or_default())))
                .collect(),
            unevaluable: reckon(audience.unevaluable),
            exact,
            customers_read: audience.read,
        })
    }

    /// Writes a channel's message as that customer would read it.
    fn sample(&self, channel: Channel, offer: &Offer, customer: Option<&Customer>) -> Sample {
        let somebody = Customer {
            id: "somebody".parse().expect("letters are an id"),
            name: "Somebody".to_owned(),
            email: None,
            mobile: None,
            channels: offer.channels.clone(),
            locale: None,
            time_zone: None,
            attributes: serde_json::Map::default(),
        };
        let reader = customer.unwrap_or(&somebody);
        let written = match channel {
            Channel::Email => self.letterhead.write_offer(offer, reader, NO_LINK).and_then(|content| {
                let said = offer.description.render(reader).map_err(|error| error.to_string())?;
                Ok(Message::Email { content, said })
            }),
            Channel::Sms => self.sms.text(offer, reader).map(|text| Message::Sms { text }),
        };
        Sample { customer: customer.map(|customer| customer.id.clone()), written }
    }
}

/// `count` of `read`, as so many of `all`.
fn in_proportion(count: u64, all: u64, read: u64) -> u64 {
    let share = u128::from(count) * u128::from(all) / u128::from(read.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

impl Tester {
    /// Sends a test message, as the sample says it.
    async fn test(&self, recipient: &TestRecipient, sample: Option<&Sample>) -> TestView {
        let result = match sample.map(|sample| &sample.written) {
            None => Err("the offer does not go out on this channel".to_owned()),
            Some(Err(error)) => Err(format!("there is no message to send: {error}")),
            Some(Ok(Message::Email { content, said })) => {
                let payload = json!({
                    "recipient": recipient.as_str(), "emailFromAddress": self.from, "emailReplyToAddress": self.reply_to,
                    "subject": content.subject, "content": said, "unsubscribeUrl": NO_LINK,
                });
                self.invoke(&self.email_function, payload).await
            }
            Some(Ok(Message::Sms { text })) => {
                self.invoke(&self.sms_function, json!({"recipient": recipient.as_str(), "content": text})).await
            }
        };
        TestView {
            recipient: recipient.as_str().to_owned(),
            channel: recipient.channel(),
            result: match result {
                Ok(message_id) => Tested::Sent { message_id },
                Err(error) => Tested::NotSent { error },
            },
        }
    }

    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, String> {
        let call = self.lambda.invoke().function_name(function).payload(Blob::new(payload.to_string()));
        let answer = call.send().await.map_err(|error| {
            tracing::warn!(function, error = %DisplayErrorContext(&error), "a test message got no answer");
            format!("no answer within {} seconds; it may arrive all the same", TEST_TIME.as_secs())
        })?;
        let said = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let mut said: Value = serde_json::from_slice(&said).unwrap_or_default();
        if answer.function_error.is_some() {
            return Err(said["errorMessage"].as_str().unwrap_or("the function failed; see its log").to_owned());
        }
        Ok(said["messageId"].take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_in_proportion() {
        assert_eq!(in_proportion(250, 10_000_000, 1_000), 2_500_000);
        assert_eq!(in_proportion(0, 10, 0), 0);
    }

    #[test]
    fn a_test_recipient_is_an_address_or_a_number() {
        assert_eq!(
            test_recipients(Some(json!(["a@b.example", "+351912345678"]))).map(|found| found.len()).ok(),
            Some(2)
        );
        assert!(test_recipients(None).is_ok_and(|found| found.is_empty()));
        for (bad, field) in [
            (json!("a@b.example"), "testRecipients"),
            (json!(["a@b.example", "nobody"]), "testRecipients[1]"),
            (json!(vec!["a@b.example"; 11]), "testRecipients"),
        ] {
            let faults = test_recipients(Some(bad)).map(|_| ()).unwrap_err().into_vec();
            assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}
