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

pub mod backoff;
pub mod deliver;
pub mod email;
pub mod smtp;
pub mod transport;

pub use deliver::{Delivered, Deliverer, PutOff, Why};
pub use email::{EmailComposer, Envelope};
pub use smtp::SmtpTransport;
pub use transport::{Accepted, Compose, SendError, Transport};
