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
//! | how SES is called, and its answers sorted | [`ses`] |

pub mod backoff;
pub mod deliver;
pub mod email;
pub mod ses;
pub mod smtp;
pub mod tls;
pub mod transport;

pub use deliver::{Delivered, Deliverer, Paced, PutOff, SendOneError, Why};
pub use email::{Email, EmailComposer, Envelope};
pub use ses::SesTransport;
pub use smtp::SmtpTransport;
pub use transport::{Accepted, Compose, SendError, Transport};
