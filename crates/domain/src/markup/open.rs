//! The blocks and spans whose content is being read, one in another.

use super::{Block, Span};

/// A block or span whose content is being read.
pub(super) enum Open {
    Root(Vec<Block>),
    Paragraph(Vec<Span>),
    Heading(u8, Vec<Span>),
    List(Option<u64>, Vec<Vec<Block>>),
    /// An item. Its second part is a line that is in no paragraph.
    Item(Vec<Block>, Vec<Span>),
    Quote(Vec<Block>),
    Emphasis(Vec<Span>),
    Strong(Vec<Span>),
    /// `is_bare`: its words are its address.
    Link {
        url: String,
        content: Vec<Span>,
        is_bare: bool,
    },
}

/// Adds the block or span that ends to what holds it.
pub(super) fn close(open: &mut Vec<Open>) {
    match open.pop() {
        Some(Open::Paragraph(content)) => blocks(open).push(Block::Paragraph(content)),
        Some(Open::Heading(level, content)) => blocks(open).push(Block::Heading { level, content }),
        Some(Open::List(start, items)) => blocks(open).push(Block::List { start, items }),
        Some(Open::Quote(content)) => blocks(open).push(Block::Quote(content)),
        Some(Open::Emphasis(content)) => spans(open).push(Span::Emphasis(content)),
        Some(Open::Strong(content)) => spans(open).push(Span::Strong(content)),
        Some(Open::Link { url, content, .. }) => spans(open).push(Span::Link { url, content }),
        Some(mut item @ Open::Item(..)) => {
            item.end_line();
            if let (Open::Item(content, _), Some(Open::List(_, items))) = (item, open.last_mut()) {
                items.push(content);
            }
        }
        // The root is never closed.
        root => open.extend(root),
    }
}

impl Open {
    /// Makes a paragraph of an item's line that is in none.
    fn end_line(&mut self) {
        if let Self::Item(content, line) = self
            && !line.is_empty()
        {
            content.push(Block::Paragraph(std::mem::take(line)));
        }
    }
}

/// Where blocks are added.
pub(super) fn blocks(open: &mut [Open]) -> &mut Vec<Block> {
    let last = open.last_mut().expect("the root is never closed");
    last.end_line();
    match last {
        Open::Root(content) | Open::Quote(content) | Open::Item(content, _) => content,
        _ => unreachable!("CommonMark has blocks in quotes, items and the text itself only"),
    }
}

/// Where spans are added.
pub(super) fn spans(open: &mut [Open]) -> &mut Vec<Span> {
    match open.last_mut() {
        Some(
            Open::Paragraph(content)
            | Open::Heading(_, content)
            | Open::Item(_, content)
            | Open::Emphasis(content)
            | Open::Strong(content)
            | Open::Link { content, .. },
        ) => content,
        _ => unreachable!("CommonMark has text in paragraphs, headings, items and spans only"),
    }
}
