//! Delivering: the road of a notification from a batch to its recorded outcome, the same for every channel.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the steps of delivering a batch, and their guarantees | [`deliver`] |
//! | how long a batch that is put off waits | [`backoff`] |
//! | what a transport is, and how its answers are sorted | [`transport`] |
//! | what an e-mail looks like | [`email`], `templates/offer.html` |
//! | how SMTP is spoken, and its connections | [`smtp`] |
//! | whom TLS trusts | [`tls`] |
//! | what a text message looks like | [`sms`] |
//! | what a text costs, and how it is cut to fit | [`segments`] |
//! | how SES is called, and its answers sorted | [`ses`] |
//! | the same of SNS | [`sns`] |
//! | what the failure of any call to AWS means for the customer | [`aws`] |
//! | what a function does with the messages of its queue | [`batches`] |

pub mod aws;
pub mod backoff;
pub mod batches;
pub mod deliver;
pub mod email;
pub mod segments;
pub mod ses;
pub mod sms;
pub mod smtp;
pub mod sns;
pub mod tls;
pub mod transport;

pub use batches::Batches;
pub use deliver::{Delivered, Deliverer, Paced, PutOff, SendOneError, Why};
pub use email::{Email, EmailComposer, Envelope};
pub use ses::SesTransport;
pub use sms::{SmsComposer, TextMessage};
pub use smtp::SmtpTransport;
pub use sns::{SnsOptions, SnsTransport};
pub use transport::{Accepted, Compose, SendError, Transport};
