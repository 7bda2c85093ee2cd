//! Which characters no text may have: neither what callers post, nor what fills placeholders.
//!
//! | refused | because |
//! |---|---|
//! | control characters (C0, C1, U+007F), except line breaks and tabs where several lines are allowed | they break headers and displays |
//! | non-characters (U+FFFE, U+FFFF, U+FDD0 to U+FDEF, the last two of each plane) | SQS refuses messages that have some of them |
//! | U+202A to U+202E, U+2066 to U+2069 | they control the direction of text, and can make it read as something else; U+200E, U+200F and U+061C do what is needed |
//! | U+206A to U+206F, U+FFF9 to U+FFFB, U+FEFF | invisible, and of no use in a message |
//! | tag characters (U+E0000 to U+E007F), except in the flags of England, Scotland and Wales | they hide text |
//!
//! Everything else is allowed: the joiners and marks that scripts and emoji need (U+200C to U+200F, U+061C), variation
//! selectors, soft hyphens, private characters.

use std::borrow::Cow;

/// Whether a text may have several lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// No control characters: the text becomes a header or a label.
    One,
    /// Line breaks and tabs are allowed, other control characters are not.
    Many,
}

/// A character that a text may not have. To follow "must not contain".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} (character {place}, U+{:04X})", u32::from(*.character))]
pub struct Forbidden {
    what: &'static str,
    character: char,
    /// Its position, in characters from 1.
    place: usize,
}

/// The tag characters after a black flag (U+1F3F4) that make up the flags of England, Scotland and Wales: the only ones
/// that are recommended for interchange (UTS 51, emoji tag sequences).
const FLAGS: [&str; 3] = [
    "\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
    "\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}",
    "\u{E0067}\u{E0062}\u{E0077}\u{E006C}\u{E0073}\u{E007F}",
];

/// Checks that a text has no forbidden character.
///
/// # Errors
/// The first one.
pub fn check(text: &str, lines: Lines) -> Result<(), Forbidden> {
    // Most texts are plain ASCII, and rendered for every customer.
    if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Ok(());
    }
    let mut flag_ends = 0;
    for (i, (at, character)) in text.char_indices().enumerate() {
        if character == '\u{1F3F4}' {
            let tags = &text[at + character.len_utf8()..];
            let flag = FLAGS.iter().find(|flag| tags.starts_with(**flag));
            flag_ends = flag.map_or(0, |flag| text.len() - tags.len() + flag.len());
        }
        if at >= flag_ends
            && let Some(what) = forbidden(character, lines)
        {
            return Err(Forbidden { what, character, place: i + 1 });
        }
    }
    Ok(())
}

fn forbidden(c: char, lines: Lines) -> Option<&'static str> {
    match c {
        '\n' | '\r' | '\t' if lines == Lines::Many => None,
        // Not control characters, but they break lines as well.
        '\u{2028}' | '\u{2029}' => (lines == Lines::One).then_some("a line break"),
        '\n' | '\r' => Some("a line break"),
        c if c.is_control() => Some("a control character"),
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => Some("a character that controls the direction of text"),
        '\u{FDD0}'..='\u{FDEF}' => Some("a non-character"),
        c if u32::from(c) & 0xFFFE == 0xFFFE => Some("a non-character"),
        '\u{206A}'..='\u{206F}' | '\u{FFF9}'..='\u{FFFB}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}' => {
            Some("an invisible character")
        }
        _ => None,
    }
}

/// Whether a text shows nothing: it has only white space, and characters that most displays show as nothing (the
/// Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties, and the blank Braille pattern).
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c,
                '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
                | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D159}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
    })
}

/// The text with each of its line breaks as one `\n`: no `\r` is left, alone or in a pair.
pub fn with_plain_breaks(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_character_is_named_with_its_place() {
        for (c, what) in [
            ('\0', "a control character"),
            ('\u{B}', "a control character"),
            ('\u{1B}', "a control character"),
            ('\u{7F}', "a control character"),
            ('\u{85}', "a control character"),
            ('\u{9B}', "a control character"),
            ('\u{202A}', "a character that controls the direction of text"),
            ('\u{202E}', "a character that controls the direction of text"),
            ('\u{2066}', "a character that controls the direction of text"),
            ('\u{2069}', "a character that controls the direction of text"),
            ('\u{FFFE}', "a non-character"),
            ('\u{FFFF}', "a non-character"),
            ('\u{FDD0}', "a non-character"),
            ('\u{FDEF}', "a non-character"),
            ('\u{1FFFE}', "a non-character"),
            ('\u{10FFFF}', "a non-character"),
            ('\u{FEFF}', "an invisible character"),
            ('\u{206A}', "an invisible character"),
            ('\u{FFF9}', "an invisible character"),
            ('\u{E0001}', "an invisible character"),
            ('\u{E0067}', "an invisible character"),
        ] {
            let message = format!("{what} (character 3, U+{:04X})", u32::from(c));
            for lines in [Lines::One, Lines::Many] {
                let found = check(&format!("é-{c}-"), lines).map_err(|found| found.to_string());
                assert_eq!(found, Err(message.clone()), "{lines:?}");
            }
        }
    }

    #[test]
    fn line_breaks_and_tabs_depend_on_the_lines() {
        for c in ['\n', '\r', '\t', '\u{2028}', '\u{2029}'] {
            let text = format!("a{c}b");
            assert!(check(&text, Lines::One).is_err() && check(&text, Lines::Many).is_ok(), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn scripts_and_emoji_are_allowed() {
        for text in [
            "Inês Łucja Søren",
            "नमस्ते क्‍ष", // with a zero width joiner
            "می\u{200C}خواهم",
            "\u{200E}5%\u{200F} \u{61C}عرض",
            "👩‍👩‍👧‍👦 ❤️ 1️⃣ 👍🏽 🇵🇹 🏴‍☠️",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F} 🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F} \
             🏴\u{E0067}\u{E0062}\u{E0077}\u{E006C}\u{E0073}\u{E007F}",
            "葛\u{E0100}城",
            "soft\u{AD}hyphen zero\u{200B}width",
        ] {
            assert_eq!(check(text, Lines::One), Ok(()), "{text}");
        }
        for hidden in
            ["🏴\u{E0068}\u{E0069}\u{E007F}", "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}", "🏴\u{E007F}"]
        {
            assert!(check(hidden, Lines::One).is_err(), "{hidden:?}");
        }
    }

    #[test]
    fn text_that_shows_nothing_is_blank() {
        for blank in [
            "",
            " ",
            "\t\n",
            "\u{A0}",
            "\u{2003}\u{3000}",
            "\u{200B}",
            "\u{200D}\u{200C}",
            "\u{2060}",
            "\u{3164}",
            "\u{115F}",
            "\u{1160}",
            "\u{FFA0}",
            "\u{2800}",
            "\u{34F}",
            "\u{AD}",
            "\u{FE0F}",
            "\u{180E}",
            "\u{200E}\u{200F}\u{61C}",
            "\u{E0100}",
            "\u{1D173}",
        ] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for visible in ["a", ".", "\u{200B}a", "🎉", "\u{301}", "￼"] {
            assert!(!is_blank(visible), "{visible:?}");
        }
    }

    #[test]
    fn every_line_break_becomes_one() {
        for (from, to) in [("a\r\nb", "a\nb"), ("a\rb", "a\nb"), ("a\r\r\nb\r", "a\n\nb\n"), ("a\nb", "a\nb")] {
            assert_eq!(with_plain_breaks(from), to);
        }
    }
}
