//! Any text in any field, in any language, is refused with the field's name, or arrives as it was meant, as two
//! independent parsers see it: `mail-parser` and Python's `email`.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod locales;
mod seen;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use delivery::compose::letterhead::{Content, Letterhead};
use delivery::compose::links::Links;
use delivery::{Compose, EmailComposer, Mailbox};
use domain::characters::is_blank;
use domain::fields::{Lines, parse_text};
use domain::markup::{Block, Span};
use domain::offer::{Body, Posted, Rendered};
use domain::unsubscribe::KeyRing;
use domain::{Channel, Customer, Offer};
use fastrand::Rng;
use futures::FutureExt;
use language::Language;
use language::formats::plain_spaces;
use serde_json::{Value, json};

use seen::Seen;

const MESSAGES: u64 = 400;
/// How many of them are not refused, at least.
const LEAST: usize = 100;

/// What texts are made of: what encoders, parsers and servers are known to stumble over.
const PIECES: &[&str] = &[
    "a",
    "Get 5% off",
    "From ",
    "\nFrom here",
    ".",
    "..",
    "\n.\n",
    "\n..x",
    " ",
    "  ",
    "   ",
    "\t",
    "=",
    "=3D",
    "=\n",
    "=20",
    "=?",
    "?=",
    "=?utf-8?B?RlJFRQ==?=",
    "=?utf-8?Q?=0D=0ABcc:_x@y.zz?=",
    "=?iso-8859-1?q?=E9?= =?iso-8859-1?q?=E9?=",
    "\n",
    "\n\n",
    "\r\n",
    " \n",
    "é",
    "e\u{301}",
    "🎁",
    "👨‍👩‍👧‍👦",
    "🇵🇹",
    "שלום",
    "مرحبا",
    "\u{200f}",
    "你好",
    "ß",
    "<script>",
    "&amp;",
    "\"",
    "\\",
    "\\\"",
    ",",
    ";",
    ":",
    "@",
    "(",
    ")",
    "<",
    ">",
    "[x]",
    "'",
    "--",
    "-- ",
    "\n-- \n",
    "Subject: x",
    "Bcc: a@b.example",
    "Content-Type: text/html",
    "**5%**",
    "*of*",
    "[terms](https://bank.example/t?a=1&b=(2))",
    "<https://bank.example>",
    "www.bank.example",
    "\n# Title\n",
    "\n- item\n",
    "\n\n7. item\n",
    "\n\n> quote\n",
    "\n\n---\n",
    "{{ customer.a }}",
    "{{ customer.b }}",
    "\u{a0}",
    "\u{2009}",
    "\u{3000}",
    "word-word-word-word-",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678",
];
/// What is refused, in one text of ten.
const REFUSED: &[&str] =
    &["\r", "\0", "\u{1b}", "\u{7f}", "\u{85}", "\u{2028}", "\u{2029}", "\u{fffe}", "\u{202e}", "{", "\u{feff}"];
/// Long runs, in one text of ten.
const RUNS: &[&str] = &["x", "🎁", " ", ".", "é ", "=", "\n", ".\n"];

/// A text of at most `limit` characters.
fn text(rng: &mut Rng, limit: usize) -> String {
    let mut text = String::new();
    for _ in 0..rng.usize(1..=12) {
        text.push_str(rng.choice(PIECES).unwrap());
        if rng.bool() {
            text.push(' ');
        }
    }
    if rng.u8(..10) == 0 {
        text.push_str(rng.choice(REFUSED).unwrap());
    }
    if rng.u8(..10) == 0 {
        text.push_str(&rng.choice(RUNS).unwrap().repeat(rng.usize(1..limit)));
    }
    text.push_str(rng.choice(["", "end", "🎁", " ", "\n"]).unwrap());
    text.chars().take(limit).collect()
}

/// A text in one line, mostly.
fn line(rng: &mut Rng, limit: usize) -> String {
    let text = text(rng, limit);
    if rng.u8(..10) == 0 { text } else { text.replace(['\n', '\r', '\t'], " ") }
}

/// An offer with any of the fields that it may have.
fn offer(rng: &mut Rng) -> Value {
    let mut offer = json!({"code": "A", "subject": line(rng, 200), "description": text(rng, 10_000)});
    let label = line(rng, 60);
    let url = "https://bank.example/{}?q={{ customer.b }}&x=[1]".replace("{}", rng.choice(["", "%20", "ü"]).unwrap());
    for (field, value) in [
        ("link", json!({"url": url, "label": label})),
        ("preheader", line(rng, 200).into()),
        ("terms", text(rng, 5_000).into()),
        ("image", json!({"url": "https://bank.example/i.png", "alt": line(rng, 200)})),
        ("language", json!(rng.choice(["de", "ar", "hi", "pt-PT"]))),
        ("translations", json!({"ar": {"subject": line(rng, 200)}})),
        ("validUntil", "2026-09-01T00:00:00Z".into()),
    ] {
        if rng.u8(..3) == 0 {
            offer[field] = value;
        }
    }
    offer
}

/// A composed message, and what should arrive.
struct Case {
    raw: Vec<u8>,
    expected: Seen,
}

/// The case of a seed. `Err` with the names of the fields that were refused.
fn case(seed: u64) -> Result<Case, Vec<String>> {
    let mut rng = Rng::with_seed(seed);
    let (brand_name, postal_address) = (line(&mut rng, 100), line(&mut rng, 200));
    let mut refused = Vec::new();
    for (field, value, limit) in [("BrandName", &brand_name, 100), ("PostalAddress", &postal_address, 200)] {
        refused.extend(parse_text(value, limit, Lines::One).is_err().then(|| field.to_owned()));
    }
    // The bank's name is refused with it, the others are not.
    let name = line(&mut rng, 200).replace("=?", if rng.u8(..20) == 0 { "=?" } else { "= ?" });
    let from = format!("{name} <offers@bank.example>").parse::<Mailbox>();
    let from = from.map_err(|_| refused.push("FromAddress".to_owned()));
    let offer = offer(&mut rng);
    let customer = json!({"name": line(&mut rng, 200), "email": "asha@example.com", "channels": ["email"],
                          "locale": rng.choice(["en-GB", "ar-EG", "pt-PT", "de-CH", "ja-JP"]),
                          "attributes": {"a": text(&mut rng, 300), "b": text(&mut rng, 20)}});
    let policy = testing::policy();
    let (id, at) = (testing::OFFER.parse().unwrap(), "2026-06-01T12:00:00Z".parse().unwrap());
    let posted = Posted { id, at, by: "bank", policy: &policy };
    let mut named = |faults: domain::Faults| refused.extend(faults.into_vec().into_iter().map(|fault| fault.field));
    let offer = Offer::parse(offer, &posted).map_err(&mut named);
    let customer = Customer::parse("c-1", customer).map_err(&mut named);
    let (Ok(from), Ok(offer), Ok(customer), true) = (from, offer, customer, refused.is_empty()) else {
        return Err(refused);
    };
    let field_of = |error: String| vec![error.split(':').next().unwrap_or_default().to_owned()];
    let rendered = offer.render(&customer, Channel::Email, &Language::english()).map_err(field_of)?;
    let logo_url = rng.bool().then(|| "https://bank.example/logo.png".to_owned());
    let letterhead = Letterhead { brand_name, postal_address, logo_url, brand_colours: "#1d4fa8".parse().unwrap() };

    let from_name = from.name().unwrap_or_default().to_owned();
    let (composer, ring) = composer(from, letterhead.clone());
    let raw = composer
        .compose(&ring, &offer, &customer, &testing::address_hash(Channel::Email, "asha@example.com"))
        .map_err(field_of)?
        .bytes()
        .to_vec();
    let expected = expected(&raw, from_name, &rendered, &letterhead, &customer);
    Ok(Case { raw, expected })
}

/// A composer, and the keys of its links.
fn composer(from: Mailbox, letterhead: Letterhead) -> (EmailComposer, Arc<KeyRing>) {
    let ring = json!({"current": "k1", "k1": "0123456789012345678901234567890123456789"}).to_string();
    let ring = Arc::new(KeyRing::parse(&ring).unwrap());
    let source = ring.clone();
    let links = Links::new(
        "https://offers.bank.example/v1".parse().unwrap(),
        Box::new(move || std::future::ready(Ok(source.clone())).boxed()),
    );
    let composer = EmailComposer::new(from, "service@bank.example".parse().unwrap(), letterhead, links);
    (composer.with_stack("bank-offers".to_owned()), ring)
}

fn expected(raw: &[u8], from: String, rendered: &Rendered, letterhead: &Letterhead, customer: &Customer) -> Seen {
    let link = String::from_utf8(raw.to_vec()).unwrap();
    let link = link.split_once("List-Unsubscribe: <").unwrap().1.split_once(">\r\n").unwrap().0;
    let Content { subject, text, html, language } = letterhead.write_offer(rendered, link).unwrap();
    // The layout leaves the words as they are.
    let words = |text: &str| text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect::<String>();
    assert_eq!(words(&subject), words(&rendered.subject));
    for body in [Some(&rendered.description), rendered.terms.as_ref()].into_iter().flatten() {
        let Body::Formatted(blocks) = body else { panic!("offers are formatted when they are posted") };
        // What shows nothing is left out of the text.
        for words in texts(blocks).into_iter().filter(|words| !is_blank(words)) {
            assert!(text.contains(&plain_spaces(words)), "{words} is not in the text: {text}");
            assert!(html.contains(&escaped(words)), "{words} is not in the HTML: {html}");
        }
    }
    if let Some(link) = &rendered.link {
        assert!(text.contains(&format!("\n\n{}: {}\n\n", link.label, link.url)), "{text}");
    }
    assert!(text.contains(&format!("\n\n-- \n{}\n", plain_spaces(&letterhead.brand_name))), "{text}");
    assert!(!text.contains(['\u{a0}', '\u{202f}']) && !subject.contains(['\u{a0}', '\u{202f}']));
    assert_eq!(language, rendered.language);
    Seen {
        subject,
        from: (from.trim().to_owned(), "offers@bank.example".to_owned()),
        to: (customer.name.trim().to_owned(), "asha@example.com".to_owned()),
        text,
        html,
        list: (letterhead.brand_name.trim().to_owned(), "offers.bank.example".to_owned()),
        feedback_id: format!("{}:bank-offers", testing::OFFER),
        auto_submitted: "auto-generated".to_owned(),
        content_language: language.to_string(),
        headers: [
            "from",
            "reply-to",
            "auto-submitted",
            "list-id",
            "to",
            "subject",
            "message-id",
            "date",
            "content-language",
            "list-unsubscribe",
            "list-unsubscribe-post",
            "feedback-id",
            "mime-version",
            "content-type",
        ]
        .map(str::to_owned)
        .to_vec(),
        defects: Vec::new(),
    }
}

/// Every text in blocks.
fn texts(blocks: &[Block]) -> Vec<&str> {
    let mut found = Vec::new();
    for block in blocks {
        match block {
            Block::Paragraph(content) | Block::Heading { content, .. } => add_texts(content, &mut found),
            Block::List { items, .. } => found.extend(items.iter().flat_map(|item| texts(item))),
            Block::Quote(content) => found.extend(texts(content)),
            Block::Rule => {}
        }
    }
    found
}

fn add_texts<'b>(spans: &'b [Span], found: &mut Vec<&'b str>) {
    for span in spans {
        match span {
            Span::Text(text) => found.push(text),
            Span::Break => {}
            // Of a link, the text may have the address alone.
            Span::Link { .. } => {}
            Span::Emphasis(content) | Span::Strong(content) => add_texts(content, found),
        }
    }
}

fn escaped(text: &str) -> String {
    let pairs = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")];
    pairs.iter().fold(text.to_owned(), |text, (character, entity)| text.replace(*character, entity))
}

/// Messages, each with its number, as Python's `email` reads them. `name` is that of a folder of their own.
fn read_by_python<'m>(name: &str, messages: impl Iterator<Item = (&'m u64, &'m Vec<u8>)>) -> BTreeMap<u64, Seen> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (number, raw) in messages {
        fs::write(folder.join(format!("{number}.eml")), raw).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/arrival/read.py");
    let python = env::var("PYTHON").ok().filter(|python| !python.is_empty()).unwrap_or_else(|| "python3".to_owned());
    let output = Command::new(&python).arg(script).arg(&folder).output();
    let output = output.unwrap_or_else(|error| panic!("{python} (Python 3.10 or newer) is needed: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn any_text_is_refused_with_its_field_or_arrives_as_it_was_meant() {
    let mut cases = BTreeMap::new();
    for seed in 0..MESSAGES {
        match case(seed) {
            Ok(case) => {
                cases.insert(seed, case);
            }
            Err(fields) => {
                let known = |field: &String| {
                    let parts = ["attributes", "link.", "image.", "translations."];
                    ["BrandName", "PostalAddress", "FromAddress", "name"].contains(&field.as_str())
                        || ["subject", "description", "preheader", "terms"].contains(&field.as_str())
                        || parts.iter().any(|part| field.starts_with(part))
                };
                assert!(!fields.is_empty() && fields.iter().all(known), "seed {seed}: {fields:?}");
            }
        }
    }
    let not_refused = cases.len();
    assert!(
        not_refused >= LEAST,
        "{not_refused} of {MESSAGES} are not refused. A new field leaves fewer: raise MESSAGES"
    );
    let mut by_python = read_by_python("arrival", cases.iter().map(|(seed, case)| (seed, &case.raw)));
    for (seed, Case { raw, expected }) in cases {
        assert!(raw.is_ascii(), "seed {seed}");
        let text = String::from_utf8(raw).unwrap();
        assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n', '\0'])), "seed {seed}");
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let is_short = |line: &str| line.len() <= 78 || line.starts_with("List-Unsubscribe: ");
        assert!(head.split("\r\n").all(is_short), "seed {seed}: {head}");
        Seen::of(text.as_bytes()).assert_is(&expected, &format!("seed {seed}, by mail-parser"));
        let by_python = by_python.remove(&seed).unwrap().with_plain_breaks();
        by_python.with_joined_names().assert_is(&expected.with_joined_names(), &format!("seed {seed}, by Python"));
    }
}
