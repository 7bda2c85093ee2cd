use domain::markup::{Block, Span};
use domain::{Channel, Customer};
use serde_json::json;

use super::*;

const UNSUBSCRIBE: &str = "https://offers.bank.example/v1/unsubscribe/t";

fn letterhead() -> Letterhead {
    Letterhead {
        brand_name: "A <Bank>".to_owned(),
        postal_address: "1 High Street".to_owned(),
        logo_url: None,
        brand_colours: "#1d4fa8".parse().unwrap(),
    }
}

fn paragraph(text: &str) -> Block {
    Block::Paragraph(vec![Span::Text(text.to_owned())])
}

/// An offer with only what it must have.
fn bare(language: &str) -> Rendered {
    Rendered {
        language: language.parse().unwrap(),
        subject: "5% & more".to_owned(),
        preheader: None,
        description: Body::Formatted(vec![paragraph("Dear Mei,"), paragraph("get 5%.")]),
        link: None,
        image: None,
        terms: None,
        valid_until: None,
    }
}

/// An offer with everything.
fn full(language: &str) -> Rendered {
    Rendered {
        preheader: Some("Only this month".to_owned()),
        link: Some(RenderedLink { url: "https://bank.example/o?a=1&b=2".to_owned(), label: "See <it>".to_owned() }),
        image: Some(RenderedImage { url: "https://bank.example/i.png".to_owned(), alt: "A \"card\"".to_owned() }),
        terms: Some(Body::Formatted(vec![paragraph("Terms apply.")])),
        valid_until: Some("31 August 2026".to_owned()),
        ..bare(language)
    }
}

fn written(rendered: &Rendered) -> Content {
    letterhead().write_offer(rendered, UNSUBSCRIBE).unwrap()
}

/// Checks that these stand in a text, in this order.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("{part} is missing or too early: {text}")).1;
    }
}

#[test]
fn text_has_the_body_then_the_button_validity_terms_and_foot() {
    let expected = "Dear Mei,\n\nget 5%.\n\nSee <it>: https://bank.example/o?a=1&b=2\n\nValid until 31 August 2026.\n\n\
                    Terms apply.\n\n-- \nA <Bank>\n1 High Street\n\nA <Bank> sends you this e-mail because you are a \
                    customer and agreed to receive offers.\nA <Bank> never asks you for your PIN or password by e-mail.\n\n\
                    No more offers by e-mail: https://offers.bank.example/v1/unsubscribe/t\n";
    assert_eq!(written(&full("en")).text, expected);
    assert!(written(&bare("en")).text.starts_with("Dear Mei,\n\nget 5%.\n\n-- \nA <Bank>\n"));
}

#[test]
fn html_has_the_same_in_the_same_order() {
    let Content { subject, html, language, .. } = written(&full("en"));
    assert_eq!((subject.as_str(), language.to_string().as_str()), ("5% & more", "en"));
    assert_in_order(
        &html,
        &[
            "<title>5% &#38; more</title>",
            "Only this month",
            "A &#60;Bank&#62;",
            "<img class=\"s\" src=\"https://bank.example/i.png\" alt=\"A &#34;card&#34;\"",
            ">5% &#38; more</h1>",
            "<p>Dear Mei,</p>\n<p>get 5%.</p>",
            "href=\"https://bank.example/o?a=1&#38;b=2\"",
            ">See &#60;it&#62;</a>",
            "Valid until 31 August 2026.",
            "<p>Terms apply.</p>",
            "never asks you for your PIN",
            "because you are a customer",
            "1 High Street",
            &format!("href=\"{UNSUBSCRIBE}\""),
            "No more offers by e-mail",
        ],
    );
}

#[test]
fn what_an_offer_does_not_have_leaves_no_trace() {
    let html = written(&bare("en")).html;
    for absent in ["<img", "class=\"a k\"", "Valid until", "class=\"n b f s\""] {
        assert!(!html.contains(absent), "{absent}");
    }
}

#[test]
fn message_says_its_language_and_direction_and_has_one_heading_of_the_first_level() {
    for (language, dir, start) in [("en", "ltr", "left"), ("pt-PT", "ltr", "left"), ("ar", "rtl", "right")] {
        let html = written(&full(language)).html;
        assert!(html.contains(&format!("<html lang=\"{language}\" dir=\"{dir}\"")), "{html}");
        // Web mail takes away the elements around the body's content.
        assert!(html.contains(&format!("<body class=\"g\" dir=\"{dir}\"")), "{html}");
        assert!(html.contains(&format!("aria-label=\"5% &#38; more\" lang=\"{language}\" dir=\"{dir}\"")), "{html}");
        assert!(html.contains(&format!("padding-{start}:24px")), "{html}");
        assert_eq!(html.matches("<h1").count(), 1);
        assert_eq!(
            html.matches("<table").count(),
            html.matches("<table role=\"presentation\"").count()
                + html.matches("<table class=\"w\" role=\"presentation\"").count()
        );
    }
}

#[test]
fn fixed_texts_of_another_language_say_so() {
    let html = written(&full("arc")).html;
    assert!(html.contains("<html lang=\"arc\" dir=\"rtl\""));
    assert_eq!(html.matches("lang=\"en\" dir=\"ltr\"").count(), 2, "validity and foot");
}

#[test]
fn logo_is_named_and_stands_in_place_of_the_name() {
    let letterhead = Letterhead { logo_url: Some("https://bank.example/l.png?a&b".to_owned()), ..letterhead() };
    let html = letterhead.write_offer(&bare("en"), UNSUBSCRIBE).unwrap().html;
    assert!(
        html.contains("<img src=\"https://bank.example/l.png?a&#38;b\" alt=\"A &#60;Bank&#62;\" height=\"32\""),
        "{html}"
    );
    assert_eq!(html.matches("A &#60;Bank&#62;</").count(), 1, "only in the foot");
}

#[test]
fn logo_is_fetched_so_that_nobody_reads_or_changes_it() {
    let url = |url: &str| url.parse::<LogoUrl>().map(|LogoUrl(url)| url);
    assert_eq!(url("https://b\u{e4}nk.example/l o.png").unwrap(), "https://xn--bnk-qla.example/l%20o.png");
    assert!(url("http://127.0.0.1:8025/logo.png").is_ok());
    for bad in ["", "logo.png", "http://bank.example/logo.png", "data:image/png;base64,AA==", "javascript:alert(1)"] {
        assert!(url(bad).is_err(), "{bad}");
    }
}

#[test]
fn mail_programs_show_the_preheader_or_the_beginning_of_the_text() {
    let hidden = |rendered: &Rendered| {
        let html = written(rendered).html;
        let (_, rest) = html.split_once("mso-hide:all\">").unwrap();
        rest.split_once("&#847;").unwrap().0.trim().to_owned()
    };
    assert_eq!(hidden(&full("en")), "Only this month");
    assert_eq!(hidden(&bare("en")), "Dear Mei, get 5%.");
}

#[test]
fn beginning_of_a_text_ends_with_a_whole_word() {
    for (text, expected) in [
        ("", ""),
        ("a\n\nb  c", "a b c"),
        ("abc def ghi", "abc def"),
        ("abcdefghijk", ""),
        ("🇵🇹🇵🇹🇵🇹 🇵🇹🇵🇹🇵🇹", "🇵🇹🇵🇹🇵🇹 🇵🇹🇵🇹🇵🇹"),
    ] {
        assert_eq!(beginning(text, 9), expected, "{text}");
    }
}

#[test]
fn subject_and_text_have_only_plain_spaces() {
    let mut rendered = full("en");
    rendered.subject = "1\u{202f}000\u{a0}€\nnow".to_owned();
    rendered.link = rendered.link.map(|link| RenderedLink { label: "See\u{a0}it".to_owned(), ..link });
    let letterhead = Letterhead { brand_name: "A\u{a0}Bank".to_owned(), ..letterhead() };
    let Content { subject, text, .. } = letterhead.write_offer(&rendered, UNSUBSCRIBE).unwrap();
    assert_eq!(subject, "1 000 € now");
    assert!(!text.contains(['\u{a0}', '\u{202f}']), "{text}");
}

#[test]
fn direct_message_has_neither_reason_nor_button_and_a_foot_only_with_a_link() {
    let write = |url| letterhead().write_message("Hello", "Dear Mei,\nhello.", &"de".parse().unwrap(), url).unwrap();
    let without = write(None);
    assert_eq!(without.text, "Dear Mei,\nhello.");
    assert_eq!(without.language.to_string(), "de");
    assert!(without.html.contains("niemals") && !without.html.contains("Kundin"), "{}", without.html);
    assert!(!without.html.contains("Keine Angebote mehr"));
    let with = write(Some(UNSUBSCRIBE));
    let foot = format!("\n\n-- \nA <Bank>\n1 High Street\n\nKeine Angebote mehr per E-Mail: {UNSUBSCRIBE}\n");
    assert_eq!(with.text, format!("Dear Mei,\nhello.{foot}"));
    assert!(with.html.contains(UNSUBSCRIBE));
}

#[test]
fn message_fetches_nothing_but_the_banks_images_and_runs_nothing() {
    let letterhead = Letterhead { logo_url: Some("https://bank.example/l.png".to_owned()), ..letterhead() };
    let html = letterhead.write_offer(&full("en"), UNSUBSCRIBE).unwrap().html;
    for forbidden in ["<script", "<link", "@import", "url(", "@font-face", "position:", "display:flex", "display:grid"]
    {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(html.matches("src=").count(), 2);
}

/// Gmail shows the first 102 kB of a message.
#[test]
fn message_stays_below_what_gmail_shows_whatever_the_description_is_made_of() {
    assert!(written(&full("ar")).html.len() < 20_000, "{}", written(&full("ar")).html.len());
    let customer =
        Customer::parse("c-1", json!({"name": "Asha", "email": "a@b.example", "channels": ["email"]})).unwrap();
    for (head, piece) in [
        ("", "a\n\n"),
        ("", "a\n"),
        ("", "- a\n* a\n"),
        ("", "2. a\n3) a\n"),
        ("", "- - - - - - - a\n+ + + + + + + a\n"),
        ("", "2. 2. 2. 2. 2. 2. 2. a\n3) 3) 3) 3) 3) 3) 3) a\n"),
        ("", ">a\n\n"),
        ("", ">>>>>>>>>>>>>>a\n\n"),
        ("", ">a\n#\n"),
        ("a\n\n", ">-\n\n"),
        ("", "# a\n"),
        ("a\n\n", "***\n"),
        ("", "*a* "),
        ("", "**a** "),
        ("", "***a*** "),
        ("", "https://a.b "),
        ("", "[a](https://a.b)"),
        ("[a]: https://a.b\n\n", "[a] "),
        ("", "\""),
        ("", "&"),
    ] {
        let count = (10_000 - head.len()) / piece.len();
        let offer = json!({"code": "A", "description": format!("{head}{}", piece.repeat(count))});
        let description =
            testing::offer(offer).render(&customer, Channel::Email, &Language::english()).unwrap().description;
        let html = written(&Rendered { description, ..full("en") }).html;
        assert!(html.len() < 100_000, "{piece:?}: {}", html.len());
    }
    let description = Body::Plain("a\n\n".repeat(3_333));
    assert!(written(&Rendered { description, ..full("en") }).html.len() < 100_000);
}
