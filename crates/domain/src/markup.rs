//! CommonMark in the texts of offers: paragraphs, headings, lists, emphasis, links.
//!
//! A customer's values are filled in after the text is parsed, so that they are never read as CommonMark. Raw HTML and images
//! are refused. Single line breaks stay line breaks, as people who write e-mails expect.

mod addresses;
mod open;

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, TextMergeWithOffset};

use crate::characters::{self, Lines, is_blank, with_plain_breaks};
use crate::link::{self, LinkDomains};
use crate::text::{Allowance, Part, RenderError, Text, Values, parts};
use addresses::with_autolinks;
use open::{Open, blocks, close, spans};

/// How many blocks and spans may be in one another. A list has two: itself and its item.
const DEPTH_LIMIT: usize = 16;
/// How long the addresses of a text may be together, in characters as HTML: a few characters may refer to a long one many
/// times, and mail programs cut e-mails of more than 102 kB.
const ADDRESSES_LIMIT: usize = 30_000;
/// Around the number of a placeholder while the text is parsed: characters that no text may have.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';

/// A block of a formatted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Paragraph(Vec<Span>),
    Heading {
        /// From 1, the most important, to 3.
        level: u8,
        content: Vec<Span>,
    },
    List {
        /// The number of the first item; `None` for a list without numbers.
        start: Option<u64>,
        items: Vec<Vec<Block>>,
    },
    Quote(Vec<Block>),
    /// A line between blocks.
    Rule,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// It has no line breaks.
    Text(String),
    /// A line break.
    Break,
    Emphasis(Vec<Span>),
    Strong(Vec<Span>),
    Link {
        /// Printable ASCII, percent-encoded, beginning with `https://`.
        url: String,
        /// Empty where the address itself is shown.
        content: Vec<Span>,
    },
}

impl Span {
    /// Whether it shows nothing.
    fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => is_blank(text),
            Self::Break => true,
            Self::Emphasis(content) | Self::Strong(content) => content.iter().all(Self::is_blank),
            Self::Link { .. } => false,
        }
    }
}

/// Checks a text as callers post it: whatever no customer could be sent is refused. It will have at most `limit` characters.
///
/// # Errors
/// What is wrong, and where. To follow the field's name.
pub(crate) fn check(text: &Text, domains: &LinkDomains, limit: usize) -> Result<(), String> {
    let parts = parts(text.source()).map_err(|error| error.to_string())?;
    let mut builder = Builder::new(&parts, Fill::Check(domains), limit);
    builder.read().map_err(|error| match error {
        Stop::Render(error) => error.to_string(),
        Stop::Markup { what, at } => format!("{what} (character {})", builder.place(text.source(), at)),
    })?;
    if builder.is_blank {
        Err("must not have only formatting, and nothing that can be seen".to_owned())
    } else {
        Ok(())
    }
}

/// A text with a customer's values, of at most `limit` characters.
///
/// # Errors
/// As [`Text::render`].
pub(crate) fn render(text: &Text, values: &Values<'_>, limit: usize) -> Result<Vec<Block>, RenderError> {
    let parts = text.checked_parts()?;
    let mut builder = Builder::new(&parts, Fill::Values(values), limit);
    builder.read().map_err(|error| match error {
        Stop::Render(error) => error,
        Stop::Markup { what, .. } => RenderError::InvalidMarkup(what),
    })?;
    if builder.is_blank { Err(RenderError::Blank) } else { Ok(builder.blocks) }
}

/// What replaces a placeholder while the text is parsed.
fn mark(number: usize) -> String {
    format!("{OPEN}{number}{CLOSE}")
}

/// What replaces placeholders.
enum Fill<'f> {
    /// Nothing: the text is checked.
    Check(&'f LinkDomains),
    Values(&'f Values<'f>),
}

/// Why a text cannot be read.
enum Stop {
    Render(RenderError),
    Markup {
        /// To follow the field's name.
        what: String,
        /// Where, in the marked text.
        at: usize,
    },
}

impl From<RenderError> for Stop {
    fn from(error: RenderError) -> Self {
        Self::Render(error)
    }
}

/// Builds the blocks of a text.
struct Builder<'p> {
    parts: &'p [Part<'p>],
    /// The text, with the numbers of its placeholders in their places.
    marked: String,
    /// The places of characters in it that are in no part.
    inserted: Vec<usize>,
    fill: Fill<'p>,
    /// The characters that the text may still have.
    left: Allowance,
    /// The characters that its addresses may still have, as HTML.
    addresses_left: usize,
    blocks: Vec<Block>,
    is_blank: bool,
}

impl<'p> Builder<'p> {
    fn new(parts: &'p [Part<'p>], fill: Fill<'p>, limit: usize) -> Self {
        let mut marked = String::new();
        for (i, part) in parts.iter().enumerate() {
            match part {
                Part::Plain(plain) => marked.push_str(&with_plain_breaks(plain)),
                Part::Value(_) => marked.push_str(&mark(i)),
            }
        }
        let (left, addresses_left) = (Allowance::new(limit), ADDRESSES_LIMIT);
        let (marked, inserted) = with_autolinks(&marked);
        Self { parts, marked, inserted, fill, left, addresses_left, blocks: Vec::new(), is_blank: true }
    }

    fn read(&mut self) -> Result<(), Stop> {
        let marked = self.marked.clone();
        let events = Parser::new_ext(&marked, Options::empty()).into_offset_iter();
        let mut open = vec![Open::Root(Vec::new())];
        let mut result = Ok(());
        for (event, range) in TextMergeWithOffset::new(events) {
            result = self.event(&mut open, event, &range);
            if result.is_err() {
                break;
            }
        }
        if let Some(Open::Root(blocks)) = open.pop() {
            self.blocks = blocks;
        }
        result
    }

    fn event(&mut self, open: &mut Vec<Open>, event: Event<'_>, range: &Range<usize>) -> Result<(), Stop> {
        let stop = |what: &str| Err(Stop::Markup { what: what.to_owned(), at: range.start });
        match event {
            Event::Start(_) if open.len() > DEPTH_LIMIT => {
                return stop("has lists, quotes or emphasis too deep in one another");
            }
            // Spaces before a block of HTML are text that is in no paragraph, so the block's start is refused.
            Event::Start(Tag::HtmlBlock) | Event::Html(_) | Event::InlineHtml(_) => {
                return stop("must not have HTML; write < as &lt; where none is meant");
            }
            Event::Start(tag) => {
                let started = self.start(tag, range)?;
                open.extend(started);
            }
            Event::End(TagEnd::Link) => self.end_link(open, range.start)?,
            Event::End(
                TagEnd::CodeBlock
                | TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::List(_)
                | TagEnd::Item
                | TagEnd::BlockQuote(_)
                | TagEnd::Emphasis
                | TagEnd::Strong,
            ) => close(open),
            Event::Text(text) | Event::Code(text) => {
                self.check_decoded(&text, range)?;
                let filled = self.spans(&text)?;
                spans(open).extend(filled);
            }
            Event::SoftBreak | Event::HardBreak => spans(open).push(Span::Break),
            Event::Rule => blocks(open).push(Block::Rule),
            // What only extensions have, which are off.
            Event::End(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, tag: Tag<'_>, range: &Range<usize>) -> Result<Option<Open>, Stop> {
        let stop = |what: &str| Err(Stop::Markup { what: what.to_owned(), at: range.start });
        Ok(Some(match tag {
            Tag::CodeBlock(CodeBlockKind::Fenced(info)) if !info.is_empty() => {
                return stop("must not have words behind the mark of a block of code: they are not shown");
            }
            Tag::Link { title, .. } if !title.is_empty() => {
                return stop("must not have a link with a title, which is not shown");
            }
            Tag::Paragraph | Tag::CodeBlock(_) => Open::Paragraph(Vec::new()),
            Tag::Heading { level, .. } => Open::Heading(
                match level {
                    HeadingLevel::H1 => 1,
                    HeadingLevel::H2 => 2,
                    _ => 3,
                },
                Vec::new(),
            ),
            Tag::List(start) => Open::List(start, Vec::new()),
            Tag::Item => Open::Item(Vec::new(), Vec::new()),
            Tag::BlockQuote(_) => Open::Quote(Vec::new()),
            Tag::Emphasis => Open::Emphasis(Vec::new()),
            Tag::Strong => Open::Strong(Vec::new()),
            Tag::Link { dest_url, link_type, .. } => Open::Link {
                url: self.url(&dest_url, range.start)?,
                content: Vec::new(),
                is_bare: link_type == LinkType::Autolink,
            },
            Tag::Image { .. } => return stop("must not have an image; the field image is for it"),
            _ => return Ok(None),
        }))
    }

    /// A piece of text with its values.
    fn spans(&mut self, marked: &str) -> Result<Vec<Span>, Stop> {
        let mut filled = String::new();
        for part in self.unmark(marked) {
            let text = match (part, &self.fill) {
                (Part::Plain(plain), _) => plain.to_owned(),
                (Part::Value(_), Fill::Check(_)) => "x".to_owned(),
                (Part::Value(placeholder), Fill::Values(values)) => values.fill(&placeholder)?,
            };
            self.left.take(&text)?;
            filled.push_str(&text);
        }
        self.is_blank &= is_blank(&filled);
        let mut spans = Vec::new();
        for (i, line) in filled.trim_end_matches('\n').split('\n').enumerate() {
            if i > 0 {
                spans.push(Span::Break);
            }
            if !line.is_empty() {
                spans.push(Span::Text(line.to_owned()));
            }
        }
        Ok(spans)
    }

    /// Ends a link. One that shows nothing could not be followed: it is refused. Where that comes from a customer's blank
    /// values, its address is shown.
    fn end_link(&mut self, open: &mut Vec<Open>, at: usize) -> Result<(), Stop> {
        if let Some(Open::Link { url, content, is_bare }) = open.last_mut() {
            if *is_bare {
                content.clear();
            } else if content.iter().all(Span::is_blank) {
                if matches!(self.fill, Fill::Check(_)) {
                    let what = "has a link without words; write them in its square brackets".to_owned();
                    return Err(Stop::Markup { what, at });
                }
                self.left.take(url)?;
                content.clear();
                self.is_blank = false;
            }
        }
        close(open);
        Ok(())
    }

    /// A link's address.
    fn url(&mut self, marked: &str, at: usize) -> Result<String, Stop> {
        let parts = self.unmark(marked);
        let url = match &self.fill {
            Fill::Check(domains) => link::check(&parts, domains)
                .map_err(|detail| Stop::Markup { what: format!("has a link that {detail}"), at })?,
            Fill::Values(values) => link::render(&parts, values)?,
        };
        // `&` is `&amp;` in HTML.
        let length = url.len() + 4 * url.matches('&').count();
        let what = || Stop::Markup { what: format!("has links of more than {ADDRESSES_LIMIT} characters in all"), at };
        self.addresses_left = self.addresses_left.checked_sub(length).ok_or_else(what)?;
        Ok(url)
    }

    /// Checks what CommonMark made of a piece of the marked text: references such as `&#27;` can mean any character.
    fn check_decoded(&self, decoded: &str, range: &Range<usize>) -> Result<(), Stop> {
        let marks = |text: &str| text.matches([OPEN, CLOSE]).count();
        let written = self.marked.get(range.clone()).map_or(0, marks);
        let is_allowed = |part: &Part<'_>| match part {
            Part::Plain(plain) => characters::check(plain, Lines::Many).is_ok(),
            Part::Value(_) => true,
        };
        if marks(decoded) == written && self.unmark(decoded).iter().all(is_allowed) {
            return Ok(());
        }
        let what = "must not refer to a character that no text may have".to_owned();
        Err(Stop::Markup { what, at: range.start })
    }

    /// The parts of a piece of the marked text.
    fn unmark<'m>(&self, marked: &'m str) -> Vec<Part<'m>>
    where
        'p: 'm,
    {
        let mut found = Vec::new();
        let mut rest = marked;
        while let Some((plain, after)) = rest.split_once(OPEN) {
            let Some((number, after)) = after.split_once(CLOSE) else { break };
            if !plain.is_empty() {
                found.push(Part::Plain(plain));
            }
            found.extend(number.parse::<usize>().ok().and_then(|i| self.parts.get(i)).cloned());
            rest = after;
        }
        if !rest.is_empty() {
            found.push(Part::Plain(rest));
        }
        found
    }

    /// The position in the text as it was posted, in characters from 1, of a position in the marked text.
    fn place(&self, source: &str, at: usize) -> usize {
        let at = at - self.inserted.iter().filter(|place| **place < at).count();
        let offset = |part: &str| part.as_ptr() as usize - source.as_ptr() as usize;
        let mut start = 0;
        let mut place = 0;
        for (i, part) in self.parts.iter().enumerate() {
            match part {
                Part::Plain(plain) => {
                    place = offset(plain) + at.saturating_sub(start).min(plain.len());
                    start += plain.len();
                }
                Part::Value(placeholder) => {
                    place = offset(placeholder.field);
                    start += mark(i).len();
                }
            }
            if at < start {
                break;
            }
        }
        source.char_indices().take_while(|(i, _)| *i < place).count() + 1
    }
}

#[cfg(test)]
mod tests;
