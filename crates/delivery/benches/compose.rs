//! Processor time of composing one e-mail without translations, step by step.
//!
//!     cargo bench -p delivery --bench compose
//!
//! Where the composer's interface is the same, an earlier release is measured by the same file.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use delivery::compose::letterhead::Letterhead;
use delivery::compose::links::Links;
use delivery::{Compose, EmailComposer};
use domain::unsubscribe::KeyRing;
use domain::{Channel, Customer};
use futures::FutureExt;
use language::Language;
use serde_json::json;

const ROUNDS: usize = 20;
const MESSAGES_A_ROUND: u32 = 1_000;

fn main() -> Result<()> {
    let ring = json!({"current": "k1", "k1": "0123456789012345678901234567890123456789"}).to_string();
    let ring = Arc::new(KeyRing::parse(&ring)?);
    let letterhead = Letterhead {
        brand_name: "A Bank".to_owned(),
        postal_address: "1 High Street".to_owned(),
        logo_url: None,
        brand_colours: "#1d4fa8".parse()?,
    };
    let source = ring.clone();
    let links = Links::new(
        "https://offers.bank.example/v1".parse()?,
        Box::new(move || std::future::ready(Ok(source.clone())).boxed()),
    );
    let (from, reply_to) = ("A Bank <offers@bank.example>".parse()?, "service@bank.example".parse()?);
    let composer = EmailComposer::new(from, reply_to, letterhead.clone(), links);
    let customer = json!({"name": "Asha Rao", "email": "asha@example.com", "channels": ["email"]});
    let customer = Customer::parse("c-1", customer).map_err(|faults| anyhow!("{faults}"))?;
    let hash = testing::address_hash(Channel::Email, "asha@example.com");
    let bare = json!({"code": "CASHBK", "description": "Dear {{ customer.name }},\n\nget 5% cashback on 5000 spent."});
    let full = json!({
        "code": "CASHBK", "preheader": "Only this month", "terms": "The full terms apply.",
        "description": "Dear {{ customer.name }},\n\nget **5%** cashback:\n\n- on travel\n- on dining\n- on groceries",
        "link": {"url": "https://bank.example/o?c={{ customer.id }}", "label": "See the offer"},
        "image": {"url": "https://bank.example/i.png", "alt": "A card"}, "validUntil": "2026-12-01T00:00:00Z",
    });
    for (name, offer) in [("the least that an offer has", bare), ("everything that an offer has", full)] {
        let offer = testing::offer(offer);
        let english = Language::english();
        let rendered = offer.render(&customer, Channel::Email, &english).map_err(anyhow::Error::msg)?;
        println!("{name}:");
        measure("placeholders and CommonMark", || offer.render(&customer, Channel::Email, &english));
        measure("layout", || letterhead.write_offer(&rendered, "https://offers.bank.example/v1/unsubscribe/k1.x"));
        measure("all, with MIME and the signed link", || composer.compose(&ring, &offer, &customer, &hash));
    }
    Ok(())
}

/// Prints the time of one call: the least of several rounds, so that other processes do not count.
fn measure<T>(what: &str, mut work: impl FnMut() -> T) {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..MESSAGES_A_ROUND {
            black_box(work());
        }
        start.elapsed() / MESSAGES_A_ROUND
    };
    let least: Duration = (0..ROUNDS).map(round).min().unwrap_or_default();
    println!("  {:6.1} µs  {what}", least.as_secs_f64() * 1e6);
}
