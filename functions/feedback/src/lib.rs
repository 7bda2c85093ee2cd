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
//! | how long an invocation migrates hashes | `migration` |
//! | what an error may say of a payload that cannot be parsed | `payload` |

mod customer_events;
mod event;
mod mail;
mod migration;
mod payload;
mod returned;
mod sms_log;
mod source;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::cloudwatch_logs::LogsEvent;
use aws_lambda_events::sqs::SqsEvent;
use domain::unsubscribe::KeyRing;
use domain::{HashKey, Sources};
use futures::future::BoxFuture;
use lambda_runtime::Error;
use runtime::bus::BusError;
use runtime::{EventBus, HashKeys, records};
use serde_json::{Value, json};
use store::deliveries::{DeliveryId, FeedbackResult};
use store::suppressions::{BounceResult, BounceRule, Notified, Reason, Report};
use store::{Deliveries, StoreError, Suppressions};

pub use crate::mail::MAIL_LIMIT;

use crate::event::FeedbackEvent;
use crate::payload::{InvalidPayload, parse_value};
use crate::source::Source;
use crate::verdict::Verdict;

/// Returns the ring of keys, read at most this long ago, or why it is not available.
pub type RingSource = Box<dyn Fn(Duration) -> BoxFuture<'static, Result<Arc<KeyRing>, String>> + Send + Sync>;
/// Returns the first [`MAIL_LIMIT`] bytes of an object of a bucket, or why it cannot be read.
pub type ObjectSource = Box<dyn Fn(String, String) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

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
            let acted_on = self.handle_all(source::parse_json(payload)?).await?;
            return Ok(json!({"actedOn": acted_on}));
        }
        let event: SqsEvent = parse_value(&payload)?;
        let response =
            records::handle_each(event, async |body| self.handle_all(source::parse(body)?).await.map(|_| ())).await;
        Ok(serde_json::to_value(response)?)
    }

    /// Acts on what a message holds. Returns whether there was anything to act on.
    async fn handle_all(&self, sources: Vec<Source>) -> Result<bool, FeedbackError> {
        let mut acted_on = false;
        for source in sources {
            acted_on |= match source {
                Source::Event(event) => self.handle_event(&event).await?,
                Source::Mail(mail, recipients) => self.handle_mail(&mail, &recipients).await?,
                Source::Object { bucket, key, recipients } => {
                    let mail = (self.objects)(bucket, key).await.map_err(FeedbackError::Object)?;
                    self.handle_mail(&mail, &recipients).await?
                }
                Source::StoredEvents(stored) => self.publish_period(&stored).await?,
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
        let notified = delivery.as_ref().map(|id| notified(id, &hash_key));
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

fn notified(id: &DeliveryId, hash_key: &HashKey) -> Notified {
    let DeliveryId { offer, customer, channel } = id.clone();
    Notified { hash: hash_key.customer(channel, &customer), offer, customer, channel }
}
