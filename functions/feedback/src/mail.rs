//! A message that was sent to the return path: a report of failure (RFC 3464), a complaint (RFC 5965), or anything else.
//!
//! Anyone can send mail there. So nothing that a message claims is believed but what the tag of a return path proves: the
//! message answers an e-mail of ours. What it then says, it says of the address that this e-mail went to.

use std::thread;

use domain::return_path::ReturnTag;
use jiff::Timestamp;
use mail_parser::{MessageParser, MessagePart, MimeHeaders, PartType};

use crate::event::is_complaint;
use crate::verdict::{Verdict, of_status, status};

/// How much of a message is read, in bytes. A report precedes the returned message, which may be large.
pub const MAIL_LIMIT: usize = 256 * 1024;
/// Maximum number of tags that are looked at. A report has one, in several headers.
const MAX_TAGS: usize = 4;
/// Stack of the thread that parses, in bytes. Messages may be nested as often as their size allows, and are dropped
/// recursively: of nested messages, 512 KiB overflow 2 MiB, which most threads have.
const STACK: usize = 16 * 1024 * 1024;
/// The headers that name whom a message was delivered to.
const RECIPIENT_HEADERS: [&str; 8] = [
    "To",
    "Delivered-To",
    "X-Original-To",
    "Envelope-To",
    "X-Envelope-To",
    "X-Rcpt-To",
    "X-Delivered-To",
    // `… with ESMTPS id 1 for <bounces+tag@bank.example>; …`
    "Received",
];

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnedMail {
    /// The tags in the addresses that it was sent to, none of which is verified.
    pub(crate) tags: Vec<ReturnTag>,
    /// What it reports; `None` if it is no report.
    pub(crate) report: Option<Report>,
    /// When it says that it was written (`Date`, RFC 5322, 3.6.1), if it does.
    pub(crate) dated: Option<Timestamp>,
}

/// What a message reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The message was not delivered, and is not tried any more.
    Failed {
        /// What that says of the address.
        verdict: Verdict,
        /// The status, or what there is in its place.
        detail: String,
    },
    /// The message was not delivered yet.
    Delayed {
        /// The status, or what there is in its place.
        detail: String,
    },
    /// The recipient complained.
    Complained {
        /// The type of the complaint.
        detail: String,
    },
}

/// Reads a message, of which `envelope` are the recipients where they are known. `None` if it is no message.
pub(crate) fn parse(raw: &[u8], envelope: &[String]) -> Option<ReturnedMail> {
    let raw = &raw[..raw.len().min(MAIL_LIMIT)];
    thread::scope(|scope| {
        let parsing = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || parse_here(raw, envelope));
        // A panic of the parser costs this message only.
        parsing.ok()?.join().ok().flatten()
    })
}

fn parse_here(raw: &[u8], envelope: &[String]) -> Option<ReturnedMail> {
    let message = MessageParser::default().parse(raw)?;
    let part = |subtypes: &[&str]| message.parts.iter().find(|part| is_message_part(part, subtypes));
    let mut tags = Tags::default();
    envelope.iter().for_each(|address| tags.find(address));
    tags.find_in_headers(message.headers_raw(), &RECIPIENT_HEADERS);
    let report = if let Some(part) = part(&["feedback-report"]) {
        let fields = blocks(&String::from_utf8_lossy(part.contents()));
        let field = |name| fields.first().and_then(|fields| value(fields, name)).unwrap_or_default();
        // Mailbox providers send complaints to an address that was registered with them. They name the return path of the
        // e-mail itself, and return its header.
        tags.find(field("original-mail-from"));
        for part in &message.parts {
            match &part.body {
                PartType::Message(original) => tags.find_in_headers(original.headers_raw(), &["Return-Path"]),
                PartType::Text(text) if is_text_header(part) => {
                    let fields = blocks(text).into_iter().next().unwrap_or_default();
                    tags.find(value(&fields, "return-path").unwrap_or_default());
                }
                _ => {}
            }
        }
        let kind = word(field("feedback-type"));
        (!kind.is_empty() && is_complaint(&kind)).then_some(Report::Complained { detail: kind })
    } else if let Some(part) = part(&["delivery-status", "global-delivery-status"]) {
        // The first block is about the message, each other one about a recipient.
        delivery_report(blocks(&String::from_utf8_lossy(part.contents())).get(1..).unwrap_or_default())
    } else {
        None
    };
    let dated = message.date().filter(|date| date.is_valid());
    let dated = dated.and_then(|date| Timestamp::from_second(date.to_timestamp()).ok());
    Some(ReturnedMail { tags: tags.0, report, dated })
}

/// What the recipients' blocks of a delivery status notification say. An e-mail of ours has one recipient; an alias may
/// have made several of it, and then the address works unless it works for none of them.
fn delivery_report(recipients: &[Block]) -> Option<Report> {
    let mut gravest: Option<Report> = None;
    for recipient in recipients {
        let field = |name| value(recipient, name).unwrap_or_default();
        let status = status(field("status"), field("diagnostic-code"));
        let action = word(field("action"));
        let detail = status.map_or_else(|| action.clone(), |status| format!("{action} {status}"));
        match action.as_str() {
            "failed" => {
                let verdict = status.map_or(Verdict::Transient, of_status);
                let milder = matches!(&gravest, Some(Report::Failed { verdict: known, .. }) if *known <= verdict);
                if !milder {
                    gravest = Some(Report::Failed { verdict, detail });
                }
            }
            "delayed" if gravest.is_none() => gravest = Some(Report::Delayed { detail }),
            // It was delivered, or passed on to a server that sends no reports.
            "delivered" | "relayed" | "expanded" => return None,
            _ => {}
        }
    }
    gravest
}

fn is_message_part(part: &MessagePart<'_>, subtypes: &[&str]) -> bool {
    part.content_type().is_some_and(|kind| {
        kind.ctype().eq_ignore_ascii_case("message")
            && kind.subtype().is_some_and(|own| subtypes.iter().any(|subtype| own.eq_ignore_ascii_case(subtype)))
    })
}

fn is_text_header(part: &MessagePart<'_>) -> bool {
    part.content_type().and_then(|kind| kind.subtype()).is_some_and(|own| own.eq_ignore_ascii_case("rfc822-headers"))
}

/// Tags that were found, each once.
#[derive(Default)]
struct Tags(Vec<ReturnTag>);

impl Tags {
    /// Adds the tags of all addresses in a text.
    fn find(&mut self, text: &str) {
        let is_between = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\"'".contains(c);
        let addresses = text.split(is_between).filter(|word| word.contains('@'));
        for tag in addresses.filter_map(ReturnTag::find) {
            if self.0.len() < MAX_TAGS && !self.0.contains(&tag) {
                self.0.push(tag);
            }
        }
    }

    fn find_in_headers<'h>(&mut self, headers: impl Iterator<Item = (&'h str, &'h str)>, names: &[&str]) {
        for (name, text) in headers {
            if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                self.find(text);
            }
        }
    }
}

/// Fields, with their names in lower case.
type Block = Vec<(String, String)>;

/// The blocks of fields in a report (RFC 3464, 2.1): like headers, separated by empty lines. What is no field is skipped.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_new = true;
    for line in text.lines() {
        if line.trim().is_empty() {
            is_new = true;
        } else if line.starts_with([' ', '\t']) {
            let last = blocks.last_mut().and_then(|block| block.last_mut());
            if let Some((_, value)) = last.filter(|_| !is_new) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            if std::mem::take(&mut is_new) {
                blocks.push(Vec::new());
            }
            if let Some(block) = blocks.last_mut() {
                block.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }
    blocks
}

fn value<'b>(block: &'b Block, name: &str) -> Option<&'b str> {
    block.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

/// The word that a field begins with, in lower case: it is recorded, and may hold no address.
fn word(value: &str) -> String {
    let word = value.trim_start().chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-');
    word.take(32).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
