//! CommonMark in the texts of offers: paragraphs, headings, lists, emphasis, links.
//!
//! A customer's values are filled in after the text is parsed, so that they are never read as CommonMark. Raw HTML and images
//! are refused. Single line breaks stay line breaks, as people who write e-mails expect.

mod open;

use linkify::{LinkFinder, LinkKind};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, TextMergeWithOffset};

use crate::characters::{is_blank, with_plain_breaks};
use crate::link::{self, LinkDomains};
use crate::text::{Allowance, Part, RenderError, Text, Values, parts};
use open::{Open, blocks, close, spans};

/// How many blocks and spans may be in one another. A list has two: itself and its item.
const DEPTH_LIMIT: usize = 16;
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
        content: Vec<Span>,
    },
}

impl Span {
    /// Whether it shows nothing.
    fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => is_blank(text),
            Self::Break => true,
            Self::Emphasis(content) | Self::Strong(content) | Self::Link { content, .. } => {
                content.iter().all(Self::is_blank)
            }
        }
    }
}

/// Checks a text as callers post it.
///
/// # Errors
/// What is wrong, and where. To follow the field's name.
pub(crate) fn check(text: &Text, domains: &LinkDomains) -> Result<(), String> {
    let parts = parts(text.source()).map_err(|error| error.to_string())?;
    let mut builder = Builder::new(&parts, Fill::Check(domains));
    builder.read().map_err(|error| match error {
        Stop::Render(error) => error.to_string(),
        Stop::Markup { what, at } => format!("{what} (character {})", builder.place(text.source(), at)),
    })
}

/// A text with a customer's values, of at most `limit` characters.
///
/// # Errors
/// As [`Text::render`].
pub(crate) fn render(text: &Text, values: &Values<'_>, limit: usize) -> Result<Vec<Block>, RenderError> {
    let parts = text.checked_parts()?;
    let mut builder = Builder::new(&parts, Fill::Values(values, Allowance::new(limit)));
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
    Values(&'f Values<'f>, Allowance),
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
    fill: Fill<'p>,
    blocks: Vec<Block>,
    is_blank: bool,
}

impl<'p> Builder<'p> {
    fn new(parts: &'p [Part<'p>], fill: Fill<'p>) -> Self {
        let mut marked = String::new();
        for (i, part) in parts.iter().enumerate() {
            match part {
                Part::Plain(plain) => marked.push_str(&with_plain_breaks(plain)),
                Part::Value(_) => marked.push_str(&mark(i)),
            }
        }
        Self { parts, marked, fill, blocks: Vec::new(), is_blank: true }
    }

    fn read(&mut self) -> Result<(), Stop> {
        let marked = std::mem::take(&mut self.marked);
        let events = Parser::new_ext(&marked, Options::empty()).into_offset_iter();
        let mut open = vec![Open::Root(Vec::new())];
        let mut result = Ok(());
        for (event, range) in TextMergeWithOffset::new(events) {
            result = self.event(&mut open, event, range.start);
            if result.is_err() {
                break;
            }
        }
        self.marked = marked;
        if let Some(Open::Root(blocks)) = open.pop() {
            self.blocks = blocks;
        }
        result
    }

    fn event(&mut self, open: &mut Vec<Open>, event: Event<'_>, at: usize) -> Result<(), Stop> {
        let stop = |what: &str| Err(Stop::Markup { what: what.to_owned(), at });
        match event {
            Event::Start(_) if open.len() > DEPTH_LIMIT => {
                return stop("has lists, quotes or emphasis too deep in one another");
            }
            // Spaces before a block of HTML are text that is in no paragraph, so the block's start is refused.
            Event::Start(Tag::HtmlBlock) | Event::Html(_) | Event::InlineHtml(_) => {
                return stop("must not have HTML; write < as &lt; where none is meant");
            }
            Event::Start(tag) => {
                let started = self.start(tag, at)?;
                open.extend(started);
            }
            Event::End(TagEnd::Link) => self.end_link(open, at)?,
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
            Event::Text(text) => self.text(open, &text, at)?,
            Event::Code(code) => {
                let filled = self.spans(&code)?;
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

    fn start(&mut self, tag: Tag<'_>, at: usize) -> Result<Option<Open>, Stop> {
        Ok(Some(match tag {
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
            Tag::Link { dest_url, .. } => Open::Link(self.url(&dest_url, at)?, Vec::new()),
            Tag::Image { .. } => {
                let what = "must not have an image; the field image is for it".to_owned();
                return Err(Stop::Markup { what, at });
            }
            _ => return Ok(None),
        }))
    }

    /// A text, with the addresses in it as links.
    fn text(&mut self, open: &mut [Open], text: &str, at: usize) -> Result<(), Stop> {
        let in_link = open.iter().any(|open| matches!(open, Open::Link(..)));
        if in_link || !text.contains("https://") {
            let filled = self.spans(text)?;
            spans(open).extend(filled);
            return Ok(());
        }
        let mut finder = LinkFinder::new();
        finder.kinds(&[LinkKind::Url]);
        for part in finder.spans(text) {
            let filled = self.spans(part.as_str())?;
            let is_link = part.kind().is_some() && part.as_str().starts_with("https://");
            if is_link {
                let url = self.url(part.as_str(), at + part.start())?;
                spans(open).push(Span::Link { url, content: filled });
            } else {
                spans(open).extend(filled);
            }
        }
        Ok(())
    }

    /// A marked text with its values.
    fn spans(&mut self, marked: &str) -> Result<Vec<Span>, Stop> {
        let mut filled = String::new();
        for part in self.unmark(marked) {
            let text = match (part, &self.fill) {
                (Part::Plain(plain), _) => plain.to_owned(),
                (Part::Value(_), Fill::Check(_)) => "x".to_owned(),
                (Part::Value(placeholder), Fill::Values(values, _)) => values.fill(&placeholder)?,
            };
            if let Fill::Values(_, left) = &mut self.fill {
                left.take(&text)?;
            }
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

    /// Ends a link. One that shows nothing could not be followed: it is refused, and sent with its address as its words where
    /// a customer's values are blank.
    fn end_link(&mut self, open: &mut Vec<Open>, at: usize) -> Result<(), Stop> {
        if let Some(Open::Link(url, content)) = open.last_mut()
            && content.iter().all(Span::is_blank)
        {
            let Fill::Values(_, left) = &mut self.fill else {
                let what = "has a link without words; write them in its square brackets".to_owned();
                return Err(Stop::Markup { what, at });
            };
            left.take(url)?;
            *content = vec![Span::Text(url.clone())];
            self.is_blank = false;
        }
        close(open);
        Ok(())
    }

    /// A link's address. It counts as text: a few characters may refer to a long one many times.
    fn url(&mut self, marked: &str, at: usize) -> Result<String, Stop> {
        let parts = self.unmark(marked);
        match &mut self.fill {
            Fill::Check(domains) => {
                link::check(&parts, domains)
                    .map_err(|detail| Stop::Markup { what: format!("has a link that {detail}"), at })?;
                Ok(String::new())
            }
            Fill::Values(values, left) => {
                let url = link::render(&parts, values)?;
                left.take(&url)?;
                Ok(url)
            }
        }
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
