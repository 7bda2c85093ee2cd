//! Redacts texts of providers: they are stored and logged, and often repeat the recipient's address.
//!
//! Anything that may be a phone number is replaced, with the few exceptions that [`Kept`] lists: a text that is harder to
//! read does less harm than a customer's number in a log.

/// The maximum length of a reason.
const MAX_CHARS: usize = 500;
/// The fewest digits of a phone number.
const MIN_NUMBER_DIGITS: usize = 7;
/// The fewest digits of an id in hexadecimal. A phone number has at most 15 (E.164).
const MIN_ID_DIGITS: usize = 16;
/// The most decimal digits in a row in a group of an id: more may be a phone number with letters beside it.
const MAX_ID_DECIMALS: usize = 9;

/// Replaces addresses and phone numbers, removes control characters, and limits the length.
pub(crate) fn redact(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let words = text.split(' ').map(|word| if word.contains('@') { "(address)" } else { word });
    let text: Vec<char> = words.collect::<Vec<_>>().join(" ").chars().collect();
    redact_numbers(&text).chars().take(MAX_CHARS).collect()
}

/// Replaces what may be a phone number: digits in one group or more, with a single space, dot, hyphen or parenthesis
/// between groups.
fn redact_numbers(text: &[char]) -> String {
    let kept = Kept::of(text);
    let mut redacted = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match kept.number_at(at) {
            Some(number) => {
                if number.digits >= MIN_NUMBER_DIGITS {
                    redacted.push_str("(number)");
                } else {
                    redacted.extend(&text[at..number.end]);
                }
                at = number.end;
            }
            None => {
                redacted.push(text[at]);
                at += 1;
            }
        }
    }
    redacted
}

/// A number in a text, as long as it may be.
struct Number {
    /// Where it ends.
    end: usize,
    digits: usize,
}

/// A text, and which parts of it are certainly no phone number: dates, SMTP replies with an enhanced status code, and ids
/// in hexadecimal. Other long numbers, such as sizes, account ids and most IP addresses, are taken for phone numbers.
struct Kept<'t> {
    text: &'t [char],
    is_kept: Vec<bool>,
}

impl<'t> Kept<'t> {
    fn of(text: &'t [char]) -> Self {
        let mut kept = Self { text, is_kept: vec![false; text.len()] };
        for at in 0..text.len() {
            if let Some(end) = kept.date_at(at).or_else(|| kept.status_at(at)) {
                kept.is_kept[at..end].fill(true);
            }
        }
        kept.keep_ids();
        kept
    }

    /// The number that starts here, if one does.
    fn number_at(&self, start: usize) -> Option<Number> {
        let lead = (0..3).find(|lead| !matches!(self.text.get(start + lead), Some('+' | '(')))?;
        let mut end = start + lead;
        let mut digits = 0;
        let mut next = self.is_digit(end).then_some(end);
        while let Some(group) = next {
            end = group;
            while self.is_digit(end) {
                end += 1;
            }
            digits += end - group;
            next = self.next_group(end);
        }
        let number = &self.text[start..end];
        let count = |parenthesis| number.iter().filter(|c| **c == parenthesis).count();
        if count('(') > count(')') && self.text.get(end) == Some(&')') {
            end += 1;
        }
        (digits > 0).then_some(Number { end, digits })
    }

    /// Where the next group of digits starts, if it belongs to the number whose last group ends here.
    fn next_group(&self, end: usize) -> Option<usize> {
        let mut next = end;
        for separates in [|c| c == ')', is_separator, |c| c == '('] {
            if self.text.get(next).is_some_and(|c| separates(*c)) {
                next += 1;
            }
        }
        (next > end && self.is_digit(next)).then_some(next)
    }

    fn is_digit(&self, at: usize) -> bool {
        self.text.get(at).is_some_and(|c| c.is_numeric()) && !self.is_kept[at]
    }

    /// Where the date ends that starts here, with its time: `2026-11-24`, `2026-11-24T01:02:03.456`.
    fn date_at(&self, start: usize) -> Option<usize> {
        let day = self.shaped(start, "0000-00-00")?;
        let of = |from: usize, to: usize| self.text[start + from..start + to].iter().collect::<String>();
        let is_date = ["19", "20"].contains(&of(0, 2).as_str())
            && ("01"..="12").contains(&of(5, 7).as_str())
            && ("01"..="31").contains(&of(8, 10).as_str());
        let time = [("T00:00", ":00"), (" 00:00", ":00")].into_iter().find_map(|(minute, second)| {
            let minute = self.shaped(day, minute)?;
            let Some(second) = self.shaped(minute, second) else { return Some(minute) };
            let fraction = self.shaped(second, ".0").or_else(|| self.shaped(second, ",0"));
            Some(fraction.map_or(second, |from| self.skip(from, char::is_numeric)))
        });
        let end = time.unwrap_or(day);
        (is_date && self.is_alone(start, end)).then_some(end)
    }

    /// Where the enhanced status code ends that starts here (RFC 3463), with or without its reply code: `5.1.1`,
    /// `550 5.7.26`, `550-5.7.26`.
    fn status_at(&self, start: usize) -> Option<usize> {
        let is_class = |at: usize| matches!(self.text.get(at), Some('2' | '4' | '5'));
        let code = self.shaped(start, "000 ").or_else(|| self.shaped(start, "000-")).unwrap_or(start);
        let detail = self.shaped(code, "0.0.0").filter(|_| is_class(start) && is_class(code))?;
        let end = self.skip(detail, char::is_numeric);
        (end - detail <= 2 && self.is_alone(start, end)).then_some(end)
    }

    /// Keeps the groups of ids in hexadecimal that have letters: `4442587FB7D0A2F9`, or most groups of a UUID.
    fn keep_ids(&mut self) {
        let mut at = 0;
        while at < self.text.len() {
            let end = self.skip(at, |c| c.is_alphanumeric() || c == '-');
            let token = &self.text[at..end];
            let digits = token.iter().filter(|c| c.is_ascii_hexdigit()).count();
            if digits >= MIN_ID_DIGITS && token.iter().all(|c| c.is_ascii_hexdigit() || *c == '-') {
                for group in token.split(|c| *c == '-') {
                    let decimals = group.split(|c| !c.is_ascii_digit()).map(<[char]>::len).max().unwrap_or_default();
                    let has_letter = group.iter().any(|c| !c.is_ascii_digit());
                    let length = group.len();
                    if has_letter && decimals <= MAX_ID_DECIMALS {
                        self.is_kept[at..at + length].fill(true);
                    }
                    at += length + 1;
                }
            }
            at = end + 1;
        }
    }

    /// Where a text of this shape ends that starts here. `0` in a shape is any digit.
    fn shaped(&self, start: usize, shape: &str) -> Option<usize> {
        let end = start + shape.len();
        let text = self.text.get(start..end)?;
        let fits = |(c, shape): (&char, char)| if shape == '0' { c.is_ascii_digit() } else { *c == shape };
        text.iter().zip(shape.chars()).all(fits).then_some(end)
    }

    /// The first place from `start` on whose character is another.
    fn skip(&self, start: usize, is_skipped: impl Fn(char) -> bool) -> usize {
        self.text[start..].iter().position(|c| !is_skipped(*c)).map_or(self.text.len(), |length| start + length)
    }

    /// Whether this part of the text is no part of a longer number. A space separates it from numbers beside it.
    fn is_alone(&self, start: usize, end: usize) -> bool {
        let before = start.checked_sub(1).map(|at| self.text[at]);
        let joins = |c: char| is_separator(c) && !c.is_whitespace();
        let after = self.text.get(end).copied();
        let after_next = self.text.get(end + 1).is_some_and(|c| c.is_numeric());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '+' || joins(c))
            && !after.is_some_and(|c| c.is_numeric() || (joins(c) && after_next))
    }
}

/// What stands between two groups of digits of a number, besides parentheses.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '.' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_are_replaced_in_every_form() {
        for number in [
            "+351912345678",
            "00351912345678",
            "351912345678",
            "912345678",
            "5551234",
            "+351 912 345 678",
            "+351-912-345-678",
            "+351.912.345.678",
            "+351 (912) 345-678",
            "(+351) 912 345 678",
            "+(351)912345678",
            "(912) 345-678",
            "(912)345678",
            "(912345678)",
            "1-800-555-0199",
            "01 23 45 67 89",
            "+351\u{a0}912\u{2011}345\u{2011}678",
            "٣٥١٩١٢٣٤٥٦٧٨",
            "555 123 4567",
            "421 4567890",
        ] {
            for (before, after) in [
                ("", ""),
                ("Invalid number: ", " is not valid"),
                ("<", ">"),
                ("to=", ","),
                ("number:", "."),
                ("x", "y"),
            ] {
                assert_eq!(redact(&format!("{before}{number}{after}")), format!("{before}(number){after}"));
            }
        }
    }

    #[test]
    fn other_numbers_are_kept() {
        for text in [
            "421 4.7.0 Try again later, closing connection",
            "550 5.1.1 User unknown",
            "550-5.7.26 This mail is unauthenticated. 550 5.7.26 See 7.4",
            "message: 554 5.7.515 Access denied",
            "short code 123456 does not support (12) 34",
            "since 2026-11-24 for 2026-11-24T01:02:03Z",
            "at 2026-11-24 01:02:03.456789 +0000, 550 5.7.26",
            "at 2026-11-24T01:02:03.456789012+01:00: 452 4.2.2",
            "Tue, 24 Nov 2026 01:02:03 +0000",
            "request 4442587FB7D0A2F9",
            "request 5e4f2a1b-12c4-4678-9abc-1b34567890ab",
            "message 0100018f3c4a5b6c-1a2b3c4d-1234-4ef6-9abc-12c4567890ab-000000",
            "Maximum sending rate exceeded: 14.5 of 1000",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn number_beside_what_is_kept_is_replaced() {
        for (text, redacted) in [
            ("550 5.1.1 912345678 unknown", "550 5.1.1 (number) unknown"),
            ("550 5.1.1 912 345 678 unknown", "550 5.1.1 (number) unknown"),
            ("2026-11-24 912345678", "2026-11-24 (number)"),
            ("912 345 678 2026-11-24 01:02:03.4", "(number) 2026-11-24 01:02:03.4"),
            ("+2026-11-24", "(number)"),
            ("2026-11-24-345", "(number)"),
            ("351-2026-11-24", "(number)"),
            ("2812-12-34", "(number)"),
            ("5.1.1.912.345", "(number)"),
            ("4.5.1234567", "(number)"),
            ("%2B351912345678901", "%2B(number)"),
            ("deadbeef-351912345678", "deadbeef-(number)"),
            ("deadbeef-351-912-345-678-feed", "deadbeef-(number)-feed"),
        ] {
            assert_eq!(redact(text), redacted);
        }
    }

    #[test]
    fn addresses_and_control_characters_are_removed() {
        assert_eq!(redact("550 <asha@bank.example>:\r\n no such\tuser"), "550 (address) no suchuser");
        assert_eq!(redact("+351912\n345678"), "(number)");
        assert_eq!(redact("351912345678@sms.example"), "(address)");
        assert_eq!(redact(&"é".repeat(600)).chars().count(), MAX_CHARS);
    }

    /// If the work grew with the square of the length, this would take minutes.
    #[test]
    fn long_text_is_redacted_in_linear_time() {
        for part in ["+", "(", "1", "1-", "(1) ", "a1-", "0a", "2026-11-24 ", "5.1.1 "] {
            assert!(redact(&part.repeat(100_000 / part.len())).chars().count() <= MAX_CHARS);
        }
    }
}
