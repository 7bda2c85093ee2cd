//! What a text costs: how many segments it takes, and how it is cut to fit (3GPP TS 23.038; TS 23.040, 9.2.3.24.1).
//!
//! A text whose characters all stand in the GSM alphabet takes 160 of them; any other text takes 70 UTF-16 units. What is
//! longer goes in segments, each of which gives some room to the header that joins them.

use unicode_segmentation::UnicodeSegmentation;

/// The GSM 7-bit default alphabet (TS 23.038, 6.2.1).
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension table (6.2.1.1): each of these takes two places.
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";
/// What stands for what was cut off. In the GSM alphabet, unlike `…`.
const ELLIPSIS: &str = "...";

/// How the characters of a text are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gsm,
    Ucs2,
}

impl Encoding {
    fn of(text: &str) -> Self {
        if text.chars().all(|c| GSM.contains(c) || GSM_EXTENSION.contains(c)) { Self::Gsm } else { Self::Ucs2 }
    }

    /// Places that a character takes.
    fn places(self, c: char) -> usize {
        match self {
            Self::Gsm => 1 + usize::from(GSM_EXTENSION.contains(c)),
            Self::Ucs2 => c.len_utf16(),
        }
    }

    /// Places of a text that goes alone.
    const fn alone(self) -> usize {
        match self {
            Self::Gsm => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Places of one segment of several.
    const fn of_several(self) -> usize {
        match self {
            Self::Gsm => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// How many segments a text takes.
pub fn count(text: &str) -> usize {
    count_as(Encoding::of(text), text.chars())
}

fn count_as(encoding: Encoding, text: impl Iterator<Item = char> + Clone) -> usize {
    let places = || text.clone().map(|c| encoding.places(c));
    if places().sum::<usize>() <= encoding.alone() {
        return 1;
    }
    // A character of two places never straddles two segments, so some end a place early.
    let (segments, _) = places().fold((1, 0), |(segments, used), places| {
        if used + places > encoding.of_several() { (segments + 1, places) } else { (segments, used + places) }
    });
    segments
}

/// `body` and `foot`, cut to fit into so many segments. The body alone is cut: between two words where there is one not far
/// back, never inside what a reader takes for one character. `None` if the foot alone does not fit.
pub fn fit(body: &str, foot: &str, segments: usize) -> Option<String> {
    let whole = format!("{body}{foot}");
    if count(&whole) <= segments {
        return Some(whole);
    }
    // Cut, it may do without the characters that made it longer; it fits all the same.
    let encoding = Encoding::of(&whole);
    let fits = |kept: &str| count_as(encoding, kept.chars().chain(ELLIPSIS.chars()).chain(foot.chars())) <= segments;
    if !fits("") {
        return None;
    }
    let ends: Vec<usize> = body.grapheme_indices(true).map(|(at, _)| at).collect();
    // A longer text never takes fewer segments.
    let fitting = ends.partition_point(|end| fits(&body[..*end]));
    let kept = &body[..ends[fitting.saturating_sub(1)]];
    let words = kept.rfind(char::is_whitespace).filter(|_| !body[kept.len()..].starts_with(char::is_whitespace));
    // A script without spaces, or one very long word, is cut where it must be.
    let kept = words.filter(|end| end * 2 > kept.len()).map_or(kept, |end| &kept[..end]);
    Some(format!("{}{ELLIPSIS}{foot}", kept.trim_end()))
}

/// Typographic characters as the GSM alphabet has them: one curly quote would more than double what a text costs.
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
    fn a_text_costs_what_its_alphabet_says() {
        for (text, segments) in [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // 76 of them and one place that no second half may take.
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
    fn what_fits_is_left_as_it_is() {
        assert_eq!(fit("Get 5% cashback", "\nSTOP ends", 1).unwrap(), "Get 5% cashback\nSTOP ends");
        assert_eq!(fit("", &"x".repeat(200), 1), None);
    }

    #[test]
    fn what_is_too_long_is_cut_between_words_and_keeps_its_foot() {
        let body = "word ".repeat(60);
        let fitted = fit(&body, "\nSTOP ends", 1).unwrap();
        assert!(fitted.ends_with("word...\nSTOP ends"), "{fitted}");
        assert_eq!(count(&fitted), 1);
        assert!(count(&fit(&body, "\nSTOP ends", 2).unwrap()) == 2);
    }

    #[test]
    fn nothing_is_cut_inside_a_character() {
        // One family is 11 units; a flag, four; a letter with its accent, two.
        for character in ["👨‍👩‍👧‍👦", "🇵🇹", "e\u{301}"] {
            let fitted = fit(&character.repeat(60), "\nSTOP", 1).unwrap();
            let kept = fitted.strip_suffix("...\nSTOP").unwrap();
            assert!(!kept.is_empty() && kept.replace(character, "").is_empty(), "{fitted}");
            assert_eq!(count(&fitted), 1);
        }
    }

    #[test]
    fn a_curly_quote_costs_no_more_than_a_straight_one() {
        let text = plain("Today’s “5 – 10 %”…\u{a0}now");
        assert_eq!((text.as_str(), count(&text)), ("Today's \"5 - 10 %\"... now", 1));
    }
}
