//! What the text messages of an offer take: the shortest and the longest one, how many are cut, and how many leave the GSM
//! alphabet.

use std::ops::AddAssign;

use delivery::compose::alphabet::Alphabet;
use delivery::compose::sms::SmsText;
use domain::CustomerId;

/// The text messages to customers that take the least and the most.
#[derive(Debug, Default)]
pub(super) struct TextLengths {
    pub(super) shortest: Option<(CustomerId, SmsText)>,
    pub(super) longest: Option<(CustomerId, SmsText)>,
}

/// How many text messages cost or lose more than they should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TextCounts {
    /// They were composed.
    pub(super) written: u64,
    /// They are longer than the segments that are allowed.
    pub(super) cut: u64,
    /// They have a character that the GSM alphabet lacks, so that a segment holds 70 characters instead of 160.
    pub(super) ucs2: u64,
    /// Letters or signs of them are replaced, so that they stay in the GSM alphabet.
    pub(super) transliterated: u64,
}

impl AddAssign for TextCounts {
    fn add_assign(&mut self, Self { written, cut, ucs2, transliterated }: Self) {
        self.written += written;
        self.cut += cut;
        self.ucs2 += ucs2;
        self.transliterated += transliterated;
    }
}

impl From<&SmsText> for TextCounts {
    fn from(text: &SmsText) -> Self {
        Self {
            written: 1,
            cut: text.was_cut.into(),
            ucs2: (text.alphabet == Alphabet::Ucs2).into(),
            transliterated: text.transliterated.into(),
        }
    }
}

impl TextLengths {
    pub(super) fn consider(&mut self, customer: &CustomerId, text: &SmsText) {
        let length = |text: &SmsText| (text.segments, text.text.chars().count());
        let new = length(text);
        // Of messages that are as long, that of the customer with the smallest id.
        let replaces = |found: &Option<(CustomerId, SmsText)>,
                        is_better: fn(&(usize, usize), &(usize, usize)) -> bool| {
            found.as_ref().is_none_or(|(id, text)| {
                let old = length(text);
                is_better(&new, &old) || new == old && customer < id
            })
        };
        if replaces(&self.shortest, PartialOrd::lt) {
            self.shortest = Some((customer.clone(), text.clone()));
        }
        if replaces(&self.longest, PartialOrd::gt) {
            self.longest = Some((customer.clone(), text.clone()));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (customer, text) in [other.shortest, other.longest].into_iter().flatten() {
            self.consider(&customer, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_and_longest_are_found_whatever_the_order() {
        let all = [("c", "four", 1), ("b", "five!", 1), ("a", "four", 1), ("e", "x", 2), ("d", "y", 2)];
        for turned in [false, true] {
            let mut both = [TextLengths::default(), TextLengths::default()];
            let mut counts = TextCounts::default();
            let order: Vec<_> = if turned { all.iter().rev().collect() } else { all.iter().collect() };
            for (number, (id, text, segments)) in order.into_iter().enumerate() {
                let alphabet = if *text == "four" { Alphabet::Ucs2 } else { Alphabet::Gsm };
                let was_cut = *segments == 2;
                let text =
                    SmsText { text: (*text).into(), segments: *segments, alphabet, was_cut, transliterated: was_cut };
                counts += TextCounts::from(&text);
                both[number % 2].consider(&id.parse().unwrap(), &text);
            }
            let [mut texts, other] = both;
            texts.merge(other);
            let id = |found: &Option<(CustomerId, SmsText)>| found.as_ref().unwrap().0.to_string();
            assert_eq!((id(&texts.shortest), id(&texts.longest)), ("a".into(), "d".into()));
            assert_eq!(counts, TextCounts { written: 5, cut: 2, ucs2: 2, transliterated: 2 });
        }
    }
}
