//! Texts in Latin script as the GSM alphabet can write them.
//!
//! | in the text | becomes |
//! |---|---|
//! | letters with accents that the alphabet lacks | the letter with fewer accents, or without: `ê` is `e`, `ǖ` is `ü` |
//! | `ç` | `c`. The alphabet has only `Ç` at the place of which some handsets show `ç`: "preÇo" would be worse |
//! | other Latin letters, ligatures, full-width and mathematical letters | the letters that stand for them: `ł`, `œ`, `ﬁ` |
//! | symbols and currencies | ASCII: `(TM)`, `->`, `INR` |
//! | variation selectors, joiners, soft hyphens | nothing |
//! | anything else, such as a letter of another script or an emoji | no such text: it is sent as it is |
//!
//! A replacement never changes what a text says: strokes through characters, signs for "not equal" and the digits of a
//! footnote stay what they are, or the whole text does.

use std::borrow::Cow;

use domain::characters::is_blank;
use icu_normalizer::properties::{CanonicalDecompositionBorrowed, Decomposed};
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::CodePointSetData;
use icu_properties::props::{EmojiPresentation, ExtendedPictographic};

use super::{Alphabet, is_gsm, plain};

/// The text in the GSM alphabet. `None` if it has a character that nothing can stand for, or nothing else would be left.
/// A line of which nothing is left is left out.
pub fn in_gsm(text: &str) -> Option<Cow<'_, str>> {
    if Alphabet::of(text) == Alphabet::Gsm {
        return Some(text.into());
    }
    let text = plain(text);
    let text = ComposingNormalizerBorrowed::new_nfc().normalize(&text);
    let mut lines = Vec::new();
    for line in text.split(['\n', '\u{2028}', '\u{2029}']) {
        let written = written(line)?;
        if line.is_empty() || !written.is_empty() {
            lines.push(written);
        }
    }
    let text = lines.join("\n");
    (!is_blank(&text)).then(|| text.into())
}

fn written(line: &str) -> Option<String> {
    // Another spelling of an address is another address.
    let is_address = |word: &str| word.contains("://") && Alphabet::of(word) == Alphabet::Ucs2;
    if line.split_whitespace().any(is_address) {
        return None;
    }
    let mut written = Line::default();
    let mut previous = None;
    for c in line.chars() {
        let sign = Sign::of(c, previous)?;
        if sign != Sign::Nothing {
            previous = Some(c);
        }
        written.add(&sign);
    }
    Some(written.text)
}

/// What stands for a character.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    /// The character itself, or another.
    Character(char),
    Text(Cow<'static, str>),
    /// With a space between it and letters or digits beside it.
    Apart(Cow<'static, str>),
    /// The character shows nothing by itself.
    Nothing,
}

impl Sign {
    /// `previous` is the character before it that shows something.
    fn of(c: char, previous: Option<char>) -> Option<Self> {
        if is_gsm(c) {
            return Some(Self::Character(c));
        }
        if let Some(text) = replacement(c) {
            return Some(Self::Text(text.into()));
        }
        if let Some(text) = unit(c) {
            return Some(Self::Apart(text.into()));
        }
        let after_letter = previous.is_some_and(char::is_alphabetic);
        match c {
            c if c.is_whitespace() => return Some(Self::Character(' ')),
            c if is_blank(c.encode_utf8(&mut [0; 4])) => return Some(Self::Nothing),
            // The frame of a keycap.
            '\u{20E3}' if previous.is_some_and(|c| c.is_ascii_digit() || matches!(c, '#' | '*')) => {
                return Some(Self::Nothing);
            }
            c if is_accent(c) => return after_letter.then_some(Self::Nothing),
            // An emoji has a meaning, and nothing in the alphabet has the same.
            c if is_picture(c) => return None,
            _ => {}
        }
        if let Some(sign) = without_accents(c) {
            return Some(sign);
        }
        let text = compatible(c)?;
        Some(match c {
            // Of a footnote perhaps: it must not become a digit of an amount.
            c if is_index(c) && !after_letter => Self::Text(format!("({text})").into()),
            c if is_index(c) || is_digit_form(c) => Self::Text(text.into()),
            // A fraction, or a number in a circle.
            c if c.is_numeric() => Self::Apart(text.into()),
            _ => Self::Text(text.into()),
        })
    }
}

/// A raised or lowered digit.
fn is_index(c: char) -> bool {
    matches!(c, '²' | '³' | '¹' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}')
}

/// A full-width or mathematical digit.
fn is_digit_form(c: char) -> bool {
    matches!(c, '\u{FF10}'..='\u{FF19}' | '\u{1D7CE}'..='\u{1D7FF}')
}

/// An accent on a letter. Not the strokes through it (U+0334 to U+0338), which cross it out.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{333}' | '\u{339}'..='\u{362}')
}

/// An emoji or a part of one, a dingbat or a star.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27BF}')
        || CodePointSetData::new::<ExtendedPictographic>().contains(c)
        || CodePointSetData::new::<EmojiPresentation>().contains(c)
}

/// A letter with as few of its accents removed as the alphabet needs.
fn without_accents(c: char) -> Option<Sign> {
    let mut c = c;
    loop {
        c = match CanonicalDecompositionBorrowed::new().decompose(c) {
            Decomposed::Expansion(base, mark) if base.is_alphabetic() && is_accent(mark) => base,
            Decomposed::Singleton(same) => same,
            _ => return None,
        };
        if is_gsm(c) {
            return Some(Sign::Character(c));
        }
        if let Some(text) = replacement(c) {
            return Some(Sign::Text(text.into()));
        }
    }
}

/// The characters that Unicode gives as compatible with one: `fi` for the ligature.
fn compatible(c: char) -> Option<String> {
    let mut text = String::new();
    let mut previous = None;
    let single = c.to_string();
    for part in DecomposingNormalizerBorrowed::new_nfkd().normalize(&single).chars() {
        match part {
            part if is_gsm(part) => text.push(part),
            part if is_accent(part) && previous.is_some_and(char::is_alphabetic) => {}
            part => text.push_str(replacement(part)?),
        }
        previous = Some(part);
    }
    Some(text)
}

/// What stands for a letter or a symbol that Unicode does not decompose, or not into this.
fn replacement(c: char) -> Option<&'static str> {
    Some(match c {
        'ç' => "c",
        'đ' | 'ð' | 'ɗ' | 'ɖ' => "d",
        'Đ' | 'Ð' | 'Ɗ' | 'Ɖ' => "D",
        'ħ' => "h",
        'Ħ' => "H",
        'ı' => "i",
        'ĸ' | 'ƙ' => "k",
        'Ƙ' => "K",
        'ł' => "l",
        'Ł' => "L",
        'ŋ' => "ng",
        'Ŋ' => "Ng",
        'œ' => "oe",
        'Œ' => "OE",
        'ŧ' => "t",
        'Ŧ' => "T",
        'þ' => "th",
        'Þ' => "Th",
        'ẞ' => "SS",
        'ə' | 'ɛ' | 'ǝ' => "e",
        'Ə' | 'Ɛ' | 'Ǝ' => "E",
        'ɓ' => "b",
        'Ɓ' => "B",
        'ɔ' => "o",
        'Ɔ' => "O",
        'ƴ' => "y",
        'Ƴ' => "Y",
        'ƒ' => "f",
        '\u{2BB}'..='\u{2BD}' | '\u{2B9}' | '\u{201B}' | '\u{2032}' | '‹' | '›' | '´' | '`' => "'",
        '«' | '»' | '\u{201F}' | '\u{2033}' => "\"",
        '\u{2015}' | '\u{2212}' | '\u{2043}' | '·' | '•' | '‣' | '▪' | '■' | '●' | '○' | '◦' | '►' | '▶' => {
            "-"
        }
        '\u{2044}' | '\u{2215}' => "/",
        '×' => "x",
        '÷' => ":",
        '±' => "+/-",
        '≤' => "<=",
        '≥' => ">=",
        '≠' => "<>",
        '≈' => "~",
        '→' | '➔' | '➜' | '➡' => "->",
        '←' | '⬅' => "<-",
        '↔' => "<->",
        '⇒' => "=>",
        '©' => "(c)",
        '®' => "(R)",
        '™' => "(TM)",
        '℠' => "(SM)",
        '°' | 'º' => "o",
        'ª' => "a",
        'µ' | 'μ' => "u",
        '¢' => "c",
        '¦' => "|",
        _ => return None,
    })
}

/// What stands for a currency or a unit (ISO 4217, DIN 5008).
fn unit(c: char) -> Option<&'static str> {
    Some(match c {
        '₹' => "INR",
        '₺' => "TRY",
        '₽' => "RUB",
        '₴' => "UAH",
        '₦' => "NGN",
        '₱' => "PHP",
        '₫' => "VND",
        '₩' => "KRW",
        '₪' => "ILS",
        '₵' => "GHS",
        '₡' => "CRC",
        '₲' => "PYG",
        '₸' => "KZT",
        '₼' => "AZN",
        '₾' => "GEL",
        '฿' => "THB",
        '‰' => "o/oo",
        _ => return None,
    })
}

/// A line in the making.
#[derive(Debug, Default)]
struct Line {
    text: String,
    /// Whether the last sign wants a space before a letter or a digit.
    apart: bool,
}

impl Line {
    fn add(&mut self, sign: &Sign) {
        match sign {
            Sign::Nothing => {}
            Sign::Character(c) => self.push(c.encode_utf8(&mut [0; 4]), false),
            Sign::Text(text) => self.push(text, false),
            Sign::Apart(text) => self.push(text, true),
        }
    }

    /// Adds a text, with a space before it if it would else be one word with what is before.
    fn push(&mut self, text: &str, apart: bool) {
        let is_one_word = self.text.ends_with(char::is_alphanumeric) && text.starts_with(char::is_alphanumeric);
        if (self.apart || apart) && is_one_word {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.apart = apart;
    }
}

#[cfg(test)]
mod tests;
