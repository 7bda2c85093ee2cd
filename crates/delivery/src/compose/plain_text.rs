//! The body of an offer as plain text that reads well: without marks of emphasis, with addresses that can be clicked.

use std::fmt::Write;

use domain::characters::is_blank;
use domain::markup::{Block, Span};
use domain::offer::Body;
use language::formats::plain_spaces;

/// The body as plain text, with `\n` at the end of lines and none at its own end. It has no spaces other than plain ones.
pub fn plain_text(body: &Body) -> String {
    plain_spaces(&match body {
        Body::Plain(text) => text.clone(),
        Body::Formatted(blocks) => blocks_text(blocks),
    })
}

/// Blocks have a blank line between them. Those that show nothing are left out, with the customer's values.
fn blocks_text(blocks: &[Block]) -> String {
    blocks.iter().map(block_text).filter(|text| !is_blank(text)).collect::<Vec<_>>().join("\n\n")
}

fn block_text(block: &Block) -> String {
    match block {
        Block::Paragraph(content) | Block::Heading { content, .. } => spans_text(content),
        Block::List { start, items } => {
            let item = |(number, item): (u64, String)| {
                let mark = if start.is_some() { format!("{number}. ") } else { "- ".to_owned() };
                indented(&item, &mark)
            };
            let numbers = (0..).map(|i: u64| start.unwrap_or_default().saturating_add(i));
            // Once: lists may be in one another, and twice at each level would be many times.
            let shown = items.iter().map(|item| item_text(item)).filter(|item| !is_blank(item));
            numbers.zip(shown).map(item).collect::<Vec<_>>().join("\n")
        }
        Block::Quote(blocks) => quoted(&blocks_text(blocks)),
        Block::Rule => "* * *".to_owned(),
    }
}

/// A list follows the text of its item without a blank line.
fn item_text(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        let block_text = block_text(block);
        if is_blank(&block_text) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(if matches!(block, Block::List { .. }) { "\n" } else { "\n\n" });
        }
        text.push_str(&block_text);
    }
    text
}

/// How far the lines of an item are indented, at most, in characters: a long number before many lines would make a text
/// many times as long.
const INDENT_LIMIT: usize = 4;

/// The text with a mark before its first line, and its other lines below the beginning of the first.
fn indented(text: &str, mark: &str) -> String {
    let indent = " ".repeat(mark.len().min(INDENT_LIMIT));
    let mut out = String::with_capacity(mark.len() + text.len());
    out.push_str(mark);
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
            out.push_str(if line.is_empty() { "" } else { &indent });
        }
        out.push_str(line);
    }
    out
}

fn quoted(text: &str) -> String {
    let quoted = |line| if str::is_empty(line) { ">".to_owned() } else { format!("> {line}") };
    text.split('\n').map(quoted).collect::<Vec<_>>().join("\n")
}

fn spans_text(spans: &[Span]) -> String {
    let mut text = String::new();
    write_spans(spans, &mut text);
    text
}

fn write_spans(spans: &[Span], out: &mut String) {
    for span in spans {
        match span {
            Span::Text(text) => out.push_str(text),
            Span::Break => out.push('\n'),
            Span::Emphasis(content) | Span::Strong(content) => write_spans(content, out),
            Span::Link { url, content } => {
                let label = spans_text(content);
                if label.trim().is_empty() || bare(&label) == bare(url) {
                    out.push_str(url);
                } else {
                    write!(out, "{label} ({url})").expect("writing into a string cannot fail");
                }
            }
        }
    }
}

/// An address without what people leave out of it.
fn bare(address: &str) -> &str {
    let address = address.trim();
    address.strip_prefix("https://").unwrap_or(address).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Span {
        Span::Text(text.to_owned())
    }

    fn paragraph(content: &str) -> Block {
        Block::Paragraph(vec![text(content)])
    }

    fn of(blocks: Vec<Block>) -> String {
        plain_text(&Body::Formatted(blocks))
    }

    #[test]
    fn blocks_read_well_without_markup() {
        let list = |start, items| Block::List { start, items };
        let inner = list(None, vec![vec![paragraph("c\nd")], vec![paragraph("e"), paragraph("f")]]);
        for (blocks, expected) in [
            (vec![Block::Heading { level: 1, content: vec![text("H")] }, paragraph("a")], "H\n\na"),
            (vec![paragraph("a"), Block::Rule, paragraph("b")], "a\n\n* * *\n\nb"),
            (vec![list(None, vec![vec![paragraph("a")], vec![paragraph("b")]])], "- a\n- b"),
            (
                vec![list(Some(9), vec![vec![paragraph("a")], vec![paragraph("b"), inner]])],
                "9. a\n10. b\n    - c\n      d\n    - e\n\n      f",
            ),
            (
                vec![list(Some(u64::MAX), vec![vec![paragraph("a\nb")], vec![paragraph("c")]])],
                "18446744073709551615. a\n    b\n18446744073709551615. c",
            ),
            // What shows nothing leaves no gap.
            (
                vec![
                    paragraph(""),
                    paragraph("a"),
                    paragraph(" "),
                    paragraph("b"),
                    list(None, vec![vec![paragraph("")]]),
                ],
                "a\n\nb",
            ),
            (vec![list(Some(1), vec![vec![paragraph("")], vec![paragraph("a")]])], "1. a"),
            (vec![Block::Quote(vec![paragraph("a"), Block::Quote(vec![paragraph("b")])])], "> a\n>\n> > b"),
        ] {
            assert_eq!(of(blocks), expected);
        }
    }

    #[test]
    fn links_have_their_address_once() {
        let url = "https://b.example/x";
        let link = |content| Span::Link { url: url.to_owned(), content };
        for (content, expected) in [
            (vec![text("Terms")], "see Terms (https://b.example/x)."),
            (vec![Span::Strong(vec![text("Terms")]), text(" here")], "see Terms here (https://b.example/x)."),
            (vec![text(url)], "see https://b.example/x."),
            (vec![text("b.example/x/")], "see https://b.example/x."),
            (vec![], "see https://b.example/x."),
        ] {
            assert_eq!(of(vec![Block::Paragraph(vec![text("see "), link(content), text(".")])]), expected);
        }
    }

    #[test]
    fn spaces_are_plain_ones() {
        assert_eq!(of(vec![paragraph("1\u{202f}000\u{a0}€")]), "1 000 €");
        assert_eq!(plain_text(&Body::Plain("1\u{202f}000\u{a0}€\n".to_owned())), "1 000 €\n");
    }
}
