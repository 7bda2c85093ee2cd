//! The body of an offer as HTML.
//!
//! The elements have neither styles nor classes of their own: the layout's style sheet has their looks, and mail programs
//! without style sheets have their own. So a message stays small whatever its body is made of: Gmail cuts one off after
//! 102 kB.

use std::borrow::Cow;
use std::fmt::Write;

use domain::markup::{Block, Span};
use domain::offer::Body;

struct HtmlWriter {
    out: String,
    /// The level of the most important headings.
    top_level: u8,
    /// Whether what is written is in a quote.
    is_quoted: bool,
}

/// The body as HTML, which has nothing of its texts that is not escaped.
pub(super) fn html(body: &Body) -> String {
    let mut writer = HtmlWriter { out: String::new(), top_level: 1, is_quoted: false };
    match body {
        Body::Plain(text) => writer.paragraphs(text),
        Body::Formatted(blocks) => {
            writer.top_level = top_level(blocks).unwrap_or(1);
            writer.blocks(blocks);
        }
    }
    writer.out
}

/// The level of the most important headings.
fn top_level(blocks: &[Block]) -> Option<u8> {
    let level = |block: &Block| match block {
        Block::Heading { level, .. } => Some(*level),
        Block::List { items, .. } => items.iter().filter_map(|item| top_level(item)).min(),
        Block::Quote(blocks) => top_level(blocks),
        Block::Paragraph(_) | Block::Rule => None,
    };
    blocks.iter().filter_map(level).min()
}

impl HtmlWriter {
    /// Writes plain text: paragraphs end at blank lines, other line breaks are kept. Nothing says which language it is in,
    /// so each paragraph has the direction of its letters.
    fn paragraphs(&mut self, text: &str) {
        let mut is_open = false;
        for line in text.lines().map(str::trim_end) {
            self.out.push_str(match (is_open, line.is_empty()) {
                (false, true) => "",
                (false, false) => "<p dir=\"auto\">",
                (true, true) => "</p>\n",
                (true, false) => "<br>\n",
            });
            is_open = !line.is_empty();
            self.text(line);
        }
        if is_open {
            self.out.push_str("</p>");
        }
    }

    fn blocks(&mut self, blocks: &[Block]) {
        for (i, block) in blocks.iter().filter(|block| !is_empty(block)).enumerate() {
            if i > 0 {
                self.out.push('\n');
            }
            self.block(block);
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Paragraph(content) => self.element("p", |this| this.spans(content)),
            // The subject is the message's heading of the first level, and none is left out below it.
            Block::Heading { level, content } => {
                let name = match level.saturating_sub(self.top_level) {
                    0 => "h2",
                    1 => "h3",
                    _ => "h4",
                };
                self.element(name, |this| this.spans(content));
            }
            Block::List { start, items } => {
                let name = if start.is_some() { "ol" } else { "ul" };
                self.out.push('<');
                self.out.push_str(name);
                if let Some(start) = start.filter(|start| *start != 1) {
                    self.push(format_args!(" start=\"{start}\""));
                }
                self.out.push('>');
                for item in items.iter().filter(|item| !item.is_empty()) {
                    self.element("li", |this| this.item(item));
                }
                self.push(format_args!("</{name}>"));
            }
            // One level is shown: with each, a character or two would become 25.
            Block::Quote(blocks) if self.is_quoted => self.blocks(blocks),
            Block::Quote(blocks) => {
                self.is_quoted = true;
                self.element("blockquote", |this| this.blocks(blocks));
                self.is_quoted = false;
            }
            Block::Rule => self.out.push_str("<hr>"),
        }
    }

    /// The first paragraph of an item has no element: it stands beside the bullet in every mail program.
    fn item(&mut self, blocks: &[Block]) {
        let rest = match blocks {
            [Block::Paragraph(content), rest @ ..] => {
                self.spans(content);
                rest
            }
            all => all,
        };
        self.blocks(rest);
    }

    fn spans(&mut self, spans: &[Span]) {
        for span in spans {
            match span {
                Span::Text(text) => self.text(text),
                Span::Break => self.out.push_str("<br>\n"),
                Span::Emphasis(content) => self.element("em", |this| this.spans(content)),
                Span::Strong(content) => self.element("strong", |this| this.spans(content)),
                Span::Link { url, content } => {
                    let url = escaped(url);
                    self.push(format_args!("<a href=\"{url}\">"));
                    if content.is_empty() {
                        self.out.push_str(&url);
                    } else {
                        self.spans(content);
                    }
                    self.out.push_str("</a>");
                }
            }
        }
    }

    fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.push(format_args!("<{name}>"));
        content(self);
        self.push(format_args!("</{name}>"));
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(&escaped(text));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("writing into a string cannot fail");
    }
}

/// Whether a block shows nothing.
fn is_empty(block: &Block) -> bool {
    match block {
        Block::Paragraph(content) | Block::Heading { content, .. } => content.is_empty(),
        Block::List { items, .. } => items.iter().all(|item| item.iter().all(is_empty)),
        Block::Quote(blocks) => blocks.iter().all(is_empty),
        Block::Rule => false,
    }
}

/// The text as content or as a quoted attribute.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped.into()
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
        html(&Body::Formatted(blocks))
    }

    #[test]
    fn blocks_become_elements_below_the_subjects_heading() {
        let heading = |level| Block::Heading { level, content: vec![text("H")] };
        let list = |start, items| Block::List { start, items };
        for (block, expected) in [
            (paragraph("a"), "<p>a</p>"),
            (heading(1), "<h2>H</h2>"),
            (heading(3), "<h2>H</h2>"),
            (Block::Rule, "<hr>"),
            (Block::Quote(vec![paragraph("a"), paragraph("b")]), "<blockquote><p>a</p>\n<p>b</p></blockquote>"),
            (Block::Quote(vec![Block::Quote(vec![paragraph("a")])]), "<blockquote><p>a</p></blockquote>"),
            (list(None, vec![vec![paragraph("a")], vec![]]), "<ul><li>a</li></ul>"),
            (list(Some(1), vec![vec![paragraph("a"), paragraph("b")]]), "<ol><li>a<p>b</p></li></ol>"),
            (
                list(Some(7), vec![vec![list(None, vec![vec![paragraph("a")]])]]),
                "<ol start=\"7\"><li><ul><li>a</li></ul></li></ol>",
            ),
        ] {
            assert_eq!(of(vec![block]), expected);
        }
    }

    #[test]
    fn headings_begin_below_the_subject_whatever_their_level() {
        let heading = |level| Block::Heading { level, content: vec![text("H")] };
        for (levels, expected) in [([1, 2, 3], "234"), ([2, 3, 2], "232"), ([3, 3, 1], "442")] {
            let written = of(levels.map(heading).to_vec());
            assert_eq!(written.split("<h").filter_map(|part| part.chars().next()).collect::<String>(), expected);
        }
        let quoted = Block::Quote(vec![Block::List { start: None, items: vec![vec![heading(2)]] }]);
        assert!(of(vec![heading(3), quoted]).starts_with("<h3>"));
    }

    #[test]
    fn spans_nest() {
        let link =
            Span::Link { url: "https://b.example/?a=1&b=\"".to_owned(), content: vec![Span::Strong(vec![text("x")])] };
        let spans = vec![Span::Emphasis(vec![text("a"), Span::Break, link]), text("b")];
        assert_eq!(
            of(vec![Block::Paragraph(spans)]),
            "<p><em>a<br>\n<a href=\"https://b.example/?a=1&amp;b=&#34;\"><strong>x</strong></a></em>b</p>"
        );
    }

    #[test]
    fn no_text_becomes_markup() {
        let attack = "<script>alert('1')</script>\"&amp;";
        let expected = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&#34;&amp;amp;";
        assert_eq!(of(vec![paragraph(attack)]), format!("<p>{expected}</p>"));
        assert_eq!(html(&Body::Plain(attack.to_owned())), format!("<p dir=\"auto\">{expected}</p>"));
    }

    #[test]
    fn paragraphs_and_line_breaks_of_plain_text_are_kept() {
        for (plain, expected) in [
            ("a\r\nb\n\n\nc", "<p dir=\"auto\">a<br>\nb</p>\n<p dir=\"auto\">c</p>"),
            ("\n\na \n \n", "<p dir=\"auto\">a</p>\n"),
            ("", ""),
        ] {
            assert_eq!(html(&Body::Plain(plain.to_owned())), expected);
        }
    }
}
