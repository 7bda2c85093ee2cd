//! The JSON of a preview.

use std::collections::BTreeMap;

use delivery::compose::letterhead::Content;
use delivery::compose::segments;
use domain::{Channel, CustomerId};
use serde::Serialize;
use serde_json::Value;

use super::sample::{Message, Sample};

#[derive(Serialize)]
pub(super) struct PreviewView<'a> {
    pub(super) audience: AudienceView,
    pub(super) messages: BTreeMap<Channel, SampleView<'a>>,
    pub(super) tests: Vec<TestView>,
}

/// The size of the audience. Suppressions are not subtracted: they are checked when a message is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AudienceView {
    /// Customers for whom the rule holds.
    pub(super) customers: u64,
    /// How many of them each channel reaches.
    pub(super) notifications: BTreeMap<Channel, u64>,
    /// Customers for whom the rule could not be evaluated, or whose items could not be read.
    pub(super) unevaluable: u64,
    /// Whether every customer was read; otherwise the counts are estimated from the `customersRead` customers.
    pub(super) exact: bool,
    pub(super) customers_read: u64,
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
#[serde(untagged)]
pub(super) enum MessageView<'a> {
    Email { subject: &'a str, text: &'a str, html: &'a str },
    Sms { text: &'a str, segments: usize },
    Failed { error: &'a str },
}

impl<'a> From<&'a Sample> for SampleView<'a> {
    fn from(sample: &'a Sample) -> Self {
        let message = match &sample.message {
            Ok(Message::Email { content: Content { subject, text, html, .. }, .. }) => {
                MessageView::Email { subject, text, html }
            }
            Ok(Message::Sms { text }) => MessageView::Sms { text, segments: segments::count(text) },
            Err(error) => MessageView::Failed { error },
        };
        Self { customer: sample.customer.as_ref(), message }
    }
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

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(super) enum TestResult {
    Sent { message_id: Value },
    NotSent { error: String },
}
