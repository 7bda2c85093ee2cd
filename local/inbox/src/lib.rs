//! An SMTP server that keeps what it gets, with a web page and a JSON API: where the local stack's e-mail arrives.

pub mod message;
pub mod smtp;
pub mod web;

pub use message::{Mail, Messages};
