//! Segments of a text message: how many a text takes, and how it is cut to fit (3GPP TS 23.038; TS 23.040, 9.2.3.24.1).
//!
//! A single message holds 160 characters if all are in the GSM alphabet, otherwise 70 UTF-16 units. A longer text is
//! sent in segments, which hold a little less: each has a header that joins them.

use domain::characters::is_blank;
use unicode_segmentation::UnicodeSegmentation;

use super::alphabet::{Alphabet, ELLIPSIS};

/// The number of segments that a text takes.
pub fn count(text: &str) -> usize {
    count_as(Alphabet::of(text), text.chars())
}

fn count_as(alphabet: Alphabet, text: impl Iterator<Item = char> + Clone) -> usize {
    let units = || text.clone().map(|c| alphabet.units(c));
    if units().sum::<usize>() <= alphabet.single_limit() {
        return 1;
    }
    // A character of two units is never split across segments, so a segment may end one unit early.
    let (segments, _) = units().fold((1, 0), |(segments, used), units| {
        if used + units > alphabet.segment_limit() { (segments + 1, units) } else { (segments, used + units) }
    });
    segments
}

/// Joins `head`, `body` and `foot`, and cuts the body to fit into `segments`: between two words if that costs less than
/// half of it, never inside a grapheme or an address. `None` if fewer than `least` characters of a longer body would fit, or only such
/// as show nothing.
pub fn fit(head: &str, body: &str, foot: &str, segments: usize, least: usize) -> Option<String> {
    let whole = format!("{head}{body}{foot}");
    if count(&whole) <= segments {
        return Some(whole);
    }
    // The cut text may no longer have the characters that need UCS-2. Then it fits all the more.
    let alphabet = Alphabet::of(&whole);
    let fits = |kept: &str| {
        let text = [head, kept, ELLIPSIS, foot].into_iter().flat_map(str::chars);
        count_as(alphabet, text) <= segments
    };
    let ends: Vec<usize> = body.grapheme_indices(true).map(|(at, _)| at).collect();
    // A longer text never takes fewer segments, so a binary search finds the longest that fits.
    let fitting = ends.partition_point(|end| fits(&body[..*end]));
    let kept = &body[..*ends.get(fitting.checked_sub(1)?)?];
    let is_enough = |kept: &str| kept.chars().count() >= least.min(body.chars().count());
    if !is_enough(kept) || is_blank(kept) {
        return None;
    }
    let last_space = kept.rfind(char::is_whitespace).filter(|_| !body[kept.len()..].starts_with(char::is_whitespace));
    // A script without spaces, or one very long word, is cut inside the word.
    let between_words = last_space.map(|end| &kept[..end]).filter(|words| words.len() * 2 > kept.len());
    let shows_enough = |kept: &&str| is_enough(kept) && !is_blank(kept);
    let kept = between_words.filter(shows_enough).unwrap_or(kept);
    let kept = Some(before_address(kept)).filter(shows_enough)?;
    Some(format!("{head}{}{ELLIPSIS}{foot}", kept.trim_end()))
}

/// The text without an address in its last word: a part of it would lead elsewhere, as might the whole with an ellipsis.
fn before_address(text: &str) -> &str {
    let word = text.rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let Some(scheme_end) = text[word..].find("://").map(|at| word + at) else { return text };
    let scheme = text[..scheme_end].trim_end_matches(|c: char| c.is_ascii_alphanumeric());
    scheme.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '(' | '<' | '['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_depend_on_the_alphabet() {
        for (text, segments) in [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // 76 fit into a segment; its last septet cannot hold half of one.
            ("€".repeat(152), 2),
            ("€".repeat(153), 3),
            ("ç".repeat(70), 1),
            ("ç".repeat(71), 2),
            ("ç".repeat(134), 2),
            ("ç".repeat(135), 3),
            ("🎁".repeat(35), 1),
            ("🎁".repeat(36), 2),
            ("🎁".repeat(66), 2),
            ("🎁".repeat(67), 3),
        ] {
            assert_eq!(count(&text), segments, "{} of {:?}", text.chars().count(), text.chars().next());
        }
    }

    #[test]
    fn text_that_fits_is_unchanged() {
        assert_eq!(fit("A: ", "Get 5% cashback", "\nSTOP ends", 1, 20).unwrap(), "A: Get 5% cashback\nSTOP ends");
        assert_eq!(fit("", "", &"x".repeat(200), 1, 0), None);
    }

    #[test]
    fn long_text_is_cut_between_words_and_keeps_its_foot() {
        let body = "word ".repeat(60);
        let fitted = fit("", &body, "\nSTOP ends", 1, 20).unwrap();
        assert!(fitted.ends_with("word...\nSTOP ends"), "{fitted}");
        assert_eq!(count(&fitted), 1);
        assert!(count(&fit("", &body, "\nSTOP ends", 2, 20).unwrap()) == 2);
    }

    #[test]
    fn so_much_of_a_text_is_kept_or_none() {
        let body = format!("{} Get {}", "é".repeat(10), "x".repeat(200));
        // 160 less the foot of 5 and the ellipsis of 3.
        for (head, least, kept) in [
            (130, 10, Some("éééééééééé Get...")), // Seven more would fit, but of a word.
            (130, 16, Some("éééééééééé Get xxxxxxx...")),
            (130, 22, Some("éééééééééé Get xxxxxxx...")),
            (130, 23, None),
            (152, 0, None),
            (153, 0, None),
        ] {
            let fitted = fit(&"h".repeat(head), &body, "\nSTOP", 1, least);
            let kept = kept.map(|kept| format!("{}{kept}\nSTOP", "h".repeat(head)));
            assert_eq!(fitted, kept, "{head} {least}");
        }
        // A body that is shorter than that is kept as a whole.
        assert!(fit(&"h".repeat(140), "A body", "\nSTOP", 1, 20).is_some());
        assert_eq!(fit("head", &format!("{}x", " \u{200B}".repeat(40)), "\nSTOP", 1, 20), None);
    }

    #[test]
    fn grapheme_is_never_cut() {
        // A family has 11 units, a flag four, a letter with a combining accent two.
        for character in ["👨‍👩‍👧‍👦", "🇵🇹", "e\u{301}"] {
            let fitted = fit("", &character.repeat(60), "\nSTOP", 1, 1).unwrap();
            let kept = fitted.strip_suffix("...\nSTOP").unwrap();
            assert!(!kept.is_empty() && kept.replace(character, "").is_empty(), "{fitted}");
            assert_eq!(count(&fitted), 1);
        }
    }

    #[test]
    fn address_is_never_cut() {
        let address = format!("https://bank.example/{}", "x".repeat(150));
        for (body, expected) in [
            (format!("Get 5% at your bank ({address}) now"), Some("Get 5% at your bank...\nSTOP")),
            (format!("Get 5% at your bank {address}"), Some("Get 5% at your bank...\nSTOP")),
            (
                format!("详情请看我们的网页上的说明和条件谢谢你们的来信祝你好{address}"),
                Some("详情请看我们的网页上的说明和条件谢谢你们的来信祝你好...\nSTOP"),
            ),
            (format!("Get 5%: {address}"), None),
            (address.clone(), None),
        ] {
            assert_eq!(fit("", &body, "\nSTOP", 1, 19).as_deref(), expected, "{body}");
        }
        // Nor is an ellipsis glued to one.
        let body = format!("Get five per cent cash back https://bank.example/ {}", "y".repeat(200));
        let fitted = fit("", &body, "\nSTOP", 1, 19).unwrap();
        assert!(!fitted.contains("example/..."), "{fitted}");
    }
}
