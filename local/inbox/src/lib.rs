//! An SMTP server that keeps what it gets, with a web page and a JSON API: where the local stack's e-mail arrives.
//!
//! It fails on demand (`PUT /api/faults`), so that one can see what the product makes of that.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the SMTP conversation | `smtp` |
//! | what goes wrong on demand | `faults` |
//! | what is kept of a message | `message` |
//! | the JSON API; the page | `web`; `page.html` |

pub mod faults;
pub mod message;
pub mod smtp;
pub mod web;

pub use faults::{Fault, Faults};
pub use message::{Mail, Messages};
