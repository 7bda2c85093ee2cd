//! Amazon SNS: text messages to phone numbers, one attempt for each.

use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::types::MessageAttributeValue;
use domain::{Sources, TransportId};
use jiff::Timestamp;
use runtime::Aws;

use crate::compose::sms::TextMessage;
use crate::transport::aws_error::Meaning::{self, Unreachable};
use crate::transport::aws_error::{self, RESPONSE_TIMEOUT, Row};
use crate::transport::{Accepted, RefusalKind, SendError, Suspect, Transport};

/// The timeout of the question whether a number has opted out. The text waits for the answer, and goes out without it.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nothing is asked after a question without a response, and no other error of a question is logged.
const QUESTION_PAUSE: Duration = Duration::from_secs(60);

/// Sends text messages through SNS.
#[derive(Debug)]
pub struct SnsTransport {
    client: Client,
    /// The client that asks whether numbers have opted out, in less time.
    asking: Client,
    question: Mutex<Question>,
    sources: Sources,
    options: SnsOptions,
}

/// How the account sends.
#[derive(Debug, Clone, Default)]
pub struct SnsOptions {
    /// The sender's name, for countries that allow one.
    pub sender_id: Option<String>,
    /// `Promotional` or `Transactional`.
    pub message_type: String,
    /// Whether to ask SNS first if the number has opted out. Without that, SNS accepts the message and drops it
    /// silently.
    pub check_opt_outs: bool,
}

/// When SNS is asked who opted out, and when an error of that is logged.
#[derive(Debug, Default)]
struct Question {
    asked_again_at: Option<Timestamp>,
    logged_again_at: Option<Timestamp>,
}

impl Question {
    fn may_be_asked(&self, now: Timestamp) -> bool {
        self.asked_again_at.is_none_or(|time| time <= now)
    }

    /// Pauses asking after a question without a response, which each text would wait for. Returns whether to log it.
    fn note_error(&mut self, was_answered: bool, now: Timestamp) -> bool {
        if !was_answered {
            self.asked_again_at = Some(now + QUESTION_PAUSE);
        }
        let is_logged = self.logged_again_at.is_none_or(|time| time <= now);
        if is_logged {
            self.logged_again_at = Some(now + QUESTION_PAUSE);
        }
        is_logged
    }
}

impl SnsTransport {
    /// The longest attempt: asking whether the number has opted out, and publishing.
    const MAX_DURATION: Duration = QUESTION_TIMEOUT.saturating_add(RESPONSE_TIMEOUT);

    /// The clients make one attempt for each call, because a retry inside it would hide a second copy.
    pub fn new(aws: &Aws, options: SnsOptions) -> Self {
        Self {
            client: Client::new(&aws.one_attempt(RESPONSE_TIMEOUT)),
            asking: Client::new(&aws.one_attempt(QUESTION_TIMEOUT)),
            question: Mutex::default(),
            sources: aws.sources().clone(),
            options,
        }
    }

    /// Whether SNS says that the number has opted out. `false` as well if it says nothing: SNS drops texts to numbers
    /// that have, so an error of the question is no reason to withhold a text from those that have not.
    async fn is_opted_out(&self, number: &str) -> bool {
        if !self.question().may_be_asked(self.sources.now()) {
            return false;
        }
        match self.asking.check_if_phone_number_is_opted_out().phone_number(number).send().await {
            Ok(response) => response.is_opted_out,
            Err(error) => {
                let was_answered = matches!(error, SdkError::ServiceError(_));
                if self.question().note_error(was_answered, self.sources.now()) {
                    let error = aws_error::classify_sdk_error(&error, ERRORS);
                    tracing::warn!(error = %error, "SNS does not say who opted out; texts are sent, and SNS drops those");
                }
                false
            }
        }
    }

    fn question(&self) -> std::sync::MutexGuard<'_, Question> {
        self.question.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Transport for SnsTransport {
    type Message = TextMessage;

    fn id(&self) -> TransportId {
        TransportId::Sns
    }

    fn max_duration(&self) -> Duration {
        Self::MAX_DURATION
    }

    async fn send(&self, message: &TextMessage, until: Timestamp) -> Result<Accepted, SendError> {
        if self.options.check_opt_outs && self.is_opted_out(&message.to).await {
            return Err(SendError::OptedOut("the number opted out of the account's text messages".to_owned()));
        }
        let mut call = self.client.publish().phone_number(&message.to).message(&message.text);
        for (name, value) in attributes(&self.options, message) {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value);
            call = call.message_attributes(name, attribute.build().expect("the type is set"));
        }
        if self.sources.now() >= until {
            return Err(SendError::TooLate);
        }
        match call.send().await {
            Ok(response) => Ok(Accepted { message_id: response.message_id.unwrap_or_default() }),
            Err(error) => Err(aws_error::classify_sdk_error(&error, ERRORS)),
        }
    }
}

/// The attributes of a message (SNS, developer guide, "Publishing to a mobile phone"). The ids of DLT are for India alone,
/// whose numbers are those that begin with +91.
fn attributes<'a>(options: &'a SnsOptions, message: &'a TextMessage) -> Vec<(&'static str, &'a str)> {
    let is_to_india = message.to.starts_with("+91");
    let dlt = |id: &'a Option<String>| id.as_deref().filter(|_| is_to_india);
    [
        ("AWS.SNS.SMS.SMSType", Some(options.message_type.as_str())),
        ("AWS.SNS.SMS.SenderID", options.sender_id.as_deref()),
        ("AWS.MM.SMS.EntityId", dlt(&message.dlt.entity)),
        ("AWS.MM.SMS.TemplateId", dlt(&message.dlt.template)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// The errors for which SNS has one code, whichever parameter is wrong.
const PARAMETERS: &[&str] = &["InvalidParameter", "ParameterValueInvalid", "ValidationException", "ValidationError"];

/// What errors of SNS mean, before [`aws_error::COMMON`]. SNS names the parameter (API reference, Publish). Sender and
/// type are settings of ours, and come first: "phone number" is also what a sender can be.
const ERRORS: &[Row] = &[
    Row::new(
        PARAMETERS,
        "senderid",
        Unreachable,
        "Developer guide, \"Publishing to a mobile phone\": AWS.SNS.SMS.SenderID",
    ),
    Row::new(
        PARAMETERS,
        "smstype",
        Unreachable,
        "Developer guide, \"Publishing to a mobile phone\": AWS.SNS.SMS.SMSType",
    ),
    Row::new(
        PARAMETERS,
        "originationnumber",
        Unreachable,
        "Developer guide, \"Publishing to a mobile phone\": AWS.MM.SMS.OriginationNumber",
    ),
    Row::new(PARAMETERS, "origination", Unreachable, "Developer guide, \"Origination identities for SMS messages\""),
    Row::new(
        PARAMETERS,
        "phonenumber",
        Meaning::Refused(RefusalKind::Recipient),
        "API reference, Publish: PhoneNumber, in E.164 format",
    ),
    Row::new(
        PARAMETERS,
        "phone number",
        Meaning::Refused(RefusalKind::Recipient),
        "API reference, Publish: PhoneNumber, in E.164 format",
    ),
    Row::new(
        PARAMETERS,
        "message too long",
        Meaning::Refused(RefusalKind::Message),
        "API reference, Publish: Message, at most 1,600 characters",
    ),
    Row::new(
        PARAMETERS,
        "empty message",
        Meaning::Refused(RefusalKind::Message),
        "API reference, Publish: Message, required",
    ),
    Row::new(&["KMSThrottling"], "", Meaning::Refused(RefusalKind::Temporary), "API reference, Publish, errors"),
    Row::new(
        &[
            "AuthorizationError",
            "InvalidSecurity",
            "KMSAccessDenied",
            "KMSDisabled",
            "KMSInvalidState",
            "KMSNotFound",
            "KMSOptInRequired",
        ],
        "",
        Unreachable,
        "API reference, Publish, errors",
    ),
    // It is about a parameter that is not listed: perhaps of this message, perhaps of each.
    Row::new(
        PARAMETERS,
        "",
        Meaning::Refused(RefusalKind::Ambiguous(Suspect::Sender)),
        "API reference, Publish: a parameter does not comply with its constraints",
    ),
];

#[cfg(test)]
mod tests;
