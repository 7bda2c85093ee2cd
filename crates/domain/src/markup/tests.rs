//! Formatted texts.

use language::{Formats, Language};
use serde_json::json;

use super::*;
use crate::Customer;

fn parse(source: &str) -> Result<Text, String> {
    let text = Text::parse(source).map_err(|error| error.to_string())?;
    check(&text, &"bank.example".parse().unwrap(), 1_000)?;
    Ok(text)
}

fn rendered(source: &str, attributes: serde_json::Value) -> Result<Vec<Block>, RenderError> {
    let customer = json!({"name": "Asha *B*", "channels": [], "attributes": attributes});
    let customer = Customer::parse("c-1", customer).unwrap();
    let formats = Formats::new(&Language::english(), None);
    render(&parse(source).unwrap(), &Values::new(&customer, &formats), 1_000)
}

fn blocks(source: &str) -> Vec<Block> {
    rendered(source, json!({})).unwrap()
}

fn text(text: &str) -> Span {
    Span::Text(text.to_owned())
}

fn paragraph(content: &str) -> Block {
    Block::Paragraph(vec![text(content)])
}

#[test]
fn references_to_characters_are_what_they_mean() {
    assert_eq!(joined(blocks("5 &lt; 6 &amp; 7 &eacute;&#8364;")), [paragraph("5 < 6 & 7 é€")]);
}

/// With neighbouring texts as one.
fn joined(blocks: Vec<Block>) -> Vec<Block> {
    blocks
        .into_iter()
        .map(|block| match block {
            Block::Paragraph(content) => Block::Paragraph(content.into_iter().fold(Vec::new(), |mut all, span| {
                match (all.last_mut(), span) {
                    (Some(Span::Text(before)), Span::Text(text)) => before.push_str(&text),
                    (_, span) => all.push(span),
                }
                all
            })),
            other => other,
        })
        .collect()
}

#[test]
fn what_commonmark_has_becomes_blocks_and_spans() {
    let list =
        |start, items: &[&str]| Block::List { start, items: items.iter().map(|item| vec![paragraph(item)]).collect() };
    let heading = |level, content| Block::Heading { level, content: vec![text(content)] };
    for (source, expected) in [
        ("one\n\n\ntwo", vec![paragraph("one"), paragraph("two")]),
        ("one\ntwo", vec![Block::Paragraph(vec![text("one"), Span::Break, text("two")])]),
        ("one  \ntwo", vec![Block::Paragraph(vec![text("one"), Span::Break, text("two")])]),
        ("# a\n## b\n### c\n#### d", vec![heading(1, "a"), heading(2, "b"), heading(3, "c"), heading(3, "d")]),
        ("- a\n- b", vec![list(None, &["a", "b"])]),
        ("3. a\n4. b", vec![list(Some(3), &["a", "b"])]),
        ("- a\n\n- b", vec![list(None, &["a", "b"])]),
        ("- a\n  1. b", vec![Block::List { start: None, items: vec![vec![paragraph("a"), list(Some(1), &["b"])]] }]),
        ("> a", vec![Block::Quote(vec![paragraph("a")])]),
        ("a\n\n***\n\nb", vec![paragraph("a"), Block::Rule, paragraph("b")]),
        (
            "*a* and **b *c***",
            vec![Block::Paragraph(vec![
                Span::Emphasis(vec![text("a")]),
                text(" and "),
                Span::Strong(vec![text("b "), Span::Emphasis(vec![text("c")])]),
            ])],
        ),
        ("    indented\n    text", vec![Block::Paragraph(vec![text("indented"), Span::Break, text("text")])]),
        (r"`a` & b &amp; c \* 5 < 6 * 7 * 8 snake_case_x", vec![paragraph("a & b & c * 5 < 6 * 7 * 8 snake_case_x")]),
        ("| a | b |\n|---|---|", vec![Block::Paragraph(vec![text("| a | b |"), Span::Break, text("|---|---|")])]),
    ] {
        assert_eq!(joined(blocks(source)), expected, "{source:?}");
    }
}

#[test]
fn links_and_bare_addresses_become_links() {
    let link = |url: &str, label: &str| Span::Link { url: url.to_owned(), content: vec![text(label)] };
    let bare = |url: &str| Span::Link { url: url.to_owned(), content: vec![] };
    for (source, expected) in [
        ("[a](https://bank.example/x)", vec![link("https://bank.example/x", "a")]),
        ("[a]\n\n[a]: https://bank.example/x", vec![link("https://bank.example/x", "a")]),
        ("<https://bank.example/x>", vec![bare("https://bank.example/x")]),
        ("HTTPS://Bank.Example", vec![bare("https://bank.example/")]),
        (
            "See https://bank.example/x?a=1_2_3, or call.",
            vec![text("See "), bare("https://bank.example/x?a=1_2_3"), text(", or call.")],
        ),
        ("https://bank.example/_promo_/*x*/a&copy;b", vec![bare("https://bank.example/_promo_/*x*/a&copy;b")]),
        ("**https://bank.example/x**", vec![Span::Strong(vec![bare("https://bank.example/x")])]),
        (
            "(https://bank.example/?c={{ customer.id }})",
            vec![text("("), bare("https://bank.example/?c=c-1"), text(")")],
        ),
        (
            "[{{ customer.id }}](https://bank.example/?c={{ customer.id }})",
            vec![link("https://bank.example/?c=c-1", "c-1")],
        ),
        ("[{{ customer.blank }}](https://bank.example/x)", vec![bare("https://bank.example/x")]),
        ("`https://bank.example` bank.example", vec![text("https://bank.example bank.example")]),
    ] {
        let blocks = rendered(source, json!({"blank": " "})).unwrap();
        assert_eq!(joined(blocks), [Block::Paragraph(expected)], "{source:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_with_its_place() {
    for (source, what) in [
        ("a <b>b</b>", "must not have HTML; write < as &lt; where none is meant (character 3)"),
        ("é {{ customer.name }} <br/>", "must not have HTML; write < as &lt; where none is meant (character 23)"),
        ("<script>alert(1)</script>", "must not have HTML; write < as &lt; where none is meant (character 1)"),
        ("<!-- a -->", "must not have HTML"),
        ("a <img src=\"https://bank.example/a.png\">", "must not have HTML"),
        ("<img src='https://bank.example/a.png'>", "must not have HTML"),
        ("a\n\n  <script>x", "must not have HTML"),
        ("> a\n>\n>   <div>", "must not have HTML"),
        ("a\n\n<div>", "must not have HTML; write < as &lt; where none is meant (character 4)"),
        ("![a](https://bank.example/a.png)", "must not have an image; the field image is for it (character 1)"),
        ("[a](http://bank.example)", "has a link that must be an https:// URL"),
        ("[a](javascript:alert(1))", "has a link that must be an https:// URL"),
        ("[a](/x)", "has a link that must be an https:// URL"),
        ("<me@bank.example>", "has a link that must be an https:// URL"),
        ("see [](https://bank.example)", "has a link without words; write them in its square brackets (character 5)"),
        ("[ &nbsp;\u{200B}](https://bank.example)", "has a link without words"),
        ("[**\u{3164}**\n`\u{AD}`](https://bank.example)", "has a link without words"),
        ("[][a]\n\n[a]: https://bank.example", "has a link without words"),
        ("[a](https://evil.example)", "has a link that must lead to one of the domains"),
        ("see https://evil.example now", "has a link that must lead to one of the domains"),
        ("[a](https://bank.example/{{ customer.id }})", "has a link that must have placeholders in the query only"),
        ("https://{{ customer.id }}.bank.example", "has a link that"),
        (
            "http://bank.example",
            "has a link that must be an https:// URL, as in https://bank.example/offers (character 1)",
        ),
        ("see HTTPS://evil.example", "has a link that must lead to one of the domains"),
        (
            "é https://bank.example and ftp://bank.example/x",
            "has a link that must be an https:// URL, as in \
          https://bank.example/offers (character 28)",
        ),
        (
            "[a](https://bank.example \"only today\")",
            "must not have a link with a title, which is not shown (character 1)",
        ),
        ("```secret\nwords\n```", "must not have words behind the mark of a block of code"),
        ("a&#27;b", "must not refer to a character that no text may have (character 1)"),
        ("ab **a&#x202E;b**", "must not refer to a character that no text may have (character 6)"),
        ("a &#xFDD0;0&#xFDD1; {{ customer.name }}", "must not refer to a character that no text may have"),
        ("`a`&#xFFFE;", "must not refer to a character that no text may have"),
        (
            &format!("{}\n\n[a]: https://bank.example/?{}", "[a] ".repeat(40), "a".repeat(900)),
            "has links of more than 30000",
        ),
        (
            &format!("{}\n\n[a]: https://bank.example/?{}", "[a] ".repeat(10), "&".repeat(900)),
            "has links of more than 30000",
        ),
        ("---", "must not have only formatting, and nothing that can be seen"),
        ("#", "must not have only formatting"),
        ("&nbsp;", "must not have only formatting"),
        ("[a]: https://bank.example", "must not have only formatting"),
        (&"x".repeat(1_001), "with the customer's values, the text has more than 1000 characters"),
        (&">".repeat(40), "has lists, quotes or emphasis too deep in one another (character"),
        (&("- ".repeat(30) + "a"), "has lists, quotes or emphasis too deep in one another (character"),
        ("{{ customer.name | upper }}", "has an unknown filter at character 20"),
    ] {
        let error = parse(source).unwrap_err();
        assert!(error.starts_with(what), "{source:?}: {error}");
    }
}

#[test]
fn values_are_never_read_as_formatting() {
    let value = "**b** <i>x</i> [a](https://evil.example) https://evil.example\n# c\n- d &lt; `e`";
    let expected = vec![
        text("**b** <i>x</i> [a](https://evil.example) https://evil.example"),
        Span::Break,
        text("# c"),
        Span::Break,
        text("- d &lt; `e`"),
    ];
    assert_eq!(rendered("{{ customer.x }}", json!({"x": value})).unwrap(), [Block::Paragraph(expected)]);
    let strong = vec![text("Dear "), Span::Strong(vec![text("Asha *B*")]), text("!")];
    assert_eq!(blocks("Dear **{{ customer.name }}**!"), [Block::Paragraph(strong)]);
}

#[test]
fn link_without_words_shows_its_address() {
    let link = |content: Vec<Span>| {
        [Block::Paragraph(vec![Span::Link { url: "https://bank.example/?c=c-1".to_owned(), content }])]
    };
    for source in ["[{{ customer.x }}]", "[**{{ customer.x }}**]", "[{{ customer.x }} `{{ customer.x }}`]"] {
        let source = format!("{source}(https://bank.example/?c={{{{ customer.id }}}})");
        for blank in ["", " ", "\u{200B}", "\n"] {
            let shown = rendered(&source, json!({"x": blank})).unwrap();
            assert_eq!(shown, link(vec![]), "{source:?} {blank:?}");
        }
    }
    assert_eq!(
        rendered("[{{ customer.x }}](https://bank.example/?c={{ customer.id }})", json!({"x": "Go"})).unwrap(),
        link(vec![text("Go")])
    );
    let source = format!("{}\n\n[b]: https://bank.example/{}", "[{{ customer.x }}][b]\n".repeat(9), "x".repeat(100));
    assert_eq!(
        rendered(&source, json!({"x": ""})),
        Err(RenderError::TooLong { limit: 1_000 }),
        "addresses that are shown count"
    );
}

#[test]
fn formatted_text_has_a_limit_and_shows_something() {
    let of = |source: &str, x: &str| rendered(source, json!({"x": x}));
    assert_eq!(of("**{{ customer.x }}**", &"x".repeat(1_001)), Err(RenderError::TooLong { limit: 1_000 }));
    assert!(of("**{{ customer.x }}**", &"x".repeat(1_000)).is_ok());
    assert_eq!(of("**{{ customer.x }}**", "\u{3164}"), Err(RenderError::Blank));
}

#[test]
fn stored_text_that_this_release_refuses_is_not_sent() {
    let text: Text = serde_json::from_value(json!("a <b>b</b>")).unwrap();
    let customer = Customer::parse("c-1", json!({"name": "Asha", "channels": []})).unwrap();
    let formats = Formats::new(&Language::english(), None);
    let error = render(&text, &Values::new(&customer, &formats), 100).unwrap_err().to_string();
    assert!(
        error.starts_with("the text must not have HTML")
            && error.ends_with("post the offer again with a corrected text"),
        "{error}"
    );
}
