//! The JSON of a preview.

use std::collections::BTreeMap;

use delivery::compose::sms::SmsText;
use domain::{Channel, CustomerId, Offer};
use language::Language;
use serde::Serialize;
use serde_json::Value;

use super::audience::AudienceCount;
use super::findings::Finding;
use super::sample::{Message, Sample};
use super::sample_customers::Case;
use super::samples::CaseSample;
use super::tally::{ChannelTally, Tally};

/// How many reasons are listed for messages that cannot be composed.
const REASONS_LISTED: usize = 10;
/// How many languages are listed that customers' locales have and the offer lacks.
const LOCALES_LISTED: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreviewView<'a> {
    pub(super) audience: AudienceView<'a>,
    pub(super) messages: BTreeMap<Channel, SampleView<'a>>,
    /// `None` if the offer is not sent by SMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sms: Option<SmsView<'a>>,
    pub(super) samples: Vec<CaseView<'a>>,
    /// How many more there are, for which the response has no room.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) samples_omitted: usize,
    pub(super) findings: Vec<Finding>,
    /// What the caller is warned of who posts the offer: some of the findings, and whether there is one with its code.
    pub(super) warnings: Vec<Finding>,
    pub(super) tests: Vec<TestView>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The size of the audience. Suppressions are not subtracted: they are checked when a message is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AudienceView<'a> {
    /// Customers who are eligible.
    pub(super) customers: u64,
    /// How many of them each channel reaches.
    pub(super) notifications: BTreeMap<Channel, u64>,
    /// Customers whose eligibility could not be evaluated, or whose items could not be read.
    pub(super) unevaluable: u64,
    /// Whether every customer was read; otherwise the counts are estimated from the `customersRead` customers.
    pub(super) exact: bool,
    pub(super) customers_read: u64,
    /// Eligible customers by the language that they get.
    pub(super) languages: BTreeMap<String, u64>,
    pub(super) fallback: FallbackView<'a>,
    /// Customers that a channel reaches, but whose message cannot be composed.
    pub(super) unwritable: BTreeMap<Channel, UnwritableView<'a>>,
}

/// Eligible customers who get the offer's own language because it has none that suits them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FallbackView<'a> {
    /// Those whose locale matches no language of the offer.
    pub(super) customers: u64,
    /// The same by the language of their locale: the most frequent ones.
    pub(super) locales: BTreeMap<&'a str, u64>,
    /// Those without a locale.
    pub(super) without_locale: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnwritableView<'a> {
    pub(super) customers: u64,
    /// The most frequent reasons, the first of them the most frequent.
    pub(super) reasons: Vec<ReasonView<'a>>,
    /// For how many customers the message was composed to see that. If there are many, the counts are estimated from them.
    pub(super) composed: u64,
}

#[derive(Serialize)]
pub(super) struct ReasonView<'a> {
    pub(super) reason: &'a str,
    pub(super) customers: u64,
}

impl<'a> AudienceView<'a> {
    pub(super) fn new(count: &'a AudienceCount, offer: &Offer) -> Self {
        let Tally { scan, channels, languages, .. } = &count.tally;
        let estimate = |number| count.estimate(number);
        let notifications = |channel| channels.get(channel).map_or(0, |counts| estimate(counts.notifications));
        let locales = languages.fallback_locales.top(LOCALES_LISTED).into_iter();
        Self {
            customers: estimate(scan.customers_eligible),
            notifications: offer.channels.iter().map(|channel| (*channel, notifications(channel))).collect(),
            unevaluable: estimate(scan.customers_unevaluable),
            exact: !count.timed_out,
            customers_read: scan.customers_read,
            languages: languages
                .each
                .iter()
                .map(|(language, tally)| (language.to_string(), estimate(tally.customers)))
                .collect(),
            fallback: FallbackView {
                customers: estimate(languages.fallen_back),
                locales: locales.map(|(language, customers)| (language, estimate(customers))).collect(),
                without_locale: estimate(languages.without_locale),
            },
            unwritable: offer.channels.iter().map(|channel| (*channel, unwritable(count, *channel))).collect(),
        }
    }
}

fn unwritable(count: &AudienceCount, channel: Channel) -> UnwritableView<'_> {
    let Some(ChannelTally { failed, composed, reasons, .. }) = count.tally.channels.get(&channel) else {
        return UnwritableView { customers: 0, reasons: Vec::new(), composed: 0 };
    };
    let estimate = |number| count.estimate_messages(channel, number);
    let reason = |(reason, customers)| ReasonView { reason, customers: estimate(customers) };
    UnwritableView {
        customers: estimate(*failed),
        reasons: reasons.top(REASONS_LISTED).into_iter().map(reason).collect(),
        composed: *composed,
    }
}

/// The text messages, as far as they were composed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SmsView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shortest: Option<TextView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) longest: Option<TextView<'a>>,
    /// How many are cut to the segments that are allowed.
    pub(super) cut: u64,
    /// How many have a character that the GSM alphabet lacks.
    pub(super) ucs2: u64,
    /// How many have letters or signs that are replaced, so that they stay in the GSM alphabet.
    pub(super) transliterated: u64,
}

#[derive(Serialize)]
pub(super) struct TextView<'a> {
    customer: &'a CustomerId,
    text: &'a str,
    segments: usize,
}

impl<'a> SmsView<'a> {
    /// `None` if the offer is not sent by SMS.
    pub(super) fn new(count: &'a AudienceCount, offer: &Offer) -> Option<Self> {
        let texts = &count.tally.texts;
        let total = count.tally.languages.texts();
        let view = |found: &'a Option<(CustomerId, SmsText)>| {
            found.as_ref().map(|(customer, SmsText { text, segments, .. })| TextView {
                customer,
                text,
                segments: *segments,
            })
        };
        offer.channels.contains(&Channel::Sms).then(|| Self {
            shortest: view(&texts.shortest),
            longest: view(&texts.longest),
            cut: count.estimate_messages(Channel::Sms, total.cut),
            ucs2: count.estimate_messages(Channel::Sms, total.ucs2),
            transliterated: count.estimate_messages(Channel::Sms, total.transliterated),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SampleView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer: Option<&'a CustomerId>,
    #[serde(flatten)]
    pub(super) message: MessageView<'a>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(super) enum MessageView<'a> {
    Email {
        subject: &'a str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        html: Option<&'a str>,
        /// There is no room for its HTML.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        html_omitted: bool,
    },
    Sms {
        text: &'a str,
        segments: usize,
    },
    Failed {
        error: &'a str,
    },
}

impl<'a> From<&'a Sample> for SampleView<'a> {
    fn from(sample: &'a Sample) -> Self {
        let message = match &sample.message {
            Ok(Message::Email { subject, text, html }) => {
                MessageView::Email { subject, text, html: html.as_deref(), html_omitted: html.is_none() }
            }
            Ok(Message::Sms(SmsText { text, segments, .. })) => MessageView::Sms { text, segments: *segments },
            Err(error) => MessageView::Failed { error },
        };
        Self { customer: sample.customer.as_ref(), message }
    }
}

#[derive(Serialize)]
pub(super) struct CaseView<'a> {
    channel: Channel,
    language: &'a Language,
    case: Case,
    #[serde(flatten)]
    sample: SampleView<'a>,
}

impl<'a> From<&'a CaseSample> for CaseView<'a> {
    fn from(CaseSample { channel, case, sample, .. }: &'a CaseSample) -> Self {
        Self { channel: *channel, language: &sample.language, case: *case, sample: sample.into() }
    }
}

impl<'a> CaseView<'a> {
    /// The same without its HTML, which is far longer than its text.
    fn without_html(mut self) -> Self {
        if let MessageView::Email { html, html_omitted, .. } = &mut self.sample.message {
            (*html, *html_omitted) = (None, true);
        }
        self
    }
}

/// As many of the samples as take at most `room` octets of the response, the first ones before the others: all as text
/// if possible, then those with HTML for which there is room. And how many were left out.
pub(super) fn fitting(samples: &[CaseSample], room: usize) -> (Vec<CaseView<'_>>, usize) {
    let mut left = room;
    let mut take = |size: usize| left.checked_sub(size).map(|rest| left = rest).is_some();
    let kept: Vec<_> = samples.iter().filter(|sample| take(size(&CaseView::from(*sample).without_html()))).collect();
    let views = kept.iter().map(|sample| {
        let with_html = CaseView::from(*sample);
        let without_html = CaseView::from(*sample).without_html();
        if take(size(&with_html).saturating_sub(size(&without_html))) { with_html } else { without_html }
    });
    let views: Vec<_> = views.collect();
    let omitted = samples.len() - views.len();
    (views, omitted)
}

/// The size of a value in the response, in octets. API Gateway gets the JSON of the response as a string in JSON.
pub(super) fn size(value: &impl Serialize) -> usize {
    let json = serde_json::to_string(value).unwrap_or_default();
    json.len() + json.bytes().filter(|octet| matches!(octet, b'"' | b'\\')).count()
}

/// The result of one test message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestView {
    pub(super) recipient: String,
    pub(super) channel: Channel,
    #[serde(flatten)]
    pub(super) result: TestResult,
}

impl TestView {
    /// The message's id, if it was sent.
    pub(super) fn message_id(&self) -> Option<String> {
        match &self.result {
            TestResult::Sent { message_id } => Some(message_id.as_str().unwrap_or_default().to_owned()),
            TestResult::NotSent { .. } => None,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(super) enum TestResult {
    Sent { message_id: Value },
    NotSent { error: String },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preview::sample::tests::composer;
    use crate::preview::sample_customers::SampleCustomers;
    use crate::preview::samples::samples;

    #[test]
    fn samples_have_html_as_far_as_there_is_room() {
        let offer = testing::offer(json!({
            "code": "A", "description": "Say \"hello\" to 5% cashback", "channels": ["email"],
            "translations": {"de": {}, "fr": {}},
        }));
        let samples = samples(&offer, &composer(), &SampleCustomers::default());
        assert_eq!(samples.len(), 3);
        let sizes = |view: fn(&CaseSample) -> CaseView<'_>| samples.iter().map(view).map(|view| size(&view));
        let texts: usize = sizes(|sample| CaseView::from(sample).without_html()).sum();
        let whole: usize = sizes(|sample| sample.into()).sum();
        for (room, with_html, omitted) in
            [(whole, 3, 0), (whole - 1, 2, 0), (texts, 0, 0), (texts - 1, 0, 1), (0, 0, 3), (usize::MAX, 3, 0)]
        {
            let (views, left_out) = fitting(&samples, room);
            assert_eq!((views.len(), left_out), (3 - omitted, omitted), "{room}");
            assert!(views.iter().map(size).sum::<usize>() <= room, "{room}");
            for (number, view) in views.iter().enumerate() {
                let view = json!(view);
                let has_html = number < with_html;
                assert_eq!((view["html"].is_string(), view["htmlOmitted"] == json!(true)), (has_html, !has_html));
                assert!(view["text"].is_string() && view["case"] == "typical", "{view}");
            }
        }
    }

    #[test]
    fn size_is_that_of_a_string_in_json() {
        let value = json!({"a": "\"\\\n\u{e9}"});
        let wrapped = serde_json::to_string(&value.to_string()).unwrap();
        assert_eq!(size(&value), wrapped.len() - 2);
    }
}
