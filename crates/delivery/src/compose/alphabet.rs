//! The alphabet of a text message (3GPP TS 23.038): which characters it has, and what each one takes.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what a text becomes in the GSM alphabet | [`transliteration`] |
//! | which characters the alphabets have | `alphabet.rs` |

use std::str::FromStr;

pub mod transliteration;

/// The GSM 7-bit default alphabet (TS 23.038, 6.2.1).
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension table (6.2.1.1): each of these takes two septets.
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";
/// Marks a cut. In the GSM alphabet, unlike `…`.
pub(super) const ELLIPSIS: &str = "...";

/// What becomes of a text that has characters outside the GSM alphabet: the parameter `SmsAlphabet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SmsAlphabet {
    /// They are replaced if the text is in Latin script, because one of them would leave 70 characters of 160.
    #[default]
    Gsm,
    /// They are sent as they are.
    Keep,
    /// The text is not sent.
    Refuse,
}

impl FromStr for SmsAlphabet {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "gsm" => Ok(Self::Gsm),
            "keep" => Ok(Self::Keep),
            "refuse" => Ok(Self::Refuse),
            _ => Err("must be gsm, keep or refuse"),
        }
    }
}

/// The alphabet that a text is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    Gsm,
    Ucs2,
}

impl Alphabet {
    /// The alphabet of a text: one character outside the GSM alphabet is enough for UCS-2.
    pub fn of(text: &str) -> Self {
        if text.chars().all(is_gsm) { Self::Gsm } else { Self::Ucs2 }
    }

    /// `gsm` or `ucs2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm => "gsm",
            Self::Ucs2 => "ucs2",
        }
    }

    /// The code units of a character: septets or UTF-16 units.
    pub(super) fn units(self, c: char) -> usize {
        match self {
            Self::Gsm => 1 + usize::from(GSM_EXTENSION.contains(c)),
            Self::Ucs2 => c.len_utf16(),
        }
    }

    /// The code units that a single message holds.
    pub(super) const fn single_limit(self) -> usize {
        match self {
            Self::Gsm => 160,
            Self::Ucs2 => 70,
        }
    }

    /// The code units that one segment of several holds.
    pub(super) const fn segment_limit(self) -> usize {
        match self {
            Self::Gsm => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// Whether the GSM alphabet has a character.
pub(super) fn is_gsm(c: char) -> bool {
    matches!(c, ' '..='Z' | '_' | 'a'..='z') || GSM.contains(c) || GSM_EXTENSION.contains(c)
}

/// A character of a text that the GSM alphabet lacks, and that no typewritten one stands for. To follow the text's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has {character:?} (character {place}, U+{:04X}), which is not in the GSM alphabet", u32::from(*.character))]
pub struct OutsideGsm {
    pub character: char,
    /// Its position, in characters from 1.
    pub place: usize,
}

impl OutsideGsm {
    /// The first one of a text.
    pub fn first_in(text: &str) -> Option<Self> {
        Self::all_in(text).next()
    }

    /// Those of a text.
    pub fn all_in(text: &str) -> impl Iterator<Item = Self> {
        let outside = |c: char| !is_gsm(c) && typewritten(c).is_none();
        text.chars()
            .enumerate()
            .filter(move |(_, c)| outside(*c))
            .map(|(i, character)| Self { character, place: i + 1 })
    }
}

/// Replaces typographic characters by those of the GSM alphabet, which read the same: one curly quote would more than
/// double the cost of a text.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match typewritten(c) {
            Some(replacement) => plain.push_str(replacement),
            None => plain.push(c),
        }
    }
    plain
}

fn typewritten(c: char) -> Option<&'static str> {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201a}' => Some("'"),
        '\u{201c}' | '\u{201d}' | '\u{201e}' => Some("\""),
        '\u{2010}'..='\u{2014}' => Some("-"),
        '\u{2026}' => Some(ELLIPSIS),
        '\u{a0}' | '\u{202f}' | '\t' => Some(" "),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_the_alphabet_is_found_and_no_other() {
        // 128 septets less the escape to the extension table, and the ten that it has.
        assert_eq!((GSM.chars().count(), GSM_EXTENSION.chars().count()), (127, 10));
        let found = ('\0'..=char::MAX).filter(|c| is_gsm(*c)).count();
        assert_eq!(found, 137);
        assert!(('\0'..=char::MAX).all(|c| is_gsm(c) == (GSM.contains(c) || GSM_EXTENSION.contains(c))));
    }

    #[test]
    fn parameter_has_three_values() {
        for (name, alphabet) in
            [("gsm", SmsAlphabet::Gsm), ("keep", SmsAlphabet::Keep), ("refuse", SmsAlphabet::Refuse)]
        {
            assert_eq!(name.parse(), Ok(alphabet));
        }
        assert_eq!("GSM".parse::<SmsAlphabet>(), Err("must be gsm, keep or refuse"));
    }

    #[test]
    fn curly_quote_costs_no_more_than_a_straight_one() {
        let text = plain("Today’s “5 – 10 %”…\u{a0}now");
        assert_eq!((text.as_str(), Alphabet::of(&text)), ("Today's \"5 - 10 %\"... now", Alphabet::Gsm));
    }
}
