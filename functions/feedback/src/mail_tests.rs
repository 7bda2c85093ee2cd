use domain::unsubscribe::KeyRing;
use domain::{OfferId, ReturnPath};
use proptest::prelude::*;

use super::*;

fn return_path() -> String {
    let ring = KeyRing::parse(r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#).unwrap();
    let offer: OfferId = "01980000-0000-7000-8000-000000000001".parse().unwrap();
    "bounces@bank.example".parse::<ReturnPath>().unwrap().tagged(&ring, offer, &"asha-1".parse().unwrap())
}

macro_rules! corpus {
    ($($name:literal,)*) => {
        /// Messages as servers of different kinds write them.
        const CORPUS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../tests/mail/", $name, ".eml"))),)*];
    };
}

corpus! {
    "postfix-unknown-user",
    "postfix-delayed",
    "postfix-expired",
    "exim-without-status",
    "exchange-not-found",
    "policy",
    "mailbox-full",
    "international-base64",
    "delivered",
    "alias-partly-delivered",
    "alias-failed",
    "out-of-office",
    "read-receipt",
    "complaint-with-envelope",
    "complaint-with-message",
    "complaint-with-headers",
    "not-spam",
}

fn message(name: &str) -> String {
    let (_, message) = CORPUS.iter().find(|(known, _)| *known == name).unwrap();
    message.replace("RETURN-PATH", &return_path())
}

fn failed(verdict: Verdict, detail: &str) -> Option<Report> {
    Some(Report::Failed { verdict, detail: detail.to_owned() })
}

fn complained(detail: &str) -> Option<Report> {
    Some(Report::Complained { detail: detail.to_owned() })
}

#[test]
fn reports_of_every_kind_of_server_are_read() {
    let expected = [
        ("postfix-unknown-user", failed(Verdict::Permanent, "failed 5.1.1")),
        ("postfix-delayed", Some(Report::Delayed { detail: "delayed 4.4.1".to_owned() })),
        ("postfix-expired", failed(Verdict::Transient, "failed 4.4.1")),
        ("exim-without-status", failed(Verdict::Permanent, "failed 5.1.1")),
        ("exchange-not-found", failed(Verdict::Permanent, "failed 5.1.10")),
        ("policy", failed(Verdict::Refused, "failed 5.7.1")),
        ("mailbox-full", failed(Verdict::Transient, "failed 5.2.2")),
        ("international-base64", failed(Verdict::Permanent, "failed 5.1.2")),
        ("delivered", None),
        ("alias-partly-delivered", None),
        ("alias-failed", failed(Verdict::Transient, "failed 4.4.7")),
        ("out-of-office", None),
        ("read-receipt", None),
        ("complaint-with-envelope", complained("abuse")),
        ("complaint-with-message", complained("abuse")),
        ("complaint-with-headers", complained("fraud")),
        ("not-spam", None),
    ];
    assert_eq!(expected.len(), CORPUS.len());
    let tag = ReturnTag::find(&return_path()).unwrap();
    for (name, report) in expected {
        for (form, message) in [("LF", message(name)), ("CRLF", message(name).replace('\n', "\r\n"))] {
            let parsed = parse(message.as_bytes(), &[]).unwrap();
            assert_eq!(parsed.report, report, "{name}, {form}");
            assert_eq!(parsed.tags, std::slice::from_ref(&tag), "{name}, {form}");
        }
    }
}

#[test]
fn the_tag_is_found_wherever_servers_note_the_recipient() {
    let (tagged, tag) = (return_path(), ReturnTag::find(&return_path()).unwrap());
    for header in [
        format!("To: Offers <{tagged}>, Someone Else <else@bank.example>"),
        format!("to: {}", tagged.to_ascii_uppercase()),
        format!("Delivered-To: {tagged}"),
        format!("X-Original-To: <{tagged}>"),
        format!("Envelope-To: {tagged}"),
        format!(
            "Received: from mx.example.com by mail.bank.example\r\n with ESMTPS id 1 for <{tagged}>;\r\n Tue, 24 Nov 2026 10:00:00 +0000"
        ),
    ] {
        let message = format!("From: <mailer-daemon@example.com>\r\n{header}\r\nSubject: x\r\n\r\nHello");
        assert_eq!(parse(message.as_bytes(), &[]).unwrap().tags, std::slice::from_ref(&tag), "{header}");
    }
    let message = b"To: postmaster@bank.example\r\n\r\nHello";
    assert_eq!(parse(message, &[tagged]).unwrap().tags, [tag], "of the envelope");
    let elsewhere = format!("Subject: {0}\r\nFrom: {0}\r\nTo: x@bank.example\r\n\r\n{0}", return_path());
    assert_eq!(parse(elsewhere.as_bytes(), &[]).unwrap().tags, []);
}

#[test]
fn a_report_records_no_address() {
    for (name, _) in CORPUS {
        let recorded = format!("{:?}", parse(message(name).as_bytes(), &[]).unwrap());
        assert!(!recorded.contains('@') && !recorded.contains("asha"), "{recorded}");
    }
    let hostile = message("postfix-unknown-user")
        .replace("Action: failed", "Action: asha@example.com")
        .replace("Status: 5.1.1", "Status: asha@example.com");
    assert_eq!(parse(hostile.as_bytes(), &[]).unwrap().report, None);
}

#[test]
fn a_huge_or_deeply_nested_message_is_read_in_bounds() {
    // The report comes first. What follows is not read.
    let mut huge = message("postfix-expired").into_bytes();
    let end = huge.windows(15).position(|window| window == b"Get 5% cashback").unwrap();
    huge.truncate(end);
    huge.resize(64 * MAIL_LIMIT, b'x');
    assert_eq!(parse(&huge, &[]).unwrap().report, failed(Verdict::Transient, "failed 4.4.1"));
    for (header, lines) in [
        ("Content-Type: message/rfc822\n\n", 1),
        ("Content-Type: multipart/digest; boundary=a\n\n--a\n\n", 1),
        ("Content-Type: multipart/mixed; boundary=a\n\n--a\n", 1),
        ("To: x\n", 1),
        ("To: a+b@c, ", 0),
        (" \n", 1),
        ("\0", 0),
    ] {
        let times = MAIL_LIMIT / header.len() + lines;
        parse(header.repeat(times).as_bytes(), &[return_path()]);
    }
    assert_eq!(parse(b"", &[]), None);
}

/// Part of a message, and what to do there.
fn mutations() -> impl Strategy<Value = (usize, Vec<(prop::sample::Index, Vec<u8>, usize)>)> {
    let change = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..8), 0..40_usize);
    (0..CORPUS.len(), prop::collection::vec(change, 0..6))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_damaged_message_is_read_without_failing((which, changes) in mutations()) {
        let mut message = message(CORPUS[which].0).into_bytes();
        for (at, inserted, removed) in changes {
            let at = at.index(message.len() + 1);
            let end = (at + removed).min(message.len());
            message.splice(at..end, inserted);
        }
        // Here, where a panic is seen.
        let parsed = parse_here(&message, &[]);
        prop_assert!(parsed.is_none_or(|parsed| parsed.tags.len() <= MAX_TAGS));
    }

    #[test]
    fn any_bytes_are_read_without_failing(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        parse_here(&bytes, &[]);
    }

    #[test]
    fn any_fields_are_read_without_failing(text in "([A-Za-z-]{0,8}:?[ \t]{0,2}[ -~é]{0,20}\r?\n?){0,20}") {
        for block in blocks(&text) {
            prop_assert!(!block.is_empty());
        }
        delivery_report(&blocks(&text));
    }
}
