//! What the functions of all channels share: an event with `Records` goes to the worker, anything else is a direct
//! invocation that sends one message.

use aws_lambda_events::sqs::SqsEvent;
use domain::faults::Faults;
use domain::{AllowedRecipients, Channel};
use jiff::SignedDuration;
use runtime::settings::{self, SettingError};
use runtime::{Aws, Deadline, Invocation, InvokedAs};
use serde_json::{Value, json};
use store::suppressions::Reason;
use store::{PushedOffers, Pushes, StoreError};

use crate::compose::Compose;
use crate::compose::mailbox::Mailbox;
use crate::pipeline::{Deliverer, FullLine, RateLimited, SendOneError};
use crate::transport::Transport;
use crate::worker::Worker;

/// The error type that the Lambda runtime expects.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a direct invocation failed. Only after [`SendError::Unanswered`](crate::SendError::Unanswered) may the message
/// have been sent.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// The payload is wrong.
    #[error("bad request: {0}")]
    Request(#[from] Faults),
    /// The function was invoked by its alias for test messages, with something else.
    #[error("the alias for test messages takes one direct message, and no batches; nothing was sent")]
    NotATest,
    /// Sending is disabled by the template's parameter.
    #[error("sending is disabled (SendingEnabled=false); nothing was sent")]
    Disabled,
    /// The recipient's address is suppressed.
    #[error("the recipient's {address} is suppressed ({}); nothing was sent", .reason.as_str())]
    Suppressed {
        /// What the channel calls an address.
        address: &'static str,
        /// Why it is suppressed.
        reason: Reason,
    },
    /// The message cannot be composed.
    #[error("{0}")]
    Compose(String),
    /// The store is unavailable or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message was not sent.
    #[error(transparent)]
    Send(#[from] SendOneError),
}

/// The function of one channel.
#[derive(Debug)]
pub struct ChannelFunction<C, T> {
    /// Delivers batches from the channel's queue.
    pub worker: Worker<C, T>,
    /// While this is false, the queue is not read at all and direct invocations are refused.
    pub is_sending_enabled: bool,
    /// The recipients that messages are limited to which the function is to send as its alias for tests.
    pub test_recipients: AllowedRecipients,
}

/// The recipients that test messages may go to. By default, those of the sender's domain.
///
/// # Errors
/// If a setting is missing or invalid.
pub fn allowed_test_recipients() -> Result<AllowedRecipients, SettingError> {
    let from: Mailbox = settings::parameter("FromAddress")?;
    let allowed = settings::optional_parameter("AllowedTestRecipients")?;
    Ok(allowed.unwrap_or_else(|| AllowedRecipients::of_domain(from.domain())))
}

/// Opens the tables that settings name, and builds a deliverer on them.
///
/// # Errors
/// If a setting is missing or invalid.
pub fn deliverer<C, T>(
    aws: &Aws,
    composer: C,
    primary: RateLimited<T>,
    fallback: Option<RateLimited<T>>,
) -> Result<Deliverer<C, T>, SettingError> {
    let pushes: Pushes = aws.table()?;
    Ok(Deliverer {
        pushed_offers: PushedOffers::new(aws.table()?, pushes.clone(), aws.sources().clone()),
        customers: aws.table()?,
        suppressions: aws.table()?,
        deliveries: aws.table()?,
        pushes,
        limits: aws.table()?,
        full_line: FullLine::default(),
        sources: aws.sources().clone(),
        hash_keys: aws.hash_keys()?,
        composer,
        primary,
        retry_for: SignedDuration::from_hours(settings::parameter::<u32>("RetryHours")?.into()),
        fallback,
    })
}

impl<C, T> ChannelFunction<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Delivers the batches of an event with `Records`; calls `direct` with any other payload.
    ///
    /// A principal that may use the alias for tests only, such as the function `offer`, can send nothing but tests: batches are
    /// refused there, and `direct` checks the recipient ([`ChannelFunction::only_recipients`]).
    ///
    /// # Errors
    /// If the event is malformed, or `direct` fails.
    pub async fn handle(
        &self,
        payload: Value,
        Invocation { deadline, invoked_as }: Invocation,
        direct: impl AsyncFnOnce(Value) -> Result<Value, DirectError>,
    ) -> Result<Value, BoxError> {
        if payload.get("Records").is_some() {
            if invoked_as == InvokedAs::TestAlias {
                return Err(DirectError::NotATest.into());
            }
            let event: SqsEvent = serde_json::from_value(payload)?;
            return Ok(serde_json::to_value(self.worker.deliver_all(event, deadline).await)?);
        }
        Ok(direct(payload).await?)
    }

    /// The recipients that direct messages are limited to; `None`: no limit.
    pub fn only_recipients(&self, invoked_as: InvokedAs) -> Option<&AllowedRecipients> {
        (invoked_as == InvokedAs::TestAlias).then_some(&self.test_recipients)
    }

    /// Checks that sending is enabled and the recipient's address is not suppressed, neither itself nor by the opt-out
    /// of a customer who has it.
    ///
    /// # Errors
    /// [`DirectError::Disabled`] or [`DirectError::Suppressed`], or if the store is unavailable.
    pub async fn check_direct(&self, address: &str) -> Result<(), DirectError> {
        if !self.is_sending_enabled {
            return Err(DirectError::Disabled);
        }
        let deliverer = &self.worker.deliverer;
        let channel = deliverer.composer.channel();
        let hash_key = deliverer.hash_keys.get().await?;
        let holders = deliverer.customers.holders(channel, &[address], &hash_key).await?;
        match deliverer.suppressions.for_address(&hash_key.address(channel, address), &holders).await? {
            Some(suppression) => Err(DirectError::Suppressed {
                address: match channel {
                    Channel::Email => "address",
                    Channel::Sms => "number",
                },
                reason: suppression.reason,
            }),
            None => Ok(()),
        }
    }

    /// Sends one message without a record, and returns `{messageId}`.
    ///
    /// # Errors
    /// As [`DirectError`].
    pub async fn send_direct(&self, message: &C::Message, deadline: Deadline) -> Result<Value, DirectError> {
        let accepted = self.worker.deliverer.send_one(message, deadline.at()).await?;
        Ok(json!({"messageId": accepted.message_id}))
    }
}
