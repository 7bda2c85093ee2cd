//! The function `sms`: delivers batches of text messages from its queue, or one text message on direct invocation.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the text message of a direct invocation | [`direct`] |
//! | settings | `main.rs` |
//! | everything that the channels share | the crate `delivery` |

pub mod direct;

use delivery::lambda::BoxError;
use delivery::{ChannelFunction, SmsComposer, TextMessage, Transport};
use runtime::Invocation;
use serde_json::Value;

/// The function, on any transport for text messages.
pub type App<T> = ChannelFunction<SmsComposer, T>;

/// Handles an event: batches of the queue, or a direct invocation.
///
/// # Errors
/// If the payload is malformed, or the text message of a direct invocation was not sent.
pub async fn handle<T>(app: &App<T>, payload: Value, invocation: Invocation) -> Result<Value, BoxError>
where
    T: Transport<Message = TextMessage>,
{
    app.handle(payload, invocation, async |payload| direct::send(app, payload, invocation).await).await
}
