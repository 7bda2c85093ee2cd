//! Writes one offer as its customers get it, in four languages: for each, the HTML, the plain text and the whole message.
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
const IMAGE: &str = "https://bank.example/card.png";

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
        brand_colour: "#1d4fa8".parse()?,
    };
    let source = ring.clone();
    let links = Links::new(
        "https://offers.bank.example/v1".parse()?,
        Box::new(move || std::future::ready(Ok(source.clone())).boxed()),
    );
    let (from, reply_to) = ("Offercast Bank <offers@bank.example>".parse()?, "service@bank.example".parse()?);
    let composer = EmailComposer::new(from, reply_to, letterhead.clone(), links);
    let offer = testing::offer(offer());
    for (locale, name, time_zone) in [
        ("en-GB", "Mei Müller", "Europe/London"),
        ("de-DE", "Jürgen Schäfer", "Europe/Berlin"),
        ("pt-PT", "Inês Gonçalves", "Europe/Lisbon"),
        ("ar-EG", "شيماء محمود", "Africa/Cairo"),
    ] {
        let customer = json!({"name": name, "email": "customer@example.com", "channels": ["email"], "locale": locale,
                              "timeZone": time_zone, "attributes": {"card": "4021", "limit": 200}});
        let customer = Customer::parse("c-1", customer).map_err(|faults| anyhow!("{faults}"))?;
        let hash = testing::address_hash(Channel::Email, "customer@example.com");
        let email = composer.compose(&ring, &offer, &customer, &hash).map_err(anyhow::Error::msg)?;
        let mut rendered = offer.render(&customer, &Language::english()).map_err(anyhow::Error::msg)?;
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

fn offer() -> Value {
    json!({
        "code": "CASHBACK5",
        "language": "en",
        "subject": "5% back on travel, dining and groceries",
        "preheader": "Up to {{ customer.limit | money: \"EUR\" }} a month. Nothing to activate.",
        "description": "Dear {{ customer.name }},\n\nfrom today you get **5% cashback** with your card ending in \
            {{ customer.card }}, wherever you pay.\n\n## What you get\n\n- Up to **{{ customer.limit | money: \"EUR\" }}** \
            a month\n- Nothing to activate: see [how it works](https://bank.example/cashback)\n- On every card of your \
            account\n\nIt is in your account two days after you pay.",
        "link": {"url": "https://bank.example/offers/cashback?card={{ customer.card }}", "label": "See the offer"},
        "image": {"url": IMAGE, "alt": "A bank card with the words 5%"},
        "terms": "For purchases of at least €10. The full [terms and conditions](https://bank.example/terms) apply.",
        "validUntil": "2026-09-01T00:00:00Z",
        "translations": {
            "de": {
                "subject": "5 % zurück auf Reisen, Restaurants und Lebensmittel",
                "preheader": "Bis zu {{ customer.limit | money: \"EUR\" }} im Monat. Sie müssen nichts aktivieren.",
                "description": "Guten Tag {{ customer.name }},\n\nab heute erhalten Sie **5 % Cashback** mit Ihrer Karte, \
                    die auf {{ customer.card }} endet, wo immer Sie bezahlen.\n\n## Ihre Vorteile\n\n- Bis zu \
                    **{{ customer.limit | money: \"EUR\" }}** im Monat\n- Nichts zu aktivieren: [so geht \
                    es](https://bank.example/cashback)\n- Mit jeder Karte Ihres Kontos\n\nZwei Tage nach der Zahlung ist \
                    der Betrag auf Ihrem Konto.",
                "link": {"label": "Zum Angebot"},
                "image": {"alt": "Eine Bankkarte mit der Aufschrift 5%"},
                "terms": "Für Einkäufe ab 10 €. Es gelten die [Bedingungen](https://bank.example/terms).",
            },
            "pt-PT": {
                "subject": "5% de volta em viagens, restaurantes e supermercado",
                "preheader": "Até {{ customer.limit | money: \"EUR\" }} por mês. Não precisa de ativar nada.",
                "description": "Caro(a) {{ customer.name }},\n\na partir de hoje recebe **5% de cashback** com o seu cartão \
                    terminado em {{ customer.card }}, onde quer que pague.\n\n## O que recebe\n\n- Até \
                    **{{ customer.limit | money: \"EUR\" }}** por mês\n- Nada para ativar: veja [como \
                    funciona](https://bank.example/cashback)\n- Em todos os cartões da sua conta\n\nO valor está na sua \
                    conta dois dias depois do pagamento.",
                "link": {"label": "Ver a oferta"},
                "image": {"alt": "Um cartão bancário com a indicação 5%"},
                "terms": "Para compras a partir de 10 €. Aplicam-se os [termos e condições](https://bank.example/terms).",
            },
            "ar": {
                "subject": "استرداد نقدي 5% على السفر والمطاعم والبقالة",
                "preheader": "حتى {{ customer.limit | money: \"EUR\" }} شهريًا. لا يلزم أي تفعيل.",
                "description": "مرحبًا {{ customer.name }}،\n\nابتداءً من اليوم تحصل على **استرداد نقدي 5%** ببطاقتك المنتهية \
                    بالرقم {{ customer.card }} أينما دفعت.\n\n## ماذا تكسب\n\n- حتى **{{ customer.limit | money: \"EUR\" }}** \
                    شهريًا\n- لا يلزم أي تفعيل: تعرّف على [طريقة العمل](https://bank.example/cashback)\n- على كل بطاقات \
                    حسابك\n\nيصل المبلغ إلى حسابك بعد يومين من الدفع.",
                "link": {"label": "شاهد العرض"},
                "image": {"alt": "بطاقة مصرفية عليها 5%"},
                "terms": "للمشتريات بقيمة 10 يورو فأكثر. تطبق [الشروط والأحكام](https://bank.example/terms).",
            },
        },
    })
}
