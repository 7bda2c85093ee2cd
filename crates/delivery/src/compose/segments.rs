//! Segments of a text message: how many a text takes, and how it is cut to fit (3GPP TS 23.038; TS 23.040, 9.2.3.24.1).
//!
//! A single message holds 160 characters if all are in the GSM alphabet, otherwise 70 UTF-16 units. A longer text is
//! sent in segments, which hold a little less: each has a header that joins them.

use unicode_segmentation::UnicodeSegmentation;

/// The GSM 7-bit default alphabet (TS 23.038, 6.2.1).
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension table (6.2.1.1): each of these takes two septets.
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";
/// Marks a cut. In the GSM alphabet, unlike `…`.
pub(super) const ELLIPSIS: &str = "...";

/// The encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gsm,
    Ucs2,
}

impl Encoding {
    fn of(text: &str) -> Self {
        if text.chars().all(|c| GSM.contains(c) || GSM_EXTENSION.contains(c)) { Self::Gsm } else { Self::Ucs2 }
    }

    /// The code units of a character: septets or UTF-16 units.
    fn units(self, c: char) -> usize {
        match self {
            Self::Gsm => 1 + usize::from(GSM_EXTENSION.contains(c)),
            Self::Ucs2 => c.len_utf16(),
        }
    }

    /// The code units that a single message holds.
    const fn single_limit(self) -> usize {
        match self {
            Self::Gsm => 160,
            Self::Ucs2 => 70,
        }
    }

    /// The code units that one segment of several holds.
    const fn segment_limit(self) -> usize {
        match self {
            Self::Gsm => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// The number of segments that a text takes.
pub fn count(text: &str) -> usize {
    count_as(Encoding::of(text), text.chars())
}

fn count_as(encoding: Encoding, text: impl Iterator<Item = char> + Clone) -> usize {
    let units = || text.clone().map(|c| encoding.units(c));
    if units().sum::<usize>() <= encoding.single_limit() {
        return 1;
    }
    // A character of two units is never split across segments, so a segment may end one unit early.
    let (segments, _) = units().fold((1, 0), |(segments, used), units| {
        if used + units > encoding.segment_limit() { (segments + 1, units) } else { (segments, used + units) }
    });
    segments
}

/// Joins `body` and `foot`, and cuts the body to fit into `segments`: between two words if that costs less than half of
/// it, never inside a grapheme. `None` if the foot alone does not fit.
pub fn fit(body: &str, foot: &str, segments: usize) -> Option<String> {
    let whole = format!("{body}{foot}");
    if count(&whole) <= segments {
        return Some(whole);
    }
    // The cut text may no longer have the characters that need UCS-2. Then it fits all the more.
    let encoding = Encoding::of(&whole);
    let fits = |kept: &str| count_as(encoding, kept.chars().chain(ELLIPSIS.chars()).chain(foot.chars())) <= segments;
    if !fits("") {
        return None;
    }
    let ends: Vec<usize> = body.grapheme_indices(true).map(|(at, _)| at).collect();
    // A longer text never takes fewer segments, so a binary search finds the longest that fits.
    let fitting = ends.partition_point(|end| fits(&body[..*end]));
    let kept = &body[..ends[fitting.saturating_sub(1)]];
    let last_space = kept.rfind(char::is_whitespace).filter(|_| !body[kept.len()..].starts_with(char::is_whitespace));
    // A script without spaces, or one very long word, is cut inside the word.
    let kept = last_space.filter(|end| end * 2 > kept.len()).map_or(kept, |end| &kept[..end]);
    Some(format!("{}{ELLIPSIS}{foot}", kept.trim_end()))
}

/// Replaces typographic characters by those of the GSM alphabet: one curly quote would more than double the cost of a
/// text.
pub fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let plain = match c {
                '\u{2018}' | '\u{2019}' | '\u{201a}' => "'",
                '\u{201c}' | '\u{201d}' | '\u{201e}' => "\"",
                '\u{2010}'..='\u{2014}' => "-",
                '\u{2026}' => ELLIPSIS,
                '\u{a0}' | '\u{202f}' | '\t' => " ",
                _ => return vec![c],
            };
            plain.chars().collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_depend_on_the_encoding() {
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
        assert_eq!(fit("Get 5% cashback", "\nSTOP ends", 1).unwrap(), "Get 5% cashback\nSTOP ends");
        assert_eq!(fit("", &"x".repeat(200), 1), None);
    }

    #[test]
    fn long_text_is_cut_between_words_and_keeps_its_foot() {
        let body = "word ".repeat(60);
        let fitted = fit(&body, "\nSTOP ends", 1).unwrap();
        assert!(fitted.ends_with("word...\nSTOP ends"), "{fitted}");
        assert_eq!(count(&fitted), 1);
        assert!(count(&fit(&body, "\nSTOP ends", 2).unwrap()) == 2);
    }

    #[test]
    fn grapheme_is_never_cut() {
        // A family has 11 units, a flag four, a letter with a combining accent two.
        for character in ["👨‍👩‍👧‍👦", "🇵🇹", "e\u{301}"] {
            let fitted = fit(&character.repeat(60), "\nSTOP", 1).unwrap();
            let kept = fitted.strip_suffix("...\nSTOP").unwrap();
            assert!(!kept.is_empty() && kept.replace(character, "").is_empty(), "{fitted}");
            assert_eq!(count(&fitted), 1);
        }
    }

    #[test]
    fn curly_quote_costs_no_more_than_a_straight_one() {
        let text = plain("Today’s “5 – 10 %”…\u{a0}now");
        assert_eq!((text.as_str(), count(&text)), ("Today's \"5 - 10 %\"... now", 1));
    }
}
