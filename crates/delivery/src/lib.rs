//! Delivering: the road of a notification from a batch to its recorded outcome, the same for every channel.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the steps of delivering a batch, and their guarantees | [`pipeline`] |
//! | what a transport is, and how its answers are sorted | [`transport`] |
//! | how SES, SNS and SMTP are called | [`transport::ses`], [`transport::sns`], [`transport::smtp`] |
//! | what an e-mail looks like | [`compose::letterhead`], `templates/offer.html` |
//! | its headers | [`compose::mime`], [`compose::email`] |
//! | what a text message looks like | [`compose::sms`] |
//! | what a text costs, and how it is cut to fit | [`compose::segments`] |
//! | what a function does with the messages of its queue | [`worker`] |

pub mod compose;
pub mod lambda;
pub mod pipeline;
pub mod transport;
pub mod worker;

pub use compose::Compose;
pub use compose::email::EmailComposer;
pub use compose::mime::{Email, EmailDraft};
pub use compose::sms::{SmsComposer, TextMessage};
pub use lambda::{ChannelFunction, DirectError};
pub use pipeline::{DeferReason, Deferral, Delivered, Deliverer, RateLimited, SendOneError};
pub use transport::email::EmailTransport;
pub use transport::ses::SesTransport;
pub use transport::smtp::SmtpTransport;
pub use transport::sns::{SnsOptions, SnsTransport};
pub use transport::{Accepted, SendError, Transport};
pub use worker::Worker;
