//! Writes the sample offer as its customers get it, in four languages: for each, the HTML, the plain text and the whole message.
//!
//!     cargo run -p delivery --example gallery -- FOLDER [LOGO IMAGE]
//!
//! `LOGO` and `IMAGE` are the addresses of the images in the HTML, such as `file:///tmp/logo.png`, where the bank's are not
//! reachable.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use delivery::compose::letterhead::Letterhead;
use delivery::compose::links::Links;
use delivery::{Compose, EmailComposer};
use domain::unsubscribe::KeyRing;
use domain::{Channel, Customer};
use futures::FutureExt;
use language::Language;
use serde_json::{Value, json};

const LOGO: &str = "https://bank.example/logo.png";
const OFFER: &str = include_str!("../../../local/stack/src/sample-offer.json");

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let folder = PathBuf::from(args.next().context("usage: gallery FOLDER [LOGO IMAGE]")?);
    let (logo, image) = (args.next(), args.next());
    fs::create_dir_all(&folder)?;
    let ring = json!({"current": "k1", "k1": "0123456789012345678901234567890123456789"}).to_string();
    let ring = Arc::new(KeyRing::parse(&ring)?);
    let letterhead = Letterhead {
        brand_name: "Offercast Bank".to_owned(),
        postal_address: "1 High Street, Springfield".to_owned(),
        logo_url: Some(LOGO.to_owned()),
        brand_colours: "#1f4fa3".parse()?,
    };
    let source = ring.clone();
    let links = Links::new(
        "https://offers.bank.example/v1".parse()?,
        Box::new(move || std::future::ready(Ok(source.clone())).boxed()),
    );
    let (from, reply_to) = ("Offercast Bank <offers@bank.example>".parse()?, "service@bank.example".parse()?);
    let composer = EmailComposer::new(from, reply_to, letterhead.clone(), links);
    let mut offer: Value = serde_json::from_str(OFFER)?;
    offer["validUntil"] = "2026-11-30T20:00:00Z".into();
    let offer = testing::offer(offer);
    for (locale, name, time_zone) in [
        ("en-GB", "Mei Müller", "Europe/London"),
        ("de-DE", "Jürgen Schäfer", "Europe/Berlin"),
        ("pt-PT", "Inês Gonçalves", "Europe/Lisbon"),
        ("ar-EG", "شيماء محمود", "Africa/Cairo"),
    ] {
        let customer = json!({"name": name, "email": "customer@example.com", "channels": ["email"], "locale": locale,
                              "timeZone": time_zone, "attributes": {"cashback_limit": 200}});
        let customer = Customer::parse("c-1", customer).map_err(|faults| anyhow!("{faults}"))?;
        let hash = testing::address_hash(Channel::Email, "customer@example.com");
        let email = composer.compose(&ring, &offer, &customer, &hash).map_err(anyhow::Error::msg)?;
        let mut rendered = offer.render(&customer, Channel::Email, &Language::english()).map_err(anyhow::Error::msg)?;
        if let (Some(own), Some(image)) = (rendered.image.as_mut(), &image) {
            own.url.clone_from(image);
        }
        let letterhead = Letterhead { logo_url: logo.clone().or(letterhead.logo_url.clone()), ..letterhead.clone() };
        let url = "https://offers.bank.example/v1/unsubscribe/k1.0";
        let content = letterhead.write_offer(&rendered, url).map_err(anyhow::Error::msg)?;
        let path = |ending| folder.join(format!("{}.{ending}", content.language));
        fs::write(path("html"), &content.html)?;
        fs::write(path("txt"), &content.text)?;
        fs::write(path("eml"), email.bytes())?;
        println!("{}: HTML {} bytes, message {} bytes", content.language, content.html.len(), email.bytes().len());
    }
    Ok(())
}
