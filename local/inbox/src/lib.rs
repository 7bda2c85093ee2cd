//! An SMTP server that keeps what it gets, with a web page and a JSON API: where the local stack's e-mail arrives.
//!
//! It fails on demand (`PUT /api/faults`), so that one can see what the product makes of that.

pub mod faults;
pub mod message;
pub mod smtp;
pub mod web;

pub use faults::{Fault, Faults};
pub use message::{Mail, Messages};
