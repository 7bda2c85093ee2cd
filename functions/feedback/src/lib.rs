//! The function `feedback`: acts on what is reported after a provider has accepted a message. Addresses that bounce,
//! recipients who complain and numbers that opt out are suppressed. Reports about e-mail are recorded on the delivery as
//! well; SNS does not report which delivery a text message belongs to. It also publishes the events about customers that
//! the Suppressions table holds, as the table's stream brings them.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which events of SES count, and as what | `event` |
//! | what a status says of an address | `verdict` |
//! | in which forms mail to the return path comes | `source` |
//! | how a report is read from such mail | `mail` |
//! | what follows from it | `returned` |
//! | which lines of SNS's log suppress a number | `sms_log` |
//! | how events about customers reach the bus | `customer_events` |
//! | how lost events about customers are recovered, and how long that may take | `recovery` |
//! | how long an invocation migrates hashes | `migration` |
//! | what an error may say of a payload that cannot be parsed | `payload` |

mod customer_events;
mod event;
mod mail;
mod migration;
mod payload;
mod recovery;
mod returned;
mod sms_log;
mod source;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::cloudwatch_logs::LogsEvent;
use aws_lambda_events::sqs::SqsEvent;
use domain::Sources;
use domain::unsubscribe::KeyRing;
use futures::future::BoxFuture;
use jiff::Timestamp;
use lambda_runtime::Error;
use runtime::bus::BusError;
use runtime::{EventBus, HashKeys, Queue, records};
use serde_json::{Value, json};
use store::deliveries::FeedbackResult;
use store::suppressions::{BounceResult, BounceRule, Notified, Reason, Report};
use store::{Deliveries, StoreError, Suppressions};

pub use crate::mail::MAIL_LIMIT;

use crate::event::FeedbackEvent;
use crate::payload::{InvalidPayload, parse_value};
use crate::recovery::Recovery;
use crate::source::{Envelope, Source};
use crate::verdict::Verdict;

/// Returns the ring of keys, read at most this long ago, or why it is not available.
pub type RingSource = Box<dyn Fn(Duration) -> BoxFuture<'static, Result<Arc<KeyRing>, String>> + Send + Sync>;
/// Returns an object of a bucket, or why it cannot be read.
pub type ObjectSource = Box<dyn Fn(String, String) -> BoxFuture<'static, Result<StoredMail, String>> + Send + Sync>;

/// Mail in a bucket.
#[derive(Debug, Clone)]
pub struct StoredMail {
    /// The first [`MAIL_LIMIT`] bytes.
    pub mail: Vec<u8>,
    /// When it was stored there: the object's `LastModified`.
    pub stored: Option<Timestamp>,
}

/// The function, built once and used by every invocation.
pub struct App {
    /// The clock and the random numbers.
    pub sources: Sources,
    pub suppressions: Suppressions,
    pub deliveries: Deliveries,
    /// How many transient bounces suppress an address.
    pub rule: BounceRule,
    /// The key of the hashes in the tables.
    pub hash_keys: HashKeys,
    /// The keys of the return paths' tags.
    pub ring: RingSource,
    /// Mail to the return path.
    pub objects: ObjectSource,
    /// Where events about customers go.
    pub bus: EventBus,
    /// Where reports come from.
    pub queue: Queue,
}

/// Why an event must be delivered again.
#[derive(Debug, thiserror::Error)]
enum FeedbackError {
    #[error("the event is not one of SES: {0}")]
    Event(#[from] InvalidPayload),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("the keys of links cannot be read: {0}")]
    Keys(String),
    #[error("mail to the return path cannot be read from its bucket: {0}")]
    Object(String),
    #[error("the delivery that the report is about has no outcome yet")]
    Unfinished,
    #[error("there was no time left to read the events about customers of that period from the table")]
    NoTimeLeft,
    #[error("the events about customers of that period were not published: {0}")]
    NotRecovered(String),
}

/// What follows from a report for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing.
    None,
    /// The bounce is counted.
    Count,
    /// The address is suppressed, because it bounced.
    Bounced,
    /// The address is suppressed, because its owner complained.
    Complained,
}

impl From<Verdict> for Effect {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Nothing | Verdict::Refused => Self::None,
            Verdict::Transient => Self::Count,
            Verdict::Permanent => Self::Bounced,
        }
    }
}

impl App {
    /// Handles an invocation: events of SES and mail to the return path from their queue, a single one of them, lines of
    /// SNS's log, records of the Suppressions table's stream, or the schedule of the migration of hashes.
    ///
    /// # Errors
    /// If the payload is unknown or cannot be acted on. Messages of a queue and records of a stream that fail are named
    /// in the response.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        // Boxed: inside a caller's own futures, these exceed the compiler's depth limit for layouts.
        Box::pin(self.dispatch(payload)).await
    }

    async fn dispatch(&self, payload: Value) -> Result<Value, Error> {
        if migration::is_asked_for(&payload) {
            return Ok(self.migrate().await?);
        }
        if payload.get("awslogs").is_some() {
            let logs: LogsEvent = parse_value(&payload)?;
            return Ok(json!({"suppressed": self.handle_sms_log(logs).await?}));
        }
        if customer_events::is_stream(&payload) {
            return Ok(serde_json::to_value(self.publish_stream(&payload).await)?);
        }
        let is_queue = payload.pointer("/Records/0/eventSource").is_some_and(|source| source == "aws:sqs");
        if !is_queue {
            let sources = source::parse_json(payload)?;
            let mut recovery = Recovery::of(source::periods(&sources), self.sources.now());
            let acted_on = self.handle_all(sources, &mut recovery).await?;
            return Ok(json!({"actedOn": acted_on}));
        }
        let event: SqsEvent = parse_value(&payload)?;
        let (event, periods) = recovery::last(event);
        let mut recovery = Recovery::of(periods, self.sources.now());
        let handle = async |body: &str| self.handle_all(source::parse(body)?, &mut recovery).await.map(|_| ());
        let response = records::handle_each(event, &self.queue, handle).await;
        Ok(serde_json::to_value(response)?)
    }

    /// Acts on what a message holds. Returns whether there was anything to act on.
    async fn handle_all(&self, sources: Vec<Source>, recovery: &mut Recovery) -> Result<bool, FeedbackError> {
        let mut acted_on = false;
        for source in sources {
            acted_on |= match source {
                Source::Event(event) => self.handle_event(&event).await?,
                Source::Mail(mail, envelope) => self.handle_mail(&mail, &envelope).await?,
                Source::Object { bucket, key, envelope } => {
                    let object = (self.objects)(bucket, key).await.map_err(FeedbackError::Object)?;
                    let received = envelope.received.or(object.stored);
                    self.handle_mail(&object.mail, &Envelope { received, ..envelope }).await?
                }
                Source::StoredEvents(stored) => recovery.publish(self, &stored).await?,
            };
        }
        Ok(acted_on)
    }

    /// Acts on an event of SES; repeating it changes nothing. Returns whether the event is of a kind to act on.
    async fn handle_event(&self, event: &Value) -> Result<bool, FeedbackError> {
        let hash_key = self.hash_keys.get().await?;
        let Some(reported) = event::parse(event, self.sources.now(), &hash_key)? else {
            return Ok(false);
        };
        let FeedbackEvent { feedback, event, recipients, delivery } = reported;
        let notified = delivery.as_ref().map(|id| Notified::of(id, &hash_key));
        let mut suppressed = None;
        for (address, effect) in &recipients {
            let report = Report { address, at: feedback.at, by: "ses", notified: notified.as_ref() };
            suppressed = self.apply(*effect, &report, &event).await?.or(suppressed);
        }
        let recorded = match &delivery {
            Some(id) => self.deliveries.add_feedback(id, &feedback).await?,
            None => FeedbackResult::NoDelivery,
        };
        tracing::info!(
            offer.id = delivery.as_ref().map(|id| id.offer.to_string()),
            customer.id = delivery.as_ref().map(|id| id.customer.as_str()),
            kind = feedback.kind.as_str(),
            detail = feedback.detail,
            suppressed = suppressed.map(Reason::as_str),
            recorded = ?recorded,
            "feedback about an e-mail handled"
        );
        Ok(true)
    }

    /// Suppresses an address, or counts a bounce of it. Returns the reason, if there is one to suppress it. `event`
    /// identifies the report.
    async fn apply(&self, effect: Effect, report: &Report<'_>, event: &str) -> Result<Option<Reason>, StoreError> {
        let reason = match effect {
            Effect::None => return Ok(None),
            Effect::Count => {
                let counted = self.suppressions.count_bounce(report, event, self.rule).await?;
                return Ok((counted == BounceResult::Suppressed).then_some(Reason::Bounced));
            }
            Effect::Bounced => Reason::Bounced,
            Effect::Complained => Reason::Complained,
        };
        self.suppressions.suppress(report, reason).await?;
        Ok(Some(reason))
    }

    /// Suppresses the numbers that SNS cannot reach any more; repeating it changes nothing. Returns how many.
    async fn handle_sms_log(&self, logs: LogsEvent) -> Result<usize, StoreError> {
        let hash_key = self.hash_keys.get().await?;
        let reported = logs.aws_logs.data.log_events.iter().filter_map(|entry| {
            match sms_log::parse(&entry.message, self.sources.now(), &hash_key) {
                Ok(reported) => reported,
                Err(error) => {
                    tracing::error!(error = %error, "line of SNS's log cannot be parsed; it is skipped");
                    None
                }
            }
        });
        let mut suppressed = 0;
        for (number, reason, at) in reported {
            let report = Report { address: &number, at, by: "sns", notified: None };
            self.suppressions.suppress(&report, reason).await?;
            suppressed += 1;
        }
        tracing::info!(suppressed, "SNS's log of text messages handled");
        Ok(suppressed)
    }
}
