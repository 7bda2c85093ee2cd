//! Properties of reading replies: any bytes, in any pieces.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use proptest::collection::vec;
use proptest::prelude::*;
use smtp::reply::MAX_REPLY;
use smtp::{Replies, Reply};

/// All replies in these pieces, and whether something came that is no reply.
fn read(pieces: &[&[u8]]) -> (Vec<Reply>, bool) {
    let mut replies = Replies::default();
    let mut read = Vec::new();
    for piece in pieces {
        replies.push(piece);
        loop {
            match replies.next_reply() {
                Ok(Some(reply)) => read.push(reply),
                Ok(None) => break,
                Err(_) => return (read, true),
            }
        }
    }
    (read, false)
}

/// Cuts bytes at these places, each one counted from the one before.
fn cut<'b>(mut bytes: &'b [u8], lengths: &[usize]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.len() <= *length {
            break;
        }
        let (piece, rest) = bytes.split_at(*length);
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

/// Bytes of which some look like replies.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => "[0-9]{3}".prop_map(String::into_bytes),
        2 => prop_oneof![Just(" "), Just("-"), Just("\t"), Just("")].prop_map(|text| text.as_bytes().to_vec()),
        2 => "[245]\\.[0-9]{1,3}\\.[0-9]{1,3}".prop_map(String::into_bytes),
        3 => prop_oneof![Just("\r\n"), Just("\n"), Just("\r")].prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ];
    vec(part, 0..60).prop_map(|parts| parts.concat())
}

/// A reply as servers send it: its lines, their ends, and its code.
fn reply() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let line = (vec(any::<u8>().prop_filter("a line has no line end", |byte| *byte != b'\n'), 0..40), any::<bool>());
    (200_u16..600, vec(line, 1..5)).prop_map(|(code, lines)| {
        let mut bytes = Vec::new();
        let last = lines.len() - 1;
        for (at, (text, is_crlf)) in lines.into_iter().enumerate() {
            bytes.extend_from_slice(format!("{code}{}", if at == last { " " } else { "-" }).as_bytes());
            bytes.extend_from_slice(&text);
            bytes.extend_from_slice(if is_crlf { b"\r\n" } else { b"\n" });
        }
        (bytes, code)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_do_not_change_what_is_read(bytes in conversation(), lengths in vec(1_usize..30, 1..8)) {
        let whole = read(&[&bytes]);
        prop_assert_eq!(&read(&cut(&bytes, &lengths)), &whole);
        prop_assert_eq!(&read(&cut(&bytes, &[1])), &whole);
    }

    #[test]
    fn every_reply_is_read_with_its_code(sent in vec(reply(), 0..6), lengths in vec(1_usize..30, 1..8)) {
        let bytes = sent.iter().map(|(bytes, _)| bytes.as_slice()).collect::<Vec<_>>().concat();
        let (got, is_malformed) = read(&cut(&bytes, &lengths));
        prop_assert!(!is_malformed);
        prop_assert_eq!(got.iter().map(|reply| reply.code).collect::<Vec<_>>(),
            sent.iter().map(|(_, code)| *code).collect::<Vec<_>>());
        for reply in got {
            prop_assert!(reply.is_complete);
            prop_assert!(reply.text.chars().count() <= 1_000 && !reply.text.contains(char::is_control));
            let contradicts = |status: smtp::EnhancedStatus| u16::from(status.class) != reply.code / 100;
            prop_assert!(!reply.enhanced.is_some_and(contradicts), "{:?}", reply);
        }
    }
}

proptest! {
    // Each one reads some hundred kilobytes.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_read_without_end(start in conversation(), more in vec(any::<u8>(), 1..50)) {
        let mut replies = Replies::default();
        replies.push(&start);
        while let Ok(Some(_)) = replies.next_reply() {}
        // Each piece ends a reply, or this many are the most of one.
        let (mut since, most) = (0, MAX_REPLY / more.len() + 2);
        for _ in 0..3 * most {
            replies.push(&more);
            let mut count = 0;
            loop {
                match replies.next_reply() {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            since = if count > 0 { 0 } else { since + 1 };
            prop_assert!(since <= most);
        }
    }
}
