//! The inbox: an SMTP server that stores all e-mail of the local stack, with a web page and a JSON API.
//!
//! It can inject faults (`PUT /api/faults`), to show how the product handles them.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the SMTP conversation | `smtp` |
//! | fault injection | `faults` |
//! | stored messages | `message` |
//! | the conversation that brought a message | `transcript` |
//! | the text messages, which the emulator of AWS records | `texts` |
//! | the JSON API; the page | `web`; `page.html`, `page.css`, `page.js` |

pub mod faults;
pub mod message;
pub mod smtp;
pub mod texts;
pub mod transcript;
pub mod web;

pub use faults::{Fault, Faults};
pub use message::{Mail, Messages, Wanted};
pub use texts::Texts;
pub use transcript::Transcript;
