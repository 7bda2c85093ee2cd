//! The function `email`: delivers batches of e-mail from its queue, or one e-mail on direct invocation.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the e-mail of a direct invocation | [`direct`] |
//! | settings | `main.rs` |
//! | everything that the channels share | the crate `delivery` |

pub mod direct;

use delivery::lambda::BoxError;
use delivery::{ChannelFunction, Email, EmailComposer, Transport};
use runtime::Invocation;
use serde_json::Value;

/// The function, on any transport for e-mail.
pub type App<T> = ChannelFunction<EmailComposer, T>;

/// Handles an event: batches of the queue, or a direct invocation.
///
/// # Errors
/// If the payload is malformed, or the e-mail of a direct invocation was not sent.
pub async fn handle<T>(app: &App<T>, payload: Value, invocation: Invocation) -> Result<Value, BoxError>
where
    T: Transport<Message = Email>,
{
    app.handle(payload, invocation, async |payload| direct::send(app, payload, invocation).await).await
}
