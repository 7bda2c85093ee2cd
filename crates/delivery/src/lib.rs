//! Delivering notifications: from a batch to recorded outcomes, the same for every channel.
//!
//! Modules depend on each other in one direction: `lambda` → `worker` → `pipeline` → `transport` → `compose`.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how a function handles an event or a direct invocation | [`lambda`] |
//! | what happens to a message of a channel's queue, its log lines and metrics | [`worker`] |
//! | the steps of delivering a batch, and their guarantees | [`pipeline`] |
//! | how providers are called, and what their responses mean | [`transport`] |
//! | the content of messages | [`compose`] |

pub mod compose;
pub mod lambda;
pub mod pipeline;
pub mod transport;
pub mod worker;

pub use compose::Compose;
pub use compose::email::EmailComposer;
pub use compose::mailbox::Mailbox;
pub use compose::mime::{CommonHeaders, Email, EmailDraft};
pub use compose::sms::{DltIds, SmsComposer, SmsSettings, SmsText, TextMessage};
pub use lambda::{ChannelFunction, DirectError};
pub use pipeline::{
    DeferReason, Deferral, DeliverError, Delivered, Deliverer, FullLine, RateLimited, SendOneError, UnusableBatch,
};
pub use transport::email::EmailTransport;
pub use transport::ses::SesTransport;
pub use transport::smtp::{HelloName, SmtpTransport};
pub use transport::sns::{SnsOptions, SnsTransport};
pub use transport::{Accepted, Refusal, RefusalKind, SendError, Suspect, Transport};
pub use worker::Worker;
