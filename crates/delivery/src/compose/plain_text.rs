//! Formatted text as plain text that reads well.

use domain::markup::{Block, Span};
use domain::offer::Body;

/// The text without its formatting: headings on lines of their own, `- ` and `1. ` before items, addresses after the words
/// of links. Its line breaks are `\n`.
pub fn plain_text(body: &Body) -> String {
    match body {
        Body::Plain(text) => text.clone(),
        Body::Formatted(blocks) => written(blocks, true).join("\n"),
    }
}

/// The lines of blocks, with a blank one between them if they are `apart`.
fn written(blocks: &[Block], apart: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 && apart {
            lines.push(String::new());
        }
        match block {
            Block::Paragraph(content) | Block::Heading { content, .. } => lines.extend(spans(content)),
            Block::List { start, items } => {
                for (i, item) in items.iter().enumerate() {
                    let number = start.map(|start| start.saturating_add(i as u64));
                    let mark = number.map_or_else(|| "- ".to_owned(), |number| format!("{number}. "));
                    lines.extend(indented(&mark, written(item, false)));
                }
            }
            Block::Quote(content) => {
                lines.extend(written(content, true).into_iter().map(|line| format!("> {line}").trim_end().to_owned()));
            }
            Block::Rule => lines.push("* * *".to_owned()),
        }
    }
    lines
}

/// The lines after a mark, and below it with spaces of its width.
fn indented(mark: &str, lines: Vec<String>) -> impl Iterator<Item = String> {
    let space = " ".repeat(mark.len());
    lines.into_iter().enumerate().map(move |(i, line)| format!("{}{line}", if i == 0 { mark } else { &*space }))
}

fn spans(content: &[Span]) -> Vec<String> {
    let mut text = String::new();
    add(&mut text, content);
    text.split('\n').map(str::to_owned).collect()
}

fn add(text: &mut String, content: &[Span]) {
    for span in content {
        match span {
            Span::Text(plain) => text.push_str(plain),
            Span::Break => text.push('\n'),
            Span::Emphasis(content) | Span::Strong(content) => add(text, content),
            Span::Link { url, content } => {
                let start = text.len();
                add(text, content);
                if text[start..] != **url {
                    text.push_str(&format!(" ({url})"));
                }
            }
        }
    }
}
