//! Addresses that are links without any mark of CommonMark.

use linkify::{LinkFinder, LinkKind};
use pulldown_cmark::{Event, Options, Parser, Tag};

/// The marked text with `<` and `>` around the addresses that are neither in a link nor in code or HTML, and the places of those
/// characters. So CommonMark takes each address as a whole, whatever it has of its marks.
pub(super) fn with_autolinks(marked: &str) -> (String, Vec<usize>) {
    if !marked.contains("://") {
        return (marked.to_owned(), Vec::new());
    }
    let parser = Parser::new_ext(marked, Options::empty());
    let mut taken: Vec<_> =
        parser.reference_definitions().iter().map(|(_, definition)| definition.span.clone()).collect();
    taken.extend(parser.into_offset_iter().filter_map(|(event, range)| {
        let is_taken = matches!(
            event,
            Event::Start(Tag::Link { .. } | Tag::CodeBlock(_) | Tag::HtmlBlock)
                | Event::Code(_)
                | Event::Html(_)
                | Event::InlineHtml(_)
        );
        is_taken.then_some(range)
    }));
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let (mut linked, mut inserted, mut copied) = (String::new(), Vec::new(), 0);
    for address in finder.links(marked) {
        // Marks of emphasis that end behind the address.
        let end = address.start() + address.as_str().trim_end_matches(['*', '_']).len();
        if taken.iter().any(|range| range.start < end && address.start() < range.end) {
            continue;
        }
        linked.push_str(&marked[copied..address.start()]);
        inserted.push(linked.len());
        linked.push('<');
        linked.push_str(&marked[address.start()..end]);
        inserted.push(linked.len());
        linked.push('>');
        copied = end;
    }
    linked.push_str(&marked[copied..]);
    (linked, inserted)
}
